package dispatch

import (
	"errors"
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
		r.d.Steer(host, castID, carillon.Steering{State: carillon.BroadcastCancelled})
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
		r.d.Steer(host, castID, carillon.Steering{State: carillon.BroadcastCancelled})
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

// A paused broadcast waits, whatever its stage, and others' sends to the same
// endpoints do not wait with it; when it goes on, everything of it rings once.
func TestBroadcastPaused(t *testing.T) {
	run(t, func(r *rig) {
		const users = 40
		for i := range users {
			r.feed(r.joins(user(fmt.Sprint("dev.u", i)), "i", carillon.IOS))
		}
		r.v.rooms(0)
		for i := range users / 2 {
			r.feed(r.casts(user(fmt.Sprint("dev.u", i)))) // queued
		}
		paused := carillon.Steering{State: carillon.BroadcastPaused}
		r.d.Steer(host, castID, paused)
		r.v.replies(accept)
		r.v.rooms(1000)
		for i := users / 2; i < users; i++ {
			r.feed(r.casts(user(fmt.Sprint("dev.u", i))))
		}
		for i := range users {
			r.feed(r.sends(user(fmt.Sprint("dev.u", i)), "of its own"))
		}
		pass(5 * time.Minute)
		r.flush()
		for _, p := range r.v.all() {
			if p.Notification.Broadcast != "" {
				t.Error("one was handed off while it was paused")
			}
		}
		if n := len(r.v.all()); n != users {
			t.Errorf("%d others were handed off, want %d", n, users)
		}
		if _, parked := r.store.waiting(); parked != users || r.d.Parked(host) != 0 {
			t.Errorf("%d are parked, want %d; %d of them hold up the app's sends", parked, users, r.d.Parked(host))
		}
		if p := r.d.Pace(host, castID); p.Bound != "paused" || p.Parked != users {
			t.Errorf("%+v", p)
		}
		r.d.Steer(host, castID, carillon.Steering{})
		pass(10 * time.Second)
		r.flush()
		rang := map[string]int{}
		for _, p := range r.v.all()[users:] {
			rang[p.User.ID]++
		}
		if len(rang) != users || len(r.v.all()) != 2*users {
			t.Errorf("%d pushes to %d users, want %d", len(r.v.all())-users, len(rang), users)
		}
		if dues, parked := r.store.waiting(); dues+parked != 0 || len(r.k.hints.parked) != 0 {
			t.Errorf("%d due and %d parked rows are left, and %d lanes of them", dues, parked, len(r.k.hints.parked))
		}
		if c := r.counted(); c.Terminal[carillon.Accepted] != users || c.Planned != users {
			t.Errorf("counted %+v", c)
		}
	})
}

// A paced broadcast goes no faster than it shall, and not much slower; paused, it
// stops.
func TestBroadcastPaced(t *testing.T) {
	const users, pace = 200, 20
	run(t, func(r *rig) {
		r.v.replies(accept)
		to := carillon.Steering{MaxPerSecond: pace}
		r.d.Steer(host, castID, to)
		for i := range users {
			u := user(fmt.Sprint("dev.u", i))
			r.feed(r.joins(u, "i", carillon.IOS), r.casts(u))
		}
		r.flush()
		from, begin := len(r.v.all()), time.Now()
		for range 5 {
			pass(time.Second)
			r.flush()
			want := int(time.Since(begin).Milliseconds()) * pace / 1000
			if n := len(r.v.all()) - from; n > want+pace/paceAhead || n < want-pace/4 {
				t.Errorf("%d pushes after %v, want %d", n, time.Since(begin), want)
			}
		}
		if p := r.d.Pace(host, castID); p.PerSecond < pace-5 || p.PerSecond > pace+5 || p.Bound != "maxPerSecond" {
			t.Errorf("%+v", p)
		}
		to.State = carillon.BroadcastPaused
		r.d.Steer(host, castID, to)
		pass(time.Second)
		from = len(r.v.all())
		pass(10 * time.Second)
		if n := len(r.v.all()) - from; n > 0 {
			t.Errorf("%d while it was paused", n)
		}
		r.d.Steer(host, castID, carillon.Steering{})
		pass(time.Second)
		r.flush()
		if c := r.counted(); c.Planned != users || c.Terminal[carillon.Accepted] != users {
			t.Errorf("counted %+v", c)
		}
	})
}

// What comes of a broadcast behind its recall is planned no more.
func TestBroadcastRecalledBefore(t *testing.T) {
	run(t, func(r *rig) {
		alice, bob := user("dev.alice"), user("dev.bob")
		r.v.replies(accept)
		r.feed(r.joins(alice, "i", carillon.IOS), r.joins(bob, "i", carillon.IOS), r.casts(alice))
		r.flush()
		r.d.Steer(host, castID, carillon.Steering{State: carillon.BroadcastCancelled, Recalled: true})
		seq := r.feed(r.casts(bob))
		r.feed(r.casts(alice))
		r.flush()
		if r.store.item(bob, seq) != nil || len(r.v.all()) != 1 {
			t.Errorf("it is there, and rang %d times", len(r.v.all()))
		}
		if m := r.store.members; len(m) != 1 || m[0].UserID != alice.ID || m[0].ID != castID {
			t.Errorf("members %+v", m)
		}
		if n := r.k.inFlight.Load(); n != 0 {
			t.Errorf("%d credits are still out", n)
		}
	})
}

// A scheduled broadcast is counted once, as scheduled until its time comes; who loses
// it before is no more among them.
func TestBroadcastScheduled(t *testing.T) {
	run(t, func(r *rig) {
		r.v.replies(accept)
		const users = 4
		for i := range users {
			u := user(fmt.Sprint("dev.u", i))
			f := r.casts(u)
			f.rec.Notification.DeliverAt = r.clock.UnixMilli() + time.Minute.Milliseconds()
			r.feed(r.joins(u, "i", carillon.IOS), f)
		}
		r.flush()
		if c := r.counted(); c.Notifications != users || c.Scheduled != users || c.Planned != 0 {
			t.Errorf("before its time: %+v", c)
		}
		gone, erased := user("dev.u0"), user("dev.u1")
		r.feed(deletes(gone, r.d.deps.IDs.Derived(gone, 'b', castID), ""), erases(erased))
		pass(2 * time.Minute)
		r.feed(r.releases()...)
		r.flush()
		if c := r.counted(); c.Notifications != users || c.Scheduled != 0 || c.Planned != users-2 || c.Terminal[carillon.Accepted] != users-2 {
			t.Errorf("after its time: %+v", c)
		}
		if n := len(r.store.members); n != users-2 {
			t.Errorf("%d members, want %d", n, users-2)
		}
	})
}

// What waits of a broadcast for a user who is erased is over, whatever it waits for.
func TestBroadcastErased(t *testing.T) {
	run(t, func(r *rig) {
		users := []carillon.User{user("dev.due"), user("dev.parked"), user("dev.queued")}
		for _, u := range users {
			r.feed(r.joins(u, "i", carillon.IOS))
		}
		r.v.replies(failing)
		r.feed(r.casts(users[0]))
		r.flush()
		r.v.rooms(0)
		r.feed(r.casts(users[2]))
		r.d.Steer(host, castID, carillon.Steering{State: carillon.BroadcastPaused})
		r.feed(r.casts(users[1]))
		r.flush()
		for _, u := range users {
			r.feed(erases(u))
		}
		r.v.rooms(1000)
		pass(time.Minute)
		r.flush()
		if c := r.counted(); c.Planned != 3 || c.Ended() != 3 {
			t.Errorf("counted %+v", c)
		}
	})
}

// A cancelled broadcast ends at once, whatever its pace was.
func TestBroadcastCancelledWhilePaced(t *testing.T) {
	const users = 200
	run(t, func(r *rig) {
		r.v.replies(accept)
		r.d.Steer(host, castID, carillon.Steering{MaxPerSecond: 1})
		for i := range users {
			u := user(fmt.Sprint("dev.u", i))
			r.feed(r.joins(u, "i", carillon.IOS), r.casts(u))
		}
		r.flush()
		r.d.Steer(host, castID, carillon.Steering{MaxPerSecond: 1, State: carillon.BroadcastCancelled})
		pass(30 * time.Second)
		r.flush()
		_, parked := r.store.waiting()
		if c := r.counted(); parked != 0 || c.Ended() != users {
			t.Errorf("30 s after the cancel %d are parked, %d of %d ended", parked, c.Ended(), users)
		}
	})
}

// Who deleted his notification of a broadcast is no member any more, and so no
// erasure leaves his name behind.
func TestBroadcastErasedMember(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.v.replies(accept)
		r.feed(r.joins(alice, "i", carillon.IOS))
		r.feed(r.casts(alice))
		r.flush()
		pass(time.Second)
		r.feed(deletes(alice, r.d.deps.IDs.Derived(alice, 'b', castID), ""))
		r.flush()
		pass(time.Second)
		r.feed(erases(alice))
		pass(time.Minute)
		r.flush()
		if len(r.store.members) != 0 {
			t.Errorf("left: %+v", r.store.members)
		}
	})
}

