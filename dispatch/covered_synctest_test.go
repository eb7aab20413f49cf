package dispatch

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
	"carillon/journal"
)

// A notification rings, everything up to it is read elsewhere and its endpoint
// told, and the process is killed before the notification's own row is written.
// The replay finds the floor there: it rings nobody again.
func TestReplayUnderAFloor(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	sent := carillon.MakeSeq(1, 2)
	var records []fed
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1, RowDelay: time.Hour}, store)
		defer r.stop()
		records = []fed{r.joins(alice, "i", carillon.IOS), r.joins(alice, "w", carillon.Windows), r.sends(alice, "1")}
		r.feed(records...)
		floor := fed{user: alice, rec: &journal.Record{Kind: journal.KindChange, Change: journal.Change{
			Floor: sent + 1, Change: carillon.Change{Read: carillon.Set}, Installation: "w",
		}}}
		records = append(records, floor)
		r.v.answer(t, "i", accept(carillon.Push{}))
		r.feed(floor)
		if p := r.v.answer(t, "i", accept(carillon.Push{})); p.Kind != carillon.KindTap {
			t.Fatalf("after the floor the phone got a %v", p.Kind)
		}
		pass(time.Second)
		if f, _ := store.Floor(alice); len(f) != 1 {
			t.Fatalf("the floor is %v", f)
		}
		if it := store.item(alice, sent); it != nil {
			t.Fatalf("the notification's row is written, which this test is not about: %+v", it)
		}
		store = store.clone()
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, store)
		defer r.stop()
		r.k.replayEnd = carillon.MakeSeq(1, int64(len(records)))
		r.v.replies(accept)
		r.feed(records...)
		r.flush()
		for _, p := range r.v.all() {
			if p.Kind == carillon.KindAlert {
				t.Errorf("%s rings again for what is read", p.Endpoint.ID)
			}
		}
		for _, d := range store.item(alice, sent).Deliveries {
			if d.Outcome.Class != carillon.Suppressed {
				t.Errorf("the delivery to %s is %s", d.Endpoint, d.Outcome.Class)
			}
		}
		r.wantPositions(int64(len(records)), int64(len(records)))
	})
}

// A push was on its way when the process was killed, and what it shows is read by
// then. The app acknowledges that it saw so, but it looked before the push came:
// it is told all the same.
func TestAckOfBeforeTheReplay(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	sent := carillon.MakeSeq(1, 2)
	var records []fed
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1, RowDelay: time.Hour}, store)
		defer r.stop()
		records = []fed{
			r.joins(alice, "i", carillon.IOS), r.joins(alice, "w", carillon.Windows), r.sends(alice, "1"),
			{user: alice, rec: &journal.Record{Kind: journal.KindChange, Change: journal.Change{
				Floor: sent + 1, Change: carillon.Change{Read: carillon.Set}, Installation: "w",
			}}},
		}
		r.feed(records...)
		pass(time.Second)
		if got := r.v.waiting(); !slices.Contains(got, "i") {
			t.Fatalf("%v are unanswered, want the phone's push", got)
		}
		store = store.clone()
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, store)
		defer r.stop()
		r.k.replayEnd = carillon.MakeSeq(1, int64(len(records)))
		r.v.replies(accept)
		r.feed(append(records, fed{user: alice, rec: &journal.Record{Kind: journal.KindAck, Ack: journal.Ack{
			Installation: "i", Position: carillon.MakeSeq(1, 3),
		}}})...)
		r.flush()
		if got := r.v.clears("i"); len(got) != 1 || got[0].Kind != carillon.KindTap {
			t.Errorf("the phone is told %v, want one tap", got)
		}
	})
}

// A clear that is tried again is on its way when one more is handled, which counts
// as told by the row that brought it. The answer removes that row: another must
// remind of what is still owed, as the process may die before it is told.
func TestOwedBehindARetriedClear(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	var end int64
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, store)
		defer r.stop()
		r.feed(r.joins(alice, "i", carillon.IOS), r.joins(alice, "w", carillon.Windows))
		first, second := r.feed(r.sends(alice, "1")), r.feed(r.sends(alice, "2"))
		id := func(at carillon.Seq) carillon.ID {
			return r.d.deps.IDs.Positional(alice.Hash(), carillon.Position{Seq: at})
		}
		for range 2 {
			r.v.answer(t, "i", accept(carillon.Push{}))
			r.v.answer(t, "w", accept(carillon.Push{}))
		}
		r.feed(r.changes(alice, id(first), "w", read()))
		if p := r.v.answer(t, "i", carillon.Outcome{Class: carillon.Transient, Status: 503}); p.Kind != carillon.KindClear {
			t.Fatalf("the phone got a %v", p.Kind)
		}
		pass(3 * time.Second) // it is tried again
		r.feed(r.changes(alice, id(second), "w", read()))
		r.flush()
		if p := r.v.answer(t, "i", accept(carillon.Push{})); len(p.Cleared) != 1 {
			t.Fatalf("the second try clears %v", p.Cleared)
		}
		pass(100 * time.Millisecond) // written, and the next clear's time has not come
		if _, settled := r.positions(); settled != r.next.Offset() {
			t.Fatalf("settled is %d of %d", settled, r.next.Offset())
		}
		end = r.next.Offset()
		store = store.clone()
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRigAt(t, Config{Shards: 1}, store, carillon.MakeSeq(1, end), carillon.MakeSeq(1, end))
		defer r.stop()
		r.v.replies(accept)
		pass(10 * time.Second)
		if got := r.v.clears("i"); len(got) != 1 || len(got[0].Cleared) != 2 {
			t.Errorf("after the start the phone is told %+v, want one clear of both", got)
		}
	})
}
