package pebble

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// erased takes a user's rows away and notes that he was erased.
func (w *writer) erased(row *carillon.ErasedRow) error {
	for _, g := range w.s.everyGeneration() {
		from := store.AppendUserPrefix(nil, g, row.User)
		if err := w.b.DeleteRange(from, store.Above(from), nil); err != nil {
			return err
		}
	}
	g, err := w.s.generation(store.KindErased, row.Expires)
	if err != nil {
		return err
	}
	w.key = store.AppendPrefix(w.key[:0], g, row.User, store.KindErased)
	w.value = store.AppendRef(w.value[:0], store.Ref{Created: row.Seq, Expires: row.Expires})
	if err := w.b.Set(w.key, w.value, nil); err != nil {
		return err
	}
	w.key = store.AppendErasingKey(w.key[:0], row.Partition, row.Seq)
	w.value = store.AppendErasing(w.value[:0], row)
	return w.b.Set(w.key, w.value, nil)
}

// everyGeneration lists the generations that hold rows of any kind.
func (s *Store) everyGeneration() (all []store.Generation) {
	seen := make(map[store.Generation]bool)
	for _, gens := range s.directory.Load() {
		for _, g := range gens {
			if !seen[g] {
				seen[g] = true
				all = append(all, g)
			}
		}
	}
	return all
}

// Erased is the seq of the record that erased a user last; 0 when none did in the
// last 30 days.
func (s *Store) Erased(u carillon.User) (at carillon.Seq, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	for _, g := range s.generations(store.KindErased, s.clock.UnixMilli()) {
		row, err := get(s.db, store.AppendPrefix(nil, g, u, store.KindErased))
		if err != nil {
			return 0, err
		}
		if row == nil {
			continue
		}
		ref, err := store.DecodeRef(row)
		if err != nil {
			return 0, err
		}
		at = max(at, ref.Created)
	}
	return at, s.health.err()
}

// Erasing lists a partition's users whose rows are gone and whose bytes may still
// be in files, in the order of their erasure.
func (s *Store) Erasing(partition int32) (rows []carillon.ErasedRow, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	prefix := store.AppendPartitionKey(nil, store.KindErasing, partition)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: store.Above(prefix)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		row, ok := store.ReadErasing(it.Key(), it.Value())
		if !ok {
			return nil, store.ErrRow
		}
		rows = append(rows, row)
	}
	return rows, it.Error()
}

// Forget has everything that was kept of an erased user leave the files: his
// rows, where his deliveries waited, what was kept of his addresses, and his lines
// of the log of outcomes. It may be broken off and done again.
func (s *Store) Forget(ctx context.Context, row *carillon.ErasedRow) error {
	forgot, err := s.ForgetEnded(row.User, row.Partition, 0)
	if err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	var ranges []span
	if forgot > 0 {
		from, to := s.EndedSpan(row.Partition, 0)
		ranges = append(ranges, span{from, to})
	}
	for _, g := range s.everyGeneration() {
		from := store.AppendUserPrefix(nil, g, row.User)
		ranges = append(ranges, span{from, store.Above(from)})
		for i := range row.Addresses { // what stood there before it was vacated
			from := store.AppendUserPrefix(nil, g, store.AddressUser(row.Addresses[i].Address))
			ranges = append(ranges, span{from, store.Above(from)})
		}
	}
	for _, k := range [...]store.PartitionKind{store.KindDue, store.KindParked, store.KindBroadcast} {
		from := store.AppendPartitionKey(nil, k, row.Partition)
		ranges = append(ranges, span{from, store.Above(from)})
	}
	return s.purge(ctx, ranges...)
}

// Forgotten ends an erasure whose bytes are gone everywhere.
func (s *Store) Forgotten(ctx context.Context, row *carillon.ErasedRow) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	key := store.AppendErasingKey(nil, row.Partition, row.Seq)
	if err := s.db.Delete(key, pebble.Sync); err != nil {
		return err
	}
	return s.purge(ctx, span{key, store.Above(key)})
}
