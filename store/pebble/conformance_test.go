package pebble_test

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"carillon"
	"carillon/store/conformance"
	"carillon/store/pebble"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Backend{
		Open: func(t testing.TB, clock *carillon.Clock) conformance.Store {
			return openFS(t, pebble.Config{Dir: "store", Generation: conformance.Generation}, vfs.NewMem(), clock)
		},
		Expire: func(t testing.TB, s conformance.Store) {
			p, _ := s.(*clocked)
			if err := p.Expire(p.clock.UnixMilli()); err != nil {
				t.Error(err)
			}
		},
	})
}

// clocked is a store with the clock that it was opened on.
type clocked struct {
	*pebble.Store
	clock *carillon.Clock
}

func openFS(t testing.TB, cfg pebble.Config, disk vfs.FS, clock *carillon.Clock) *clocked {
	t.Helper()
	s, err := pebble.OpenFS(cfg, disk, clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &clocked{s, clock}
}
