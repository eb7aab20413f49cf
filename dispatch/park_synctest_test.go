package dispatch

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
	"carillon/journal"
)

func failing(carillon.Push) carillon.Outcome {
	return carillon.Outcome{Class: carillon.Transient, Status: 503}
}

// A vendor that is out shuts its lane: deliveries park, the other lane goes on,
// positions pass, and when it is back everything rings, in order.
func TestVendorOutParksAndDrains(t *testing.T) {
	run(t, func(r *rig) {
		const users = 60
		ios := func(p carillon.Push) bool { return p.Endpoint.Platform == carillon.IOS }
		var out atomic.Bool
		out.Store(true)
		r.v.replies(func(p carillon.Push) carillon.Outcome {
			if out.Load() && ios(p) {
				return failing(p)
			}
			return accept(p)
		})
		for i := range users {
			u := user(fmt.Sprintf("dev.u%d", i))
			r.feed(r.joins(u, "i", carillon.IOS), r.joins(u, "w", carillon.Windows))
		}
		for n := range 5 {
			for i := range users {
				r.feed(r.sends(user(fmt.Sprintf("dev.u%d", i)), fmt.Sprint(n)))
			}
		}
		r.flush()
		r.flush()
		if _, parked := r.store.waiting(); parked == 0 {
			t.Fatal("nothing is parked")
		}
		total := int64(2*users + 5*users)
		r.wantPositions(total, total)
		before := len(r.v.all())
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if tried := len(r.v.all()) - before; tried > 60 {
			t.Errorf("%d attempts while the vendor was out for 30 s", tried)
		}
		out.Store(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.flush()
		if dues, parked := r.store.waiting(); dues+parked != 0 {
			t.Errorf("%d due and %d parked rows are left", dues, parked)
		}
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		for _, items := range r.store.items {
			for _, it := range items {
				for _, d := range it.Deliveries {
					if d.Outcome.Class != carillon.Accepted {
						t.Fatalf("a delivery to %s ended as %s", d.Endpoint, d.Outcome.Class)
					}
				}
			}
		}
		last := map[string]carillon.Seq{}
		for _, p := range r.v.all() {
			if k := p.User.ID; ios(p) && p.Attempt == 1 {
				if p.Seq < last[k] {
					t.Errorf("%s: %s was handed off after %s", k, p.Seq, last[k])
				}
				last[k] = p.Seq
			}
		}
		if n := r.k.inFlight.Load(); n != 0 {
			t.Errorf("%d credits are still out", n)
		}
	})
}

// Devices of many users have one name; three of them that refuse our credential
// are three.
func TestOneNameIsManyDevices(t *testing.T) {
	run(t, func(r *rig) {
		r.v.replies(func(carillon.Push) carillon.Outcome { return carillon.Outcome{Class: carillon.WrongCredential} })
		for i := range 5 {
			u := user(fmt.Sprintf("dev.u%d", i))
			f := r.joins(u, "phone", carillon.IOS)
			f.rec.Endpoint.Address += u.ID
			r.feed(f, r.sends(u, "hello"))
		}
		r.flush()
		if dues, parked := r.store.waiting(); parked == 0 || dues > credentialStrikes {
			t.Errorf("%d were tried and %d are parked: the lane is not shut", dues, parked)
		}
	})
}

func TestParkedSurvivesARestart(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, store)
		defer r.stop()
		r.v.replies(func(carillon.Push) carillon.Outcome {
			return carillon.Outcome{Class: carillon.ThrottledSender, Status: 429, After: 10 * time.Minute}
		})
		r.feed(r.joins(alice, "i", carillon.IOS))
		r.feed(r.sends(alice, "1"))
		r.feed(r.sends(alice, "2"))
		r.flush()
		r.wantPositions(3, 3)
		if dues, parked := store.waiting(); parked != 1 || dues != 1 {
			t.Fatalf("%d parked and %d due, want one each", parked, dues)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, store)
		defer r.stop()
		r.v.answer(t, "i", accept(carillon.Push{}))
		r.v.replies(accept)
		r.flush()
		if len(r.v.all()) != 1 || r.v.all()[0].Notification.Title != "2" {
			t.Errorf("handed off %v, want what was parked", r.v.all())
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		r.flush()
		if dues, parked := store.waiting(); len(r.v.all()) != 2 || dues+parked != 0 {
			t.Errorf("%d handed off, %d parked, %d due", len(r.v.all()), parked, dues)
		}
	})
}

func TestGoneLeavesWithACap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{LeavesPerMinute: 3}, newMemory())
		defer r.stop()
		r.v.replies(func(carillon.Push) carillon.Outcome { return carillon.Outcome{Class: carillon.Gone, Status: 410} })
		for i := range 5 {
			u := user(fmt.Sprintf("dev.u%d", i))
			r.feed(r.joins(u, "i", carillon.IOS), r.sends(u, "hello"))
		}
		r.flush()
		if n := len(r.journal.entries); n != 3 {
			t.Errorf("%d endpoints leave within a minute, the cap is 3", n)
		}
		var rec journal.Record
		if err := rec.Decode(r.journal.entries[0].Value); err != nil || rec.Kind != journal.KindLeave || rec.Leave.Addressed == 0 {
			t.Errorf("journalled %+v, %v", rec.Leave, err)
		}
		r.wantPositions(10, 10)
	})
}

// A vendor that comes back is found within seconds, though the oldest of what is
// parked is for a device that it never serves: each probe takes another one.
func TestLaneOpensSoonAfterAnOutage(t *testing.T) {
	run(t, func(r *rig) {
		const users = 40
		var out atomic.Bool
		out.Store(true)
		r.v.replies(func(p carillon.Push) carillon.Outcome {
			if out.Load() || p.User.ID == "dev.u0" {
				return failing(p)
			}
			return accept(p)
		})
		for i := range users {
			r.feed(r.joins(user(fmt.Sprintf("dev.u%d", i)), "i", carillon.IOS))
		}
		for n := range 3 {
			for i := range users {
				r.feed(r.sends(user(fmt.Sprintf("dev.u%d", i)), fmt.Sprint(n)))
			}
		}
		pass(5 * time.Minute)
		out.Store(false)
		const soon = 2 * shutLast * 5 / 4 * time.Millisecond // a probe for the one that fails, and one
		pass(soon)
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		for u, items := range r.store.items {
			for _, it := range items {
				if c := it.Deliveries[0].Outcome.Class; c != carillon.Accepted && u.ID != "dev.u0" {
					t.Fatalf("%s: %s, %v after the vendor came back", u.ID, c, soon)
				}
			}
		}
	})
}
