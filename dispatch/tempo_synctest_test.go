package dispatch

import (
	"context"
	"fmt"
	"maps"
	"slices"
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
	t.Run("credits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, Config{Shards: 2, Credits: 8}, newMemory())
			defer r.stop()
			before := r.d.metrics.parked.Get()
			both(r, 60)
			for range 200 {
				pass(50 * time.Millisecond)
				for _, p := range r.v.unanswered() {
					r.v.answerIf(p)
				}
				synctest.Wait()
			}
			r.wantRung(t, 120, before)
		})
	})
	t.Run("room", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, Config{Shards: 2, Credits: 32}, newMemory())
			defer r.stop()
			before := r.d.metrics.parked.Get()
			r.v.narrow(4)
			ctx, done := context.WithCancel(t.Context())
			var answering sync.WaitGroup
			answering.Go(func() { r.v.answerEvery(ctx, 10*time.Millisecond) })
			defer answering.Wait()
			defer done()
			both(r, 400)
			pass(5 * time.Second)
			r.wantRung(t, 800, before)
		})
	})
}

// wantRung wants so many pushes, each once, and nothing parked since.
func (r *rig) wantRung(t *testing.T, pushes int, before uint64) {
	t.Helper()
	if got := len(r.v.all()); got != pushes {
		t.Errorf("%d pushes, want %d", got, pushes)
	}
	if got := r.d.metrics.parked.Get() - before; got != 0 {
		t.Errorf("%d deliveries parked", got)
	}
}

// answerEvery accepts what is unanswered once in d until ctx ends.
func (v *vendor) answerEvery(ctx context.Context, d time.Duration) {
	for ctx.Err() == nil {
		time.Sleep(d)
		for _, p := range v.unanswered() {
			v.answerIf(p)
		}
		v.mu.Lock()
		to := slices.Collect(maps.Values(v.to))
		v.mu.Unlock()
		for _, r := range to {
			r.RoomAgain()
		}
	}
}
