package pebble

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
)

// Checkpoint makes in dir, which must not exist, a store that holds all that was
// written before the call, while this one goes on. On the same file system files
// are shared until one of the two drops them. Nobody else may write to dir.
func (s *Store) Checkpoint(dir string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if _, err := s.disk.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store: %s is there already: name a directory that is not", dir)
	}
	s.purging.Lock()
	defer s.purging.Unlock()
	if err := s.syncLog(); err != nil {
		return err
	}
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("store: the checkpoint in %s failed: %s: it is not whole, remove it", dir, oneLine(err.Error()))
	}
	if err := writeFormat(s.disk, dir, s.width); err != nil {
		return err
	}
	return s.health.err()
}
