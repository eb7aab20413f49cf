package pebble

import (
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"

	"carillon"
	"carillon/store"
)

// OpenFS is Open on another file system.
func OpenFS(cfg Config, disk vfs.FS, clock *carillon.Clock, log *slog.Logger) (*Store, error) {
	return open(cfg, disk, clock, log)
}

// Flush sorts to disk what stands in memory.
func (s *Store) Flush() error { return s.db.Flush() }

// Busy tells whether a flush or compaction is under way.
func (s *Store) Busy() bool {
	m := s.db.Metrics()
	return m.Compact.NumInProgress > 0 || m.Flush.NumInProgress > 0
}

// Keys counts the keys that are there, whatever they hold.
func (s *Store) Keys() (n int, err error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return 0, err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		n++
	}
	return n, it.Error()
}

// PlaceOfBefore writes an item's place in the feed as it was when it only led to
// the item.
func (s *Store) PlaceOfBefore(u carillon.User, it *carillon.Item) error {
	key := store.AppendFeedKey(nil, store.GenerationOf(it.Expires, s.width), u, it.Feed, it.Created)
	return s.db.Set(key, store.AppendRef(nil, store.Ref{Created: it.Created, Expires: it.Expires}), nil)
}

// SortAway begins to sort to disk what stands in memory, and does not wait.
func (s *Store) SortAway() error {
	_, err := s.db.AsyncFlush()
	return err
}
