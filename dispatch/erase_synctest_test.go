package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
	"carillon/journal"
)

func erases(u carillon.User) fed {
	return fed{user: u, rec: &journal.Record{Kind: journal.KindErase}}
}

// TestErase: nothing of an erased user is left, wherever his deliveries wait; a
// replay of what was before changes nothing, and what comes after begins anew.
func TestErase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 2}, newMemory())
		defer func() { r.stop() }()
		u, other := user("alice"), user("bob")
		r.feed(r.joins(u, "phone", carillon.IOS), r.joins(u, "desk", carillon.Windows), r.joins(other, "tablet", carillon.Android))
		r.feed(r.sends(u, "with a vendor"), r.sends(u, "behind it"))
		r.pass(time.Second)
		retried := r.feed(r.sends(u, "tried again"))
		r.v.answer(t, "phone", carillon.Outcome{Class: carillon.Transient, After: time.Minute})
		r.feed(r.raw(u, 60), r.scheduled(u, "later", 1, time.Minute), r.changes(u, r.id(u, retried), "desk", read()), r.sends(other, "to another"))
		r.pass(time.Second)
		r.feed(r.sends(u, "not written yet"), erases(u))
		again := r.next
		r.pass(time.Second)
		if it, eps := r.store.items[u], r.store.endpoints[u]; len(it) != 0 || len(eps) != 0 {
			t.Errorf("%d items and %d endpoints are left", len(it), len(eps))
		}
		r.v.replies(accept)
		for ids := r.v.waiting(); len(ids) > 0; ids = r.v.waiting() { // late answers leave no trace
			class := carillon.Accepted
			if ids[0] == "desk" {
				class = carillon.Transient
			}
			r.v.answer(t, ids[0], carillon.Outcome{Class: class})
		}
		sent := len(r.v.all())
		for range 3 {
			r.pass(time.Minute)
			if due := r.releases(); len(due) > 0 {
				t.Error("what was scheduled is released")
				r.feed(due...)
			}
		}
		if n := len(r.v.all()); n != sent {
			t.Errorf("%d pushes after the erasure: %v", n-sent, r.v.all()[sent:])
		}
		if len(r.store.items[u]) != 0 || len(r.store.items[other]) != 1 || !slices.Equal(r.v.kinds("tablet"), []string{"alert"}) {
			t.Errorf("%d items of him, %d of another who got %v", len(r.store.items[u]), len(r.store.items[other]), r.v.kinds("tablet"))
		}
		r.settledAll()

		// A replay from before finds that he was erased.
		r.stop()
		first := carillon.MakeSeq(1, 0)
		r = newRigAt(t, Config{Shards: 2}, r.store, first, again)
		r.v.replies(accept)
		r.feed(r.joins(u, "phone", carillon.IOS), r.joins(u, "desk", carillon.Windows), r.joins(other, "tablet", carillon.Android), r.sends(u, "with a vendor"))
		r.pass(time.Second)
		if len(r.store.items[u]) != 0 || len(r.store.endpoints[u]) != 0 || len(r.v.all()) != 0 {
			t.Errorf("the replay brought back %v, %v", r.store.items[u], r.store.endpoints[u])
		}
		// What comes after is a user as any other.
		r.next = again
		r.feed(r.joins(u, "phone", carillon.IOS), r.sends(u, "welcome back"))
		r.pass(time.Second)
		if got := r.v.kinds("phone"); !slices.Equal(got, []string{"alert"}) || len(r.store.items[u]) != 1 {
			t.Errorf("after it the phone got %v, %d items", got, len(r.store.items[u]))
		}
	})
}

// foreign is a journal that cannot be consumed.
type foreign struct{}

func (foreign) Run(context.Context, func(context.Context, *journal.Claim) error) error {
	return errors.New("another journal")
}

// TestRunEndsWithItsSource: a journal that cannot be consumed ends Run, whatever
// else would go on.
func TestRunEndsWithItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &carillon.Clock{}
		v := &vendor{to: map[carillon.Lane]carillon.Receiver{}, now: clock.UnixMilli}
		d, err := New(Config{CacheBytes: 1 << 20}, Deps{Store: newMemory(), Vendors: v, Journal: &leavesJournal{}, IDs: &carillon.IDKey{1}, Clock: clock, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Run(t.Context(), foreign{}); err == nil {
			t.Error("the fault is not told")
		}
	})
}

// A notification that is sent after its user was erased is none of those before,
// though a vendor still has one of the same key.
func TestErasedKeyBeginsAnew(t *testing.T) {
	run(t, func(r *rig) {
		u := user("alice")
		r.feed(r.joins(u, "phone", carillon.IOS), r.keyed(u, "before", "k", 1)) // no answer
		r.flush()
		r.feed(erases(u), r.joins(u, "phone", carillon.IOS))
		seq := r.feed(r.keyed(u, "after", "k", 2))
		r.flush()
		if it := r.store.item(u, seq); it == nil || it.Content != seq {
			t.Errorf("its row is %+v", it)
		}
		r.v.answer(t, "phone", carillon.Outcome{Class: carillon.Accepted})
		r.flush()
		if n := len(r.store.items[u]); n != 1 {
			t.Errorf("%d items", n)
		}
	})
}

// The late answer of a delivery that was taken up again leaves no line of an erased
// user in the stream of outcomes.
func TestErasedBeforeTheAnswer(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.feed(r.joins(alice, "i", carillon.IOS))
		r.feed(r.sends(alice, "x"))
		r.v.answer(t, "i", carillon.Outcome{Class: carillon.Transient, After: 2 * time.Second})
		pass(10 * time.Second)
		if len(r.v.waiting()) != 1 {
			t.Fatal(r.v.waiting())
		}
		r.feed(erases(alice))
		pass(time.Second)
		pass(10 * time.Second)
		before := len(r.store.ended)
		r.v.answer(t, "i", carillon.Outcome{Class: carillon.Accepted})
		pass(10 * time.Second)
		if n := len(r.store.ended); n != before {
			t.Errorf("written after the erasure: %+v", r.store.ended[before:])
		}
	})
}

// A crash between the rows of an erasure and the vacation of its addresses loses
// none: they stand in its row.
func TestEraseVacatesOverACrash(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	var at, end carillon.Seq
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, store)
		defer r.stop()
		r.feed(r.joins(alice, "i", carillon.IOS))
		r.flush()
		claims := len(r.journal.claims)
		at = r.feed(erases(alice))
		end = r.next
		r.flush()
		if len(r.journal.claims) != claims+1 {
			t.Fatal("no vacation")
		}
	}) // as if that append had not been acknowledged: the record is replayed
	synctest.Test(t, func(t *testing.T) {
		r := newRigAt(t, Config{Shards: 1}, store, at, end)
		defer r.stop()
		r.feed(erases(alice))
		r.flush()
		r.positions() // settled
		r.pass(2 * forgetEvery)
		if len(r.journal.claims) == 0 {
			t.Errorf("the replay vacates %d addresses", len(r.journal.claims))
		}
	})
}
