package pebble

import (
	"github.com/cockroachdb/pebble/v2"

	"carillon/store"
)

// trimEnded cuts the logs of outcomes off where they are too old at now
// (milliseconds since 1970), or take too much room.
func (s *Store) trimEnded(now int64) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	partitions, err := s.endedPartitions()
	if err != nil || len(partitions) == 0 {
		return err
	}
	keep := s.ended.cfg.Keep.Milliseconds()
	cut := now - keep
	size, err := s.endedBytes(partitions, cut)
	if err != nil {
		return err
	}
	old := store.EndedRowAt(cut - keep/32)                 // else each look would drop a little
	if most := uint64(s.ended.cfg.MaxBytes); size > most { //nolint:gosec // positive by withDefaults
		old = store.EndedRowAt(now)
		// Some more goes, so that this is not needed again at once.
		for lo, hi := cut, now; lo < hi; {
			cut = lo + (hi-lo)/2
			if size, err = s.endedBytes(partitions, cut); err != nil {
				return err
			}
			if size > most-most/8 {
				lo = cut + 1
			} else {
				hi = cut
			}
			cut = hi
		}
	}
	for _, p := range partitions {
		if err := s.cutEnded(p, old, store.EndedRowAt(cut)); err != nil {
			return err
		}
	}
	return s.health.err()
}

// endedPartitions are those that have a log.
func (s *Store) endedPartitions() (all []int32, err error) {
	kind := []byte{byte(store.AreaPartition), byte(store.KindEnded)}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: kind, UpperBound: store.Above(kind)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.SeekGE(store.Above(store.AppendPartitionKey(nil, store.KindEnded, all[len(all)-1]))) {
		p, _, ok := store.ReadEndedKey(it.Key())
		if !ok {
			return nil, store.ErrRow
		}
		all = append(all, p)
	}
	return all, it.Error()
}

// endedBytes is about what the rows since a time take on the disk; what stands
// in memory yet does not count.
func (s *Store) endedBytes(partitions []int32, since int64) (sum uint64, err error) {
	for _, p := range partitions {
		n, err := s.db.EstimateDiskUsage(store.AppendEndedKey(nil, p, max(store.EndedRowAt(since), 1)), store.Above(store.AppendPartitionKey(nil, store.KindEnded, p)))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// cutEnded drops a partition's rows below a number, if there is one below old. What the log says of itself
// is where the last of them ended, so that a reader who has read them all is not
// told that he missed any.
func (s *Store) cutEnded(partition int32, old, below uint64) error {
	if _, ok, err := s.lastEnded(partition, store.AppendEndedKey(nil, partition, old)); err != nil || !ok {
		return err
	}
	last, ok, err := s.lastEnded(partition, store.AppendEndedKey(nil, partition, below))
	if err != nil || !ok {
		return err
	}
	s.ended.mu.Lock()
	defer s.ended.mu.Unlock()
	l, err := s.endedLog(partition)
	if err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := b.DeleteRange(store.AppendEndedKey(nil, partition, 1), store.AppendEndedKey(nil, partition, last+1), nil); err != nil {
		return err
	}
	if err := b.Set(store.AppendEndedKey(nil, partition, 0), store.AppendEndedFrom(nil, last+1), nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	l.from = last + 1
	return nil
}
