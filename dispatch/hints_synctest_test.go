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
