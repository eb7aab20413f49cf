package dispatch

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"carillon"
)

// run plays a script on a fresh rig.
func run(t *testing.T, script func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 2}, newMemory())
		defer r.stop()
		script(r)
	})
}

// pass lets that much of the bubble's time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// flush lets rows fall due.
func (r *rig) flush() { pass(r.d.cfg.RowDelay + r.d.cfg.FlushEvery) }

func (r *rig) wantPositions(applied, settled int64) {
	r.t.Helper()
	if a, s := r.positions(); a != applied || s != settled {
		r.t.Errorf("applied %d, settled %d; want %d, %d", a, s, applied, settled)
	}
}

func (r *rig) wantWaiting(ids ...string) {
	r.t.Helper()
	if d := cmp.Diff(ids, r.v.waiting()); d != "" {
		r.t.Errorf("unanswered pushes (-want +got):\n%s", d)
	}
}

func classes(it *carillon.Item) map[string]string {
	got := map[string]string{}
	for _, d := range it.Deliveries {
		got[d.Endpoint] = d.Outcome.Class.String()
	}
	return got
}

func TestRingsEveryEndpointAndWritesOneRow(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.v.replies(accept)
		r.feed(r.joins(alice, "w", carillon.Windows), r.joins(alice, "i", carillon.IOS), r.joins(alice, "a", carillon.Android))
		seq := r.feed(r.sends(alice, "hello"))
		r.flush()
		it := r.store.item(alice, seq)
		if it == nil {
			t.Fatal("no row")
		}
		if d := cmp.Diff(map[string]string{"w": "accepted", "i": "accepted", "a": "accepted"}, classes(it)); d != "" {
			t.Errorf("outcomes (-want +got):\n%s", d)
		}
		if r.store.itemRows != 1 || r.store.lateRows != 0 {
			t.Errorf("%d item rows and %d outcome rows, want 1 and 0", r.store.itemRows, r.store.lateRows)
		}
		r.wantPositions(4, 4)
		if n := r.k.inFlight.Load(); n != 0 {
			t.Errorf("%d credits are still out", n)
		}
	})
}

func TestUserWithoutEndpointsKeepsHistory(t *testing.T) {
	run(t, func(r *rig) {
		bob := user("dev.bob")
		seq := r.feed(r.sends(bob, "hello"))
		r.flush()
		if it := r.store.item(bob, seq); it == nil || len(it.Deliveries) != 0 {
			t.Errorf("row %+v, want one without deliveries", it)
		}
		r.wantPositions(1, 1)
	})
}

func TestOneUnansweredDeliveryAnEndpoint(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.feed(r.joins(alice, "w", carillon.Windows), r.joins(alice, "i", carillon.IOS))
		r.feed(r.sends(alice, "1"), r.sends(alice, "2"), r.sends(alice, "3"))
		if got := len(r.v.waiting()); got != 2 {
			t.Fatalf("%d unanswered, want one each: %v", got, r.v.waiting())
		}
		for _, title := range []string{"1", "2", "3"} {
			if p := r.v.answer(t, "w", accept(carillon.Push{})); p.Notification.Title != title {
				t.Errorf("handed off %q, want %q", p.Notification.Title, title)
			}
		}
		r.wantWaiting("i")
		r.flush()
		r.wantPositions(5, 2)
		for range 3 {
			r.v.answer(t, "i", accept(carillon.Push{}))
		}
		r.flush()
		r.wantPositions(5, 5)
		if r.store.lateRows == 0 {
			t.Error("outcomes after the row have no rows")
		}
	})
}

func TestRetryTakesANewTurn(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.feed(r.joins(alice, "i", carillon.IOS))
		seq := r.feed(r.sends(alice, "first"), r.sends(alice, "second"))
		r.v.answer(t, "i", carillon.Outcome{Class: carillon.Transient, Status: 503, After: 10 * time.Second})
		if p := r.v.answer(t, "i", accept(carillon.Push{})); p.Notification.Title != "second" {
			t.Errorf("%q holds the endpoint while it waits", p.Notification.Title)
		}
		r.flush()
		r.wantPositions(3, 3) // the retry is a row
		r.clock.Move(13 * time.Second)
		synctest.Wait()
		p := r.v.answer(t, "i", accept(carillon.Push{}))
		if p.Notification.Title != "first" || p.Attempt != 2 {
			t.Errorf("%q, attempt %d", p.Notification.Title, p.Attempt)
		}
		r.flush()
		r.wantPositions(3, 3)
		if it := r.store.item(alice, seq); it.Deliveries[0].Attempts != 2 || it.Deliveries[0].Outcome.Class != carillon.Accepted {
			t.Errorf("row says %+v", it.Deliveries[0])
		}
	})
}

func TestExpiredIsNotHandedOff(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.v.mu.Lock()
		r.v.room = 0
		r.v.mu.Unlock()
		r.feed(r.joins(alice, "i", carillon.IOS))
		r.feed(r.sends(alice, "late"))
		r.clock.Move(2 * time.Hour)
		r.v.mu.Lock()
		r.v.room = 10
		to := r.v.to[carillon.Lane{Platform: carillon.IOS, Host: host}]
		r.v.mu.Unlock()
		to.RoomAgain()
		synctest.Wait()
		if len(r.v.all()) != 0 {
			t.Error("an expired notification was handed off")
		}
		r.flush()
		r.wantPositions(2, 2)
	})
}

