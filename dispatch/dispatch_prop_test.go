package dispatch

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"carillon"
	"carillon/journal"
)

// world is what a random script did, and what must follow from it.
type world struct {
	rt      *rapid.T
	t       *testing.T
	r       *rig
	store   *memory
	records []fed
	users   []carillon.User
	alive   map[carillon.User]map[string]bool // the model of the directory
	crashed bool
	planned uint64 // deliveries, by all tests before
	rid     byte
}

func (w *world) user() carillon.User { return rapid.SampledFrom(w.users).Draw(w.rt, "user") }

func (w *world) feed(f fed) {
	w.records = append(w.records, f)
	w.r.feed(f)
}

// step does one random thing.
func (w *world) step() {
	r := w.r
	switch rapid.SampledFrom([]string{
		"send", "send", "low", "keyed", "repeat", "join", "leave", "answer", "answer", "fail", "throttle", "room", "wait", "crash",
	}).Draw(w.rt, "step") {
	case "send":
		for range rapid.IntRange(1, 4).Draw(w.rt, "sends") {
			w.feed(r.sends(w.user(), fmt.Sprint(len(w.records))))
		}
	case "low":
		f := r.sends(w.user(), "")
		f.rec.Notification.HasVisual, f.rec.Notification.HasRaw, f.rec.Notification.Raw = false, true, fmt.Sprint(len(w.records))
		f.rec.Notification.Priority = carillon.PriorityLow
		w.feed(f)
	case "keyed":
		w.rid++
		w.feed(r.keyed(w.user(), fmt.Sprint(len(w.records)), rapid.SampledFrom([]string{"k", "l"}).Draw(w.rt, "key"), w.rid))
	case "repeat":
		if i := slices.IndexFunc(w.records, func(f fed) bool { return f.rec.HasRID }); i >= 0 {
			w.feed(w.records[i])
		}
	case "join":
		u, id := w.user(), rapid.SampledFrom([]string{"i", "j"}).Draw(w.rt, "endpoint")
		w.alive[u][id] = true
		w.feed(r.joins(u, id, map[string]carillon.Platform{"i": carillon.IOS, "j": carillon.Android}[id]))
	case "leave":
		u, id := w.user(), rapid.SampledFrom([]string{"i", "j"}).Draw(w.rt, "endpoint")
		delete(w.alive[u], id)
		w.feed(leaves(u, id))
	case "answer":
		w.answer(carillon.Outcome{Class: carillon.Accepted})
	case "fail":
		w.answer(carillon.Outcome{Class: rapid.SampledFrom([]carillon.Class{carillon.Transient, carillon.Unknown, carillon.ThrottledEndpoint}).Draw(w.rt, "class")})
	case "throttle": // its lane shuts: who waits parks
		w.answer(carillon.Outcome{
			Class: rapid.SampledFrom([]carillon.Class{carillon.ThrottledSender, carillon.WrongCredential}).Draw(w.rt, "class"),
			After: time.Duration(rapid.IntRange(0, 3000).Draw(w.rt, "ms")) * time.Millisecond,
		})
	case "room":
		r.v.rooms(rapid.SampledFrom([]int{0, 1, 1000}).Draw(w.rt, "room"))
		synctest.Wait()
	case "wait":
		pass(time.Duration(rapid.IntRange(1, 2000).Draw(w.rt, "ms")) * time.Millisecond)
	case "crash":
		w.restart()
	}
	w.check()
}

func (w *world) answer(o carillon.Outcome) {
	if ids := w.r.v.waiting(); len(ids) > 0 {
		w.r.v.answer(w.t, rapid.SampledFrom(ids).Draw(w.rt, "which"), o)
	}
}

// restart loses all memory: a new dispatcher reads again from what the store
// says is settled.
func (w *world) restart() {
	w.crashed = true
	w.r.k.advance()
	p := w.r.k.progress().Positions[0]
	w.r.stop()
	next := w.r.next
	w.r = newRigAt(w.t, w.r.d.cfg, w.store, p.Settled, next)
	w.r.refeed(w.records[p.Settled.Offset():])
}

// refeed plays records as they stand in the journal.
func (r *rig) refeed(recs []fed) {
	for _, f := range recs {
		at := f.rec.At
		r.feedAt(at, f)
	}
}

