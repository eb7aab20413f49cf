package pebble

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// forgetBatch is about how many bytes of rewritten rows are committed at once.
const forgetBatch = 4 << 20

// ForgetEnded takes a user out of a partition's log of outcomes, in what was
// written since a time (milliseconds since 1970), and tells how many entries
// were his. Their places stay, so that every position leads where it led; readers
// do not see them. What he was is in the files until they are compacted over
// [Store.EndedSpan]. The caller is who writes the user's rows, and writes none
// meanwhile.
func (s *Store) ForgetEnded(u carillon.User, partition int32, since int64) (forgot int, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	lower, upper := s.EndedSpan(partition, since)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	b := s.db.NewBatch()
	defer func() { b.Close() }()
	id := []byte(u.ID)
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return forgot, err
		}
		if !bytes.Contains(value, id) {
			continue
		}
		row, n, err := store.ForgetEnded(value, u)
		if err != nil {
			return forgot, err
		}
		if n == 0 {
			continue
		}
		forgot += n
		if err := b.Set(it.Key(), row, nil); err != nil {
			return forgot, err
		}
		if b.Len() >= forgetBatch {
			if err := b.Commit(pebble.NoSync); err != nil {
				return forgot, err
			}
			b.Close()
			b = s.db.NewBatch()
		}
	}
	if err := it.Error(); err != nil {
		return forgot, err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return forgot, err
	}
	return forgot, s.health.err()
}

// EndedSpan are the lowest key, and the one above all, of what a partition's log
// of outcomes has since a time (milliseconds since 1970).
func (s *Store) EndedSpan(partition int32, since int64) (lower, upper []byte) {
	return store.AppendEndedKey(nil, partition, max(store.EndedRowAt(since), 1)), store.Above(store.AppendPartitionKey(nil, store.KindEnded, partition))
}
