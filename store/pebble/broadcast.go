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
	return nil
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