// What was handed off and not written before a crash can be taken back by a recall
// that came meanwhile: it is planned again, so that its deletion clears it.
func TestBroadcastRecalledOverACrash(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	var from, end carillon.Seq
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, store)
		r.feed(r.joins(alice, "i", carillon.IOS))
		r.flush()
		pass(time.Second)
		from = r.feed(r.casts(alice))
		end = r.next
		if n := len(r.v.all()); n != 1 {
			t.Fatalf("%d pushes", n)
		}
		store.fail(errors.New("crash"))
		r.stop()
		store.fail(nil)
		if store.item(alice, from) != nil {
			t.Fatal("written")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRigAt(t, Config{Shards: 1}, store, from, end)
		defer r.stop()
		r.v.replies(accept)
		r.d.Steer(host, castID, carillon.Steering{State: carillon.BroadcastCancelled, Recalled: true})
		r.feed(r.casts(alice))
		pass(time.Minute)
		r.flush()
		if store.item(alice, from) == nil || len(store.members) == 0 {
			t.Errorf("the phone shows it: pushes after restart %d, item %v, members %v", len(r.v.all()), store.item(alice, from), store.members)
		}
	})
}

// A recall's deletion and the drain of what it cancelled meet at a user who is not at
// hand: what waited is counted, once.
func TestBroadcastRecalledWhileRecalled(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	for start := range 2 {
		synctest.Test(t, func(t *testing.T) {
			first := carillon.MakeSeq(1, int64(100*start))
			r := newRigAt(t, Config{Shards: 1}, store, first, first+carillon.Seq(start))
			defer r.stop()
			r.v.replies(accept)
			r.d.Steer(host, castID, carillon.Steering{State: carillon.BroadcastPaused})
			r.feed(r.joins(user("dev.bob"), "b", carillon.IOS))
			r.flush()
			r.positions()
			if start == 0 {
				r.feed(r.joins(alice, "i", carillon.IOS))
				r.feed(r.casts(alice))
				r.flush()
				pass(time.Second)
				return
			}
			store.mu.Lock()
			store.read = func() { time.Sleep(50 * time.Millisecond) } // of the bubble: what comes meanwhile waits for the user
			store.mu.Unlock()
			r.feed(deletes(alice, r.d.deps.IDs.Derived(alice, 'b', castID), ""))
			r.d.Steer(host, castID, carillon.Steering{State: carillon.BroadcastCancelled, Recalled: true})
			pass(time.Minute)
			r.flush()
			dues, parked := store.waiting()
			if c := r.counted(); c.Planned != c.Ended() {
				t.Errorf("planned %d, ended %d, due %d, parked %d", c.Planned, c.Ended(), dues, parked)
			}
		})
	}
}

