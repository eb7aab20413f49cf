package dispatch

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
	"carillon/journal"
)

func (r *rig) id(u carillon.User, seq carillon.Seq) carillon.ID {
	return r.d.deps.IDs.Positional(u.Hash(), carillon.Position{Seq: seq})
}

func (r *rig) changes(u carillon.User, id carillon.ID, at string, c carillon.Change) fed {
	return fed{user: u, rec: &journal.Record{Kind: journal.KindChange, Change: journal.Change{ID: id, Change: c, Installation: at}}}
}

func read() carillon.Change { return carillon.Change{Read: carillon.Set} }

func dismissed() carillon.Change { return carillon.Change{HasAction: true, Action: carillon.Dismissed} }

func deletes(u carillon.User, id carillon.ID, at string) fed {
	return fed{user: u, rec: &journal.Record{Kind: journal.KindDelete, Delete: journal.Delete{ID: id, Installation: at}}}
}

// clears are the clears and taps of clears that were handed off to an endpoint.
func (v *vendor) clears(endpoint string) (all []carillon.Push) {
	for _, p := range v.all() {
		if p.Endpoint.ID == endpoint && (p.Kind == carillon.KindClear || p.Kind == carillon.KindTap && p.Notification.ID.IsZero()) {
			all = append(all, p)
		}
	}
	return all
}

func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// outcomes are the classes and reasons of an item's deliveries, by endpoint.
func (r *rig) outcomes(u carillon.User, seq carillon.Seq) map[string]string {
	m := map[string]string{}
	for _, d := range r.store.item(u, seq).Deliveries {
		m[d.Endpoint] = d.Outcome.Class.String() + " " + d.Outcome.Reason
	}
	return m
}

// TestReadElsewhereClears: a read on the phone clears the desk and not the
// phone, and everything is settled.
func TestReadElsewhereClears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 2}, newMemory())
		defer r.stop()
		r.v.replies(accept)
		u := user("alice")
		r.feed(r.joins(u, "phone", carillon.Android), r.joins(u, "desk", carillon.Windows))
		seq := r.feed(r.sends(u, "hi"))
		r.pass(time.Second)
		id := r.id(u, seq)
		change := r.feed(r.changes(u, id, "phone", dismissed()))
		if got := r.v.clears("phone"); len(got) != 0 {
			t.Errorf("the acting endpoint got %v", got)
		}
		got := r.v.clears("desk")
		if len(got) != 1 || got[0].Kind != carillon.KindClear || !slices.Equal(got[0].Cleared, []carillon.ID{id}) || got[0].Seq != change {
			t.Fatalf("the desk got %+v", got)
		}
		r.pass(time.Second)
		if it := r.store.item(u, seq); it.State.Action != carillon.Dismissed || it.State.ActionSeq != change {
			t.Errorf("state %+v", it.State)
		}
		if applied, settled := r.positions(); applied != 4 || settled != 4 {
			t.Errorf("positions %d, %d", applied, settled)
		}
		y := r.store.syncs[u]
		if len(y.Endpoints) != 1 || y.Endpoints[0].Cleared != change || y.Endpoints[0].Owed != change {
			t.Errorf("sync %+v", y)
		}
		r.feed(r.changes(u, id, "desk", dismissed())) // nothing that anybody sees
		r.pass(time.Second)
		if got := r.v.clears("phone"); len(got) != 0 {
			t.Errorf("a change that changes nothing told the phone: %v", got)
		}
	})
}

// TestFiftyReads: fifty changes of one call are one wake-up, and fifty within
// 200 ms are two at most.
func TestFiftyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, newMemory())
		defer r.stop()
		r.v.replies(accept)
		u := user("alice")
		r.feed(r.joins(u, "phone", carillon.Android), r.joins(u, "desk", carillon.Windows), r.joins(u, "pad", carillon.IOS))
		var sends, one, many []fed
		for range 100 {
			sends = append(sends, r.sends(u, "hi"))
		}
		first := r.feed(sends...)
		r.pass(time.Second)
		for n := range carillon.Seq(100) {
			c := r.changes(u, r.id(u, first+n), "phone", read())
			if n < 50 {
				c.rec.Change.More = n < 49
				one = append(one, c)
			} else {
				many = append(many, c)
			}
		}
		r.feed(one[:30]...)
		r.pass(10 * time.Millisecond)
		r.feed(one[30:]...)
		r.pass(time.Second)
		for _, id := range []string{"desk", "pad"} {
			if got := r.v.clears(id); len(got) != 1 || len(got[0].Cleared) != 50 {
				t.Fatalf("%s was told %d times", id, len(got))
			}
		}
		for i := range many {
			r.feed(many[i])
			r.pass(4 * time.Millisecond)
		}
		r.pass(time.Second)
		for _, id := range []string{"desk", "pad"} {
			got := r.v.clears(id)
			if len(got) != 3 {
				t.Fatalf("%s was told %d times", id, len(got))
			}
			if last := got[2]; last.Kind != carillon.KindTap || last.Seq != r.next-1 { // 100 do not fit
				t.Errorf("the last one is %+v", last)
			}
		}
		if got := r.v.clears("phone"); len(got) != 0 {
			t.Errorf("the phone was told %d times", len(got))
		}
		if applied, settled := r.positions(); applied != 203 || settled != 203 {
			t.Errorf("positions %d, %d", applied, settled)
		}
	})
}

