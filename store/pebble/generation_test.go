package pebble_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"carillon"
	"carillon/store/pebble"
)

// TestRunDropsGenerations: time passes by days, and Run takes away what is left
// of the rows, tombstones and the directory's own; what lives stays, also over
// a restart.
func TestRunDropsGenerations(t *testing.T) {
	clock := &carillon.Clock{}
	disk := vfs.NewMem()
	cfg := pebble.Config{Dir: "store"}
	s := openFS(t, cfg, disk, clock)
	ran := make(chan error, 1)
	go func() { ran <- s.Run(t.Context()) }()
	day := (24 * time.Hour).Milliseconds()
	u, now := carillon.User{Host: "a.example", ID: "dev.alice"}, clock.UnixMilli()
	e := carillon.Endpoint{ID: "e", Version: 3, Expires: now + 29*day}
	rows := &carillon.Rows{
		Endpoints: []carillon.EndpointRow{{User: u, Endpoint: e}, {User: u, Endpoint: carillon.Endpoint{ID: "f", Version: 3, Expires: now + 20*day}, Left: true}},
		Positions: []carillon.Progress{{Partition: 1, Applied: 7}},
	}
	for n := range int64(28) {
		created := carillon.MakeSeq(1, n)
		it := &carillon.Item{Created: created, Content: created, ID: carillon.ID{byte(n)}, Expires: now + n*day}
		rows.Items = append(rows.Items, carillon.ItemRow{User: u, Item: it})
	}
	if err := s.Write(rows, false); err != nil {
		t.Fatal(err)
	}
	before := keys(t, s)
	clock.Move(21 * 24 * time.Hour)
	eventually(t, func() bool { // Run may have set its timer by the time before the move
		clock.Move(time.Minute)
		return keys(t, s) < before*2/3
	})
	if items, err := s.Items(u, 0, 100); err != nil || len(items) != 6 { // 22 … 27
		t.Errorf("%d items, %v", len(items), err)
	}
	if eps, err := s.Endpoints(nil, u); err != nil || len(eps) != 1 {
		t.Errorf("%+v, %v", eps, err)
	}
	clock.Move(20 * 24 * time.Hour)
	eventually(t, func() bool { // likewise
		clock.Move(time.Hour)
		return keys(t, s) == 1 // the progress
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openFS(t, cfg, disk, clock)
	if n := keys(t, again); n != 1 {
		t.Errorf("%d keys after a restart, want the progress alone", n)
	}
}

func keys(t *testing.T, s *clocked) int {
	t.Helper()
	n, err := s.Keys()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually waits for a condition, without pauses of its own.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if ok() {
			return
		}
	}
	t.Fatal("it did not come to be")
}

// TestLateRow: a row that is written after its generation was dropped is not
// seen, and goes with the next one.
func TestLateRow(t *testing.T) {
	clock := &carillon.Clock{}
	s := openFS(t, pebble.Config{Dir: "store", Generation: time.Hour}, vfs.NewMem(), clock)
	u, now := carillon.User{Host: "a.example", ID: "dev.alice"}, clock.UnixMilli()
	late := &carillon.Rows{Items: []carillon.ItemRow{{User: u, Item: &carillon.Item{Created: 5, Content: 5, Expires: now - 2*time.Hour.Milliseconds()}}}}
	for range 2 {
		if err := s.Write(late, false); err != nil {
			t.Fatal(err)
		}
		if it, err := s.Item(u, 5); err != nil || it != nil {
			t.Errorf("%+v, %v", it, err)
		}
		if err := s.Expire(clock.UnixMilli()); err != nil {
			t.Fatal(err)
		}
		if n := keys(t, s); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	}
}

// TestShortenExpireList: an endpoint whose life was shortened leaves; long after
// that short life an older row of it, which lived longer, is written once more. It
// stays away: the tombstone lives as long as anything that it may hide.
func TestShortenExpireList(t *testing.T) {
	clock := &carillon.Clock{}
	s := openFS(t, pebble.Config{Dir: "store", Generation: time.Hour}, vfs.NewMem(), clock)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		u, now := carillon.User{Host: "a.example", ID: fmt.Sprintf("dev.u%d", n)}, clock.UnixMilli()
		hours := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(rt, name) }
		in := func(h int64) int64 { return now + h*time.Hour.Milliseconds() }
		long, short := hours("long", 3, 60), hours("short", 1, 2)
		write := func(version carillon.Seq, expires int64, left bool) {
			row := carillon.EndpointRow{User: u, Endpoint: carillon.Endpoint{ID: "e", Version: version, Expires: expires}, Left: left}
			if err := s.Write(&carillon.Rows{Endpoints: []carillon.EndpointRow{row}}, false); err != nil {
				rt.Fatal(err)
			}
		}
		list := func(want int) {
			eps, err := s.Endpoints(nil, u)
			if err != nil || len(eps) != want {
				rt.Fatalf("%d endpoints are listed, %v; want %d: %+v", len(eps), err, want, eps)
			}
		}
		write(1, in(long), false)
		list(1)
		if rapid.Bool().Draw(rt, "shortened before it leaves") {
			write(2, in(short), false)
			list(1)
			write(3, in(short), true)
		} else {
			write(3, in(short), true) // the row that it takes the place of lived longer
			short = long
		}
		list(0)
		clock.Move(time.Duration(hours("pass", 1, short)-1) * time.Hour)
		if err := s.Expire(clock.UnixMilli()); err != nil {
			rt.Fatal(err)
		}
		write(1, in(long), false)
		list(0)
	})
}
