package conformance

import (
	"slices"
	"testing"

	"carillon"
)

// changed lists the entries of a range, a page of n at a time, and the most rows
// that one page took.
func (r *rig) changed(from, to, marks int64, n int) (places [][2]int64, most int) {
	r.Helper()
	q := carillon.FeedRange{To: seq(to), Rows: 1000}
	if from != 0 {
		q.From.At = seq(from)
	}
	if marks != 0 {
		q.Marks = seq(marks)
	}
	for range 100 {
		got := 0
		next, rows, err := r.s.Changes(alice(), q, func(at carillon.Place, it *carillon.Item) bool {
			if got == n {
				return false
			}
			got++
			if it.Created != at.Created || len(it.Deliveries) > 0 {
				r.Errorf("%v: %+v", at, it)
			}
			places = append(places, [2]int64{at.At.Offset(), it.Created.Offset()})
			return true
		})
		if err != nil {
			r.Fatal(err)
		}
		most = max(most, rows)
		if next == (carillon.Place{}) {
			return places, most
		}
		q.From = next
	}
	r.Fatal("the feed has no end")
	return nil, 0
}

func (r *rig) feedIs(from, to, marks int64, want ...[2]int64) {
	r.Helper()
	for _, n := range []int{1, 3, 100} {
		if got, _ := r.changed(from, to, marks, n); !slices.Equal(got, want) {
			r.Errorf("from %d to %d, pages of %d: %v, want %v", from, to, n, got, want)
		}
	}
}

func testChanges(_ *testing.T, r *rig) {
	r.feedIs(0, 100, 0)
	for n := int64(1); n <= 6; n++ { // scattered over the generations
		r.write(put(alice(), item(n, n, r.in(10+(n*7)%10)), 0))
	}
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
	}
	r.feedIs(0, 100, 0, [2]int64{1, 1}, [2]int64{2, 2}, [2]int64{3, 3}, [2]int64{4, 4}, [2]int64{5, 5}, [2]int64{6, 6})
	touch(2, 10, 0, false)
	touch(4, 11, 0, true)
	touch(2, 12, seq(10), false)
	r.write(put(alice(), item(13, 13, r.in(11)), 0))
	r.feedIs(0, 100, 0, [2]int64{1, 1}, [2]int64{3, 3}, [2]int64{5, 5}, [2]int64{6, 6}, [2]int64{11, 4}, [2]int64{12, 2}, [2]int64{13, 13})
	r.feedIs(6, 12, 0, [2]int64{6, 6}, [2]int64{11, 4})
	r.feedIs(7, 12, 0, [2]int64{11, 4})
	r.feedIs(13, 100, 0, [2]int64{13, 13})
	r.feedIs(13, 13, 0)
	r.feedIs(14, 100, 0)
	if _, rows := r.changed(12, 13, 0, 100); rows != 1 {
		r.Errorf("one change took %d rows, want its entry, which holds the item", rows)
	}
}

func testChangesOfMarks(_ *testing.T, r *rig) {
	for n := int64(1); n <= 6; n++ {
		r.write(put(alice(), item(n, n, r.in(40+n)), 0))
	}
	read := item(2, 2, r.in(42))
	read.State.Apply(carillon.Change{Read: carillon.Set}, seq(10), 5)
	read.Feed = seq(10)
	r.write(putOver(alice(), read, read.Expires, 0))
	gone := item(3, 3, r.in(43))
	gone.State.Delete(seq(11), 5)
	gone.Feed, gone.Body = seq(11), nil
	r.write(putOver(alice(), gone, gone.Expires, 0))
	floor := carillon.Floor{{Change: carillon.Change{Read: carillon.Set}, Before: seq(6), At: seq(20), When: 6}}
	r.write(&carillon.Rows{Floors: []carillon.FloorRow{{User: alice(), Floor: floor, Expires: r.in(50)}}})
	r.write(put(alice(), item(21, 21, r.in(50)), 0))
	own := [][2]int64{{1, 1}, {4, 4}, {5, 5}, {6, 6}, {10, 2}, {11, 3}}
	marked := [][2]int64{{20, 1}, {20, 4}, {20, 5}, {21, 21}} // 2 was read before, 6 came too late
	r.feedIs(0, 100, 0, slices.Concat(own, marked)...)
	r.feedIs(12, 100, 0, marked...)
	r.feedIs(0, 100, 21, slices.Concat(own, marked[3:])...)
	r.feedIs(20, 21, 0, marked[:3]...)
	r.feedIs(21, 100, 0, marked[3:]...)
}
