package pebble

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The names that pebble gives what it writes in the background
// (vfs.DiskWriteCategory).
const (
	flushCategory      vfs.DiskWriteCategory = "pebble-memtable-flush"
	compactionCategory vfs.DiskWriteCategory = "pebble-compaction"
)

const (
	// calmShare is what part of a core sorting takes while nothing presses. Half of
	// a peak needs about half of that.
	calmShare = 0.3
	// calmSublevels and hastySublevels are those of level 0 between which
	// compactions grow from calmShare to all that they can take: pebble stops
	// writes at 32.
	calmSublevels, hastySublevels = 10, 18
	// calmDebt is how much rest is owed before it is taken: a shorter one costs more
	// to wake from than it gives.
	calmDebt = time.Millisecond
	// calmRest bounds a rest: what led to it may be a disk or a machine that stood.
	calmRest = 20 * time.Millisecond
	calmLook = 100 * time.Millisecond // between looks at how much presses
)

// calmDisk spreads pebble's flushes and compactions out, which on few cores
// would hold up for seconds what somebody waits for: pebble sorts as fast as it
// can, and then not at all. What is written rests after each piece, in proportion
// to the time that the piece took, unless there is so much to sort that writes
// would have to wait for it.
type calmDisk struct {
	vfs.FS

	look atomic.Pointer[pressure] // nil: nobody waits, all goes at once

	mu        sync.Mutex
	looked    time.Time // and found:
	sublevels int
	memtables int64
}

// pressure tells how many sublevels level 0 has, and how many memtables there are.
type pressure func() (sublevels int, memtables int64)

// share is what part of a core a kind of work may take under a pressure.
type share func(sublevels int, memtables int64) float64

// pressureOf asks a database.
func pressureOf(db *pebble.DB) pressure {
	return func() (int, int64) {
		m := db.Metrics()
		return int(m.Levels[0].Sublevels), m.MemTable.Count
	}
}

// watch sets what tells how much presses; nil: nobody waits any more.
func (d *calmDisk) watch(look pressure) {
	if look == nil {
		d.look.Store(nil)
		return
	}
	d.look.Store(&look)
}

// Create makes a file; one of pebble's background work is written calmly.
func (d *calmDisk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, category)
	kind, ours := map[vfs.DiskWriteCategory]share{flushCategory: flushShare, compactionCategory: compactionShare}[category]
	if err != nil || !ours {
		return f, err
	}
	return &calmFile{File: f, disk: d, share: kind, since: now()}, nil
}

// Unwrap is the disk below.
func (d *calmDisk) Unwrap() vfs.FS { return d.FS }

// allows is what part of a core a kind of work may take now.
func (d *calmDisk) allows(kind share, at time.Time) float64 {
	look := d.look.Load()
	if look == nil {
		return 1
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if at.Sub(d.looked) >= calmLook {
		d.looked = at
		d.sublevels, d.memtables = (*look)()
	}
	return kind(d.sublevels, d.memtables)
}

func compactionShare(sublevels int, _ int64) float64 {
	over := float64(sublevels-calmSublevels) / (hastySublevels - calmSublevels)
	return calmShare + (1-calmShare)*min(max(over, 0), 1)
}

// flushShare is by how many memtables there are: the one that is written to, the
// one that is flushed, and those that wait. Writes stop at the fourth.
func flushShare(_ int, memtables int64) float64 {
	if memtables > 2 {
		return 1
	}
	return calmShare
}

// calmFile is a file that is written by one goroutine of pebble's.
type calmFile struct {
	vfs.File
	disk  *calmDisk
	share share
	since time.Time // when the last piece was done
	debt  time.Duration
}

// Write writes p, and rests as long as what led to p deserves.
func (f *calmFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	at := now()
	part := f.disk.allows(f.share, at)
	f.debt += time.Duration(float64(at.Sub(f.since)) * (1 - part) / part)
	if f.debt >= calmDebt {
		time.Sleep(min(f.debt, calmRest)) //nolint:forbidigo // paces the work of real cores, on real time
		f.debt, at = 0, now()
	}
	f.since = at
	return n, err
}

func now() time.Time { return time.Now() } //nolint:forbidigo // the time that work takes is real time
