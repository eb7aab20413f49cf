package dispatch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
)

// A paused app hands nothing off, not even probes; what it sends parks, and
// positions pass. When it goes on everything rings, in order.
func TestPausedAppHandsNothingOff(t *testing.T) {
	run(t, func(r *rig) {
		r.v.replies(accept)
		alice, bob := user("dev.alice"), user("dev.bob")
		r.feed(r.joins(alice, "i", carillon.IOS), r.joins(bob, "w", carillon.Windows), r.sends(alice, "before"))
		r.flush()
		r.d.Pause(host, true)
		for n := range 5 {
			r.feed(r.sends(alice, fmt.Sprint(n)), r.sends(bob, fmt.Sprint(n))) // bob's lane is opened while it is paused
		}
		pass(5 * time.Minute)
		r.flush()
		if n := len(r.v.all()); n != 1 {
			t.Errorf("%d pushes were handed off, want the one from before", n)
		}
		if _, parked := r.store.waiting(); parked != 10 {
			t.Errorf("%d deliveries are parked, want 10", parked)
		}
		r.wantPositions(13, 13)
		r.d.Pause("other.example.com", true)
		r.d.Pause(host, false)
		pass(10 * time.Second)
		r.flush()
		if dues, parked := r.store.waiting(); dues+parked != 0 {
			t.Errorf("%d due and %d parked rows are left", dues, parked)
		}
		next := map[string]int{}
		for _, p := range r.v.all()[1:] {
			if p.Notification.Title != fmt.Sprint(next[p.User.ID]) {
				t.Errorf("%s: %q was handed off in the place of %d", p.User.ID, p.Notification.Title, next[p.User.ID])
			}
			next[p.User.ID]++
		}
		if next[alice.ID] != 5 || next[bob.ID] != 5 {
			t.Errorf("handed off %v, want 5 each", next)
		}
	})
}

// What is queued for a vendor without room parks when its app is paused, and a
// dismissal ends it there.
func TestPauseTakesBackWhatIsQueued(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.feed(r.joins(alice, "i", carillon.IOS))
		r.v.rooms(0)
		seq := r.feed(r.sends(alice, "hello"))
		r.d.Pause(host, true)
		synctest.Wait()
		r.flush()
		if _, parked := r.store.waiting(); parked != 1 {
			t.Fatalf("%d deliveries are parked, want 1", parked)
		}
		r.v.rooms(1000)
		r.feed(r.changes(alice, r.id(alice, seq), "elsewhere", carillon.Change{Action: carillon.Dismissed, HasAction: true}))
		r.flush()
		r.d.Pause(host, false)
		pass(10 * time.Second)
		r.flush()
		for _, p := range r.v.all() {
			if p.Kind != carillon.KindClear && p.Kind != carillon.KindTap {
				t.Errorf("%q was handed off after it was dismissed", p.Notification.Title)
			}
		}
		if d := r.store.item(alice, seq).Deliveries[0]; d.Outcome.Class != carillon.Suppressed {
			t.Errorf("it ended as %s", d.Outcome.Class)
		}
	})
}

// A vendor's failures and a pause are two things: neither opens what the other
// shut.
func TestPauseBesideABreaker(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.v.replies(func(carillon.Push) carillon.Outcome {
			return carillon.Outcome{Class: carillon.ThrottledSender, Status: 429, After: time.Minute}
		})
		r.feed(r.joins(alice, "i", carillon.IOS), r.sends(alice, "1"))
		r.flush()
		r.d.Pause(host, true)
		r.feed(r.sends(alice, "2"))
		r.flush()
		tried := len(r.v.all())
		pass(10 * time.Minute)
		r.flush()
		if n := len(r.v.all()); n != tried {
			t.Errorf("%d pushes while it was paused: a probe is one too", n-tried)
		}
		r.v.replies(accept)
		r.d.Pause(host, false)
		pass(2 * time.Minute)
		r.flush()
		if dues, parked := r.store.waiting(); dues+parked != 0 {
			t.Errorf("%d due and %d parked rows are left", dues, parked)
		}
	})
}
