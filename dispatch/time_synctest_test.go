package dispatch

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
	"carillon/journal"
)

// raw is a notification of raw content with a fallback toast.
func (r *rig) raw(u carillon.User, delay int32) fed {
	f := r.sends(u, "")
	n := &f.rec.Notification
	n.HasVisual, n.HasRaw, n.Raw, n.Priority = false, true, "{}", carillon.PriorityHigh
	n.Fallback = carillon.Fallback{Delay: delay, Title: "look"}
	return f
}

func (r *rig) acks(u carillon.User, installation string, position carillon.Seq) fed {
	return fed{user: u, rec: &journal.Record{Kind: journal.KindAck, Ack: journal.Ack{Installation: installation, Position: position}}}
}

// kinds are the kinds of push that an endpoint got, in order.
func (v *vendor) kinds(endpoint string) (kinds []string) {
	for _, p := range v.all() {
		if p.Endpoint.ID == endpoint {
			kinds = append(kinds, p.Kind.String())
		}
	}
	return kinds
}

// fates are an item's deliveries: endpoint, kind, outcome and reason.
func (r *rig) fates(u carillon.User, created carillon.Seq) (fates []string) {
	for _, d := range r.store.item(u, created).Deliveries {
		fates = append(fates, d.Endpoint+" "+d.Kind.String()+" "+d.Outcome.Class.String()+" "+d.Outcome.Reason)
	}
	return fates
}

func (r *rig) settledAll() {
	r.t.Helper()
	if dues, parked := r.store.waiting(); dues+parked != 0 {
		r.t.Errorf("%d due and %d parked rows are left", dues, parked)
	}
	if applied, settled := r.positions(); applied != r.next.Offset() || settled != r.next.Offset() {
		r.t.Errorf("applied %d and settled %d of %d", applied, settled, r.next.Offset())
	}
}

// TestFallbackToast: the toast goes to the iOS endpoint that did not fetch, and
// to no other.
func TestFallbackToast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 2}, newMemory())
		defer r.stop()
		r.v.replies(accept)
		u := user("alice")
		tap := r.joins(u, "tap", carillon.IOS)
		tap.rec.Endpoint.Push = carillon.TapOnly
		r.feed(r.joins(u, "phone", carillon.IOS), r.joins(u, "pad", carillon.IOS), r.joins(u, "robot", carillon.Android), tap)
		seq := r.feed(r.raw(u, 60))
		r.pass(time.Second)
		if applied, settled := r.positions(); applied != 5 || settled != 5 {
			t.Errorf("a toast that waits holds the positions: %d, %d", applied, settled)
		}
		r.feed(r.acks(u, "pad", seq))
		r.pass(58 * time.Second)
		if got := r.v.kinds("phone"); !slices.Equal(got, []string{"data"}) {
			t.Errorf("before its time the phone got %v", got)
		}
		r.pass(2 * time.Second)
		want := map[string][]string{"phone": {"data", "fallback"}, "pad": {"data"}, "robot": {"data"}, "tap": {"tap"}}
		for endpoint, kinds := range want {
			if got := r.v.kinds(endpoint); !slices.Equal(got, kinds) {
				t.Errorf("the %s got %v, want %v", endpoint, got, kinds)
			}
		}
		fates := []string{
			"phone data accepted ", "pad data accepted ", "robot data accepted ", "tap tap accepted ",
			"phone fallback accepted ", "pad fallback suppressed fetched",
		}
		if got := r.fates(u, seq); !slices.Equal(got, fates) {
			t.Errorf("deliveries %q, want %q", got, fates)
		}
		r.settledAll()
	})
}

// TestFallbackIsCancelled: whoever is done with the notification gets no toast:
// before its row is written, later, and after a restart.
func TestFallbackIsCancelled(t *testing.T) {
	for _, when := range []string{"at once", "later", "after a restart"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Config{Shards: 2}, newMemory())
				defer func() { r.stop() }()
				r.v.replies(accept)
				u := user("alice")
				r.feed(r.joins(u, "phone", carillon.IOS), r.joins(u, "desk", carillon.Windows))
				note := r.raw(u, 60)
				seq := r.next
				change := r.changes(u, r.id(u, seq), "desk", dismissed())
				switch when {
				case "at once":
					r.feed(note, change)
				case "later":
					r.feed(note)
					r.pass(time.Second)
					r.feed(change)
				default:
					r.feed(note)
					r.pass(time.Second)
					r.stop()
					next := r.next
					r = newRigAt(t, Config{Shards: 2}, r.store, next, next)
					r.v.replies(accept)
					r.feed(change)
				}
				r.pass(2 * time.Minute)
				if got := r.v.kinds("phone"); slices.Contains(got, "fallback") {
					t.Errorf("the phone got %v", got)
				}
				if got := r.fates(u, seq)[2]; got != "phone fallback suppressed dismissed" {
					t.Errorf("the toast ended as %q", got)
				}
				r.settledAll()
			})
		})
	}
}

