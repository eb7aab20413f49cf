package pebble_test

import (
	"testing"

	"carillon"
	"carillon/store/pebble"
)

// BenchmarkDrained is a look at the first parked rows of a lane that 200,000
// were drained from since: a read goes over their tombstones until they are
// compacted away.
func BenchmarkDrained(b *testing.B) {
	clock := &carillon.Clock{}
	s := open(b, pebble.Config{}, clock)
	lane := carillon.ParkedLane{Lane: carillon.Lane{Platform: carillon.IOS, Host: "app.example.com"}}
	const drained, batch = 200_000, 256
	row := func(n int64, done bool) carillon.ParkedRow {
		seq := carillon.MakeSeq(1, n)
		return carillon.ParkedRow{Partition: 1, ParkedLane: lane, Expires: clock.UnixMilli() + 1e9, Done: done, Ref: carillon.Ref{
			User: carillon.User{Host: lane.Lane.Host, ID: "dev.alice"}, Created: seq, Content: seq, Endpoint: "phone", Kind: carillon.KindAlert,
		}}
	}
	for _, done := range []bool{false, true} {
		for n := int64(0); n < drained; n += batch {
			rows := &carillon.Rows{}
			for i := n; i < n+batch; i++ {
				if !done || i < drained {
					rows.Parked = append(rows.Parked, row(i, done))
				}
			}
			if err := s.Write(rows, false); err != nil {
				b.Fatal(err)
			}
		}
	}
	after := row(drained-1, false)
	for _, c := range []struct {
		name  string
		after *carillon.ParkedRow
	}{{"first", nil}, {"cursor", &after}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Parked(nil, 1, lane, c.after, batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
