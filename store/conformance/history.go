package conformance

import (
	"bytes"
	"slices"
	"testing"

	"carillon"
)

// walked lists what History gives, n at most, and how many rows that took.
func (r *rig) walked(u carillon.User, from, to int64, newestFirst bool, n int) (seqs []carillon.Seq, rows int) {
	r.Helper()
	var lower, upper carillon.Seq
	if from != 0 {
		lower = seq(from)
	}
	if to != 0 {
		upper = seq(to)
	}
	rows, err := r.s.History(u, lower, upper, newestFirst, func(it *carillon.Item) bool {
		if len(seqs) == n {
			return false
		}
		if len(it.Deliveries) > 0 || !bytes.Equal(it.Body, []byte("body")) || it.Partition != 3 {
			r.Errorf("%s: %+v", it.Created, it)
		}
		seqs = append(seqs, it.Created)
		return true
	})
	if err != nil {
		r.Fatal(err)
	}
	return seqs, rows
}

func testHistory(_ *testing.T, r *rig) {
	bob := carillon.User{Host: alice().Host, ID: "dev.alicf"}
	if none, rows := r.walked(alice(), 0, 0, true, 10); none != nil || rows != 0 {
		r.Errorf("%v of %d rows", none, rows)
	}
	var all, up []carillon.Seq
	for n := int64(20); n >= 1; n-- {
		all = append(all, seq(n))
	}
	for n := int64(1); n <= 20; n++ { // scattered over the generations
		r.write(put(alice(), item(n, n, r.in(10+(n*7)%10)), 0))
		r.write(put(bob, item(n, n, r.in(10)), 0))
		up = append(up, seq(n))
	}
	again := item(5, 30, r.in(13)) // moved to another generation
	r.write(put(alice(), again, r.in(10+35%10)))
	for _, c := range []struct {
		from, to int64
		down     bool
		n        int
		want     []carillon.Seq
	}{
		{0, 0, true, 99, all},
		{0, 0, false, 99, up},
		{7, 0, true, 99, all[:14]},
		{7, 0, false, 99, up[6:]},
		{0, 7, true, 99, all[14:]},
		{0, 7, false, 99, up[:6]},
		{3, 9, true, 99, all[12:18]},
		{3, 9, false, 99, up[2:8]},
		{3, 9, true, 2, all[12:14]},
		{3, 9, false, 2, up[2:4]},
		{9, 9, true, 99, nil},
		{21, 0, false, 99, nil},
		{0, 0, true, 0, nil},
	} {
		got, rows := r.walked(alice(), c.from, c.to, c.down, c.n)
		if !slices.Equal(got, c.want) || rows > len(c.want)+8 { // and one of each generation
			r.Errorf("%+v: %v, of %d rows", c, got, rows)
		}
	}
	r.pass(14) // those of 10 … 13 are gone
	left, _ := r.walked(alice(), 0, 0, true, 99)
	r.same(r.items(alice(), 0, 100), left)
	slices.Reverse(left)
	got, _ := r.walked(alice(), 0, 0, false, 99)
	r.same(left, got)
}
