package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"carillon"
	"carillon/journal"
)

const (
	spaceEvery = 200 * time.Millisecond
	spaceRetry = 10 * time.Second
)

// space keeps the doors from filling the disk: a store that cannot write its log
// is done for, so what comes in is refused while there is still room for what
// was accepted. It opens again by itself.
type space struct {
	free  func() (uint64, error)
	least uint64
	clock *carillon.Clock
	log   *slog.Logger
	left  atomic.Uint64 // when full: what was free then
	full  atomic.Bool
}

// run looks at the disk until ctx ends.
func (s *space) run(ctx context.Context) error {
	for {
		if free, err := s.free(); err == nil {
			s.look(free)
		}
		if s.clock.Sleep(ctx, spaceEvery) != nil {
			return nil //nolint:nilerr // ctx ended
		}
	}
}

// look decides; to open again it takes a quarter more.
func (s *space) look(free uint64) {
	s.left.Store(free)
	switch full := s.full.Load(); {
	case !full && free < s.least:
		s.full.Store(true)
		s.log.Error("the disk is almost full: nothing is accepted until there is room, what was accepted is kept",
			"freeBytes", free, "minFreeBytes", s.least)
	case full && free >= s.least+s.least/4:
		s.full.Store(false)
		s.log.Info("the disk has room again", "freeBytes", free)
	}
}

// err is what a caller is told; nil when there is room.
func (s *space) err() error {
	if !s.full.Load() {
		return nil
	}
	const mib = 1 << 20
	e := carillon.Errorf(carillon.CodeUnavailable, "", "the gateway's disk is almost full (%d MiB left, store.minFreeBytes is %d MiB): nothing was accepted, send it again when there is room",
		s.left.Load()/mib, s.least/mib)
	e.RetryAfter = spaceRetry
	return e
}

// check is the readiness of it.
func (s *space) check(context.Context) error {
	if err := s.err(); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	return nil
}

// roomy is a journal that takes records while the disk has room.
type roomy struct {
	journal interface {
		Append(ctx context.Context, entries []journal.Entry) error
	}
	space *space
}

// Append implements gateway.Journal.
func (r roomy) Append(ctx context.Context, entries []journal.Entry) error {
	if err := r.space.err(); err != nil {
		for i := range entries {
			entries[i].Err = err
		}
		return err
	}
	return r.journal.Append(ctx, entries)
}
