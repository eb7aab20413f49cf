package dispatch

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
)

// A vendor that takes pushes and does not answer, to fewer devices than there
// are credits: what comes later for them parks, so the others' records do not
// wait with it; afterwards everything rings, in order.
func TestSilentVendorDoesNotHoldThePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 2, Credits: 256}, newMemory())
		defer r.stop()
		const users, rounds = 40, 40
		for i := range users {
			u := user(fmt.Sprintf("dev.u%d", i))
			r.feed(r.joins(u, "i", carillon.IOS), r.joins(u, "w", carillon.Windows))
		}
		r.flush()
		for n := range rounds {
			for i := range users {
				r.feed(r.sends(user(fmt.Sprintf("dev.u%d", i)), fmt.Sprint(n)))
			}
			for slices.Contains(r.v.waiting(), "w") {
				r.v.answer(t, "w", carillon.Outcome{Class: carillon.Accepted})
			}
			pass(100 * time.Millisecond)
		}
		if n, limit := r.k.inFlight.Load(), r.k.backlog(); n >= limit {
			t.Errorf("%d are in flight, at %d the reader waits for the silent vendor", n, limit)
		}
		r.v.replies(accept)
		for slices.Contains(r.v.waiting(), "i") {
			r.v.answer(t, "i", carillon.Outcome{Class: carillon.Accepted})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if dues, parked := r.store.waiting(); dues+parked != 0 {
			t.Errorf("%d due and %d parked rows are left", dues, parked)
		}
		last, rung := map[string]carillon.Seq{}, 0
		for _, p := range r.v.all() {
			k := p.User.ID + p.Endpoint.ID
			if rung++; p.Seq <= last[k] {
				t.Errorf("%s: %s was handed off after %s", k, p.Seq, last[k])
			}
			last[k] = p.Seq
		}
		if rung != 2*users*rounds {
			t.Errorf("%d pushes, want %d", rung, 2*users*rounds)
		}
	})
}
