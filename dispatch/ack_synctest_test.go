package dispatch

import (
	"testing"
	"time"

	"carillon"
	"carillon/journal"
)

// What an endpoint opened and fetched is in its delivery, the first time it told
// so: before the row is written and after, whatever becomes of the delivery, and
// not in others' nor in those of its earlier registrations.
func TestOpenedIsInTheDelivery(t *testing.T) {
	run(t, func(r *rig) {
		u := user("dev.alice")
		r.feed(r.joins(u, "i", carillon.IOS), r.joins(u, "w", carillon.Windows))
		seq := r.feed(r.sends(u, "hello"))
		id := r.d.deps.IDs.Positional(u.Hash(), carillon.Position{Seq: seq})
		acks := func(a journal.Ack) int64 {
			r.feed(fed{user: u, rec: &journal.Record{Kind: journal.KindAck, Ack: a}})
			at := r.clock.UnixMilli()
			pass(time.Second)
			return at
		}
		look := func(endpoint string, fetched, opened int64) {
			t.Helper()
			for _, d := range r.store.item(u, seq).Deliveries {
				if d.Endpoint == endpoint && (d.Fetched != fetched || d.Opened != opened) {
					t.Errorf("%s: fetched %d, opened %d, want %d and %d", endpoint, d.Fetched, d.Opened, fetched, opened)
				}
			}
		}
		// At the vendor, no row is written.
		fetched := acks(journal.Ack{Installation: "i", Fetched: []carillon.ID{id, {9}}})
		look("i", fetched, 0)
		// Written, and at the vendor still: what it ends as later keeps it.
		first := acks(journal.Ack{Installation: "w", Fetched: []carillon.ID{id}})
		look("w", first, 0)
		r.v.answer(t, "i", carillon.Outcome{Class: carillon.Transient})
		r.v.answer(t, "w", carillon.Outcome{Class: carillon.Accepted})
		r.flush()
		opened := acks(journal.Ack{Installation: "i", Opened: []carillon.ID{id}, Fetched: []carillon.ID{id}})
		acks(journal.Ack{Installation: "i", Incarnation: 7777, Opened: []carillon.ID{id}})
		look("i", fetched, opened)
		look("w", first, 0)
		r.v.answer(t, "i", carillon.Outcome{Class: carillon.Accepted}) // its second attempt
		r.flush()
		look("i", fetched, opened)
		acks(journal.Ack{Installation: "w", Incarnation: 7777, Opened: []carillon.ID{id}})
		look("w", first, 0)
		last := acks(journal.Ack{Installation: "w", Opened: []carillon.ID{id}})
		look("w", first, last)
		r.v.replies(accept)
		r.feed(r.changes(u, id, "i", carillon.Change{Read: carillon.Set})) // writes the row anew
		r.flush()
		look("i", fetched, opened)
		look("w", first, last)
		for _, d := range r.store.item(u, seq).Deliveries {
			if d.Outcome.Class != carillon.Accepted {
				t.Errorf("%+v", d)
			}
		}
		if a, s := r.positions(); a != s || a != r.next.Offset() {
			t.Errorf("applied %d, settled %d, of %d", a, s, r.next.Offset())
		}
	})
}