// TestFallbackAfterRestart: a toast that fell due while nothing ran rings then.
func TestFallbackAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 2}, newMemory())
		r.v.replies(accept)
		u := user("alice")
		r.feed(r.joins(u, "phone", carillon.IOS))
		r.feed(r.raw(u, 600))
		r.pass(time.Second)
		r.stop()
		time.Sleep(20 * time.Minute)
		r = newRigAt(t, Config{Shards: 2}, r.store, r.next, r.next)
		defer r.stop()
		r.v.answer(t, "phone", accept(carillon.Push{})) // it went out with the start
		r.pass(time.Second)
		if got := r.v.kinds("phone"); !slices.Equal(got, []string{"fallback"}) {
			t.Errorf("after the restart the phone got %v", got)
		}
		r.settledAll()
	})
}

// scheduled is a keyed notification for later.
func (r *rig) scheduled(u carillon.User, title string, rid byte, in time.Duration) fed {
	f := r.keyed(u, title, "meeting", rid)
	f.rec.Notification.DeliverAt = r.clock.UnixMilli() + in.Milliseconds()
	return f
}

// releases are the releases that were appended since the last look.
func (r *rig) releases() (out []fed) {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	for _, e := range r.journal.entries {
		var rec journal.Record
		if err := rec.Decode(e.Value); err != nil {
			r.t.Fatal(err)
		}
		if rec.Kind == journal.KindRelease {
			out = append(out, fed{key: e.Key, rec: &rec})
		}
	}
	r.journal.entries = nil
	return out
}

// TestScheduled: a notification for later rings nobody and has no plan until its
// time; then it is released by a record, once, with a seq of its own.
func TestScheduled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Shards: 2}, newMemory())
		defer r.stop()
		r.v.replies(accept)
		u := user("alice")
		r.feed(r.joins(u, "phone", carillon.IOS))
		created := r.feed(r.scheduled(u, "later", 1, time.Minute))
		r.pass(59 * time.Second)
		if it := r.store.item(u, created); !it.Scheduled || len(it.Deliveries) != 0 || len(r.v.all()) != 0 {
			t.Errorf("before its time: %+v, %d pushes", it, len(r.v.all()))
		}
		if applied, settled := r.positions(); applied != 2 || settled != 2 {
			t.Errorf("what waits for its time holds the positions: %d, %d", applied, settled)
		}
		r.pass(2 * time.Second)
		due := r.releases()
		if len(due) != 1 {
			t.Fatalf("%d releases", len(due))
		}
		at := r.feed(due...)
		again := r.feed(due...) // as after a crash between the record and the due row's end
		r.pass(time.Second)
		it := r.store.item(u, created)
		if it.Scheduled || it.Content != at || it.Feed != at || again != at+1 {
			t.Errorf("released at %s: %+v", at, it)
		}
		if got := r.fates(u, created); !slices.Equal(got, []string{"phone alert accepted "}) || len(r.v.all()) != 1 {
			t.Errorf("deliveries %q, %d pushes", got, len(r.v.all()))
		}
		r.settledAll()

		// A replay of it all rings nobody.
		r.stop()
		first := carillon.MakeSeq(1, 1)
		r2 := newRigAt(t, Config{Shards: 2}, r.store, first, r.next)
		defer r2.stop()
		r2.v.replies(accept)
		r2.feed(r.scheduled(u, "later", 1, -time.Hour), due[0], due[0])
		r2.pass(time.Second)
		if n := len(r2.v.all()); n != 0 {
			t.Errorf("the replay rang %d times", n)
		}
		if it := r2.store.item(u, created); it.Scheduled || it.Content != at {
			t.Errorf("after the replay: %+v", it)
		}
	})
}

