package pebble

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// busyDisk takes its time for each piece.
type busyDisk struct{ vfs.FS }

type busyFile struct{ vfs.File }

func (d busyDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	return busyFile{f}, err
}

func (f busyFile) Write(p []byte) (int, error) {
	time.Sleep(3 * time.Millisecond)
	return f.File.Write(p)
}

// Sorting takes its share of a core and no more, writing the log and what is
// sorted while the store closes all that there is.
func TestCalmDiskRests(t *testing.T) {
	for _, c := range []struct {
		category vfs.DiskWriteCategory
		share    float64
	}{{flushCategory, calmShare}, {compactionCategory, calmShare}, {compactionCategory, 1}, {"pebble-wal", calmShare}} {
		synctest.Test(t, func(t *testing.T) {
			d := &calmDisk{FS: busyDisk{vfs.NewMem()}}
			look := func() (int, int64) { return calmSublevels, 1 }
			if c.share == 1 {
				look = func() (int, int64) { return hastySublevels, 3 }
			}
			d.watch(look)
			took := func() time.Duration {
				f, err := d.Create("a", c.category)
				if err != nil {
					t.Fatal(err)
				}
				begin := now()
				for range 30 {
					if n, err := f.Write([]byte("sorted")); n != 6 || err != nil {
						t.Fatal(n, err)
					}
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				return now().Sub(begin)
			}
			want := 90 * time.Millisecond
			if c.category != "pebble-wal" {
				want = time.Duration(float64(want) / c.share)
			}
			if got := took(); got < want-time.Millisecond || got > want+time.Millisecond {
				t.Errorf("%s with a share of %v: 90 ms of work took %v, want %v", c.category, c.share, got, want)
			}
			d.watch(nil)
			if got := took(); got != 90*time.Millisecond {
				t.Errorf("%s while the store closes: 90 ms of work took %v", c.category, got)
			}
		})
	}
}

// What presses is sorted at once before writes would have to wait for it.
func TestCalmShares(t *testing.T) {
	last := 0.0
	for sublevels := range 40 {
		got := compactionShare(sublevels, 1)
		if got < last || got < calmShare || got > 1 || sublevels >= hastySublevels && got != 1 {
			t.Errorf("%d sublevels: %v after %v", sublevels, got, last)
		}
		last = got
	}
	if flushShare(0, 1) != calmShare || flushShare(0, 2) != calmShare || flushShare(0, 3) != 1 {
		t.Error("flushes", flushShare(0, 1), flushShare(0, 2), flushShare(0, 3))
	}
}

// A piece that took long for other reasons, such as a disk that stood, is no
// cause for a long rest.
func TestCalmRestIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &calmDisk{FS: vfs.NewMem()}
		d.watch(func() (int, int64) { return 0, 1 })
		f, err := d.Create("a", compactionCategory)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		begin := now()
		if _, err := f.Write([]byte("sorted")); err != nil {
			t.Fatal(err)
		}
		if got := now().Sub(begin); got > calmRest {
			t.Errorf("rested %v", got)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
