package dispatch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
)

const castID = "11111111-2222-8333-8444-555555555555"

// casts is a broadcast's notification.
func (r *rig) casts(u carillon.User) fed {
	f := r.sends(u, "hello all")
	f.rec.Notification.Broadcast = castID
	f.rec.Notification.ID = r.d.deps.IDs.Derived(u, 'b', castID)
	return f
}

// counted is what all shards counted.
func (r *rig) counted() (sum carillon.BroadcastCounts) {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	for _, c := range r.store.counts {
		sum.Add(&c)
	}
	return sum
}

// A broadcast that is posted again rings nobody twice, also after a deletion and
// in a later process, and is counted once.
func TestBroadcastTwice(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	for start := range 2 {
		synctest.Test(t, func(t *testing.T) {
			first := carillon.MakeSeq(1, int64(100*start))
			r := newRigAt(t, Config{Shards: 2}, store, first, first)
			defer r.stop()
			r.v.replies(accept)
			if start == 0 {
				r.feed(r.joins(alice, "i", carillon.IOS))
				seq := r.feed(r.casts(alice), r.casts(alice))
				r.feed(r.casts(alice))
				r.flush()
				r.feed(deletes(alice, r.d.deps.IDs.Derived(alice, 'b', castID), "elsewhere"))
				r.flush()
				if d := store.item(alice, seq).Deliveries; len(d) != 1 || d[0].Outcome.Class != carillon.Accepted {
					t.Errorf("%+v", d)
				}
			}
			r.feed(r.casts(alice))
			r.flush()
			rings := 0
			for _, p := range r.v.all() {
				if p.Kind == carillon.KindAlert {
					rings++
				}
			}
			if rings != 1-start {
				t.Errorf("start %d: it rang %d times", start, rings)
			}
		})
	}
	var sum carillon.BroadcastCounts
	for _, c := range store.counts {
		sum.Add(&c)
	}
	if sum.Notifications != 1 || sum.Planned != 1 || sum.Terminal[carillon.Accepted] != 1 {
		t.Errorf("counted %+v", sum)
	}
}

// A cancelled broadcast is handed off no more: what is queued, parked, due and not
// yet applied ends as cancelled, and another's goes on.
func TestBroadcastCancelled(t *testing.T) {
	run(t, func(r *rig) {
		const users = 40
		for i := range users {
			r.feed(r.joins(user(fmt.Sprint("dev.u", i)), "i", carillon.IOS))
		}
		r.v.replies(failing)
		r.feed(r.casts(user("dev.u0"))) // due
		r.v.rooms(0)
		for i := 1; i < users/2; i++ {
			r.feed(r.casts(user(fmt.Sprint("dev.u", i)))) // queued
		}
		handed := len(r.v.all())
		r.d.Steer(host, castID, carillon.BroadcastCancelled)
		r.v.replies(accept)
		r.v.rooms(1000)
		for i := users / 2; i < users; i++ {
			r.feed(r.casts(user(fmt.Sprint("dev.u", i)))) // comes later
		}
		r.feed(r.sends(user("dev.u7"), "of its own"))
		pass(5 * time.Minute)
		r.flush()
		if n := len(r.v.all()) - handed; n != 1 {
			t.Errorf("%d pushes after it was cancelled, want the one that is not of it", n)
		}
		if c := r.counted(); c.Notifications != users || c.Planned != users || c.Terminal[carillon.Suppressed] != users {
			t.Errorf("counted %+v", c)
		}
		if dues, parked := r.store.waiting(); dues+parked != 0 {
			t.Errorf("%d due and %d parked rows are left", dues, parked)
		}
		if n := r.k.inFlight.Load(); n != 0 {
			t.Errorf("%d credits are still out", n)
		}
	})
}

// What parked in an outage before its broadcast was cancelled never rings.
func TestBroadcastCancelledWhileParked(t *testing.T) {
	run(t, func(r *rig) {
		alice, bob := user("dev.alice"), user("dev.bob")
		r.v.replies(func(carillon.Push) carillon.Outcome {
			return carillon.Outcome{Class: carillon.ThrottledSender, Status: 429, After: time.Minute}
		})
		r.feed(r.joins(alice, "i", carillon.IOS), r.joins(bob, "i", carillon.IOS), r.sends(alice, "first"))
		r.flush()
		seq := r.feed(r.casts(bob))
		r.flush()
		r.v.replies(accept)
		r.d.Steer(host, castID, carillon.BroadcastCancelled)
		pass(3 * time.Minute)
		r.flush()
		if d := r.store.item(bob, seq).Deliveries[0]; d.Outcome.Reason != carillon.WhyCancelled {
			t.Errorf("it ended as %+v", d.Outcome)
		}
		if c := r.counted(); c.Terminal[carillon.Suppressed] != 1 || c.Planned != 1 {
			t.Errorf("counted %+v", c)
		}
	})
}
