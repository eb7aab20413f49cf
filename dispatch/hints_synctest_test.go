package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"carillon"
)

// A due row that is written only after a later one has fired (its write stood
// still, or the clock went back) fires too, while others are still to come.
func TestDueBehindTheCursor(t *testing.T) {
	run(t, func(r *rig) {
		far, first, late := user("dev.far"), user("dev.first"), user("dev.late")
		after := map[string]time.Duration{far.ID: 30 * time.Minute, first.ID: 30 * time.Millisecond, late.ID: time.Millisecond}
		r.v.replies(func(p carillon.Push) carillon.Outcome {
			if p.Attempt == 1 {
				return carillon.Outcome{Class: carillon.ThrottledEndpoint, Status: 429, After: after[p.User.ID]}
			}
			return accept(p)
		})
		r.feed(r.joins(far, "i", carillon.IOS), r.joins(first, "i", carillon.IOS), r.joins(late, "i", carillon.IOS))
		r.flush()
		r.feed(r.sends(far, "far"), r.sends(first, "first"))
		time.Sleep(25 * time.Millisecond) // both rows are written
		synctest.Wait()
		seq := r.feed(r.sends(late, "late")) // due before first, and written after that fired
		time.Sleep(time.Minute)
		synctest.Wait()
		if it := r.store.item(late, seq); it == nil || it.Deliveries[0].Outcome.Class != carillon.Accepted {
			t.Errorf("what was due a minute ago did not fire: %+v", it)
		}
	})
}

// A parked row that goes while its keeper looks through what it has read is not
// counted off twice: what is parked later would be forgotten until the lane shuts
// again, and newcomers would pass it.
func TestParkedRowGoesDuringALook(t *testing.T) {
	run(t, func(r *rig) {
		alice, bob := user("dev.alice"), user("dev.bob")
		r.feed(r.joins(alice, "a", carillon.IOS), r.joins(bob, "b", carillon.IOS), r.sends(alice, "shuts the lane"))
		r.v.answer(t, "a", carillon.Outcome{Class: carillon.ThrottledSender, After: time.Second})
		r.feed(r.sends(bob, "1"), r.sends(bob, "2"))
		pass(5 * time.Second)
		r.v.answer(t, r.v.waiting()[0], accept(carillon.Push{})) // the probe
		r.flush()
		if rows := len(r.store.parked); rows == 0 {
			t.Fatal("nothing is parked any more")
		}
		looks := 0
		r.store.looked = func() {
			if looks++; looks > 1 || len(r.v.waiting()) == 0 {
				return
			}
			for _, p := range r.v.all() {
				r.v.answerIf(p)
			}
			time.Sleep(time.Second) // its row goes
		}
		nudge(r.k.hints.wake)
		pass(10 * time.Second)
		r.v.replies(accept)
		for _, id := range r.v.waiting() {
			r.v.answer(t, id, accept(carillon.Push{}))
		}
		pass(10 * time.Second)
		if dues, parked := r.store.waiting(); dues+parked != 0 || looks == 0 {
			t.Fatalf("%d due and %d parked rows are left; %d looks", dues, parked, looks)
		}
		if depth := r.k.hints.depth.Load(); depth != 0 {
			t.Errorf("nothing is parked, and %d are counted", depth)
		}
	})
}
