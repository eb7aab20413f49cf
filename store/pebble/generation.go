package pebble

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"carillon/store"
)

// flushDropped is how long a dropped generation may wait for its space to come
// back when nothing else is written.
const flushDropped = 10 * time.Second

// directory lists the generations that hold rows, by kind, in ascending order.
// It never changes: a new one takes its place.
type directory [store.Kinds][]store.Generation

// generations are those that may hold live rows of a kind at now.
func (s *Store) generations(k store.Kind, now int64) []store.Generation {
	return s.generationsOf(s.directory.Load(), k, now)
}

func (s *Store) generationsOf(d *directory, k store.Kind, now int64) []store.Generation {
	all := d[k]
	first := store.GenerationOf(now, s.width)
	for len(all) > 0 && all[0] < first {
		all = all[1:]
	}
	return all
}

// loadDirectory reads which generations there are.
func (s *Store) loadDirectory() error {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{byte(store.AreaDirectory)}, UpperBound: []byte{byte(store.AreaDirectory) + 1},
	})
	if err != nil {
		return err
	}
	defer it.Close()
	d := &directory{}
	for it.First(); it.Valid(); it.Next() {
		g, k, ok := store.ReadDirectoryKey(it.Key())
		if !ok {
			return fmt.Errorf("%w: directory key %x", errTorn, it.Key())
		}
		if k < store.Kinds {
			d[k] = append(d[k], g)
		}
	}
	s.directory.Store(d)
	return it.Error()
}

// generation is where a row with this expiry stands. It is in the directory
// when this returns: the log keeps the order, so no row can survive a crash
// that the directory does not lead to.
func (s *Store) generation(k store.Kind, expires int64) (store.Generation, error) {
	g := store.GenerationOf(expires, s.width)
	all := s.directory.Load()[k]
	if n := len(all); n > 0 && all[n-1] == g {
		return g, nil
	}
	if _, ok := slices.BinarySearch(all, g); ok {
		return g, nil
	}
	return g, s.addGeneration(g, k)
}

func (s *Store) addGeneration(g store.Generation, k store.Kind) error {
	s.dirMu.Lock()
	defer s.dirMu.Unlock()
	next := *s.directory.Load()
	i, ok := slices.BinarySearch(next[k], g)
	if ok {
		return nil
	}
	if err := s.db.Set(store.AppendDirectoryKey(nil, g, k), nil, pebble.NoSync); err != nil {
		return err
	}
	next[k] = slices.Insert(slices.Clone(next[k]), i, g)
	s.directory.Store(&next)
	return s.health.err()
}

// Expire drops the generations whose rows all expired by now, in milliseconds
// since 1970, some of the hints and ledger rows that would stand in such, and
// what is too old or too much of the logs of outcomes. Run calls it; a call with
// nothing to drop costs nothing.
func (s *Store) Expire(now int64) error {
	if _, err := s.expire(context.Background(), now); err != nil { //nolint:forbidigo // a caller without a context waits for it
		return err
	}
	return s.trimEnded(now)
}

// expire tells as well whether there is more to look at.
func (s *Store) expire(ctx context.Context, now int64) (more bool, err error) {
	if err := s.enter(); err != nil {
		return false, err
	}
	defer s.leave()
	dropped, err := s.dropGenerations(now)
	if err != nil {
		return false, err
	}
	if dropped {
		first := store.GenerationOf(now, s.width)
		if err := s.purge(ctx, span{store.AppendGeneration(nil, 0), store.AppendGeneration(nil, first)}); err != nil {
			return false, err
		}
	}
	if more, err = s.sweep(now); err != nil {
		return false, err
	}
	return more, s.health.err()
}

func (s *Store) dropGenerations(now int64) (dropped bool, err error) {
	first := store.GenerationOf(now, s.width)
	s.dirMu.Lock()
	defer s.dirMu.Unlock()
	next := *s.directory.Load()
	b := s.db.NewBatch()
	defer b.Close()
	for k := range next {
		n, _ := slices.BinarySearch(next[k], first)
		for _, g := range next[k][:n] {
			if err := b.Delete(store.AppendDirectoryKey(nil, g, store.Kind(k)), nil); err != nil {
				return false, err
			}
		}
		next[k] = slices.Clone(next[k][n:])
	}
	if b.Empty() {
		return false, nil
	}
	// From the very first key on: a row that was written late, after its
	// generation had been dropped, goes with the next.
	if err := b.DeleteRange(store.AppendGeneration(nil, 0), store.AppendGeneration(nil, first), nil); err != nil {
		return false, err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return false, err
	}
	s.directory.Store(&next)
	return true, s.health.err()
}

// Bounds of how often Run looks for what expired.
const (
	expireOften  = time.Second
	expireSeldom = time.Hour
)

// Run drops what expired until ctx ends, when it returns nil, or until the
// store fails, when it returns the fault.
func (s *Store) Run(ctx context.Context) error {
	t := s.clock.NewTimer(0)
	defer t.Stop()
	logs := s.clock.NewTimer(endedEvery)
	defer logs.Stop()
	every := min(max(s.width/8, expireOften), expireSeldom)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.health.dead:
			return s.health.err()
		case <-t.C:
			more, err := s.expire(ctx, s.clock.UnixMilli())
			if ctx.Err() != nil { // a compaction was broken off
				return nil
			}
			if err != nil {
				return err
			}
			if more {
				t.Reset(sweepPause)
			} else {
				t.Reset(every)
			}
		case <-logs.C:
			if err := s.trimEnded(s.clock.UnixMilli()); err != nil {
				return err
			}
			logs.Reset(endedEvery)
		}
	}
}
