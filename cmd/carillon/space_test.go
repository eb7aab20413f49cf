package main

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"carillon"
	"carillon/journal"
)

func TestSpaceShutsAndOpensAgain(t *testing.T) {
	s := &space{least: 100 << 20, clock: &carillon.Clock{}, log: slog.New(slog.DiscardHandler)}
	f := func(free uint64, full bool) {
		t.Helper()
		s.look(free << 20)
		if got := s.err() != nil; got != full {
			t.Errorf("with %d MiB full is %v", free, got)
		}
	}
	f(100, false)
	f(99, true)
	f(110, true) // not at once: it would flutter
	f(125, false)
	f(124, false)
	f(3, true)
	entries := make([]journal.Entry, 2)
	err := roomy{nil, s}.Append(t.Context(), entries)
	e := carillon.AsError(err)
	if e.Code != carillon.CodeUnavailable || e.RetryAfter == 0 || !strings.Contains(e.Message, "3 MiB left") {
		t.Errorf("%d: %v", http.StatusServiceUnavailable, err)
	}
	for i := range entries {
		if !errors.Is(entries[i].Err, err) {
			t.Errorf("entry %d: %v", i, entries[i].Err)
		}
	}
}
