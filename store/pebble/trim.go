package pebble

import (
	"cmp"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// trimMost bounds what one TrimUser drops.
const trimMost = 1000

// spot is where a version of an item stands.
type spot struct {
	created carillon.Seq
	g       store.Generation
}

// TrimUser drops the oldest items of a user beyond the newest keep, some of them
// in one call, and tells how many. Items with an open delivery or a time to
// come stay: their expiry ends them. Callers are those who write the user's rows.
func (s *Store) TrimUser(u carillon.User, keep int) (dropped int, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	now := s.clock.UnixMilli()
	spots, err := s.spots(u, now)
	if err != nil || len(spots) <= keep {
		return 0, err
	}
	slices.SortFunc(spots, func(a, b spot) int { return cmp.Compare(b.created, a.created) })
	b := s.db.NewBatch()
	defer b.Close()
	for kept := 0; len(spots) > 0 && dropped < trimMost; {
		n := 1 // versions of one item
		for n < len(spots) && spots[n].created == spots[0].created {
			n++
		}
		versions := spots[:n]
		spots = spots[n:]
		if kept++; kept <= keep {
			continue
		}
		ok, err := s.drop(b, u, versions, now)
		if err != nil {
			return 0, err
		}
		if ok {
			dropped++
		}
	}
	if dropped == 0 {
		return 0, s.health.err()
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return 0, err
	}
	return dropped, s.health.err()
}

// spots are where a user's items stand.
func (s *Store) spots(u carillon.User, now int64) ([]spot, error) {
	it, err := s.db.NewIter(byPrefix())
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var all []spot
	var room [keyRoom]byte
	for _, g := range s.generations(store.KindItem, now) {
		prefix := store.AppendPrefix(room[:0], g, u, store.KindItem)
		for ok := it.SeekPrefixGE(prefix); ok; ok = it.Next() {
			created, _, ok := store.NewestFirst(it.Key()[len(prefix):])
			if !ok {
				return nil, store.ErrRow
			}
			all = append(all, spot{created: created, g: g})
		}
	}
	return all, it.Error()
}

// drop removes an item with all that leads to it; false when it must stay.
func (s *Store) drop(b *pebble.Batch, u carillon.User, versions []spot, now int64) (bool, error) {
	created := versions[0].created
	d := s.directory.Load()
	it, err := s.item(s.db, d, now, u, created)
	if err != nil {
		return false, err
	}
	var key []byte
	if it != nil { // else it expired, and its generation will go
		if it.Scheduled || it.Next.Content != 0 { // it was accepted, and has not rung yet
			return false, nil
		}
		for i := range it.Deliveries {
			if !it.Deliveries[i].Outcome.Class.Terminal() {
				return false, nil
			}
		}
		if err := s.dropRefs(b, d, u, it, now); err != nil {
			return false, err
		}
		for _, g := range s.generationsOf(d, store.KindOutcome, now) {
			key = store.AppendOutcomesKey(key[:0], g, u, created)
			if err := b.DeleteRange(key, store.Above(key), nil); err != nil {
				return false, err
			}
		}
	}
	for _, v := range versions {
		key = store.AppendItemKey(key[:0], v.g, u, created)
		if err := b.Delete(key, nil); err != nil {
			return false, err
		}
	}
	return it != nil, nil
}

// dropRefs removes the rows that lead to an item by its id and its place in the feed.
func (s *Store) dropRefs(b *pebble.Batch, d *directory, u carillon.User, it *carillon.Item, now int64) error {
	if !it.ID.IsZero() {
		for _, g := range s.generationsOf(d, store.KindID, now) {
			if err := s.dropRef(b, store.AppendIDKey(nil, g, u, it.ID), it.Created); err != nil {
				return err
			}
		}
	}
	if it.Feed == it.Created {
		return nil
	}
	for _, g := range s.generationsOf(d, store.KindFeed, now) {
		if err := s.dropRef(b, store.AppendFeedKey(nil, g, u, it.Feed, it.Created), it.Created); err != nil {
			return err
		}
	}
	return nil
}

// dropRef removes a row that leads to created; a newer item may have its id.
func (s *Store) dropRef(b *pebble.Batch, key []byte, created carillon.Seq) error {
	row, err := get(s.db, key)
	if err != nil || row == nil {
		return err
	}
	f, err := store.DecodeRef(row)
	if err != nil || f.Created != created {
		return err
	}
	return b.Delete(key, nil)
}
