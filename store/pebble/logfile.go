package pebble

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logDisk makes a difference that pebble does not know. Of a write without sync
// pebble keeps up to a block (32 KiB) in its own memory, where the end of the
// process finds it (pebble, WriteOptions.Sync). So we always ask for a sync,
// which hands everything to the system and waits for that; and here the part
// of it that makes the disk do its work is left out, unless a caller waits who
// wants it.
type logDisk struct {
	vfs.FS
	// wanted counts the callers who want their rows safe from loss of power.
	// While there is one every sync is done, so it does not matter whose is
	// whose.
	wanted atomic.Int64
	// reuse is held while an old log becomes a new one, and while one is emptied.
	reuse sync.Mutex
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// Create makes a file; a log's syncs are ours.
func (d *logDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	if err != nil || !isLog(name) {
		return f, err
	}
	return &logFile{File: f, wanted: &d.wanted}, nil
}

// ReuseForWrite takes an old log for a new one.
func (d *logDisk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.reuse.Lock()
	f, err := d.FS.ReuseForWrite(oldname, newname, c)
	d.reuse.Unlock()
	if err != nil || !isLog(newname) {
		return f, err
	}
	return &logFile{File: f, wanted: &d.wanted}, nil
}

// Unwrap is the disk below.
func (d *logDisk) Unwrap() vfs.FS { return d.FS }

type logFile struct {
	vfs.File
	wanted *atomic.Int64
	// left tells that a sync was left out and none was done since.
	left atomic.Bool
}

// Sync is done when somebody waits for it.
func (f *logFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData is as Sync.
func (f *logFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *logFile) sync(do func() error) error {
	if f.wanted.Load() == 0 {
		f.left.Store(true)
		return nil
	}
	f.left.Store(false)
	return do()
}

// Close syncs what was left: later syncs are of the next log, and they promise
// this one's rows too.
func (f *logFile) Close() error {
	if f.left.Load() {
		if err := f.File.Sync(); err != nil {
			f.File.Close()
			return err
		}
	}
	return f.File.Close()
}
