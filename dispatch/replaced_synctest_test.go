package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"carillon"
)

// told counts what the log of outcomes says of one version of a user's item.
func (r *rig) told(content carillon.Seq) map[string]int {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	got := map[string]int{}
	for _, e := range r.store.ended {
		if e.Content == content {
			got[e.Delivery.Endpoint+" "+e.Delivery.Outcome.Class.String()+" "+e.Delivery.Outcome.Reason]++
		}
	}
	return got
}

// A scheduled version lengthens the life of the row that it rests in; what
// replaces both while a push of the first is unanswered takes the place of that
// row, wherever it expires, or the store would leave it behind.
func TestReplacementOfLengthened(t *testing.T) {
	t.Run("as it goes", func(t *testing.T) { lengthened(t, false) })
	t.Run("after a replay", func(t *testing.T) { lengthened(t, true) })
}

func lengthened(t *testing.T, replayed bool) {
	t.Helper()
	run(t, func(r *rig) {
		u := user("dev.alice")
		first, later := r.keyed(u, "1", "meeting", 1), r.scheduled(u, "2", 2, time.Minute)
		later.rec.Notification.Expires = first.rec.Notification.Expires + (20 * 24 * time.Hour).Milliseconds()
		r.feed(r.joins(u, "phone", carillon.IOS))
		created := r.feed(first)
		r.pass(time.Second)
		r.feed(later)
		r.pass(time.Second)
		if got := r.store.item(u, created).Expires; got != later.rec.Notification.Expires {
			t.Errorf("it expires at %d, its next version at %d", got, later.rec.Notification.Expires)
		}
		if replayed {
			r.stop()
			r = newRigAt(r.t, Config{Shards: 2}, r.store, created, r.next)
			defer r.stop()
			r.feed(first, later)
			r.pass(time.Second)
		}
		at := r.feed(r.keyed(u, "3", "meeting", 3)) // the store refuses a wrong expiry of the row before
		r.pass(time.Second)
		if it := r.store.item(u, created); it.Content != at {
			t.Errorf("the row is of %s, want %s", it.Content, at)
		}
		r.v.answer(t, "phone", carillon.Outcome{Class: carillon.Accepted})
		r.v.answer(t, "phone", carillon.Outcome{Class: carillon.Accepted})
	})
}

// What an older version leaves waiting, parked or to be tried again, is over
// with the row of the version that replaces it, and not when its hint comes up:
// of a shut lane that may be hours later.
func TestReplacementEndsWhatWaits(t *testing.T) {
	for name, c := range map[string]struct {
		written  bool // the older row is, when the newer record comes
		recalled bool // the older version has one delivery in memory
		answer   carillon.Outcome
	}{
		"parked":              {true, false, carillon.Outcome{Class: carillon.ThrottledSender, After: 10 * time.Minute}},
		"parked, not written": {false, false, carillon.Outcome{Class: carillon.ThrottledSender, After: 10 * time.Minute}},
		"due":                 {true, false, carillon.Outcome{Class: carillon.ThrottledEndpoint, After: 30 * time.Minute}},
		"due, not written":    {false, false, carillon.Outcome{Class: carillon.ThrottledEndpoint, After: 30 * time.Minute}},
		"due, one came up":    {true, true, carillon.Outcome{Class: carillon.ThrottledEndpoint, After: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				alice, bob := user("dev.alice"), user("dev.bob")
				r.feed(r.joins(alice, "i", carillon.IOS), r.joins(alice, "j", carillon.IOS), r.joins(bob, "b", carillon.IOS))
				parks := c.answer.Class == carillon.ThrottledSender
				if parks { // the lane is shut before it
					r.feed(r.sends(bob, "first"))
					r.v.answer(t, "b", c.answer)
				}
				older, newer := r.keyed(alice, "1", "k", 1), r.keyed(alice, "2", "k", 2)
				var first carillon.Seq
				if parks && !c.written {
					first = r.feed(older, newer)
				} else {
					first = r.feed(older)
				}
				if !parks {
					r.v.answer(t, "i", c.answer)
					later := c.answer
					later.After = 30 * time.Minute
					r.v.answer(t, "j", later)
				}
				if c.written {
					r.flush()
				}
				if c.recalled {
					pass(75 * time.Second)
					r.wantWaiting("i")
				}
				if c.written || !parks {
					r.feed(newer)
				}
				r.flush()
				got, want := r.told(first), map[string]int{"i suppressed replaced": 1, "j suppressed replaced": 1}
				if c.recalled { // it was handed: its own outcome comes
					delete(want, "i suppressed replaced")
				}
				if len(got) != len(want) || got["j suppressed replaced"] != 1 {
					t.Errorf("the log has %v, want %v", got, want)
				}
				if _, parked := r.store.waiting(); int64(parked) != r.k.hints.depth.Load() {
					t.Errorf("%d parked rows, and %d are counted", parked, r.k.hints.depth.Load())
				}
				r.store.mu.Lock()
				for _, row := range r.store.dues {
					if row.Ref.Content == first && (!c.recalled || row.Ref.Endpoint != "i") {
						t.Errorf("a due row of the older version stays: %+v", row)
					}
				}
				for _, row := range r.store.parked {
					if row.Ref.Content == first {
						t.Errorf("a parked row of the older version stays: %+v", row)
					}
				}
				r.store.mu.Unlock()
				r.v.replies(accept)
				for len(r.v.waiting()) > 0 {
					r.v.answer(t, r.v.waiting()[0], accept(carillon.Push{}))
				}
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				r.store.told(t.Fatalf)
				if n := r.k.inFlight.Load(); n != 0 {
					t.Errorf("%d are still in flight", n)
				}
			})
		})
	}
}

// A delivery that was due, fired and parked, while its notification still waits
// for another vendor in memory, ends once: where it rests its row knows, and the
// notification may not.
func TestMovedHintEndsOnce(t *testing.T) {
	alice, bob := user("dev.alice"), user("dev.bob")
	for name, over := range map[string]func(r *rig) fed{
		"replaced": func(r *rig) fed { return r.keyed(alice, "2", "k", 2) },
		"dismissed": func(r *rig) fed {
			return r.changes(alice, r.d.deps.IDs.Derived(alice, 'n', "k"), "", dismissed())
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				r.feed(r.joins(alice, "i", carillon.IOS), r.joins(alice, "a", carillon.Android), r.joins(bob, "b", carillon.Android), r.sends(bob, "x"))
				first := r.feed(r.keyed(alice, "1", "k", 1))
				r.v.answer(t, "a", carillon.Outcome{Class: carillon.Transient})
				r.v.answer(t, "b", carillon.Outcome{Class: carillon.ThrottledSender, After: 10 * time.Minute})
				pass(2 * time.Second)
				if dues, parked := r.store.waiting(); dues != 1 || parked != 1 { // bob's is due
					t.Fatalf("%d due and %d parked", dues, parked)
				}
				r.feed(over(r))
				r.flush()
				if got := r.told(first); len(got) != 1 || got["a suppressed "+name] != 1 {
					t.Errorf("the log has %v", got)
				}
				if _, parked := r.store.waiting(); name == "dismissed" && parked != 0 {
					t.Errorf("%d are parked", parked)
				}
			})
		})
	}
}
