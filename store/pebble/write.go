package pebble

import (
	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// writer is the scratch of one Write.
type writer struct {
	s          *Store
	b          *pebble.Batch
	key, value []byte
	// seen are the endpoints written earlier in this batch, which the database
	// does not show yet.
	seen map[string]present
	runs []endedRun
}

// Write writes all rows as one atomic batch. When it returns they survive a
// crash of the process; with sync they, and everything written before by
// anyone, survive loss of power. Empty rows with sync make former writes
// durable. Which versions win is told in package store. Concurrent callers
// share the cost of a sync.
func (s *Store) Write(rows *carillon.Rows, sync bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	n := len(rows.Items) + len(rows.Outcomes) + len(rows.Endpoints) + len(rows.Idems) + len(rows.Floors) + len(rows.Syncs) + len(rows.Owners) +
		len(rows.Dues) + len(rows.Parked) + len(rows.Ledger) + len(rows.Ended) + len(rows.Broadcasts) + len(rows.Members) + len(rows.Erased)
	if n+len(rows.Positions) > 0 {
		if err := s.write(rows, sync && len(rows.Positions) == 0); err != nil {
			return err
		}
		s.written.Add(uint64(n))
	}
	if sync && (n == 0 || len(rows.Positions) > 0) {
		if err := s.syncLog(); err != nil {
			return err
		}
	}
	return s.health.err()
}

// syncLog makes everything that was written safe from loss of power.
func (s *Store) syncLog() error {
	s.disk.wanted.Add(1)
	defer s.disk.wanted.Add(-1)
	return s.db.LogData(nil, pebble.Sync)
}

func (s *Store) write(rows *carillon.Rows, sync bool) error {
	w := s.writers.Get().(*writer) //nolint:forcetypeassert // the pool's New
	w.s, w.b = s, s.db.NewBatchWithSize(batchBytes(rows))
	defer func() {
		w.endedWritten()
		w.b.Close()
		w.b = nil
		clear(w.seen)
		s.writers.Put(w)
	}()
	if err := w.rows(rows); err != nil {
		return err
	}
	if len(rows.Positions) > 0 {
		return s.commitPositions(w, rows.Positions)
	}
	if sync {
		s.disk.wanted.Add(1)
		defer s.disk.wanted.Add(-1)
	}
	return w.b.Commit(pebble.Sync) // to the system at least: see logDisk
}

// commitPositions commits the batch with the positions raised to what they
// are. The lock keeps the order of two that write the same partition's; the
// caller syncs after it.
func (s *Store) commitPositions(w *writer, positions []carillon.Progress) error {
	s.progressMu.Lock()
	defer s.progressMu.Unlock()
	for i, p := range positions {
		cur, err := s.loadProgress(p.Partition)
		if err != nil {
			return err
		}
		for _, q := range positions[:i] {
			if q.Partition == p.Partition {
				cur = raise(cur, q)
			}
		}
		p = raise(cur, p)
		w.key = store.AppendProgressKey(w.key[:0], p.Partition)
		w.value = store.AppendProgress(w.value[:0], p)
		if err := w.b.Set(w.key, w.value, nil); err != nil {
			return err
		}
	}
	if err := w.b.Commit(pebble.Sync); err != nil {
		return err
	}
	if err := s.health.err(); err != nil {
		return err
	}
	for _, p := range positions {
		s.progress[p.Partition] = raise(s.progress[p.Partition], p)
	}
	return nil
}

// raise is the progress with both positions at their higher.
func raise(a, b carillon.Progress) carillon.Progress {
	return carillon.Progress{Partition: b.Partition, Applied: max(a.Applied, b.Applied), Settled: max(a.Settled, b.Settled)}
}

// rowOverhead is about what key, row head and one delivery take beside the body.
const rowOverhead = 192

// endedOverhead is about what an entry of a log of outcomes takes.
const endedOverhead = 64

// batchBytes guesses how large a batch becomes, so that it grows once.
func batchBytes(rows *carillon.Rows) int {
	n := 64 + rowOverhead*(len(rows.Items)+len(rows.Outcomes)+len(rows.Idems)+2*len(rows.Endpoints)+
		len(rows.Floors)+2*len(rows.Syncs)+len(rows.Owners)+len(rows.Dues)+len(rows.Parked)+len(rows.Ledger)+len(rows.Positions)+len(rows.Broadcasts)+len(rows.Members)) +
		endedOverhead*len(rows.Ended)
	for i := range rows.Items {
		it := rows.Items[i].Item
		n += len(it.Body)
		if store.Version(it) != it.Created { // once more at its place in the feed
			n += rowOverhead + len(it.Body)
		}
	}
	return n
}

func (w *writer) rows(rows *carillon.Rows) error {
	for i := range rows.Erased {
		if err := w.erased(&rows.Erased[i]); err != nil {
			return err
		}
	}
	for i := range rows.Items {
		if err := w.item(&rows.Items[i]); err != nil {
			return err
		}
	}
	for i := range rows.Outcomes {
		if err := w.outcome(&rows.Outcomes[i]); err != nil {
			return err
		}
	}
	for i := range rows.Endpoints {
		if err := w.endpoint(&rows.Endpoints[i], len(rows.Endpoints) > 1); err != nil {
			return err
		}
	}
	for i := range rows.Idems {
		if err := w.idem(&rows.Idems[i]); err != nil {
			return err
		}
	}
	if err := w.floors(rows.Floors); err != nil {
		return err
	}
	if err := w.syncs(rows.Syncs); err != nil {
		return err
	}
	if err := w.owners(rows.Owners); err != nil {
		return err
	}
	if err := w.partitions(rows); err != nil {
		return err
	}
	if err := w.broadcasts(rows); err != nil {
		return err
	}
	return w.enders(rows.Ended)
}

func (w *writer) item(row *carillon.ItemRow) error {
	it := row.Item
	g, err := w.s.generation(store.KindItem, it.Expires)
	if err != nil {
		return err
	}
	old := store.GenerationOf(row.Moved, w.s.width)
	moved := row.Moved != 0 && old != g
	if moved {
		w.key = store.AppendItemKey(w.key[:0], old, row.User, it.Created)
		if err := w.b.Delete(w.key, nil); err != nil {
			return err
		}
	}
	w.key = store.AppendItemKey(w.key[:0], g, row.User, it.Created)
	w.value = store.AppendItem(w.value[:0], it)
	if err := w.b.Set(w.key, w.value, nil); err != nil {
		return err
	}
	if it.ID.IsZero() && row.Was <= it.Created && store.Version(it) == it.Created {
		return nil
	}
	return w.refs(row, old, moved)
}

// refs writes the rows that lead to an item: by its derived id, and by its place
// in the feed when it moved there, which holds the item too. An item that is deleted leaves its id to
// another.
func (w *writer) refs(row *carillon.ItemRow, old store.Generation, moved bool) error {
	it := row.Item
	put := func(k store.Kind, key func(g store.Generation) []byte) error {
		if moved {
			w.key = key(old)
			if err := w.b.Delete(w.key, nil); err != nil {
				return err
			}
		}
		g, err := w.s.generation(k, it.Expires)
		if err != nil {
			return err
		}
		w.key = key(g)
		return w.b.Set(w.key, w.value, nil)
	}
	if !it.ID.IsZero() {
		w.value = store.AppendRef(w.value[:0], store.Ref{Created: it.Created, Expires: it.Expires})
		err := put(store.KindID, func(g store.Generation) []byte { return store.AppendIDKey(w.key[:0], g, row.User, it.ID) })
		if err != nil {
			return err
		}
	}
	at := store.Version(it)
	if was := row.Was; was > it.Created && (was != at || moved) {
		w.key = store.AppendFeedKey(w.key[:0], old, row.User, was, it.Created)
		if err := w.b.Delete(w.key, nil); err != nil {
			return err
		}
	}
	if at == it.Created {
		return nil
	}
	w.value = store.AppendPlace(w.value[:0], it)
	return put(store.KindFeed, func(g store.Generation) []byte { return store.AppendFeedKey(w.key[:0], g, row.User, at, it.Created) })
}

func (w *writer) outcome(row *carillon.OutcomeRow) error {
	g, err := w.s.generation(store.KindOutcome, row.Expires)
	if err != nil {
		return err
	}
	w.key = store.AppendOutcomeKey(w.key[:0], g, row)
	w.value = store.AppendOutcome(w.value[:0], row)
	return w.b.Merge(w.key, w.value, nil)
}

func (w *writer) idem(row *carillon.IdemRow) error {
	g, err := w.s.generation(store.KindIdem, row.Idem.Expires)
	if err != nil {
		return err
	}
	w.key = store.AppendIdemKey(w.key[:0], g, row.User, row.Idem.RID)
	w.value = store.AppendIdem(w.value[:0], &row.Idem)
	return w.b.Set(w.key, w.value, nil)
}

// present is an endpoint's row as it stands.
type present struct {
	version carillon.Seq
	expires int64
	left    bool
}

// endpoint writes an endpoint, or the tombstone of one that left, unless the
// row that is there is newer. The row it takes the place of goes, wherever it
// stands.
func (w *writer) endpoint(row *carillon.EndpointRow, more bool) error {
	e := &row.Endpoint
	cur, found, err := w.present(row.User, e.ID)
	if err != nil {
		return err
	}
	if found && (e.Version < cur.version || e.Version == cur.version && cur.left && !row.Left) {
		return nil
	}
	expires := e.Expires
	if row.Left { // lives as long as anything that it may hide
		expires = max(e.Expires, row.Moved, cur.expires)
	}
	g, err := w.s.generation(store.KindEndpoint, expires)
	if err != nil {
		return err
	}
	drop := func(at int64) error {
		old := store.GenerationOf(at, w.s.width)
		if at == 0 || old == g {
			return nil
		}
		w.key = store.AppendEndpointKey(w.key[:0], old, row.User, e.ID)
		return w.b.Delete(w.key, nil)
	}
	if err := drop(row.Moved); err != nil {
		return err
	}
	if err := drop(cur.expires); err != nil {
		return err
	}
	put := *e
	put.Expires = expires
	w.key = store.AppendEndpointKey(w.key[:0], g, row.User, e.ID)
	w.value = store.AppendEndpoint(w.value[:0], &put, row.Left)
	if more {
		if w.seen == nil {
			w.seen = make(map[string]present)
		}
		w.seen[row.User.Key()+" "+e.ID] = present{version: e.Version, expires: expires, left: row.Left}
	}
	return w.b.Set(w.key, w.value, nil)
}

// present finds the newest row of an endpoint, live or not.
func (w *writer) present(u carillon.User, id string) (cur present, found bool, err error) {
	if p, ok := w.seen[u.Key()+" "+id]; ok {
		return p, true, nil
	}
	for _, g := range w.s.directory.Load()[store.KindEndpoint] {
		w.key = store.AppendEndpointKey(w.key[:0], g, u, id)
		b, closer, err := w.s.db.Get(w.key)
		if err == pebble.ErrNotFound { //nolint:errorlint // pebble returns it bare
			continue
		}
		if err != nil {
			return cur, false, err
		}
		var e carillon.Endpoint
		left, err := store.DecodeEndpoint(b, id, &e)
		closer.Close()
		if err != nil {
			return cur, false, err
		}
		if !found || e.Version >= cur.version {
			cur, found = present{version: e.Version, expires: e.Expires, left: left}, true
		}
	}
	return cur, found, nil
}
