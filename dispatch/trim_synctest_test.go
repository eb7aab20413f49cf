package dispatch

import (
	"testing"
	"testing/synctest"
)

// TestUsersAreTrimmed: one in 256 item rows has its user trimmed.
func TestUsersAreTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		r := newRig(t, Config{Shards: 1, MaxItems: 1}, store)
		defer r.stop()
		if r.d.cfg.MaxItems != r.d.cfg.Credits {
			t.Errorf("at most %d items, below %d credits", r.d.cfg.MaxItems, r.d.cfg.Credits)
		}
		alice := user("dev.alice")
		for range 2*trimOneIn + 5 {
			r.feed(r.sends(alice, "t"))
		}
		r.flush()
		store.mu.Lock()
		defer store.mu.Unlock()
		if len(store.trims) != 2 || store.trims[0] != alice {
			t.Errorf("%v", store.trims)
		}
	})
}
