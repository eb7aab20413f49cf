package dispatch

import (
	"testing"
	"time"

	"carillon"
	"carillon/journal"
)

// What expires while its vendor is out is over then, not when the vendor comes
// back: it neither counts as parked nor takes a probe's turn, and the log of
// outcomes tells its end, once, though its item is no more.
func TestParkedOnesExpire(t *testing.T) {
	run(t, func(r *rig) {
		r.v.replies(failing)
		alice := user("dev.alice")
		r.feed(r.joins(alice, "i", carillon.IOS))
		const n = 3 * recallBatch
		for range n {
			f := fed{user: alice, rec: &journal.Record{Kind: journal.KindNotification, Notification: carillon.Notification{
				HasVisual: true, Title: "t", TTL: -1, Badge: -1, Accepted: r.clock.UnixMilli(), Expires: r.clock.UnixMilli() + 2*time.Minute.Milliseconds(),
			}}}
			r.feed(f)
		}
		r.flush()
		r.flush()
		if _, parked := r.store.waiting(); parked < n-100 {
			t.Fatalf("%d are parked", parked)
		}
		time.Sleep(5 * time.Minute)
		if dues, parked := r.store.waiting(); dues+parked != 0 {
			t.Errorf("%d due and %d parked rows are left", dues, parked)
		}
		told := map[carillon.Class]int{}
		for _, e := range r.store.ended {
			told[e.Delivery.Outcome.Class]++
		}
		if told[carillon.Expired] != n {
			t.Errorf("of %d the log says %v", n, told)
		}
		if depth := r.k.hints.depth.Load(); depth != 0 {
			t.Errorf("%d count as parked", depth)
		}
	})
}
