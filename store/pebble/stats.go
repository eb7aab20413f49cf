package pebble

// Stats is a small summary of a store.
type Stats struct {
	// Rows is how many rows were written since Open.
	Rows uint64
	// DiskBytes is what its files take, the write-ahead log included.
	DiskBytes uint64
}

// Stats tells how the store does. It is zero once the store is closed or failed.
func (s *Store) Stats() Stats {
	if s.enter() != nil {
		return Stats{}
	}
	defer s.leave()
	return Stats{Rows: s.written.Load(), DiskBytes: s.db.Metrics().DiskSpaceUsage()}
}
