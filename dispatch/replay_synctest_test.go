package dispatch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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

// What is parked waits until the replay is through: an older delivery to the
// same endpoint, on its way when the process was killed, goes first.
func TestParkedWaitsForTheReplay(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	var records []fed
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, store)
		defer r.stop()
		bob := user("dev.bob")
		records = []fed{r.joins(alice, "i", carillon.IOS), r.joins(bob, "b", carillon.IOS), r.sends(alice, "1"), r.sends(bob, "x"), r.sends(alice, "2")}
		r.feed(records[:4]...)
		r.v.answer(t, "b", carillon.Outcome{Class: carillon.ThrottledSender, Status: 429, After: 10 * time.Minute})
		r.feed(records[4]) // its lane is shut; the first is unanswered
		r.flush()
		if _, parked := store.waiting(); parked != 1 {
			t.Fatalf("%d are parked", parked)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		from, end := carillon.MakeSeq(1, 2), carillon.MakeSeq(1, 5)
		r := newRigAt(t, Config{Shards: 1}, store, from, end)
		defer r.stop()
		r.v.replies(accept)
		r.flush()
		r.feed(records[2:]...)
		for range 3 {
			r.flush()
			r.positions()
		}
		var got []string
		for _, p := range r.v.all() {
			if p.Endpoint.ID == "i" {
				got = append(got, p.Notification.Title)
			}
		}
		if d := cmp.Diff([]string{"1", "2"}, got); d != "" {
			t.Errorf("rang (-want +got):\n%s", d)
		}
	})
}

// An eleventh endpoint makes room by the oldest; replaying all of that, and a
// leave, leaves the same ten.
func TestReplayedRegistrationsChangeNothing(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	var records []fed
	ids := func() []string {
		eps, _ := store.Endpoints(nil, alice)
		var got []string
		for _, e := range eps {
			got = append(got, e.ID)
		}
		return got
	}
	var want []string
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, store)
		defer r.stop()
		for i := range 12 {
			records = append(records, r.joins(alice, fmt.Sprintf("e%02d", i), carillon.IOS))
		}
		records = append(records, leaves(alice, "e05"), r.joins(alice, "late", carillon.IOS))
		r.feed(records...)
		r.flush()
		want = ids()
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, store)
		defer r.stop()
		r.k.replayEnd = carillon.MakeSeq(1, int64(len(records)))
		r.feed(records...)
		r.flush()
		if d := cmp.Diff(want, ids()); d != "" {
			t.Errorf("after the replay (-before +after):\n%s", d)
		}
	})
}

// A request whose notification was replaced before its row was written is
// remembered all the same: its repeat brings nothing old back.
func TestReplacedRequestIsRemembered(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.v.replies(accept)
		r.feed(r.joins(alice, "i", carillon.IOS))
		first := r.keyed(alice, "old", "k", 1)
		r.feed(first, r.keyed(alice, "new", "k", 2))
		r.flush()
		before := len(r.v.all())
		r.feed(first)
		r.flush()
		if after := len(r.v.all()); after != before {
			t.Errorf("the repeat rang %d times", after-before)
		}
	})
}

// A device that left with a push on its way, and came back while its user was
// done with it elsewhere, is told to fetch, also when the process died before it
// had written down that it came back: the push may arrive after the app has read
// its feed.
func TestReplayedReturnIsTold(t *testing.T) {
	var kept *memory
	alice, bob := user("dev.alice"), user("dev.bob")
	var records []fed
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, newMemory())
		defer r.stop()
		play := func(f fed) carillon.Seq {
			records = append(records, f)
			return r.feed(f)
		}
		play(r.joins(alice, "i", carillon.IOS))
		seq := play(r.sends(alice, "hello"))
		r.wantWaiting("i")
		play(leaves(alice, "i"))
		play(r.changes(alice, r.id(alice, seq), "", dismissed()))
		r.flush()
		kept = r.store.clone()
		play(r.joins(alice, "i", carillon.IOS))
		play(r.joins(bob, "b", carillon.IOS))
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRigAt(t, Config{Shards: 1}, kept, carillon.MakeSeq(1, 0), carillon.MakeSeq(1, int64(len(records))))
		defer r.stop()
		r.v.replies(accept)
		for _, f := range records {
			r.feed(f)
		}
		pass(2 * backAfter * time.Millisecond)
		var got []string
		for _, p := range r.v.all() {
			got = append(got, p.Endpoint.ID+" "+p.Kind.String())
		}
		if d := cmp.Diff([]string{"i tap"}, got); d != "" {
			t.Errorf("pushes (-want +got):\n%s", d)
		}
	})
}