func TestRepeatedRequestRingsNobody(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.v.replies(accept)
		r.feed(r.joins(alice, "i", carillon.IOS))
		r.feed(r.keyed(alice, "hello", "k", 1), r.keyed(alice, "hello", "k", 1))
		r.flush()
		r.feed(r.keyed(alice, "hello", "k", 1))
		r.flush()
		if len(r.v.all()) != 1 {
			t.Errorf("rang %d times", len(r.v.all()))
		}
		r.wantPositions(4, 4)
	})
}

func TestReplacementSuppressesWhatIsNotHandedOff(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.feed(r.joins(alice, "i", carillon.IOS), r.joins(alice, "w", carillon.Windows))
		created := r.feed(r.keyed(alice, "v1", "k", 1))
		r.v.answer(t, "w", carillon.Outcome{Class: carillon.Transient, Status: 500})
		r.feed(r.keyed(alice, "v2", "k", 2), r.keyed(alice, "v3", "k", 3))
		r.v.answer(t, "i", accept(carillon.Push{})) // v1, late: it was handed off
		for _, id := range []string{"i", "w"} {
			for len(r.v.waiting()) > 0 && r.v.waiting()[0] != id {
				id = r.v.waiting()[0]
			}
			r.v.answer(t, id, accept(carillon.Push{}))
		}
		for _, id := range r.v.waiting() {
			r.v.answer(t, id, accept(carillon.Push{}))
		}
		r.flush()
		r.wantPositions(5, 5)
		titles := map[string][]string{}
		for _, p := range r.v.all() {
			titles[p.Endpoint.ID] = append(titles[p.Endpoint.ID], p.Notification.Title)
		}
		if last := titles["i"][len(titles["i"])-1]; last != "v3" {
			t.Errorf("iOS ends with %s: %v", last, titles)
		}
		if last := titles["w"][len(titles["w"])-1]; last != "v3" {
			t.Errorf("Windows ends with %s: %v", last, titles)
		}
		it := r.store.item(alice, created)
		if it == nil || it.Content != created+2 || len(r.store.items[alice]) != 1 {
			t.Errorf("row %+v, want one, at its first place, with the third content", it)
		}
		if got := r.v.all()[len(r.v.all())-1]; got.Created != created || got.Seq != created+2 {
			t.Errorf("the last push carries %s and version %s", got.Created, got.Seq)
		}
	})
}

// A store that was killed between rows and positions is read again: what rang
// does not ring twice, what had no answer rings.
func TestReplayRedrivesOnlyWhatIsOpen(t *testing.T) {
	store := newMemory()
	alice := user("dev.alice")
	var records []fed
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 2}, store)
		defer r.stop()
		records = []fed{r.joins(alice, "i", carillon.IOS), r.joins(alice, "w", carillon.Windows), r.keyed(alice, "hello", "k", 1), r.sends(alice, "again")}
		r.feed(records...)
		r.v.answer(t, "w", accept(carillon.Push{}))
		r.v.answer(t, "w", accept(carillon.Push{}))
		r.flush()
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 2}, store)
		defer r.stop()
		r.v.replies(accept)
		r.k.replayEnd = carillon.MakeSeq(1, 4)
		r.feed(records...)
		r.flush()
		var got []string
		for _, p := range r.v.all() {
			got = append(got, p.Endpoint.ID+" "+p.Notification.Title)
		}
		if d := cmp.Diff([]string{"i hello", "i again"}, got); d != "" {
			t.Errorf("rang (-want +got):\n%s", d)
		}
		r.wantPositions(4, 4)
		r.feed(r.sends(alice, "new"))
		r.flush()
		if len(r.v.all()) != 4 {
			t.Errorf("a new one rings %d times in all, want 4", len(r.v.all()))
		}
	})
}

func TestFailingStoreLosesNothing(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.v.replies(accept)
		r.feed(r.joins(alice, "i", carillon.IOS))
		r.flush()
		r.store.fail(errors.New("disk full"))
		seq := r.feed(r.sends(alice, "hello"))
		r.flush()
		r.wantPositions(1, 1)
		r.store.fail(nil)
		r.flush()
		r.wantPositions(2, 2)
		if r.store.item(alice, seq) == nil {
			t.Error("no row after the store healed")
		}
	})
}

func TestLaneWithoutCredentialRejects(t *testing.T) {
	run(t, func(r *rig) {
		u := carillon.User{Host: "other.example.com", ID: "dev.eve"}
		r.feed(r.joins(u, "i", carillon.IOS))
		seq := r.feed(r.sends(u, "hello"))
		r.flush()
		if got := r.store.item(u, seq).Deliveries[0].Outcome; got.Class != carillon.Rejected || got.Reason != "noCredential" {
			t.Errorf("outcome %+v", got)
		}
		r.wantPositions(2, 2)
	})
}

func TestLeftEndpointIsNotRung(t *testing.T) {
	run(t, func(r *rig) {
		alice := user("dev.alice")
		r.v.replies(accept)
		r.feed(r.joins(alice, "i", carillon.IOS), r.joins(alice, "w", carillon.Windows), leaves(alice, "i"))
		r.feed(r.sends(alice, "hello"))
		r.flush()
		if len(r.v.all()) != 1 || r.v.all()[0].Endpoint.ID != "w" {
			t.Errorf("rang %v", r.v.all())
		}
		r.wantPositions(4, 4)
	})
}