// TestScheduledIsTakenBack: deleted, handled or replaced before its time it does
// not ring; replaced for another time it rings then, once.
func TestScheduledIsTakenBack(t *testing.T) {
	for _, how := range []string{"deleted", "read", "replaced", "moved", "expired"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Config{Shards: 2}, newMemory())
				defer r.stop()
				r.v.replies(accept)
				u := user("alice")
				r.feed(r.joins(u, "phone", carillon.IOS))
				note := r.scheduled(u, "later", 1, time.Minute)
				if how == "expired" { // while nothing ran
					note.rec.Notification.Expires = note.rec.Notification.DeliverAt + 1
				}
				id := note.rec.Notification.ID
				r.feed(note)
				r.pass(time.Second)
				want := 0
				switch how {
				case "deleted":
					r.feed(deletes(u, id, ""))
				case "read":
					r.feed(r.changes(u, id, "", read()))
				case "replaced":
					r.feed(r.keyed(u, "now", "meeting", 2))
					want = 1
				case "moved":
					r.feed(r.scheduled(u, "later still", 2, 3*time.Minute))
					want = 1
				case "expired":
					r.stop()
					time.Sleep(2 * time.Minute)
					r = newRigAt(t, Config{Shards: 2}, r.store, r.next, r.next)
					defer r.stop()
					r.v.replies(accept)
				}
				for range 10 {
					r.pass(time.Minute)
					if due := r.releases(); len(due) > 0 {
						r.feed(due...)
					}
				}
				if n := len(r.v.all()); n != want {
					t.Errorf("it rang %d times, want %d", n, want)
				}
				r.settledAll()
			})
		})
	}
}

// TestScheduledVersion: a version for later leaves the present one as it is until
// its time, and then takes its place; a dismissal or a deletion of the present one
// takes it back, and the other devices hear of that.
func TestScheduledVersion(t *testing.T) {
	for _, how := range []string{"released", "deleted", "dismissed", "replaced"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Config{Shards: 2}, newMemory())
				defer r.stop()
				r.v.replies(accept)
				u := user("alice")
				r.feed(r.joins(u, "phone", carillon.IOS), r.joins(u, "desk", carillon.Windows))
				first := r.keyed(u, "now", "meeting", 1)
				created := r.feed(first)
				r.pass(time.Second)
				r.feed(r.scheduled(u, "later", 2, time.Minute))
				r.pass(time.Second)
				if it := r.store.item(u, created); it.Scheduled || it.Content != created || it.Next.Content == 0 || len(it.Deliveries) != 2 {
					t.Errorf("while the next version waits: %+v", it)
				}
				id, pushes := first.rec.Notification.ID, 2
				switch how {
				case "released":
					pushes = 4
				case "deleted":
					r.feed(deletes(u, id, "desk"))
				case "dismissed":
					r.feed(r.changes(u, id, "desk", dismissed()))
				case "replaced":
					r.feed(r.keyed(u, "now again", "meeting", 3))
					pushes = 4
				}
				for range 3 {
					r.pass(time.Minute)
					if due := r.releases(); len(due) > 0 {
						r.feed(due...)
					}
				}
				alerts := 0
				for _, p := range r.v.all() {
					if p.Kind == carillon.KindAlert {
						alerts++
					}
				}
				if alerts != pushes {
					t.Errorf("%d alerts, want %d", alerts, pushes)
				}
				if n, want := len(r.v.clears("phone")), map[string]int{"deleted": 1, "dismissed": 1}[how]; n != want {
					t.Errorf("%d clears at the phone, want %d", n, want)
				}
				if it := r.store.item(u, created); it.Next.Content != 0 || how == "released" && it.Feed <= created {
					t.Errorf("in the end: %+v", it)
				}
				r.settledAll()
			})
		})
	}
}

// A scheduled version with a longer life moves the row of the present one, and what
// replaces that knows where it stands, though a vendor still has it.
func TestScheduledVersionMovesTheRow(t *testing.T) {
	run(t, func(r *rig) {
		u := user("dev.alice")
		version := func(title string, rid byte, life, in time.Duration) fed {
			f := r.keyed(u, title, "k", rid)
			f.rec.Notification.Expires = r.clock.UnixMilli() + life.Milliseconds()
			if in > 0 {
				f.rec.Notification.DeliverAt = r.clock.UnixMilli() + in.Milliseconds()
			}
			return f
		}
		created := r.feed(r.joins(u, "phone", carillon.IOS), version("first", 1, time.Hour, 0)) + 1 // no answer
		r.flush()
		r.feed(version("later", 2, 2*time.Hour, time.Minute))
		r.flush()
		seq := r.feed(version("at once", 3, time.Hour, 0)) // the store of the test sees a row that is left behind
		r.flush()
		if it := r.store.item(u, created); it == nil || it.Content != seq {
			t.Errorf("its row is %+v", it)
		}
	})
}