// A replay of a scheduled broadcast that was released, rang and was deleted rings
// nobody; a plain keyed notification is the control.
func TestBroadcastScheduledReplay(t *testing.T) {
	for _, broadcast := range []bool{false, true} {
		store := newMemory()
		alice := user("dev.alice")
		var from, end carillon.Seq
		var played []fed
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, Config{Shards: 1}, store)
			defer r.stop()
			r.v.replies(accept)
			r.feed(r.joins(alice, "i", carillon.IOS))
			f := r.scheduled(alice, "later", 1, time.Minute)
			if broadcast {
				f = r.casts(alice)
				f.rec.Notification.DeliverAt = r.clock.UnixMilli() + 60_000
			}
			from = r.feed(f)
			r.flush()
			pass(2 * time.Minute)
			due := r.releases()
			r.feed(due...)
			r.flush()
			pass(time.Second)
			id := f.rec.Notification.ID
			del := deletes(alice, id, "")
			r.feed(del)
			r.flush()
			pass(time.Second)
			if it := store.item(alice, from); !it.State.Deleted {
				t.Fatal("not deleted")
			}
			played, end = append(append([]fed{f}, due...), del), r.next
			r.v.mu.Lock()
			r.v.log = r.v.log[:1]
			r.v.mu.Unlock()
			if n := len(r.v.all()); n != 1 {
				t.Fatalf("%d pushes", n)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			r := newRigAt(t, Config{Shards: 1}, store, from, end)
			defer r.stop()
			time.Sleep(3 * time.Minute) // of the bubble: the first run went on so long
			r.v.replies(accept)
			for _, f := range played {
				r.feedAt(r.clock.UnixMilli(), f)
				r.flush()
			}
			pass(2 * time.Minute)
			r.feed(r.releases()...)
			r.flush()
			n := 0
			for _, p := range r.v.all() {
				if p.Kind == carillon.KindAlert {
					n++
				}
			}
			if n != 0 {
				t.Errorf("broadcast %v: the replay rang %d times; counts %+v", broadcast, n, r.counted())
			}
		})
	}
}

// A pace that comes while a broadcast runs holds back what is queued already.
func TestBroadcastPacedWhileItRuns(t *testing.T) {
	const users = 100
	run(t, func(r *rig) {
		r.v.replies(accept)
		r.v.rooms(0)
		for i := range users {
			u := user(fmt.Sprint("dev.u", i))
			r.feed(r.joins(u, "i", carillon.IOS), r.casts(u))
		}
		r.d.Steer(host, castID, carillon.Steering{MaxPerSecond: 10})
		r.v.rooms(1000)
		pass(2 * time.Second)
		if n := len(r.v.all()); n > 30 {
			t.Errorf("%d went in 2 s at 10 a second", n)
		}
		pass(20 * time.Second)
		r.flush()
		if c := r.counted(); c.Terminal[carillon.Accepted] != users {
			t.Errorf("counted %+v", c)
		}
	})
}
