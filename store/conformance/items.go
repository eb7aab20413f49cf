package conformance

import (
	"testing"

	"carillon"
)

func testItem(_ *testing.T, r *rig) {
	it := item(10, 10, r.in(5))
	r.same((*carillon.Item)(nil), r.item(alice(), it.Created))
	r.write(put(alice(), it, 0))
	r.same(it, r.item(alice(), it.Created))
	r.same((*carillon.Item)(nil), r.item(alice(), seq(11)))
	r.pass(4)
	r.same(it, r.item(alice(), it.Created))
	r.pass(2)
	r.same((*carillon.Item)(nil), r.item(alice(), it.Created))
	r.same([]carillon.Seq{}, r.items(alice(), 0, 10))
}

func testOutcomes(_ *testing.T, r *rig) {
	it := item(10, 12, r.in(5))
	r.write(put(alice(), it, 0))
	r.write(put(alice(), item(9, 9, r.in(5)), 0))
	phone := it.Deliveries[0]

	retried := phone
	retried.Attempts, retried.Handed, retried.Answered = 1, 2000, 2010
	retried.Outcome = carillon.Outcome{Class: carillon.Transient, Status: 503, After: 5e9}
	r.write(outcome(alice(), it, retried))
	want := *it
	want.Deliveries = []carillon.Delivery{retried, it.Deliveries[1]}
	r.same(&want, r.item(alice(), it.Created))

	accepted := phone // in the end it went out as a tap
	accepted.Kind, accepted.Attempts, accepted.Handed, accepted.Answered = carillon.KindTap, 2, 3000, 3010
	accepted.Outcome = carillon.Outcome{Class: carillon.Accepted, Status: 200}
	r.write(outcome(alice(), it, accepted))
	suppressed := phone
	suppressed.Outcome = carillon.Outcome{Class: carillon.Suppressed, Reason: "replaced"}
	r.write(outcome(alice(), it, suppressed)) // an end of lower rank
	r.write(outcome(alice(), it, retried))    // and an open one, late
	want.Deliveries = []carillon.Delivery{accepted, it.Deliveries[1]}
	r.same(&want, r.item(alice(), it.Created))

	fallback := phone
	fallback.Kind, fallback.Attempts, fallback.Outcome = carillon.KindFallback, 1, carillon.Outcome{Class: carillon.Expired}
	r.write(outcome(alice(), it, fallback))
	older := *it // of content that was replaced
	older.Content = seq(10)
	r.write(outcome(alice(), &older, suppressed))
	want.Deliveries = []carillon.Delivery{accepted, it.Deliveries[1], fallback}
	r.same(&want, r.item(alice(), it.Created))
	r.same(item(9, 9, r.in(5)), r.item(alice(), seq(9)))

	listed, err := r.s.Items(alice(), 0, 10)
	if err != nil || len(listed) != 2 {
		r.Fatalf("%d items, %v", len(listed), err)
	}
	r.same(&want, listed[0])
}

func testItems(_ *testing.T, r *rig) {
	rows := &carillon.Rows{}
	for n := int64(1); n <= 20; n++ { // scattered over the generations
		rows.Items = append(rows.Items, carillon.ItemRow{User: alice(), Item: item(n, n, r.in(10+(n*7)%10))})
	}
	r.write(rows)
	var all []carillon.Seq
	for n := int64(20); n >= 1; n-- {
		all = append(all, seq(n))
	}
	r.same(all, r.items(alice(), 0, 100))
	r.same(all[:7], r.items(alice(), 0, 7))
	r.same(all[7:14], r.items(alice(), all[6], 7))
	r.same(all[19:], r.items(alice(), all[18], 7))
	r.same([]carillon.Seq{}, r.items(alice(), all[19], 7))
	r.same([]carillon.Seq{}, r.items(alice(), 0, 0))
	r.pass(14) // those of 10 … 13 are gone
	var left []carillon.Seq
	for n := int64(20); n >= 1; n-- {
		if 10+(n*7)%10 >= 14 {
			left = append(left, seq(n))
		}
	}
	r.same(left, r.items(alice(), 0, 100))
	r.same(left[:3], r.items(alice(), 0, 3))
}

