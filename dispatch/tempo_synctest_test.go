package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
)

// Deliveries wait for longer than a slow vendor's may, as this machine has too
// much to do: both vendors answer soon. Nothing parks, as that is more to do.
func TestLateMachineParksNothing(t *testing.T) {
	both := func(r *rig, users int) {
		for i := range users {
			u := user(fmt.Sprintf("dev.u%d", i))
			r.feed(r.joins(u, "i", carillon.IOS), r.joins(u, "w", carillon.Windows))
		}
		for i := range users {
			r.feed(r.sends(user(fmt.Sprintf("dev.u%d", i)), "tea"))
		}
	}
	for _, c := range []struct {
		what                  string
		credits, width, users int
		answers               time.Duration
	}{
		{"credits", 8, 0, 60, 50 * time.Millisecond},
		{"room", 32, 4, 400, 10 * time.Millisecond},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Config{Shards: 2, Credits: c.credits}, newMemory())
				defer r.stop()
				before := r.d.metrics.parked.Get()
				r.v.narrow(c.width)
				ctx, done := context.WithCancel(t.Context())
				var answering sync.WaitGroup
				answering.Go(func() { r.v.answerEvery(ctx, c.answers) })
				defer answering.Wait()
				defer done()
				both(r, c.users)
				pass(10 * time.Second)
				if got := len(r.v.all()); got != 2*c.users {
					t.Errorf("%d pushes, want %d", got, 2*c.users)
				}
				if got := r.d.metrics.parked.Get() - before; got != 0 {
					t.Errorf("%d deliveries parked", got)
				}
			})
		})
	}
}

// answerEvery accepts what is unanswered once in d until ctx ends.
func (v *vendor) answerEvery(ctx context.Context, d time.Duration) {
	for ctx.Err() == nil {
		time.Sleep(d)
		for _, p := range v.unanswered() {
			v.answerIf(p)
		}
		v.tellRoom()
	}
}
