package conformance

import (
	"testing"

	"carillon"
)

func testEndpoints(_ *testing.T, r *rig) {
	a, b := endpoint("a", 10, r.in(5)), endpoint("b", 11, r.in(100))
	r.same([]carillon.Endpoint{}, r.endpoints(alice()))
	r.write(upsert(alice(), b, 0))
	r.write(upsert(alice(), a, 0))
	r.same([]carillon.Endpoint{a, b}, r.endpoints(alice()))
	kept, err := r.s.Endpoints([]carillon.Endpoint{{ID: "a"}}, alice())
	if err != nil || len(kept) != 3 || kept[0].ID != "a" || kept[0].Version != 0 {
		r.Errorf("what was in dst is gone or merged: %+v, %v", kept, err)
	}
	r.pass(6)
	r.same([]carillon.Endpoint{b}, r.endpoints(alice()))
	r.pass(100)
	r.same([]carillon.Endpoint{}, r.endpoints(alice()))
}

func testEndpointVersions(_ *testing.T, r *rig) {
	first, second := endpoint("a", 10, r.in(50)), endpoint("a", 20, r.in(3))
	r.write(upsert(alice(), first, 0))
	r.write(upsert(alice(), second, first.Expires)) // shorter
	r.same([]carillon.Endpoint{second}, r.endpoints(alice()))
	r.write(upsert(alice(), first, 0)) // again, and no hint
	r.same([]carillon.Endpoint{second}, r.endpoints(alice()))
	r.pass(4)
	r.same([]carillon.Endpoint{}, r.endpoints(alice()))
	third := endpoint("a", 30, r.in(60))
	r.write(upsert(alice(), third, 0)) // nobody remembers the second
	r.same([]carillon.Endpoint{third}, r.endpoints(alice()))
	fourth := endpoint("a", 40, r.in(55))
	r.write(upsert(alice(), fourth, 0)) // no hint where the third stands
	r.same([]carillon.Endpoint{fourth}, r.endpoints(alice()))
	r.pass(53)
	r.same([]carillon.Endpoint{}, r.endpoints(alice()))
}

func testEndpointLeft(_ *testing.T, r *rig) {
	joined, back := endpoint("a", 10, r.in(50)), endpoint("a", 30, r.in(20))
	gone := joined
	gone.Version = seq(20)
	r.write(upsert(alice(), joined, 0))
	r.write(leave(alice(), gone, joined.Expires))
	r.same([]carillon.Endpoint{}, r.endpoints(alice()))
	r.write(upsert(alice(), joined, 0)) // a replay
	r.same([]carillon.Endpoint{}, r.endpoints(alice()))
	r.pass(10)
	r.write(upsert(alice(), joined, 0))
	r.same([]carillon.Endpoint{}, r.endpoints(alice()))
	r.write(upsert(alice(), back, 0))
	r.same([]carillon.Endpoint{back}, r.endpoints(alice()))
	r.write(leave(alice(), gone, 0)) // the old leave again
	r.same([]carillon.Endpoint{back}, r.endpoints(alice()))
	evicted := back // made room for another: its own version, gone
	r.write(leave(alice(), evicted, back.Expires))
	r.same([]carillon.Endpoint{}, r.endpoints(alice()))
	r.write(upsert(alice(), back, 0))
	r.same([]carillon.Endpoint{}, r.endpoints(alice()))
	r.write(leave(alice(), endpoint("never", 5, 0), 0))
	r.same([]carillon.Endpoint{}, r.endpoints(alice()))
}

func testEndpointBatch(_ *testing.T, r *rig) {
	row := func(version, expires int64, left bool) carillon.EndpointRow {
		return carillon.EndpointRow{User: alice(), Endpoint: endpoint("a", version, expires), Left: left}
	}
	r.write(&carillon.Rows{Endpoints: []carillon.EndpointRow{
		row(10, r.in(50), false), row(20, r.in(50), true), row(15, r.in(40), false), row(30, r.in(5), false), row(25, r.in(60), false),
	}})
	r.same([]carillon.Endpoint{endpoint("a", 30, r.in(5))}, r.endpoints(alice()))
	r.pass(6)
	r.same([]carillon.Endpoint{}, r.endpoints(alice()))
}
