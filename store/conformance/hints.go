package conformance

import (
	"fmt"
	"slices"
	"testing"

	"carillon"
)

func ref(u carillon.User, n int64, endpoint string) carillon.Ref {
	return carillon.Ref{User: u, Created: seq(n), Content: seq(n), Endpoint: endpoint, Kind: carillon.KindTap}
}

func (r *rig) due(partition int32, after *carillon.DueRow, n int) []carillon.DueRow {
	r.Helper()
	rows, err := r.s.Due([]carillon.DueRow{{At: 77}}, partition, after, n)
	if err != nil || len(rows) == 0 || rows[0].At != 77 {
		r.Fatalf("what was in dst is gone: %+v, %v", rows, err)
	}
	return rows[1:]
}

func (r *rig) parked(partition int32, by carillon.ParkedLane, after *carillon.ParkedRow, n int) []carillon.ParkedRow {
	r.Helper()
	rows, err := r.s.Parked([]carillon.ParkedRow{{Partition: 77}}, partition, by, after, n)
	if err != nil || len(rows) == 0 || rows[0].Partition != 77 {
		r.Fatalf("what was in dst is gone: %+v, %v", rows, err)
	}
	return rows[1:]
}

func (r *rig) depth(partition int32) map[carillon.ParkedCount]bool {
	r.Helper()
	counts, err := r.s.ParkedDepth(partition)
	if err != nil {
		r.Fatal(err)
	}
	set := make(map[carillon.ParkedCount]bool)
	for _, c := range counts {
		set[c] = true
	}
	return set
}

func testDue(_ *testing.T, r *rig) {
	row := func(partition int32, at, n int64, endpoint string) carillon.DueRow {
		return carillon.DueRow{Partition: partition, At: r.start + at, Ref: ref(alice(), n, endpoint), Expires: r.in(5)}
	}
	r.same([]carillon.DueRow{}, r.due(3, nil, 10))
	// In the order of their times, those of one time in that of the journal.
	want := []carillon.DueRow{row(3, 5, 9, "b"), row(3, 70, 10, "a"), row(3, 70, 10, "b"), row(3, 70, 300, "a"), row(3, 66_000, 2, "")}
	written := slices.Clone(want)
	slices.Reverse(written)
	r.write(&carillon.Rows{Dues: append(written, row(4, 6, 1, "x"))})
	r.write(&carillon.Rows{Dues: want[2:3]}) // again
	r.same(want, r.due(3, nil, 10))
	r.same(want[:2], r.due(3, nil, 2))
	r.same(want[2:4], r.due(3, &want[1], 2))
	r.same([]carillon.DueRow{}, r.due(3, &want[4], 2))
	r.same([]carillon.DueRow{}, r.due(3, nil, 0))
	r.same([]carillon.DueRow{row(4, 6, 1, "x")}, r.due(4, nil, 10))
	gone := want[1]
	gone.Done = true
	r.write(&carillon.Rows{Dues: []carillon.DueRow{gone}})
	r.write(&carillon.Rows{Dues: []carillon.DueRow{gone}}) // is not there
	r.same(want[2:4], r.due(3, &want[1], 2))               // after a row that is gone
	r.same(slices.Concat(want[:1], want[2:]), r.due(3, nil, 10))
}

