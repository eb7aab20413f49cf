package conformance

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"carillon"
)

// ends is a row of the log for the second delivery of an item.
func ends(u carillon.User, it *carillon.Item) carillon.EndedRow {
	return carillon.EndedRow{User: u, Item: it, Delivery: &it.Deliveries[1]}
}

// ended reads a partition's log from a place on, n entries at most.
func (r *rig) ended(partition int32, from carillon.LogPlace, n int) (got []carillon.Ended, next carillon.LogPlace) {
	r.Helper()
	_, end, err := r.s.EndedKept(partition)
	if err != nil {
		r.Fatal(err)
	}
	next, err = r.s.Ended(partition, from, end, func(e *carillon.Ended) bool {
		if len(got) == n {
			return false
		}
		got = append(got, *e)
		return true
	})
	if err != nil {
		r.Fatal(err)
	}
	return got, next
}

func testEnded(_ *testing.T, r *rig) {
	bob := carillon.User{Host: "two.example.com", ID: "dev.bob"}
	entry := func(row carillon.EndedRow) carillon.Ended {
		d := *row.Delivery
		d.Incarnation, d.Addressed = 0, 0
		return carillon.Ended{
			User: row.User, Partition: row.Item.Partition, Created: row.Item.Created, Content: row.Item.Content, ID: row.Item.ID,
			Accepted: row.Item.Accepted, Written: r.clock.UnixMilli(), Delivery: d,
		}
	}
	var want []carillon.Ended
	batch := func(rows ...carillon.EndedRow) {
		r.Helper()
		r.write(&carillon.Rows{Ended: rows})
		for _, row := range rows {
			if row.Item.Partition == 3 {
				want = append(want, entry(row))
			}
		}
	}
	timeless := func(es []carillon.Ended) []carillon.Ended { // they are written a moment apart
		es = slices.Clone(es)
		for i := range es {
			if d := es[i].Written - r.clock.UnixMilli(); d > 0 || d < -hour {
				r.Errorf("written %d ms from now", d)
			}
			es[i].Written = 0
		}
		return es
	}
	got, next := r.ended(3, carillon.LogPlace{}, 10)
	r.same(want, got)
	one, two, keyed := item(10, 10, r.in(5)), item(9, 12, r.in(5)), item(700, 700, r.in(5))
	keyed.ID = carillon.ID{1, 2, 3}
	other := item(11, 11, r.in(5))
	other.Partition = 4
	batch(ends(alice(), one), ends(bob, two), ends(alice(), other), ends(alice(), keyed))
	first := carillon.LogPlace{Row: next.Row}
	got, next = r.ended(3, next, 10)
	r.same(timeless(want), timeless(got))
	batch(ends(bob, other))
	batch(ends(alice(), two), ends(alice(), one))
	got, _ = r.ended(3, next, 10)
	r.same(timeless(want[3:]), timeless(got))
	// From any place, so many at a time.
	for n := 1; n <= len(want); n++ {
		all, at := []carillon.Ended{}, first
		for {
			got, next := r.ended(3, at, n)
			if all = append(all, got...); len(got) == 0 {
				break
			}
			at = next
		}
		r.same(timeless(want), timeless(all))
	}
	got, _ = r.ended(4, carillon.LogPlace{}, 10)
	if len(got) != 2 || got[0].User != alice() || got[1].User != bob {
		r.Errorf("the other partition's log is %+v", got)
	}
}

// testEndedAtOnce follows the log while many write it: a reader who goes on
// where he stopped gets all of it, each entry once, and each writer's in order.
func testEndedAtOnce(_ *testing.T, r *rig) {
	const writers, batches = 4, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			u := carillon.User{Host: alice().Host, ID: fmt.Sprint("dev.", w)}
			for n := range int64(batches) {
				it := item(n+1, n+1, r.in(5))
				if err := r.s.Write(&carillon.Rows{Ended: []carillon.EndedRow{ends(u, it), ends(u, it)}}, false); err != nil {
					r.Error(err)
				}
			}
		})
	}
	var done atomic.Bool
	go func() { wg.Wait(); done.Store(true) }()
	counts := map[string]int64{}
	at := carillon.LogPlace{}
	for last, more := false, true; more || !last; {
		last = done.Load()
		got, next := r.ended(3, at, 7)
		at, more = next, len(got) > 0
		for _, e := range got {
			if n := counts[e.User.ID]; e.Created != seq(n/2+1) {
				r.Fatalf("%s: entry %d is of %s", e.User, n, e.Created)
			}
			counts[e.User.ID]++
		}
	}
	for w := range writers {
		if n := counts[fmt.Sprint("dev.", w)]; n != 2*batches {
			r.Errorf("of writer %d %d entries were read, want %d", w, n, 2*batches)
		}
	}
}

func testExpired(_ *testing.T, r *rig) {
	it := item(10, 10, r.in(3))
	r.write(put(alice(), it, 0))
	look := func(want *carillon.Item) {
		r.Helper()
		got, err := r.s.Expired(alice(), it.Created)
		if err != nil {
			r.Fatal(err)
		}
		r.same(want, got)
	}
	look(nil)
	r.clock.Move(4 * 60 * 60 * 1e9) // nothing is dropped yet
	look(it)
}
