package conformance

import (
	"fmt"
	"sync"
	"testing"

	"carillon"
)

func testIdem(_ *testing.T, r *rig) {
	m := carillon.Idem{RID: carillon.RequestID{1}, BodyHash: [16]byte{2}, Seq: seq(10), ID: carillon.ID{3}, Expires: r.in(24)}
	look := func(want carillon.Idem, found bool) {
		r.Helper()
		got, ok, err := r.s.Idem(alice(), carillon.RequestID{1})
		if err != nil || ok != found || got != want {
			r.Errorf("Idem = %+v, %v, %v, want %+v, %v", got, ok, err, want, found)
		}
	}
	look(carillon.Idem{}, false)
	r.write(&carillon.Rows{Idems: []carillon.IdemRow{{User: alice(), Idem: m}}})
	look(m, true)
	r.pass(25)
	look(carillon.Idem{}, false)
	m.Seq, m.Expires = seq(99), r.in(50) // the key again, a day later
	r.write(&carillon.Rows{Idems: []carillon.IdemRow{{User: alice(), Idem: m}}})
	look(m, true)
}

func testProgress(_ *testing.T, r *rig) {
	look := func(want carillon.Progress) {
		r.Helper()
		got, err := r.s.Progress(want.Partition)
		if err != nil || got != want {
			r.Errorf("Progress = %+v, %v, want %+v", got, err, want)
		}
	}
	write := func(p ...carillon.Progress) {
		r.Helper()
		if err := r.s.Write(&carillon.Rows{Positions: p}, true); err != nil {
			r.Fatal(err)
		}
	}
	look(carillon.Progress{Partition: 3})
	write(carillon.Progress{Partition: 3, Applied: seq(10), Settled: seq(8)}, carillon.Progress{Partition: 4, Applied: seq(5)})
	look(carillon.Progress{Partition: 3, Applied: seq(10), Settled: seq(8)})
	look(carillon.Progress{Partition: 4, Applied: seq(5)})
	write(carillon.Progress{Partition: 3, Applied: seq(9), Settled: seq(9)})
	look(carillon.Progress{Partition: 3, Applied: seq(10), Settled: seq(9)})
	r.pass(24 * 40)
	look(carillon.Progress{Partition: 3, Applied: seq(10), Settled: seq(9)})
}

func testUsers(_ *testing.T, r *rig) {
	users := []carillon.User{
		alice(),
		{Host: "app.example.com", ID: "dev.alice2"},
		{Host: "app.example.com", ID: "dev.alic"},
		{Host: "app.example.co", ID: "m/dev.alice"},
		{Host: "app.example.com", ID: "dev.alice\x00"},
		{Host: "app.example.com", ID: "dev.alice\x00\x01\x02"},
	}
	for i, u := range users {
		r.write(put(u, item(int64(100+i), int64(100+i), r.in(5)), 0))
		r.write(upsert(u, endpoint(fmt.Sprint("e", i), 10, r.in(5)), 0))
	}
	for i, u := range users {
		r.same([]carillon.Seq{seq(int64(100 + i))}, r.items(u, 0, 10))
		r.same([]carillon.Endpoint{endpoint(fmt.Sprint("e", i), 10, r.in(5))}, r.endpoints(u))
	}
}

func testEmpty(_ *testing.T, r *rig) {
	for _, sync := range []bool{false, true} {
		if err := r.s.Write(&carillon.Rows{}, sync); err != nil {
			r.Error(err)
		}
	}
}

const (
	writers = 4
	rounds  = 25
)

// testConcurrent has a few writers, each with its own user, and readers.
func testConcurrent(t *testing.T, r *rig) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { r.writes(w) })
		wg.Go(func() { r.reads(w) })
	}
	wg.Wait()
	for w := range writers {
		r.same([]carillon.Endpoint{endpoint("a", rounds, r.in(rounds))}, r.endpoints(nth(w)))
		if n := len(r.items(nth(w), 0, 2*rounds)); n != rounds {
			t.Errorf("%d items, want %d", n, rounds)
		}
	}
	p, err := r.s.Progress(1)
	if err != nil || p.Applied != seq(rounds) {
		t.Errorf("%+v, %v", p, err)
	}
}

func nth(w int) carillon.User {
	return carillon.User{Host: "app.example.com", ID: fmt.Sprint("dev.", w)}
}

func (r *rig) writes(w int) {
	for n := int64(1); n <= rounds; n++ {
		rows := put(nth(w), item(n, n, r.in(n)), 0)
		rows.Endpoints = upsert(nth(w), endpoint("a", n, r.in(n)), 0).Endpoints
		rows.Positions = []carillon.Progress{{Partition: 1, Applied: seq(n)}, {Partition: int32(10 + w), Applied: seq(n)}} //nolint:gosec // few
		if err := r.s.Write(rows, n%10 == 0); err != nil {
			r.Error(err)
		}
	}
}

func (r *rig) reads(w int) {
	for range rounds {
		if _, err := r.s.Items(nth(w), 0, 5); err != nil {
			r.Error(err)
		}
		if _, err := r.s.Endpoints(nil, nth(w)); err != nil {
			r.Error(err)
		}
		if r.b.Expire != nil {
			r.b.Expire(r.TB, r.s)
		}
	}
}
