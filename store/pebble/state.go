package pebble

import (
	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// Floor is what a user said of everything before some seqs; empty when nothing.
func (s *Store) Floor(u carillon.User) (carillon.Floor, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	f, err := s.floor(s.db, s.directory.Load(), u, s.clock.UnixMilli())
	if err != nil {
		return nil, err
	}
	return f, s.health.err()
}

// floor is [Store.Floor] as r and now have it. Of two versions the newer stands.
func (s *Store) floor(r pebble.Reader, d *directory, u carillon.User, now int64) (found carillon.Floor, err error) {
	var key [keyRoom]byte
	for _, g := range s.generationsOf(d, store.KindFloor, now) {
		row, err := get(r, store.AppendPrefix(key[:0], g, u, store.KindFloor))
		if err != nil {
			return nil, err
		}
		if row == nil {
			continue
		}
		f, expires, err := store.DecodeFloor(row)
		if err != nil {
			return nil, err
		}
		if expires > now && f.Seq() >= found.Seq() {
			found = f
		}
	}
	return found, nil
}

// Sync is what the endpoints of a user were told and are owed; empty when
// nothing.
func (s *Store) Sync(u carillon.User) (y carillon.Sync, err error) {
	if err := s.enter(); err != nil {
		return y, err
	}
	defer s.leave()
	now := s.clock.UnixMilli()
	var key [keyRoom]byte
	for _, g := range s.generations(store.KindSync, now) {
		row, err := get(s.db, store.AppendPrefix(key[:0], g, u, store.KindSync))
		if err != nil {
			return carillon.Sync{}, err
		}
		if row == nil {
			continue
		}
		var cur carillon.Sync
		if err := store.DecodeSync(row, &cur); err != nil {
			return carillon.Sync{}, err
		}
		if cur.Expires > now && cur.Expires >= y.Expires {
			y = cur // its expiry only grows
		}
	}
	return y, s.health.err()
}

// Owner is whose a push address is; ok is false when nobody's.
func (s *Store) Owner(h carillon.AddressHash) (o carillon.Owner, ok bool, err error) {
	if err := s.enter(); err != nil {
		return o, false, err
	}
	defer s.leave()
	now := s.clock.UnixMilli()
	u := store.AddressUser(h)
	var key [keyRoom]byte
	for _, g := range s.generations(store.KindOwner, now) {
		row, err := get(s.db, store.AppendPrefix(key[:0], g, u, store.KindOwner))
		if err != nil {
			return o, false, err
		}
		if row == nil {
			continue
		}
		var cur carillon.Owner
		if err := store.DecodeOwner(row, &cur); err != nil {
			return o, false, err
		}
		if cur.Expires > now && (!ok || cur.Claimed > o.Claimed) {
			o, ok = cur, true
		}
	}
	return o, ok, s.health.err()
}

// Feed appends to dst up to n places at which items of a user changed, after a
// seq and in ascending order. An item to which nothing happened since it was
// made has none: its own row is its first entry. An entry whose item stands
// elsewhere in the feed by now is passed over.
func (s *Store) Feed(dst []carillon.FeedEntry, u carillon.User, after carillon.Seq, n int) ([]carillon.FeedEntry, error) {
	if err := s.enter(); err != nil {
		return dst, err
	}
	defer s.leave()
	now := s.clock.UnixMilli()
	gens := s.generations(store.KindFeed, now)
	if len(gens) == 0 || n <= 0 {
		return dst, nil
	}
	it, err := s.db.NewIter(byPrefix())
	if err != nil {
		return dst, err
	}
	defer it.Close()
	from := len(dst)
	for _, g := range gens {
		if dst, err = entries(it, dst, from, g, u, after, n, now); err != nil {
			return dst[:from], err
		}
	}
	if err := it.Error(); err != nil {
		return dst[:from], err
	}
	return dst, s.health.err()
}

// entries merges the first live entries of one generation into dst[from:],
// which is sorted and n at most.
func entries(it *pebble.Iterator, dst []carillon.FeedEntry, from int, g store.Generation, u carillon.User, after carillon.Seq, n int, now int64) ([]carillon.FeedEntry, error) {
	var room [keyRoom]byte
	prefix := len(store.AppendPrefix(room[:0], g, u, store.KindFeed))
	for ok := it.SeekPrefixGE(store.AppendFeedKey(room[:0], g, u, after+1, 0)); ok; ok = it.Next() {
		e, ok := store.ReadFeedKey(it.Key()[prefix:])
		if !ok {
			return dst, store.ErrRow
		}
		full := len(dst)-from >= n
		if full && e.Seq > dst[len(dst)-1].Seq {
			break
		}
		row, err := it.ValueAndErr()
		if err != nil {
			return dst, err
		}
		f, err := store.DecodeRef(row)
		if err != nil {
			return dst, err
		}
		if f.Expires <= now {
			continue
		}
		dst = insert(dst, from, e)
		if full {
			dst = dst[:from+n]
		}
	}
	return dst, nil
}

// insert puts an entry into its place in dst[from:].
func insert(dst []carillon.FeedEntry, from int, e carillon.FeedEntry) []carillon.FeedEntry {
	i := len(dst)
	for i > from && (dst[i-1].Seq > e.Seq || dst[i-1].Seq == e.Seq && dst[i-1].Created > e.Created) {
		i--
	}
	if i > from && dst[i-1] == e { // a version in another generation
		return dst
	}
	dst = append(dst, e)
	copy(dst[i+1:], dst[i:])
	dst[i] = e
	return dst
}

// floors writes users' floors.
func (w *writer) floors(rows []carillon.FloorRow) error {
	for i := range rows {
		row := &rows[i]
		w.value = store.AppendFloor(w.value[:0], row.Floor, row.Expires)
		if err := w.whole(store.KindFloor, row.User, row.Expires, row.Moved); err != nil {
			return err
		}
	}
	return nil
}

// syncs writes what users' endpoints are owed.
func (w *writer) syncs(rows []carillon.SyncRow) error {
	for i := range rows {
		row := &rows[i]
		w.value = store.AppendSync(w.value[:0], &row.Sync)
		if err := w.whole(store.KindSync, row.User, row.Sync.Expires, row.Moved); err != nil {
			return err
		}
	}
	return nil
}

// owners writes whose addresses are.
func (w *writer) owners(rows []carillon.OwnerRow) error {
	for i := range rows {
		row := &rows[i]
		w.value = store.AppendOwner(w.value[:0], &row.Owner)
		if err := w.whole(store.KindOwner, store.AddressUser(row.Address), row.Owner.Expires, row.Moved); err != nil {
			return err
		}
	}
	return nil
}

// whole writes w.value as the one row that a user has of a kind.
func (w *writer) whole(k store.Kind, u carillon.User, expires, moved int64) error {
	g, err := w.s.generation(k, expires)
	if err != nil {
		return err
	}
	if old := store.GenerationOf(moved, w.s.width); moved != 0 && old != g {
		w.key = store.AppendPrefix(w.key[:0], old, u, k)
		if err := w.b.Delete(w.key, nil); err != nil {
			return err
		}
	}
	w.key = store.AppendPrefix(w.key[:0], g, u, k)
	return w.b.Set(w.key, w.value, nil)
}
