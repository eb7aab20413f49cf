package pebble

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// span are the keys from one on and below another.
type span struct{ from, to []byte }

// purge has what was deleted in some spans leave the files: it is sorted out of
// the tables, and the logs that it came in by are emptied. Pebble keeps old logs
// to write over them, which may be days later.
func (s *Store) purge(ctx context.Context, spans ...span) error {
	s.purging.Lock() // a checkpoint needs the logs as they are
	defer s.purging.Unlock()
	logs, err := s.disk.names(s.dir)
	if err != nil {
		return err
	}
	// What stands in these logs is in tables after this, so that they are of no
	// use any more, whatever is written meanwhile.
	if err := s.db.Flush(); err != nil {
		return err
	}
	for _, sp := range spans {
		if err := s.db.Compact(ctx, sp.from, sp.to, false); err != nil {
			return err
		}
	}
	for _, name := range logs {
		if err := s.disk.empty(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	return s.health.err()
}

// names lists the logs in a directory.
func (d *logDisk) names(dir string) (logs []string, err error) {
	all, err := d.List(dir)
	for _, name := range all {
		if isLog(name) {
			logs = append(logs, name)
		}
	}
	return logs, err
}

// empty takes the content of an old log away, unless it is gone or another by
// now.
func (d *logDisk) empty(name string) error {
	d.reuse.Lock()
	defer d.reuse.Unlock()
	if _, err := d.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f, err := d.FS.Create(name, vfs.WriteCategoryUnspecified) // which cuts it to nothing
	if err != nil {
		return err
	}
	return f.Close()
}
