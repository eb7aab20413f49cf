package pebble

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
)

// health is pebble's logger and event listener: chatter goes to the log at
// debug, and a fault that pebble cannot go on from is kept for all callers.
type health struct {
	log   *slog.Logger
	clock *carillon.Clock
	dir   string

	once  sync.Once
	fault atomic.Pointer[error]
	dead  chan struct{} // closed with fault
	lost  atomic.Bool   // a goroutine of pebble's ended
	last  atomic.Int64  // when a background fault was logged last
}

func newHealth(dir string, clock *carillon.Clock, log *slog.Logger) *health {
	return &health{log: log, clock: clock, dir: dir, dead: make(chan struct{})}
}

// err is the fault that ended the store, nil while it lives.
func (h *health) err() error {
	if p := h.fault.Load(); p != nil {
		return *p
	}
	return nil
}

// Infof is pebble telling what it does.
func (h *health) Infof(format string, args ...any) {
	h.log.Debug("pebble", "event", fmt.Sprintf(format, args...))
}

// Errorf is pebble telling what it could not do and will try again.
func (h *health) Errorf(format string, args ...any) {
	h.log.Debug("pebble", "error", fmt.Sprintf(format, args...))
}

// Fatalf is pebble telling that it cannot go on. A caller of ours returns to us
// and is told by [health.err]; a goroutine of pebble's ends here, because what
// it does next would build on a write that failed.
func (h *health) Fatalf(format string, args ...any) {
	ours := calledByUs()
	if !ours {
		h.lost.Store(true) // before anyone is told, who may Close
	}
	h.die(fmt.Errorf("store: %s can take no more writes: %s: see to the disk and start again, what was synced is kept",
		h.dir, oneLine(fmt.Sprintf(format, args...))))
	if !ours {
		runtime.Goexit()
	}
}

func (h *health) die(err error) {
	h.once.Do(func() {
		h.fault.Store(&err)
		close(h.dead)
		h.log.Error("store failed", "dir", h.dir, "err", err)
	})
}

// calledByUs tells whether a method of Store is on the stack.
func calledByUs() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if strings.Contains(f.Function, "store/pebble.(*Store)") || strings.Contains(f.Function, "store/pebble.Open") {
			return true
		}
		if !more {
			return false
		}
	}
}

// backgroundEvery spaces out the reports of a fault that repeats.
const backgroundEvery = 10 * time.Second

func (h *health) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			now := h.clock.UnixMilli()
			if last := h.last.Load(); now-last >= backgroundEvery.Milliseconds() && h.last.CompareAndSwap(last, now) {
				h.log.Warn("store cannot write to disk, it tries again: is the disk full?", "dir", h.dir, "err", oneLine(err.Error()))
			}
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			h.log.Error("store found a damaged file: restore the last backup", "dir", h.dir, "file", i.Path, "err", oneLine(i.Details.Error()))
		},
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
			h.log.Debug("store holds writers back", "reason", i.Reason)
		},
		DiskSlow: func(i pebble.DiskSlowInfo) {
			h.log.Warn("disk is slow", "dir", h.dir, "file", i.Path, "took", i.Duration)
		},
	}
}

// oneLine is the first line of a message.
func oneLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

var errClosed = errors.New("store: closed")
