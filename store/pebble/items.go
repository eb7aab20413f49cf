package pebble

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// line is an item's row that may be among those asked for.
type line struct {
	created carillon.Seq
	row     []byte
}

// Items are a user's live items created before that seq (0: from the newest
// on), newest first, n at most, each as [Store.Item] gives it.
func (s *Store) Items(u carillon.User, before carillon.Seq, n int) ([]*carillon.Item, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	now := s.clock.UnixMilli()
	gens := s.generations(store.KindItem, now)
	if len(gens) == 0 || n <= 0 {
		return nil, nil
	}
	it, err := s.db.NewIter(byPrefix())
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var lines []line
	for _, g := range gens {
		if lines, err = gather(it, lines, g, u, before, n, now); err != nil {
			return nil, err
		}
	}
	if len(lines) == 0 {
		return nil, s.health.err()
	}
	items, err := decode(lines)
	if err != nil {
		return nil, err
	}
	items = slices.DeleteFunc(items, func(it *carillon.Item) bool { return it.Expires <= now })
	items = items[:min(n, len(items))]
	floor, err := s.floor(s.db, s.directory.Load(), u, now)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		floor.Merge(it.Content, &it.State)
	}
	if err := s.settle(s.db, s.directory.Load(), u, now, items...); err != nil {
		return nil, err
	}
	return items, s.health.err()
}

// gather merges the newest live rows of one generation into lines, which are
// sorted newest first and n at most.
func gather(it *pebble.Iterator, lines []line, g store.Generation, u carillon.User, before carillon.Seq, n int, now int64) ([]line, error) {
	var room [keyRoom]byte
	key := store.AppendPrefix(room[:0], g, u, store.KindItem)
	prefix := len(key)
	if before != 0 {
		key = store.AppendNewestFirst(key, before-1)
	}
	had := len(lines)
	for ok := it.SeekPrefixGE(key); ok && len(lines)-had < n; ok = it.Next() {
		created, _, ok := store.NewestFirst(it.Key()[prefix:])
		if !ok {
			return nil, store.ErrRow
		}
		if had >= n && created < lines[n-1].created {
			break // older than all that is wanted
		}
		row, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		expires, err := store.ItemExpires(row)
		if err != nil {
			return nil, err
		}
		if expires > now {
			lines = append(lines, line{created: created, row: bytes.Clone(row)})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		switch {
		case a.created > b.created:
			return -1
		case a.created < b.created:
			return 1
		}
		return 0
	})
	return lines, it.Error()
}

// decode reads lines, of which neighbours may be versions of one item: then the
// highest stands.
func decode(lines []line) ([]*carillon.Item, error) {
	items := make([]*carillon.Item, 0, len(lines))
	for _, l := range lines {
		it := &carillon.Item{}
		if err := store.DecodeItem(l.row, l.created, it); err != nil {
			return nil, err
		}
		last := len(items) - 1
		switch {
		case last < 0 || items[last].Created != it.Created:
			items = append(items, it)
		case store.Version(it) >= store.Version(items[last]):
			items[last] = it
		}
	}
	return items, nil
}