func testFind(_ *testing.T, r *rig) {
	id := carillon.ID{1, 2, 3}
	find := func(want carillon.Seq) {
		r.Helper()
		got, ok, err := r.s.Find(alice(), id)
		if err != nil || got != want || ok != (want != 0) {
			r.Errorf("Find = %v, %v, %v, want %v", got, ok, err, want)
		}
	}
	find(0)
	it := item(10, 10, r.in(50))
	it.ID = id
	r.write(put(alice(), it, 0))
	find(it.Created)
	again := item(10, 20, r.in(5)) // other content, sooner gone
	again.ID = id
	r.write(put(alice(), again, it.Expires))
	find(it.Created)
	r.pass(6)
	find(0)
	fresh := item(30, 30, r.in(20))
	fresh.ID = id
	r.write(put(alice(), fresh, 0))
	find(fresh.Created)
}

func testMoved(_ *testing.T, r *rig) {
	first, short, long := item(10, 10, r.in(50)), item(10, 20, r.in(5)), item(11, 11, r.in(5))
	r.write(put(alice(), first, 0))
	r.write(put(alice(), long, 0))
	r.write(put(alice(), short, first.Expires))
	longer := item(11, 21, r.in(60))
	r.write(put(alice(), longer, long.Expires))
	r.same(short, r.item(alice(), seq(10)))
	r.same(longer, r.item(alice(), seq(11)))
	r.same([]carillon.Seq{seq(11), seq(10)}, r.items(alice(), 0, 10))
	r.pass(6)
	r.same((*carillon.Item)(nil), r.item(alice(), seq(10)))
	r.same(longer, r.item(alice(), seq(11)))
	r.same([]carillon.Seq{seq(11)}, r.items(alice(), 0, 10))
	read := *longer // the same content, read: it stays where it is
	read.State, read.Feed = carillon.State{Read: true, ReadSeq: seq(30)}, seq(30)
	r.write(putOver(alice(), &read, longer.Expires, longer.Feed))
	r.same(&read, r.item(alice(), seq(11)))
}

// ended is an item without an open delivery.
func ended(created, content, expires int64) *carillon.Item {
	it := item(created, content, expires)
	it.Deliveries = it.Deliveries[1:]
	return it
}

func testTrim(_ *testing.T, r *rig) {
	trim := func(keep, want int) {
		r.Helper()
		if n, err := r.s.TrimUser(alice(), keep); err != nil || n != want {
			r.Errorf("dropped %d, %v, want %d", n, err, want)
		}
	}
	trim(3, 0)
	bob := carillon.User{Host: alice().Host, ID: "dev.alicf"}
	for n := int64(1); n <= 20; n++ { // scattered over the generations
		r.write(put(alice(), ended(n, n, r.in(10+(n*7)%10)), 0))
		r.write(put(bob, ended(n, n, r.in(10)), 0))
	}
	keyed := ended(5, 21, r.in(9))
	keyed.ID = carillon.ID{5}
	r.write(put(alice(), keyed, r.in(10+35%10)))
	waits := item(6, 6, r.in(16)) // one of its deliveries is open
	waits.Deliveries[0].Hint = carillon.HintParked
	r.write(put(alice(), waits, r.in(10+42%10)))
	late := item(7, 7, r.in(19)) // this one's ended late
	r.write(put(alice(), late, r.in(10+49%10)))
	over := late.Deliveries[0]
	over.Attempts, over.Outcome.Class = 1, carillon.Accepted
	r.write(outcome(alice(), late, over))

	trim(20, 0)
	trim(18, 2)
	trim(10, 7)
	want := []carillon.Seq{}
	for n := int64(20); n > 10; n-- {
		want = append(want, seq(n))
	}
	want = append(want, seq(6))
	r.same(want, r.items(alice(), 0, 100))
	if _, ok, err := r.s.Find(alice(), keyed.ID); ok || err != nil {
		r.Errorf("a trimmed item is found by its id: %v", err)
	}
	trim(10, 0)
	r.write(put(alice(), ended(7, 7, r.in(19)), 0)) // as new: nothing is left of its late outcome
	r.same(ended(7, 7, r.in(19)), r.item(alice(), seq(7)))
	if n := len(r.items(bob, 0, 100)); n != 20 {
		r.Errorf("the other user has %d items", n)
	}
}
