package pebble

import (
	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// partitions writes the rows that stand by partition.
func (w *writer) partitions(rows *carillon.Rows) error {
	for i := range rows.Dues {
		row := &rows.Dues[i]
		w.key = store.AppendDueKey(w.key[:0], row)
		if err := w.hint(row.Done, row.Ref.Kind, row.Expires); err != nil {
			return err
		}
	}
	for i := range rows.Parked {
		row := &rows.Parked[i]
		w.key = store.AppendParkedKey(w.key[:0], row)
		if err := w.hint(row.Done, row.Ref.Kind, row.Expires); err != nil {
			return err
		}
	}
	for i := range rows.Ledger {
		row := &rows.Ledger[i]
		w.key = store.AppendLedgerKey(w.key[:0], row.Partition, row.From)
		w.value = store.AppendLedger(w.value[:0], row)
		if err := w.b.Set(w.key, w.value, nil); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) hint(done bool, kind carillon.Kind, expires int64) error {
	if done {
		return w.b.Delete(w.key, nil)
	}
	w.value = store.AppendHint(w.value[:0], kind, expires)
	return w.b.Set(w.key, w.value, nil)
}

// Due appends up to n due rows of a partition to dst, soonest first, after a row
// of an earlier call (nil: from the first). Rows that are due later are among
// them, and until they are swept those whose item expired.
func (s *Store) Due(dst []carillon.DueRow, partition int32, after *carillon.DueRow, n int) ([]carillon.DueRow, error) {
	if err := s.enter(); err != nil {
		return dst, err
	}
	defer s.leave()
	var lower []byte
	if after != nil {
		from := *after
		from.Partition = partition
		lower = store.After(nil, store.AppendDueKey(nil, &from))
	}
	had := len(dst)
	err := scan(s.db, store.AppendPartitionKey(nil, store.KindDue, partition), lower, func(key, value []byte) (more bool, err error) {
		if len(dst)-had >= n {
			return false, nil
		}
		var row carillon.DueRow
		if err := decodeDue(key, value, &row); err != nil {
			return false, err
		}
		dst = append(dst, row)
		return true, nil
	})
	if err != nil {
		return dst[:had], err
	}
	return dst, s.health.err()
}

// Parked appends up to n rows that a partition parked by one lane, priority and
// broadcast to dst, in the order of the journal, after a row of an earlier call
// (nil: from the first). Until they are swept, those whose item expired are among
// them.
func (s *Store) Parked(dst []carillon.ParkedRow, partition int32, by carillon.ParkedLane, after *carillon.ParkedRow, n int) ([]carillon.ParkedRow, error) {
	if err := s.enter(); err != nil {
		return dst, err
	}
	defer s.leave()
	var lower []byte
	if after != nil {
		from := *after
		from.Partition, from.ParkedLane = partition, by
		lower = store.After(nil, store.AppendParkedKey(nil, &from))
	}
	had := len(dst)
	err := scan(s.db, store.AppendLaneKey(nil, partition, &by), lower, func(key, value []byte) (more bool, err error) {
		if len(dst)-had >= n {
			return false, nil
		}
		var row carillon.ParkedRow
		if err := decodeParked(key, value, &row); err != nil {
			return false, err
		}
		dst = append(dst, row)
		return true, nil
	})
	if err != nil {
		return dst[:had], err
	}
	return dst, s.health.err()
}

// ParkedDepth counts the parked rows of a partition by what they are parked by.
// It looks at each of them.
func (s *Store) ParkedDepth(partition int32) ([]carillon.ParkedCount, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	var counts []carillon.ParkedCount
	var last []byte // what the keys of the lane at hand begin with
	err := scan(s.db, store.AppendPartitionKey(nil, store.KindParked, partition), nil, func(key, _ []byte) (more bool, err error) {
		if len(last) > 0 && len(key) > len(last) && string(key[:len(last)]) == string(last) {
			counts[len(counts)-1].Rows++
			return true, nil
		}
		n, by := store.LaneOfKey(key)
		if n == 0 {
			return false, store.ErrRow
		}
		last = append(last[:0], key[:n]...)
		counts = append(counts, carillon.ParkedCount{ParkedLane: by, Rows: 1})
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return counts, s.health.err()
}

// scan gives fn every row whose key begins with prefix and is not below lower,
// in order, until fn wants no more.
func scan(r pebble.Reader, prefix, lower []byte, fn func(key, value []byte) (more bool, err error)) error {
	o := &pebble.IterOptions{LowerBound: prefix, UpperBound: store.Above(prefix)}
	if lower != nil {
		o.LowerBound = lower
	}
	it, err := r.NewIter(o)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if more, err := fn(it.Key(), value); err != nil || !more {
			return err
		}
	}
	return it.Error()
}

func decodeDue(key, value []byte, row *carillon.DueRow) (err error) {
	if !store.ReadDueKey(key, row) {
		return store.ErrRow
	}
	row.Ref.Kind, row.Expires, err = store.DecodeHint(value)
	return err
}

func decodeParked(key, value []byte, row *carillon.ParkedRow) (err error) {
	if !store.ReadParkedKey(key, row) {
		return store.ErrRow
	}
	row.Ref.Kind, row.Expires, err = store.DecodeHint(value)
	return err
}
