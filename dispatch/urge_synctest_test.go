package dispatch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
)

// A dismissal does not wait for what others are sent: while a vendor takes one
// push at a time and a thousand wait, the clear is the next.
func TestClearsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, newMemory())
		defer r.stop()
		alice := user("dev.alice")
		r.feed(r.joins(alice, "phone", carillon.IOS), r.joins(alice, "pad", carillon.IOS))
		created := r.feed(r.sends(alice, "dinner"))
		r.v.answer(t, "phone", accept(carillon.Push{}))
		r.v.answer(t, "pad", accept(carillon.Push{}))
		pass(time.Second)
		r.v.rooms(0)
		var crowd []fed
		for i := range 1000 {
			u := user(fmt.Sprintf("dev.other-%d", i))
			crowd = append(crowd, r.joins(u, "one", carillon.IOS), r.sends(u, "news"))
		}
		r.feed(crowd...)
		r.feed(r.changes(alice, r.d.deps.IDs.Positional(alice.Hash(), carillon.Position{Seq: created}), "phone", read()))
		before := len(r.v.all())
		r.v.rooms(1)
		synctest.Wait()
		all := r.v.all()[before:]
		if len(all) == 0 || all[0].Kind != carillon.KindClear || all[0].Endpoint.ID != "pad" {
			t.Fatalf("the first of %d is %+v, want the pad's clear", len(all), all[:min(1, len(all))])
		}
		r.v.replies(accept)
		r.v.rooms(1000)
		pass(time.Minute)
		if n := len(r.v.all()); n != 1003 {
			t.Errorf("%d pushes in all, want 1003", n)
		}
	})
}
