package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"carillon"
)

// A parked delivery has its turn before the record that it belongs to is read
// again: the other delivery of that record was on its way when the process was
// killed, and rings; the ledger counts both.
func TestReplayBehindItsOwnRecall(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	var records []fed
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, store)
		defer r.stop()
		records = []fed{
			r.joins(alice, "i", carillon.IOS), r.joins(alice, "w", carillon.Windows),
			r.keyed(alice, "1", "k1", 1), r.keyed(alice, "2", "k2", 2),
		}
		r.feed(records...)
		r.v.answer(t, "i", carillon.Outcome{Class: carillon.ThrottledSender, Status: 429, After: 10 * time.Minute})
		r.flush()
		if dues, parked := store.waiting(); parked != 1 || dues != 1 {
			t.Fatalf("%d parked and %d due, want one each", parked, dues)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, store)
		defer r.stop()
		if got := r.v.waiting(); len(got) != 1 || got[0] != "i" {
			t.Fatalf("%v has its turn, want the parked i", got)
		}
		r.k.replayEnd = carillon.MakeSeq(1, 4)
		r.feed(records...)
		for _, want := range []string{"1", "2"} {
			if p := r.v.answer(t, "w", accept(carillon.Push{})); p.Notification.Title != want {
				t.Errorf("w rings %q, want %q", p.Notification.Title, want)
			}
		}
		r.v.answer(t, "i", accept(carillon.Push{}))
		r.v.replies(accept)
		r.flush()
		r.wantPositions(4, 4)
		if l := r.k.progress().Ledger; len(l) != 1 || l[0].Planned != 4 {
			t.Errorf("the ledger holds %+v, want 4 planned", l)
		}
	})
}
