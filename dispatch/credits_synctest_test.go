package dispatch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
)

// A vendor that does not answer holds its share of the credits; the other's
// deliveries go on, and what waits for the silent one parks.
func TestSilentVendorLeavesCredits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users, credits = 100, 32
		r := newRig(t, Config{Shards: 2, Credits: credits}, newMemory())
		defer r.stop()
		for i := range users {
			u := user(fmt.Sprintf("dev.u%d", i))
			r.feed(r.joins(u, "i", carillon.IOS), r.joins(u, "a", carillon.Android))
		}
		for i := range users {
			r.feed(r.sends(user(fmt.Sprintf("dev.u%d", i)), "hello"))
		}
		if n := len(r.v.waiting()); n > credits {
			t.Fatalf("%d are handed off, there are %d credits", n, credits)
		}
		android := func() (n int) {
			for _, p := range r.v.all() {
				if p.Endpoint.Platform == carillon.Android {
					n++
				}
			}
			return n
		}
		for range 4 * users { // one answers whatever it gets, the other nothing
			for _, p := range r.v.all() {
				if p.Endpoint.Platform == carillon.Android {
					r.v.answerIf(p)
				}
			}
			pass(10 * time.Millisecond)
			if android() == users {
				break
			}
		}
		if n := android(); n != users {
			t.Errorf("%d of %d rang at the vendor that answers", n, users)
		}
		pass(time.Second)
		if _, parked := r.store.waiting(); parked < users-credits {
			t.Errorf("%d are parked for the silent one", parked)
		}
	})
}

// A vendor that was silent before anybody waited leaves credits too.
func TestSilentVendorLeavesCreditsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users, credits = 60, 32
		r := newRig(t, Config{Shards: 2, Credits: credits}, newMemory())
		defer r.stop()
		for i := range users {
			u := user(fmt.Sprintf("dev.u%d", i))
			r.feed(r.joins(u, "i", carillon.IOS))
		}
		bob := user("dev.bob")
		r.feed(r.joins(bob, "a", carillon.Android), r.sends(bob, "first"))
		r.v.answer(t, "a", accept(carillon.Push{}))
		r.flush()
		for i := range users { // one by one
			r.feed(r.sends(user(fmt.Sprintf("dev.u%d", i)), "hello"))
		}
		r.feed(r.sends(bob, "second"))
		if p := r.v.answer(t, "a", accept(carillon.Push{})); p.Notification.Title != "second" {
			t.Errorf("%q rang", p.Notification.Title)
		}
	})
}

// Of the deliveries to one endpoint some wait in memory, the rest parks; they
// ring in order.
func TestManyForOneEndpointPark(t *testing.T) {
	run(t, func(r *rig) {
		const n = 3 * turnMost
		alice := user("dev.alice")
		r.feed(r.joins(alice, "i", carillon.IOS))
		for i := range n {
			r.feed(r.sends(alice, fmt.Sprint(i)))
		}
		r.flush()
		if _, parked := r.store.waiting(); parked != n-1-turnMost {
			t.Errorf("%d are parked, want %d", parked, n-1-turnMost)
		}
		for i := range n {
			if p := r.v.answer(t, "i", accept(carillon.Push{})); p.Notification.Title != fmt.Sprint(i) {
				t.Fatalf("%q rings as number %d", p.Notification.Title, i)
			}
			r.flush()
		}
		if _, parked := r.store.waiting(); parked != 0 {
			t.Errorf("%d are parked still", parked)
		}
	})
}

// A delivery that waits, for its turn or in its lane, goes to the endpoint as it
// is when it is handed off.
func TestWaitingDeliveryFollowsItsEndpoint(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		moves := func(address string, push carillon.Preference) fed {
			f := r.joins(alice, "i", carillon.IOS)
			f.rec.Endpoint.Address, f.rec.Endpoint.Push = address, push
			return f
		}
		got := func() (s []string) {
			for _, p := range r.v.all() {
				s = append(s, p.Notification.Title+" "+p.Endpoint.Address+" "+p.Kind.String())
			}
			return s
		}
		r.feed(moves("first", carillon.WithPayload), r.sends(alice, "1"), r.sends(alice, "2"), r.sends(alice, "3"))
		r.feed(moves("second", carillon.TapOnly))
		r.v.answer(t, "i", accept(carillon.Push{}))
		r.v.rooms(0)
		r.v.answer(t, "i", accept(carillon.Push{})) // 3 stands in the lane
		r.feed(moves("third", carillon.WithPayload))
		r.v.rooms(1000)
		synctest.Wait()
		if s := fmt.Sprint(got()); s != "[1 first alert 2 second tap 3 third tap]" {
			t.Errorf("handed off %s", s)
		}
		r.feed(r.sends(alice, "4"), r.sends(alice, "5"))
		r.feed(leaves(alice, "i"))
		r.v.answer(t, "i", accept(carillon.Push{}))
		r.flush()
		if s := got(); len(s) != 3 {
			t.Errorf("rings after it left: %s", s)
		}
		r.wantPositions(9, 9)
	})
}
