package pebble_test

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"carillon"
	"carillon/store/pebble"
)

func snapshot(t interface{ Fatal(...any) }, s *pebble.Store) *pebble.Snapshot {
	v, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func told(u carillon.User, it *carillon.Item) string {
	return fmt.Sprintf("%s %d %d %d %+v", u, it.Created, it.Content, it.Expires, it.Deliveries)
}

// TestEachItem: the walk over all items shows exactly what a look at each user
// shows, in order, with other kinds of rows and other versions between.
func TestEachItem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := &carillon.Clock{}
		s := openMem(t, pebble.Config{Dir: "store", Generation: time.Hour}, clock)
		defer s.Close()
		now := clock.UnixMilli()
		users := []carillon.User{{Host: "a.example", ID: "dev.al"}, {Host: "a.example", ID: "dev.alice"}, {Host: "a.examplem", ID: "a"}, {Host: "b", ID: "x"}}
		seq := carillon.Seq(0)
		expires := map[carillon.Seq]int64{}
		var made []carillon.Seq
		for range rapid.IntRange(0, 40).Draw(t, "writes") {
			seq++
			rows := &carillon.Rows{}
			u := rapid.SampledFrom(users).Draw(t, "user")
			exp := now + rapid.Int64Range(-3, 12).Draw(t, "expires")*1_800_000
			switch kind := rapid.IntRange(0, 4).Draw(t, "kind"); {
			case kind == 0:
				rows.Endpoints = []carillon.EndpointRow{{User: u, Endpoint: carillon.Endpoint{ID: "e", Platform: carillon.Polling, Version: seq, Expires: exp}}}
			case kind == 1 && len(made) > 0: // an outcome of somebody's item, which may not be
				created := rapid.SampledFrom(made).Draw(t, "created")
				rows.Outcomes = []carillon.OutcomeRow{{User: u, Created: created, Content: created, Expires: expires[created], Delivery: carillon.Delivery{
					Endpoint: rapid.SampledFrom([]string{"e", "f"}).Draw(t, "endpoint"), Kind: carillon.KindAlert, Attempts: 1, Handed: int64(seq),
					Outcome: carillon.Outcome{Class: carillon.Class(rapid.IntRange(0, carillon.Classes-1).Draw(t, "class"))},
				}}}
			default:
				created := seq
				old := int64(0)
				if kind == 2 && len(made) > 0 {
					created = rapid.SampledFrom(made).Draw(t, "created")
					old = expires[created]
				}
				made, expires[created] = append(made, created), exp
				u = users[int(created)%len(users)]
				rows.Items = []carillon.ItemRow{{User: u, Moved: old, Item: &carillon.Item{Created: created, Content: seq, Expires: exp, Body: []byte("x"), Deliveries: []carillon.Delivery{
					{Endpoint: "e", Kind: carillon.KindAlert, Platform: carillon.IOS},
				}}}}
			}
			if err := s.Write(rows, false); err != nil {
				t.Fatal(err)
			}
		}
		v := snapshot(t, s)
		defer v.Close()
		var want, got []string
		slices.SortFunc(users, func(a, b carillon.User) int { return cmp.Compare(a.Key(), b.Key()) })
		for _, u := range users {
			items, err := s.Items(u, 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range items {
				want = append(want, told(u, it))
				again, err := v.Item(u, it.Created)
				if err != nil || told(u, again) != told(u, it) {
					t.Fatalf("%v, %v", again, err)
				}
			}
		}
		err := v.EachItem(func(u carillon.User, it *carillon.Item) bool {
			got = append(got, told(u, it))
			return true
		})
		if d := gocmp.Diff(want, got); d != "" || err != nil {
			t.Fatalf("%v (-want +got):\n%s", err, d)
		}
	})
}

// fill writes n items with a parked and a due delivery each, and their ledger.
func fill(t testing.TB, s *pebble.Store, now, from, to int64) {
	t.Helper()
	for n := from; n < to; n++ {
		u := carillon.User{Host: "a.example", ID: fmt.Sprint("dev.", n%7)}
		created := carillon.MakeSeq(1, n)
		ref := carillon.Ref{User: u, Created: created, Content: created, Endpoint: "phone", Kind: carillon.KindAlert}
		other := ref
		other.Endpoint = "tablet"
		rows := &carillon.Rows{
			Items: []carillon.ItemRow{{User: u, Item: &carillon.Item{Created: created, Content: created, Partition: 1, Expires: now + 1e9, Body: []byte("x"), Deliveries: []carillon.Delivery{
				{Endpoint: "phone", Platform: carillon.IOS, Kind: carillon.KindAlert, Hint: carillon.HintParked},
				{Endpoint: "tablet", Platform: carillon.Android, Kind: carillon.KindAlert, Hint: carillon.HintDue, Due: now + n},
			}}}},
			Parked:    []carillon.ParkedRow{{Partition: 1, ParkedLane: carillon.ParkedLane{Lane: carillon.Lane{Platform: carillon.IOS, Host: u.Host}, Low: n%2 == 0}, Ref: ref, Expires: now + 1e9}},
			Dues:      []carillon.DueRow{{Partition: 1, At: now + n, Ref: other, Expires: now + 1e9}},
			Ledger:    []carillon.LedgerRow{{Partition: 1, From: created, To: created + 1, Records: 1, Planned: 2, Open: 2, Expires: now + 1e9}},
			Positions: []carillon.Progress{{Partition: 1, Applied: created + 1, Settled: created + 1}},
		}
		if err := s.Write(rows, false); err != nil {
			t.Fatal(err)
		}
	}
}

