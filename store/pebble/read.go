package pebble

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// Endpoints appends the live endpoints of a user to dst, in no order.
func (s *Store) Endpoints(dst []carillon.Endpoint, u carillon.User) ([]carillon.Endpoint, error) {
	if err := s.enter(); err != nil {
		return dst, err
	}
	defer s.leave()
	now := s.clock.UnixMilli()
	gens := s.generations(store.KindEndpoint, now)
	if len(gens) == 0 {
		return dst, nil
	}
	it, err := s.db.NewIter(byPrefix())
	if err != nil {
		return dst, err
	}
	defer it.Close()
	from := len(dst)
	var gone []carillon.Endpoint // tombstones
	var key [keyRoom]byte
	for _, g := range gens {
		prefix := store.AppendPrefix(key[:0], g, u, store.KindEndpoint)
		for ok := it.SeekPrefixGE(prefix); ok; ok = it.Next() {
			row, err := it.ValueAndErr()
			if err != nil {
				return dst[:from], err
			}
			var e carillon.Endpoint
			left, err := store.DecodeEndpoint(row, string(it.Key()[len(prefix):]), &e)
			switch {
			case err != nil:
				return dst[:from], err
			case left:
				gone = append(gone, e)
			default:
				dst = newest(dst, from, e)
			}
		}
	}
	if err := it.Error(); err != nil {
		return dst[:from], err
	}
	live := slices.DeleteFunc(dst[from:], func(e carillon.Endpoint) bool {
		return !e.Alive(now) || slices.ContainsFunc(gone, func(t carillon.Endpoint) bool { return t.ID == e.ID && t.Version >= e.Version })
	})
	return dst[:from+len(live)], s.health.err()
}

// byPrefix are the options of iterators that look for a user's rows in one
// generation after the other: most hold none, so the filters of the lowest
// level, the largest, are worth their memory.
func byPrefix() *pebble.IterOptions { return &pebble.IterOptions{UseL6Filters: true} }

// newest adds e to dst[from:], where an endpoint stands once, in its highest
// version.
func newest(dst []carillon.Endpoint, from int, e carillon.Endpoint) []carillon.Endpoint {
	for i := from; i < len(dst); i++ {
		if dst[i].ID == e.ID {
			if e.Version > dst[i].Version {
				dst[i] = e
			}
			return dst
		}
	}
	return append(dst, e)
}

// keyRoom holds most keys without an allocation.
const keyRoom = 160