func testParked(_ *testing.T, r *rig) {
	apple := parkedLane()
	low, google, other, cast, lowCast := apple, apple, apple, apple, apple
	low.Low, lowCast.Low = true, true
	google.Lane.Platform = carillon.Android
	other.Lane.Host += "m"
	cast.Broadcast, lowCast.Broadcast = "0\x00cast", "0\x00cast"
	row := func(by carillon.ParkedLane, n int64, endpoint string) carillon.ParkedRow {
		u := carillon.User{Host: by.Lane.Host, ID: fmt.Sprint("dev.", 1000-n)} // not the order of users
		return carillon.ParkedRow{Partition: 3, ParkedLane: by, Ref: ref(u, n, endpoint), Expires: r.in(5)}
	}
	want := []carillon.ParkedRow{row(apple, 1, "a"), row(apple, 2, "a"), row(apple, 2, "b"), row(apple, 900, "")}
	others := []carillon.ParkedRow{row(low, 1, "a"), row(google, 1, "a"), row(other, 1, "a"), row(other, 2, "a"), row(cast, 1, "a"), row(lowCast, 3, "a")}
	written := slices.Concat(others, want)
	slices.Reverse(written)
	r.write(&carillon.Rows{Parked: written})
	r.same(want, r.parked(3, apple, nil, 10))
	r.same(want[:2], r.parked(3, apple, nil, 2))
	r.same(want[2:], r.parked(3, apple, &want[1], 5))
	r.same(others[:1], r.parked(3, low, nil, 5))
	r.same(others[2:4], r.parked(3, other, nil, 5))
	r.same(others[4:5], r.parked(3, cast, nil, 5))
	r.same(others[5:], r.parked(3, lowCast, nil, 5))
	r.same([]carillon.ParkedRow{}, r.parked(4, apple, nil, 5))
	r.same(map[carillon.ParkedCount]bool{
		{ParkedLane: apple, Rows: 4}: true, {ParkedLane: low, Rows: 1}: true, {ParkedLane: google, Rows: 1}: true,
		{ParkedLane: other, Rows: 2}: true, {ParkedLane: cast, Rows: 1}: true, {ParkedLane: lowCast, Rows: 1}: true,
	}, r.depth(3))
	r.same(map[carillon.ParkedCount]bool{}, r.depth(4))
	gone := slices.Concat(want[1:2], others[:1])
	gone[0].Done, gone[1].Done = true, true
	r.write(&carillon.Rows{Parked: gone})
	r.same(want[2:], r.parked(3, apple, &want[1], 5))
	r.same(map[carillon.ParkedCount]bool{
		{ParkedLane: apple, Rows: 3}: true, {ParkedLane: google, Rows: 1}: true,
		{ParkedLane: other, Rows: 2}: true, {ParkedLane: cast, Rows: 1}: true, {ParkedLane: lowCast, Rows: 1}: true,
	}, r.depth(3))
}

// testWaiting lets one delivery park, retry and end: the item says where it
// waits, and what was written last stands.
func testWaiting(_ *testing.T, r *rig) {
	it := item(10, 12, r.in(5))
	it.Deliveries[0].Hint = carillon.HintParked
	r.write(put(alice(), it, 0))
	r.same(it, r.item(alice(), it.Created))

	want := *it
	change := func(d carillon.Delivery) {
		r.Helper()
		r.write(outcome(alice(), it, d))
		want.Deliveries = []carillon.Delivery{d, it.Deliveries[1]}
		r.same(&want, r.item(alice(), it.Created))
	}
	d := it.Deliveries[0]
	d.Outcome, d.Hint, d.Due = carillon.Outcome{Class: carillon.Transient, Unsent: true}, carillon.HintDue, 5000 // no attempt
	change(d)
	d.Due = 6000 // again none
	change(d)
	d.Hint, d.Due = carillon.HintParked, 0 // its lane shut
	change(d)
	d.Hint = carillon.HintNone
	change(d)
	d.Attempts, d.Handed, d.Answered, d.Hint, d.Due = 1, 7000, 7010, carillon.HintDue, 8000
	change(d)
	d.Outcome, d.Hint, d.Due = carillon.Outcome{Class: carillon.Suppressed, Reason: "left"}, carillon.HintNone, 0
	change(d)
}

func testSwept(_ *testing.T, r *rig) {
	for n := range int64(10) {
		r.write(&carillon.Rows{
			Dues:   []carillon.DueRow{{Partition: 1, At: r.in(n), Ref: ref(alice(), n, "due"), Expires: r.in(2 * n)}},
			Parked: []carillon.ParkedRow{{Partition: 1, ParkedLane: parkedLane(), Ref: ref(alice(), n, "parked"), Expires: r.in(2 * n)}},
		})
	}
	r.pass(100)
	r.same([]carillon.DueRow{}, r.due(1, nil, 100))
	r.same([]carillon.ParkedRow{}, r.parked(1, parkedLane(), nil, 100))
}