// check holds what must be true at any moment.
func (w *world) check() {
	w.r.k.advance()
	p := w.r.k.progress().Positions[0]
	if p.Settled > p.Applied {
		w.rt.Fatalf("settled %s is ahead of applied %s", p.Settled, p.Applied)
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for i, f := range w.records {
		if seq := carillon.MakeSeq(1, int64(i)); seq < p.Applied && f.rec.Kind == journal.KindNotification && !f.rec.HasRID {
			if _, ok := w.store.items[f.user][seq]; !ok {
				w.rt.Fatalf("applied is %s, but %s of %s has no row", p.Applied, seq, f.user)
			}
		}
	}
	for u, items := range w.store.items {
		for _, it := range items {
			for _, d := range it.Deliveries {
				if it.Content < p.Settled && !d.Outcome.Class.Terminal() && d.Hint == carillon.HintNone {
					w.rt.Fatalf("%s: settled is %s, but the delivery of %s to %s is %s", u, p.Settled, it.Content, d.Endpoint, d.Outcome.Class)
				}
				if n := w.store.hinted(u, it, d); d.Hint != carillon.HintNone && n != 1 {
					w.rt.Fatalf("%s: the delivery of %s to %s is %s, but has %d rows", u, it.Content, d.Endpoint, d.Hint, n)
				}
			}
		}
	}
	busy := map[string]int{}
	w.r.v.mu.Lock()
	defer w.r.v.mu.Unlock()
	for _, push := range w.r.v.pushes {
		k := push.User.Key() + " " + push.Endpoint.ID
		if busy[k]++; busy[k] > 1 {
			w.rt.Fatalf("%s has two unanswered pushes", k)
		}
	}
	if n := len(w.r.v.pushes); n > w.r.d.cfg.Credits {
		w.rt.Fatalf("%d pushes are unanswered, there are %d credits", n, w.r.d.cfg.Credits)
	}
}

// hinted counts the hint rows of a delivery; m.mu is held.
func (m *memory) hinted(u carillon.User, it carillon.Item, d carillon.Delivery) (n int) {
	is := func(r carillon.Ref) bool {
		return r.User == u && r.Created == it.Created && r.Content == it.Content && r.Endpoint == d.Endpoint
	}
	for _, r := range m.dues {
		if d.Hint == carillon.HintDue && is(r.Ref) && r.At == d.Due {
			n++
		}
	}
	for _, r := range m.parked {
		if d.Hint == carillon.HintParked && is(r.Ref) {
			n++
		}
	}
	return n
}

// finish answers everything and compares with the model.
func (w *world) finish() {
	w.r.v.replies(accept)
	w.r.v.rooms(1000)
	synctest.Wait()
	for ids := w.r.v.waiting(); len(ids) > 0; ids = w.r.v.waiting() {
		w.r.v.answer(w.t, ids[0], carillon.Outcome{Class: carillon.Accepted})
	}
	for range 4 { // retries fall due, and what they wrote
		pass(12 * time.Minute)
		w.check()
	}
	w.check()
	if a, s := w.r.positions(); a != int64(len(w.records)) || s != a {
		w.rt.Fatalf("after everything was answered applied is %d, settled %d, of %d", a, s, len(w.records))
	}
	if n := len(w.store.dues) + len(w.store.parked); n != 0 {
		w.rt.Fatalf("%d hints are left: %v %v", n, w.store.dues, w.store.parked)
	}
	if n := w.r.k.inFlight.Load(); n != 0 {
		w.rt.Fatalf("%d records or deliveries are still in flight", n)
	}
	if n := w.r.k.hints.depth.Load(); n != 0 {
		w.rt.Fatalf("%d still count as parked", n)
	}
	if n := w.r.k.credits.out(); n != 0 {
		w.rt.Fatalf("%d credits are still out", n)
	}
	for _, u := range w.users {
		before := len(w.r.v.all())
		w.feed(w.r.sends(u, "last"))
		pass(time.Second) // on a shut lane it is the probe
		got := map[string]bool{}
		for _, p := range w.r.v.all()[before:] {
			got[p.Endpoint.ID] = true
		}
		if fmt.Sprint(got) != fmt.Sprint(w.alive[u]) {
			w.rt.Fatalf("%s rings at %v, has %v", u, got, w.alive[u])
		}
	}
	w.order()
	w.store.told(w.rt.Fatalf)
	if !w.crashed {
		w.once()
		if n, planned := uint64(len(w.store.ended)), w.r.d.metrics.planned.Get()-w.planned; n != planned {
			w.rt.Fatalf("%d deliveries were planned, and the end of %d was told", planned, n)
		}
	}
}

// told: the log of outcomes has each terminal outcome once, as its row has it,
// and no other.
func (m *memory) told(fatalf func(format string, args ...any)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	type key struct {
		user     carillon.User
		content  carillon.Seq
		endpoint string
	}
	told := map[key]carillon.Ended{}
	for _, e := range m.ended {
		k := key{e.User, e.Content, e.Delivery.Endpoint}
		if first, twice := told[k]; twice {
			fatalf("the end of %s to %s was told twice: %+v, %+v", e.Content, e.Delivery.Endpoint, first, e)
		}
		if !e.Delivery.Outcome.Class.Terminal() {
			fatalf("the end of %s to %s was told, and is none: %+v", e.Content, e.Delivery.Endpoint, e)
		}
		told[k] = e
	}
	for u, items := range m.items {
		for _, it := range items {
			for _, d := range it.Deliveries {
				e, ok := told[key{u, it.Content, d.Endpoint}]
				if ok != d.Outcome.Class.Terminal() || ok && (e.Delivery != d || e.Created != it.Created || e.ID != it.ID) {
					fatalf("%s: of %s to %s the log says %v %+v, its row %+v", u, it.Content, d.Endpoint, ok, e, d)
				}
			}
		}
	}
}

// deliveries are the pushes but for what tells an endpoint to fetch, whose seq
// is that of the change: everybody here wants payloads, so nothing else is a tap.
func (w *world) deliveries() []carillon.Push {
	return slices.DeleteFunc(w.r.v.all(), func(p carillon.Push) bool {
		return p.Kind == carillon.KindTap || p.Kind == carillon.KindClear
	})
}

// order: first attempts of one priority to one endpoint are handed off in seq
// order.
func (w *world) order() {
	last := map[string]carillon.Seq{}
	for _, p := range w.deliveries() {
		k := fmt.Sprint(p.User.Key(), " ", p.Endpoint.ID, " ", p.Notification.Priority)
		if p.Attempt == 1 && p.Seq < last[k] {
			w.rt.Fatalf("%s: %s was handed off after %s", k, p.Seq, last[k])
		} else if p.Attempt == 1 {
			last[k] = p.Seq
		}
	}
}

// once: without a crash, no delivery is handed off twice but by a retry.
func (w *world) once() {
	seen := map[string]bool{}
	for _, p := range w.deliveries() {
		k := fmt.Sprint(p.User, p.Endpoint.ID, p.Seq, p.Attempt)
		if seen[k] {
			w.rt.Fatalf("attempt %d of %s to %s was made twice", p.Attempt, p.Seq, p.Endpoint.ID)
		}
		seen[k] = true
	}
}

// Whatever happens in whatever order, with a cache that holds about one user:
// positions never pass a hole, order and turns are kept, nothing rings twice
// without need, and the directory is what the journal says.
func TestDispatchHoldsItsPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failed any // rapid's panics have to leave the bubble as ours
		synctest.Test(t, func(t *testing.T) {
			defer func() { failed = recover() }()
			store := newMemory()
			w := &world{
				rt: rt, t: t, store: store, r: newRig(t, Config{Shards: 2, CacheBytes: 700, Credits: rapid.SampledFrom([]int{1, 2, 5, 4096}).Draw(rt, "credits"), MaxItems: 10_000}, store),
				users: []carillon.User{user("dev.a"), user("dev.b"), user("dev.c")},
				alive: map[carillon.User]map[string]bool{},
			}
			w.planned = w.r.d.metrics.planned.Get()
			defer func() { w.r.stop() }()
			for _, u := range w.users {
				w.alive[u] = map[string]bool{}
			}
			for range rapid.IntRange(1, 40).Draw(rt, "steps") {
				w.step()
			}
			w.finish()
		})
		if failed != nil {
			panic(failed)
		}
	})
}
