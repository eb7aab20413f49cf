package gateway

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestPatience: nobody is let go before his time, nobody waits a quarter longer,
// and the end of the server ends all.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, end := context.WithCancel(t.Context())
		p := &patience{most: 8 * time.Second}
		made := map[context.Context]bool{}
		for range 100 {
			ctx := p.from(parent, time.Now())
			made[ctx] = true
			left, ok := ctx.Deadline()
			if d := time.Until(left); !ok || d < 8*time.Second || d > 10*time.Second {
				t.Fatalf("%v are left", d)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if len(made) != 5 {
			t.Errorf("%d contexts for ten seconds", len(made))
		}
		if other := p.from(t.Context(), time.Now()); made[other] {
			t.Error("another server's requests wait with this one's")
		}
		last := p.from(parent, time.Now())
		end()
		if last.Err() == nil {
			t.Error("the end of the server ends no wait")
		}
		time.Sleep(11 * time.Second)
		for ctx := range made {
			if ctx.Err() == nil {
				t.Error("a wait has no end")
			}
		}
	})
}
