package pebble

import (
	"carillon"
	"carillon/store"
)

// broadcasts writes the rows of broadcasts.
func (w *writer) broadcasts(rows *carillon.Rows) error {
	for i := range rows.Broadcasts {
		row := &rows.Broadcasts[i]
		w.key = store.AppendCountsKey(w.key[:0], row.Partition, row.Host, row.ID, row.Shard)
		w.value = store.AppendCounts(w.value[:0], &row.Counts, row.Expires)
		if err := w.b.Set(w.key, w.value, nil); err != nil {
			return err
		}
	}
	for i := range rows.Members {
		row := &rows.Members[i]
		w.key = store.AppendMemberKey(w.key[:0], row)
		if row.Done {
			if err := w.b.Delete(w.key, nil); err != nil {
				return err
			}
			continue
		}
		w.value = store.AppendMember(w.value[:0], row)
		if err := w.b.Set(w.key, w.value, nil); err != nil {
			return err
		}
	}
	return nil
}

// Members appends up to n members of a broadcast in a partition to dst, in the
// order of the journal, those created after a seq.
func (s *Store) Members(dst []carillon.MemberRow, partition int32, host, id string, after carillon.Seq, n int) ([]carillon.MemberRow, error) {
	if err := s.enter(); err != nil {
		return dst, err
	}
	defer s.leave()
	row := carillon.MemberRow{Partition: partition, Host: host, ID: id, Created: after + 1}
	had := len(dst)
	err := scan(s.db, store.AppendMembersPrefix(nil, partition, host, id), store.AppendMemberKey(nil, &row), func(key, value []byte) (bool, error) {
		if len(dst)-had >= n {
			return false, nil
		}
		err := store.DecodeMember(key, value, &row)
		dst = append(dst, row)
		return true, err
	})
	if err != nil {
		return dst[:had], err
	}
	return dst, s.health.err()
}

// ShardCounts is what one shard counted of a broadcast in a partition.
func (s *Store) ShardCounts(partition int32, host, id string, shard uint8) (c carillon.BroadcastCounts, err error) {
	if err := s.enter(); err != nil {
		return c, err
	}
	defer s.leave()
	b, err := get(s.db, store.AppendCountsKey(nil, partition, host, id, shard))
	if err != nil || b == nil {
		return c, err
	}
	c, _, err = store.DecodeCounts(b)
	return c, err
}

// BroadcastCounts is what all shards counted of a broadcast in the partitions
// below a number.
func (s *Store) BroadcastCounts(partitions int, host, id string) (sum carillon.BroadcastCounts, err error) {
	if err := s.enter(); err != nil {
		return sum, err
	}
	defer s.leave()
	for p := range partitions {
		err := scan(s.db, store.AppendCountsPrefix(nil, int32(p), host, id), nil, func(_, value []byte) (bool, error) {
			c, _, err := store.DecodeCounts(value)
			sum.Add(&c)
			return true, err
		})
		if err != nil {
			return sum, err
		}
	}
	return sum, s.health.err()
}
