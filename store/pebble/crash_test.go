package pebble_test

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"carillon"
	"carillon/store/pebble"
)

// TestCrash: what was written before a sync is there after the power went, also
// when the sync came with rows of positions alone; what came after it is there
// whole or not at all.
func TestCrash(t *testing.T) {
	cfg := pebble.Config{Dir: "store"}
	disk := vfs.NewCrashableMem()
	clock := &carillon.Clock{}
	s := openFS(t, cfg, disk, clock)
	u := carillon.User{Host: "a.example", ID: "dev.alice"}
	write := func(from, to int64, sync bool, positions ...carillon.Progress) {
		t.Helper()
		rows := &carillon.Rows{Positions: positions}
		for n := from; n < to; n++ {
			created := carillon.MakeSeq(1, n)
			// A new generation every few rows.
			expires := clock.UnixMilli() + n*3_600_000*100
			rows.Items = append(rows.Items, carillon.ItemRow{User: u, Item: &carillon.Item{Created: created, Content: created, Expires: expires, Body: []byte("body")}})
		}
		if err := s.Write(rows, sync); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(disk vfs.FS, n int, applied carillon.Seq) {
		t.Helper()
		again := openFS(t, cfg, disk, clock)
		items, err := again.Items(u, 0, 1000)
		if err != nil || len(items) != n {
			t.Errorf("%d items, %v, want %d", len(items), err, n)
		}
		p, err := again.Progress(1)
		if err != nil || p.Applied != applied {
			t.Errorf("applied %v, %v, want %v", p.Applied, err, applied)
		}
	}
	write(1, 5, false)
	write(5, 9, true)
	holds(disk.CrashClone(vfs.CrashCloneCfg{}), 8, 0)
	write(9, 20, false)
	write(0, 0, true, carillon.Progress{Partition: 1, Applied: 7})
	holds(disk.CrashClone(vfs.CrashCloneCfg{}), 19, 7)
	write(20, 23, false, carillon.Progress{Partition: 1, Applied: 8})
	write(0, 0, true) // nothing at all
	holds(disk.CrashClone(vfs.CrashCloneCfg{}), 22, 8)
	write(23, 30, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	holds(disk.CrashClone(vfs.CrashCloneCfg{}), 29, 8)
}

// TestProcessCrash: what was never synced is there when only the process went:
// the files, as they stand in the system's hands.
func TestProcessCrash(t *testing.T) {
	clock := &carillon.Clock{}
	disk := vfs.NewCrashableMem()
	s := openFS(t, pebble.Config{Dir: "store"}, disk, clock)
	if err := s.Write(&carillon.Rows{Positions: []carillon.Progress{{Partition: 1, Applied: 7}}}, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(&carillon.Rows{Positions: []carillon.Progress{{Partition: 2, Applied: 9}}}, false); err != nil {
		t.Fatal(err)
	}
	for range 200 { // the log's own goroutine hands over what was written, soon
		copied := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		again := openFS(t, pebble.Config{Dir: "store"}, copied, clock)
		p, err := again.Progress(2)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if p.Applied == 9 {
			return
		}
	}
	t.Error("the rows stay in the process")
}
