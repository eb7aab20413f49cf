package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"carillon"
)

// Store is the embedded store. Its methods may be called concurrently; rows of
// one user are written by one caller at a time.
type Store struct {
	db     *pebble.DB
	lock   *pebble.Lock
	clock  *carillon.Clock
	health *health
	disk   *logDisk
	calm   *calmDisk
	dir    string
	width  time.Duration

	minFree uint64

	directory atomic.Pointer[directory]
	dirMu     sync.Mutex // changes of directory

	purging sync.Mutex // of a purge or a checkpoint

	swept sweep
	ended endedLogs

	progressMu sync.RWMutex
	progress   map[int32]carillon.Progress

	written atomic.Uint64
	writers sync.Pool

	// use keeps Close from pulling the database from under a call.
	use    sync.RWMutex
	closed bool
}

// Open opens the store in cfg.Dir, or makes it. It fails, in one line that says
// what to do, when another process has it, when it was written by a newer
// version, and when it is damaged or not writable. Nothing runs beside pebble's
// own flushes and compactions until Run.
func Open(cfg Config, clock *carillon.Clock, log *slog.Logger) (*Store, error) {
	return open(cfg, vfs.Default, clock, log)
}

func open(cfg Config, disk vfs.FS, clock *carillon.Clock, log *slog.Logger) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		clock: clock, dir: cfg.Dir, health: newHealth(cfg.Dir, clock, log),
		progress: make(map[int32]carillon.Progress),
		ended:    endedLogs{cfg: cfg.Outcomes, logs: make(map[int32]*endedLog)},
	}
	s.minFree = uint64(cfg.MinFreeBytes) //nolint:gosec // positive by withDefaults
	s.writers.New = func() any { return &writer{} }
	if err := s.open(cfg, disk); err != nil {
		return nil, explain(cfg.Dir, err)
	}
	return s, nil
}

// open takes the lock, looks at the format and opens the database, in this
// order: nothing in a foreign directory is touched.
func (s *Store) open(cfg Config, disk vfs.FS) (err error) {
	if err := disk.MkdirAll(cfg.Dir, 0o700); err != nil {
		return err
	}
	if s.lock, err = pebble.LockDirectory(cfg.Dir, disk); err != nil {
		return fmt.Errorf("%w: %w", errLock, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Close())
		}
	}()
	width, ok, err := readFormat(disk, cfg.Dir)
	if err != nil {
		return err
	}
	if !ok {
		width = cfg.firstGeneration()
		if err := s.firstFormat(disk, cfg.Dir, width); err != nil {
			return err
		}
	}
	if cfg.Generation != 0 && cfg.Generation != width {
		return fmt.Errorf("%w: it was made with generation %v, the configuration says %v", errWidth, width, cfg.Generation)
	}
	s.width = width
	s.disk = &logDisk{FS: disk}
	s.calm = &calmDisk{FS: s.disk}
	o := options(cfg, s.calm, s.health)
	o.Lock = s.lock
	if s.db, err = pebble.Open(cfg.Dir, o); err != nil {
		return err
	}
	if err := s.loadDirectory(); err != nil {
		return errors.Join(err, s.db.Close())
	}
	s.calm.watch(pressureOf(s.db))
	return nil
}

// firstFormat marks a directory as ours, unless something else stands in it.
func (s *Store) firstFormat(disk vfs.FS, dir string, width time.Duration) error {
	names, err := disk.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != "LOCK" && name != formatFile+".new" {
			return fmt.Errorf("%w: it holds %q and no %s", errForeign, name, formatFile)
		}
	}
	return writeFormat(disk, dir, width)
}

// Close flushes and syncs what was written, and lets go of the directory. The
// second call does nothing.
func (s *Store) Close() error {
	s.calm.watch(nil) // what is under way ends soon
	s.use.Lock()
	defer s.use.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.health.err(); err != nil {
		s.abandon()
		return errors.Join(err, s.lock.Close())
	}
	err := s.syncLog()
	return errors.Join(err, s.health.err(), s.db.Close(), s.lock.Close())
}

// abandon lets go of a database that failed. When a goroutine of its own ended
// with it, it would wait for that for ever: then its memory is left to the end
// of the process.
func (s *Store) abandon() {
	if s.health.lost.Load() {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			s.health.log.Debug("pebble", "panic", p)
		}
	}()
	if err := s.db.Close(); err != nil {
		s.health.log.Debug("pebble", "close", oneLine(err.Error()))
	}
}

// enter begins a call: it fails when the store is closed or done for.
func (s *Store) enter() error {
	s.use.RLock()
	if s.closed {
		s.use.RUnlock()
		return errClosed
	}
	if err := s.health.err(); err != nil {
		s.use.RUnlock()
		return err
	}
	return nil
}

func (s *Store) leave() { s.use.RUnlock() }

var (
	errLock    = errors.New("lock")
	errForeign = errors.New("not a store")
	errWidth   = errors.New("generation")
)

// explain makes one line of what went wrong on opening, with what to do.
func explain(dir string, err error) error {
	held := errors.Is(err, errLock) &&
		(errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || oneLine(err.Error()) == "lock: lock held by current process")
	var what, remedy string
	switch {
	case held:
		return &openError{fmt.Sprintf("store: %s is in use by another carillon process: stop it, or choose another data directory", dir), err}
	case errors.Is(err, errNewer):
		what, remedy = "", "start the newer version, or choose another data directory"
	case errors.Is(err, errForeign):
		remedy = "choose an empty data directory"
	case errors.Is(err, errWidth):
		remedy = "take generation out of the configuration, or choose another data directory"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		remedy = "make the directory writable for this user, or choose another data directory"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		remedy = "choose a data directory that is not a file"
	case errors.Is(err, syscall.ENOSPC):
		remedy = "make room on the disk"
	default:
		what = "damaged: "
		remedy = "restore the last backup, or move the directory away and start with an empty one"
	}
	return &openError{fmt.Sprintf("store: %s cannot be opened: %s%s: %s", dir, what, oneLine(err.Error()), remedy), err}
}

// openError is one line for people, with the cause for errors.Is.
type openError struct {
	line  string
	cause error
}

func (e *openError) Error() string { return e.line }
func (e *openError) Unwrap() error { return e.cause }