// counts are of items, due and parked rows, ledger rows and hints found from
// their deliveries.
func counts(t *testing.T, v *pebble.Snapshot) (n [5]int) {
	t.Helper()
	var errs []error
	errs = append(errs,
		v.EachItem(func(u carillon.User, it *carillon.Item) bool {
			n[0]++
			for i := range it.Deliveries {
				found, err := v.Hints(u, it, "", &it.Deliveries[i])
				n[4] += found
				errs = append(errs, err)
			}
			return true
		}),
		v.EachDue(func(*carillon.DueRow) bool { n[1]++; return true }),
		v.EachParked(func(*carillon.ParkedRow) bool { n[2]++; return true }),
		v.EachLedger(1, func(*carillon.LedgerRow) bool { n[3]++; return true }),
	)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestSnapshotSeesOneMoment writes while it is looked at.
func TestSnapshotSeesOneMoment(t *testing.T) {
	clock := &carillon.Clock{}
	s := open(t, pebble.Config{}, clock)
	fill(t, s, clock.UnixMilli(), 0, 20)
	v := snapshot(t, s)
	fill(t, s, clock.UnixMilli(), 20, 30)
	if got := counts(t, v); got != [5]int{20, 20, 20, 20, 40} {
		t.Error(got)
	}
	ps, err := v.Partitions()
	if want := []carillon.Progress{{Partition: 1, Applied: carillon.MakeSeq(1, 20), Settled: carillon.MakeSeq(1, 20)}}; err != nil || !slices.Equal(ps, want) {
		t.Error(ps, err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	later := snapshot(t, s)
	defer later.Close()
	if got := counts(t, later); got != [5]int{30, 30, 30, 30, 60} {
		t.Error(got)
	}
	stop := 0
	if err := later.EachDue(func(*carillon.DueRow) bool { stop++; return stop < 3 }); err != nil || stop != 3 {
		t.Error(stop, err)
	}
}

// TestCheckpoint: a checkpoint is a store of its own, with all that was written
// before it.
func TestCheckpoint(t *testing.T) {
	clock := &carillon.Clock{}
	s := open(t, pebble.Config{Generation: time.Hour}, clock)
	fill(t, s, clock.UnixMilli(), 0, 50)
	to := filepath.Join(t.TempDir(), "deep", "copy")
	if err := s.Checkpoint(to); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(to); err == nil {
		t.Error("it took a directory that is there")
	}
	fill(t, s, clock.UnixMilli(), 50, 60)
	again := open(t, pebble.Config{Dir: to}, clock)
	v := snapshot(t, again)
	defer v.Close()
	if got := counts(t, v); got != [5]int{50, 50, 50, 50, 100} {
		t.Error(got)
	}
}

// TestSweep: hints and ledger rows of generations that are over go, in steps;
// those that live stay.
func TestSweep(t *testing.T) {
	clock := &carillon.Clock{}
	s := open(t, pebble.Config{Generation: time.Hour}, clock)
	now := clock.UnixMilli()
	rows := &carillon.Rows{}
	u := carillon.User{Host: "a.example", ID: "dev.alice"}
	const each = 15_000 // two steps
	for n := range int64(each) {
		expires := now + (n%2)*10*3_600_000 + 1000
		ref := carillon.Ref{User: u, Created: carillon.MakeSeq(1, n), Content: carillon.MakeSeq(1, n), Endpoint: "e"}
		rows.Dues = append(rows.Dues, carillon.DueRow{Partition: int32(n % 3), At: n, Ref: ref, Expires: expires})
		rows.Parked = append(rows.Parked, carillon.ParkedRow{Partition: int32(n % 3), ParkedLane: carillon.ParkedLane{Lane: carillon.Lane{Platform: carillon.IOS, Host: u.Host}}, Ref: ref, Expires: expires})
	}
	for n := range int64(10) {
		rows.Ledger = append(rows.Ledger, carillon.LedgerRow{Partition: 1, From: carillon.MakeSeq(1, n), To: carillon.MakeSeq(1, n+1), Expires: now + n*3_600_000})
	}
	rows.Positions = []carillon.Progress{{Partition: 1, Applied: 9}}
	if err := s.Write(rows, false); err != nil {
		t.Fatal(err)
	}
	clock.Move(5 * time.Hour)
	for range 4 {
		if err := s.Expire(clock.UnixMilli()); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for p := range int32(3) {
		due, err := s.Due(nil, p, nil, each)
		if err != nil {
			t.Fatal(err)
		}
		depth, err := s.ParkedDepth(p)
		if err != nil {
			t.Fatal(err)
		}
		n += len(due) + int(depth[0].Rows)
	}
	if n != each-each%2 {
		t.Errorf("%d hints are left of %d, want half", n, 2*each)
	}
	v := snapshot(t, s)
	defer v.Close()
	if got := counts(t, v); got[3] != 4 {
		t.Errorf("%d ledger rows live", got[3])
	}
	if p, err := s.Progress(1); err != nil || p.Applied != 9 {
		t.Error(p, err)
	}
}