// TestClearComesAfterItsPush: a clear waits for the unanswered push before it;
// what is queued behind is suppressed, and the one in retry too.
func TestClearComesAfterItsPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, newMemory())
		defer r.stop()
		u := user("alice")
		r.feed(r.joins(u, "phone", carillon.Android), r.joins(u, "desk", carillon.Windows))
		a := r.feed(r.sends(u, "one"), r.sends(u, "two"))
		r.feed(r.changes(u, r.id(u, a), "phone", read()), deletes(u, r.id(u, a+1), "phone"))
		if got := r.v.clears("desk"); len(got) != 0 {
			t.Fatalf("cleared before the push was answered: %+v", got)
		}
		r.v.answer(t, "desk", accept(carillon.Push{}))
		if got := r.v.clears("desk"); len(got) != 1 || len(got[0].Cleared) != 2 {
			t.Fatalf("the desk got %+v", got)
		}
		r.v.answer(t, "desk", accept(carillon.Push{}))
		r.v.answer(t, "phone", carillon.Outcome{Class: carillon.Transient}) // not again: it is read
		r.pass(time.Minute)
		if n := len(r.v.all()); n != 3 {
			t.Errorf("%d pushes, want two of the first and one clear", n)
		}
		if got := r.outcomes(u, a); got["desk"] != "accepted " || got["phone"] != "suppressed read" {
			t.Errorf("outcomes %v", got)
		}
		if got := r.outcomes(u, a+1); got["desk"] != "suppressed deleted" || got["phone"] != "suppressed deleted" {
			t.Errorf("outcomes of the deleted one %v", got)
		}
		if it := r.store.item(u, a+1); !it.State.Deleted || len(it.Body) != 0 {
			t.Errorf("the tombstone is %+v", it)
		}
		if applied, settled := r.positions(); applied != 6 || settled != 6 {
			t.Errorf("positions %d, %d", applied, settled)
		}
	})
}

// TestRetryIsSuppressed: a dismissal ends what waits for a retry and what is
// parked, with its hint.
func TestRetryIsSuppressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 1}, newMemory())
		defer r.stop()
		r.v.replies(func(p carillon.Push) carillon.Outcome {
			if p.Endpoint.ID == "desk" && p.Kind == carillon.KindAlert {
				return carillon.Outcome{Class: carillon.Transient, After: time.Minute}
			}
			return accept(p)
		})
		u := user("alice")
		r.feed(r.joins(u, "phone", carillon.Android), r.joins(u, "desk", carillon.Windows))
		a := r.feed(r.sends(u, "one"))
		r.pass(time.Second)
		if dues, _ := r.store.waiting(); dues != 1 {
			t.Fatalf("%d due rows", dues)
		}
		r.feed(r.changes(u, r.id(u, a), "phone", dismissed()))
		r.pass(time.Second)
		if got := r.outcomes(u, a); got["desk"] != "suppressed dismissed" {
			t.Errorf("outcomes %v", got)
		}
		if dues, _ := r.store.waiting(); dues != 0 {
			t.Errorf("%d due rows after the dismissal", dues)
		}
		r.pass(time.Hour / 2)
		for _, p := range r.v.all()[2:] {
			if p.Kind != carillon.KindClear {
				t.Errorf("pushed again: %+v", p)
			}
		}
	})
}

// TestFloor: one record reads everything before it, whatever waits.
func TestFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		r := newRig(t, Config{Shards: 1}, store)
		r.v.replies(accept)
		u := user("alice")
		r.feed(r.joins(u, "phone", carillon.Android), r.joins(u, "desk", carillon.Windows))
		a := r.feed(r.sends(u, "one"), r.sends(u, "two"))
		r.pass(time.Second)
		r.v.replies(nil)
		b := r.feed(r.sends(u, "three"), r.sends(u, "four"))
		floor := r.feed(fed{user: u, rec: &journal.Record{Kind: journal.KindChange, Change: journal.Change{Floor: b + 1, Change: read(), Installation: "phone"}}})
		r.v.answer(t, "desk", accept(carillon.Push{}))
		r.v.answer(t, "desk", accept(carillon.Push{})) // "four" is not read; it was in line first
		if got := r.v.clears("desk"); len(got) != 1 || got[0].Kind != carillon.KindTap || got[0].Seq != floor {
			t.Errorf("the desk got %+v", got)
		}
		r.v.answer(t, "desk", accept(carillon.Push{}))
		r.v.answer(t, "phone", accept(carillon.Push{}))
		r.v.answer(t, "phone", accept(carillon.Push{}))
		r.pass(time.Second)
		rows := store.itemRows
		for seq, want := range map[carillon.Seq]bool{a: true, a + 1: true, b: true, b + 1: false} {
			if it := store.item(u, seq); it.State.Read != want {
				t.Errorf("item %s: %+v", seq, it.State)
			}
		}
		if rows != 4 {
			t.Errorf("%d item rows for 4 items", rows)
		}
		if applied, settled := r.positions(); applied != 7 || settled != 7 {
			t.Errorf("positions %d, %d", applied, settled)
		}
		r.stop()

		again := newRig(t, Config{Shards: 1}, store) // and after a restart an unread wins over the floor
		defer again.stop()
		again.v.replies(accept)
		again.next = r.next
		again.feed(again.changes(u, again.id(u, a), "desk", carillon.Change{Read: carillon.Unset}))
		again.pass(time.Second)
		if it := store.item(u, a); it.State.Read || it.Feed != r.next {
			t.Errorf("unread again: %+v", it)
		}
	})
}
