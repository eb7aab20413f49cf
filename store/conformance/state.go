package conformance

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"carillon"
)

func testFeed(_ *testing.T, r *rig) {
	r.same([]carillon.FeedEntry(nil), r.feed(alice(), 0, 10))
	rows := &carillon.Rows{}
	for n := int64(1); n <= 9; n++ { // scattered over the generations
		rows.Items = append(rows.Items, carillon.ItemRow{User: alice(), Item: item(n, n, r.in(10+(n*7)%10))})
	}
	r.write(rows)
	r.same([]carillon.FeedEntry(nil), r.feed(alice(), 0, 10))
	touch := func(n, at int64, was carillon.Seq, deleted bool) {
		it := item(n, n, r.in(10+(n*7)%10))
		if deleted {
			it.State.Delete(seq(at), 5)
			it.Body = nil
		} else {
			it.State.Apply(carillon.Change{Read: carillon.Set}, seq(at), 5)
		}
		it.Feed = seq(at)
		r.write(putOver(alice(), it, it.Expires, was))
		r.same(it, r.item(alice(), seq(n)))
	}
	touch(3, 20, 0, false)
	touch(7, 21, 0, false)
	touch(5, 22, 0, true)
	touch(3, 23, seq(20), true) // its former place is gone
	want := []carillon.FeedEntry{{Seq: seq(21), Created: seq(7)}, {Seq: seq(22), Created: seq(5)}, {Seq: seq(23), Created: seq(3)}}
	r.same(want, r.feed(alice(), 0, 10))
	r.same(want[:2], r.feed(alice(), 0, 2))
	r.same(want[1:], r.feed(alice(), seq(21), 10))
	r.same(want[2:], r.feed(alice(), seq(22), 1))
	r.same(want[:0], r.feed(alice(), seq(23), 10))
	r.same(want[:0], r.feed(alice(), 0, 0))
	r.pass(12) // the third one's hour was the eleventh
	r.same(want[:2], r.feed(alice(), 0, 10))
	if n, err := r.s.TrimUser(alice(), 0); err != nil || n != 0 { // all have an open delivery
		r.Errorf("%d items are gone, %v", n, err)
	}
}

func testFloor(_ *testing.T, r *rig) {
	for n := int64(1); n <= 4; n++ {
		r.write(put(alice(), item(n, n, r.in(40)), 0))
	}
	unread := item(2, 2, r.in(40))
	unread.State.Apply(carillon.Change{Read: carillon.Unset}, seq(30), 7)
	unread.Feed = seq(30)
	r.write(putOver(alice(), unread, unread.Expires, 0))

	floor := carillon.Floor{{Change: carillon.Change{Read: carillon.Set}, Before: seq(4), At: seq(20), When: 6}}
	r.write(&carillon.Rows{Floors: []carillon.FloorRow{{User: alice(), Floor: floor, Expires: r.in(30)}}})
	got, err := r.s.Floor(alice())
	if err != nil {
		r.Fatal(err)
	}
	r.same(floor, got)
	read := func(n int64, want carillon.State) {
		r.Helper()
		r.same(want, r.item(alice(), seq(n)).State)
		listed, err := r.s.Items(alice(), seq(n+1), 1)
		if err != nil || len(listed) != 1 {
			r.Fatalf("%d items, %v", len(listed), err)
		}
		r.same(want, listed[0].State)
		r.same(seq(n), listed[0].Created)
	}
	covered := carillon.State{Read: true, ReadSeq: seq(20), Changed: 6}
	read(1, covered)
	read(2, unread.State)
	read(3, covered)
	read(4, carillon.State{})

	longer := floor.Add(carillon.FloorMark{Change: carillon.Change{HasAction: true, Action: carillon.Dismissed}, Before: seq(2), At: seq(40), When: 9})
	r.write(&carillon.Rows{Floors: []carillon.FloorRow{{User: alice(), Floor: longer, Expires: r.in(36), Moved: r.in(30)}}})
	both := covered
	both.Action, both.ActionSeq, both.Changed = carillon.Dismissed, seq(40), 9
	read(1, both)
	read(3, covered)
	r.pass(37)
	read(1, carillon.State{})
	r.same([]carillon.Seq{}, r.items(carillon.User{Host: "app.example.com", ID: "dev.alicf"}, 0, 9))
}

func testSync(_ *testing.T, r *rig) {
	look := func(want carillon.Sync) {
		r.Helper()
		got, err := r.s.Sync(alice())
		if err != nil {
			r.Fatal(err)
		}
		r.same(want, got)
	}
	look(carillon.Sync{})
	y := carillon.Sync{Lost: seq(3), Expires: r.in(5)}
	y.Recent = []carillon.ClearedID{{ID: carillon.ID{1}, At: seq(7)}, {ID: carillon.ID{2}, At: seq(9)}}
	y.Endpoints = []carillon.EndpointSync{
		{Endpoint: "phone", Incarnation: seq(1), Owed: seq(9), Cleared: seq(7), Acked: seq(3), Until: r.in(5), Due: 77, Attempts: 2},
		{Endpoint: "desk", Incarnation: seq(2)},
	}
	r.write(&carillon.Rows{Syncs: []carillon.SyncRow{{User: alice(), Sync: y}}})
	look(y)
	old := y.Expires
	y = y.Restore(carillon.ID{1})
	y.Expires = r.in(20)
	r.write(&carillon.Rows{Syncs: []carillon.SyncRow{{User: alice(), Sync: y, Moved: old}}})
	look(y)
	r.pass(6)
	look(y)
	r.pass(15)
	look(carillon.Sync{})
}

func testOwner(_ *testing.T, r *rig) {
	h := carillon.HashAddress("app.example.com", carillon.IOS, "c0ffee")
	look := func(want carillon.Owner, found bool) {
		r.Helper()
		got, ok, err := r.s.Owner(h)
		if err != nil || ok != found || gocmp.Diff(want, got) != "" {
			r.Errorf("Owner = %+v, %v, %v, want %+v", got, ok, err, want)
		}
	}
	look(carillon.Owner{}, false)
	o := carillon.Owner{User: alice().Key(), Installation: "phone", Version: seq(5), Claimed: seq(7), Expires: r.in(10)}
	r.write(&carillon.Rows{Owners: []carillon.OwnerRow{{Address: h, Owner: o}}})
	look(o, true)
	o.Past = []carillon.PastOwner{{User: o.User, Installation: o.Installation, Version: o.Version}}
	o.User, o.Claimed, o.Expires = "app.example.com/dev.bob", seq(8), r.in(30)
	r.write(&carillon.Rows{Owners: []carillon.OwnerRow{{Address: h, Owner: o, Moved: r.in(10)}}})
	look(o, true)
	r.pass(31)
	look(carillon.Owner{}, false)
	for _, other := range []carillon.AddressHash{
		carillon.HashAddress("app.example.org", carillon.IOS, "c0ffee"),
		carillon.HashAddress("app.example.com", carillon.Android, "c0ffee"),
		carillon.HashAddress("app.example.com", carillon.IOS, "c0ffef"),
	} {
		if other == h {
			r.Errorf("two addresses have one hash: %v", h)
		}
	}
}
