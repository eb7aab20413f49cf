package pebble

// Free is how many bytes the disk that holds the store has left for us.
func (s *Store) Free() (uint64, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	usage, err := s.disk.GetDiskUsage(s.dir)
	return usage.AvailBytes, err
}

// MinFree is the room below which nothing new should be taken in.
func (s *Store) MinFree() uint64 { return s.minFree }