// get copies the row of a key, nil when there is none.
func get(r pebble.Reader, key []byte) ([]byte, error) {
	b, closer, err := r.Get(key)
	if err == pebble.ErrNotFound { //nolint:errorlint // pebble returns it bare
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return bytes.Clone(b), nil
}

// Item is the item created at that seq with all that is known of its
// deliveries, or nil without an error when there is none or it expired.
func (s *Store) Item(u carillon.User, created carillon.Seq) (*carillon.Item, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	it, err := s.item(s.db, s.directory.Load(), s.clock.UnixMilli(), u, created)
	if err != nil {
		return nil, err
	}
	return it, s.health.err()
}

// Expired is the item created at that seq when it has expired and its row is
// there yet, with all that is known of its deliveries; else nil without an error.
func (s *Store) Expired(u carillon.User, created carillon.Seq) (*carillon.Item, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	it, err := s.item(s.db, s.directory.Load(), 0, u, created)
	if err != nil || it == nil || it.Expires > s.clock.UnixMilli() {
		return nil, err
	}
	return it, s.health.err()
}

// item is [Store.Item] as r and now have it.
func (s *Store) item(r pebble.Reader, d *directory, now int64, u carillon.User, created carillon.Seq) (*carillon.Item, error) {
	var found *carillon.Item
	var key [keyRoom]byte
	for _, g := range s.generationsOf(d, store.KindItem, now) {
		row, err := get(r, store.AppendItemKey(key[:0], g, u, created))
		if err != nil {
			return nil, err
		}
		if row == nil {
			continue
		}
		it := &carillon.Item{}
		if err := store.DecodeItem(row, created, it); err != nil {
			return nil, err
		}
		if found == nil || store.Version(it) >= store.Version(found) {
			found = it
		}
	}
	if found == nil || found.Expires <= now {
		return nil, nil
	}
	floor, err := s.floor(r, d, u, now)
	if err != nil {
		return nil, err
	}
	floor.Merge(found.Content, &found.State)
	return found, s.settle(r, d, u, now, found)
}

// settle merges the outcomes that came after the items' rows.
func (s *Store) settle(r pebble.Reader, d *directory, u carillon.User, now int64, items ...*carillon.Item) error {
	gens := s.generationsOf(d, store.KindOutcome, now)
	if len(gens) == 0 {
		return nil
	}
	it, err := r.NewIter(byPrefix())
	if err != nil {
		return err
	}
	defer it.Close()
	var key [keyRoom]byte
	for _, g := range gens {
		for _, item := range items {
			if err := settle(it, store.AppendOutcomesKey(key[:0], g, u, item.Created), now, item); err != nil {
				return err
			}
		}
	}
	return it.Error()
}

func settle(it *pebble.Iterator, from []byte, now int64, item *carillon.Item) error {
	prefix := store.SplitKey(from)
	for ok := it.SeekPrefixGE(from); ok && bytes.HasPrefix(it.Key(), from); ok = it.Next() {
		row, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		var o carillon.OutcomeRow
		if !store.ReadOutcomeKey(it.Key()[prefix:], &o) {
			return store.ErrRow
		}
		if err := store.DecodeOutcome(row, &o); err != nil {
			return err
		}
		if o.Expires > now {
			store.Settle(item, &o)
		}
	}
	return nil
}

// Find tells which item a derived id names.
func (s *Store) Find(u carillon.User, id carillon.ID) (created carillon.Seq, ok bool, err error) {
	if err := s.enter(); err != nil {
		return 0, false, err
	}
	defer s.leave()
	now := s.clock.UnixMilli()
	var key [keyRoom]byte
	for _, g := range s.generations(store.KindID, now) {
		row, err := get(s.db, store.AppendIDKey(key[:0], g, u, id))
		if err != nil {
			return 0, false, err
		}
		if row == nil {
			continue
		}
		f, err := store.DecodeRef(row)
		if err != nil {
			return 0, false, err
		}
		if f.Expires > now && f.Created > created {
			created, ok = f.Created, true
		}
	}
	return created, ok, s.health.err()
}

// Idem is what is remembered of a keyed request.
func (s *Store) Idem(u carillon.User, rid carillon.RequestID) (m carillon.Idem, ok bool, err error) {
	if err := s.enter(); err != nil {
		return m, false, err
	}
	defer s.leave()
	now := s.clock.UnixMilli()
	var key [keyRoom]byte
	for _, g := range s.generations(store.KindIdem, now) {
		row, err := get(s.db, store.AppendIdemKey(key[:0], g, u, rid))
		if err != nil {
			return m, false, err
		}
		if row == nil {
			continue
		}
		var cur carillon.Idem
		if err := store.DecodeIdem(row, rid, &cur); err != nil {
			return m, false, err
		}
		if cur.Expires > now && (!ok || cur.Seq > m.Seq) {
			m, ok = cur, true
		}
	}
	return m, ok, s.health.err()
}

// Progress is how far a partition is; zero when it never moved.
func (s *Store) Progress(partition int32) (carillon.Progress, error) {
	if err := s.enter(); err != nil {
		return carillon.Progress{}, err
	}
	defer s.leave()
	s.progressMu.RLock()
	p, ok := s.progress[partition]
	s.progressMu.RUnlock()
	if ok {
		return p, nil
	}
	s.progressMu.Lock()
	defer s.progressMu.Unlock()
	return s.loadProgress(partition)
}

// loadProgress reads a partition's progress once; progressMu is held.
func (s *Store) loadProgress(partition int32) (carillon.Progress, error) {
	if p, ok := s.progress[partition]; ok {
		return p, nil
	}
	row, err := get(s.db, store.AppendProgressKey(nil, partition))
	if err != nil {
		return carillon.Progress{}, err
	}
	p := carillon.Progress{Partition: partition}
	if row != nil {
		if p, err = store.DecodeProgress(row, partition); err != nil {
			return carillon.Progress{}, err
		}
	}
	s.progress[partition] = p
	return p, s.health.err()
}

// EndpointVersion is the version of an installation's newest row, of one that
// left too; 0 when there is none. It tells a replay what is known already.
func (s *Store) EndpointVersion(u carillon.User, id string) (carillon.Seq, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	w := writer{s: s}
	cur, _, err := w.present(u, id)
	return cur.version, err
}
