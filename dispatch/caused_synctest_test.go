package dispatch

import (
	"fmt"
	"testing"

	"carillon"
)

// What the records of one batch cause goes to the journal together, and a
// registration is settled only when its claim is acknowledged.
func TestClaimsAreAppendedTogether(t *testing.T) {
	run(t, func(r *rig) {
		users := make([]fed, 2000)
		for i := range users {
			users[i] = r.joins(user("dev.alice"), fmt.Sprintf("i-%d", i), carillon.IOS)
		}
		appends := r.journal.calls()
		r.feed(users...)
		r.flush()
		if n := len(r.journal.claims); n != len(users) {
			t.Errorf("%d addresses are claimed, want %d", n, len(users))
		}
		if n := r.journal.calls() - appends; n != 1 {
			t.Errorf("the claims of one batch took %d appends", n)
		}
		if _, settled := r.positions(); settled != int64(len(users)) {
			t.Errorf("settled up to %d, want %d", settled, len(users))
		}
	})
}
