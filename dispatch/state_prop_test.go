package dispatch

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"carillon"
	"carillon/journal"
)

// device is what one installation shows: what reached it, less what was cleared
// and what its user handled there. Its address may change.
type device struct {
	shows map[carillon.ID]carillon.Seq
	own   map[carillon.ID]carillon.Seq // handled here, up to that version
}

// household is a random script of two people with phones, and what is true.
type household struct {
	rt      *rapid.T
	t       *testing.T
	r       *rig
	store   *memory
	truth   *truth
	records []fed
	devices map[string]*device // by installation
	seen    []fed              // what devices saw and no record tells yet
	rid     byte
}

func (h *household) device(id string) *device {
	d := h.devices[id]
	if d == nil {
		d = &device{shows: map[carillon.ID]carillon.Seq{}, own: map[carillon.ID]carillon.Seq{}}
		h.devices[id] = d
	}
	return d
}

func (h *household) draw(what string, n int) int { return rapid.IntRange(0, n-1).Draw(h.rt, what) }

func (h *household) user() carillon.User {
	return []carillon.User{user("dev.a"), user("dev.b")}[h.draw("user", 2)]
}

// feed journals records, and then what applying them caused, as long as it does.
func (h *household) feed(fs ...fed) {
	h.journal(fs...)
	h.r.feedAt(h.r.clock.UnixMilli(), fs...)
	h.caused()
}

// journal notes records where they stand.
func (h *household) journal(fs ...fed) {
	for i, f := range fs {
		f.rec.At = h.r.clock.UnixMilli()
		h.truth.apply(f.user, f.rec, h.r.next+carillon.Seq(i))
		h.records = append(h.records, f)
	}
}

// caused journals claims and evictions.
func (h *household) caused() {
	for {
		var fs []fed
		h.r.journal.mu.Lock()
		for _, e := range append(h.r.journal.claims, h.r.journal.entries...) {
			rec := &journal.Record{}
			if err := rec.Decode(slices.Clone(e.Value)); err != nil {
				h.rt.Fatal(err)
			}
			u, _ := carillon.ParseUser(string(e.Key))
			fs = append(fs, fed{user: u, rec: rec, key: e.Key})
			if rec.Kind == journal.KindRelease {
				h.truth.apply(u, rec, h.r.next+carillon.Seq(len(fs)-1))
			}
		}
		h.r.journal.claims, h.r.journal.entries = nil, nil
		h.r.journal.mu.Unlock()
		if len(fs) == 0 {
			return
		}
		h.records = append(h.records, fs...)
		h.r.feedAt(h.r.clock.UnixMilli(), fs...)
	}
}

// step does one random thing.
func (h *household) step() {
	r, u := h.r, h.user()
	p := h.truth.of(u)
	was := len(r.v.all())
	quiet := false // nothing that was done can have made a push pointless
	switch rapid.SampledFrom([]string{
		"send", "send", "keyed", "later", "local", "change", "change", "change", "many", "floor", "delete", "ack",
		"join", "join", "leave", "answer", "answer", "answer", "fail", "throttle", "room", "wait", "crash", "rebalance", "erase",
	}).Draw(h.rt, "step") {
	case "send":
		h.feed(h.long(r.sends(u, fmt.Sprint(len(h.records)))))
	case "local":
		f := h.long(r.sends(u, "local"))
		f.rec.Notification.LocalState = true
		h.feed(f)
	case "keyed":
		h.rid++
		h.feed(h.long(r.keyed(u, fmt.Sprint(len(h.records)), []string{"k", "l"}[h.draw("key", 2)], h.rid)))
	case "later":
		h.rid++
		f := h.long(r.keyed(u, fmt.Sprint(len(h.records)), []string{"k", "l"}[h.draw("key", 2)], h.rid))
		f.rec.Notification.DeliverAt = r.clock.UnixMilli() + int64(1+h.draw("in", 2000))
		h.feed(f)
	case "change":
		if f := h.item(p); f != nil {
			h.change(u, f, false)
		}
	case "many":
		for i := range 3 {
			if f := h.item(p); f != nil {
				h.change(u, f, i < 2)
			}
		}
	case "floor":
		if f := h.item(p); f != nil {
			at := h.endpoint(p)
			h.handle(p, at, carillon.Change{Read: carillon.Set}, func(g *fact) bool { return g.content <= f.content })
			h.feed(fed{user: u, rec: &journal.Record{Kind: journal.KindChange, Change: journal.Change{
				Floor: f.content + 1, Change: carillon.Change{Read: carillon.Mark(1 + h.draw("read", 2))}, Installation: at,
			}}})
		}
	case "delete":
		if f := h.item(p); f != nil {
			at := h.endpoint(p)
			if g := p.find(f.id); at != "" && !g.state.Deleted {
				h.device(at).handled(g)
			}
			h.feed(deletes(u, f.id, at))
		}
	case "ack": // the device came and fetched; its door tells so at once, or later
		if at := h.endpoint(p); at != "" {
			h.fetch(h.device(at), p)
			h.seen = append(h.seen, fed{user: u, rec: &journal.Record{Kind: journal.KindAck, Ack: journal.Ack{Installation: at, Position: h.r.next - 1}}})
		}
		for len(h.seen) > 0 && h.draw("later", 2) == 0 {
			i := h.draw("ack", len(h.seen))
			ack := h.seen[i]
			h.seen = slices.Delete(h.seen, i, i+1)
			h.feed(ack)
		}
	case "join":
		id := []string{"phone", "desk"}[h.draw("endpoint", 2)]
		f := r.joins(u, u.ID+id, map[string]carillon.Platform{"phone": carillon.IOS, "desk": carillon.Android}[id])
		f.rec.Endpoint.Address = id // there is one of each in the house
		if h.draw("own", 3) > 0 {
			f.rec.Endpoint.Address += u.ID
		}
		_, is := p.endpoints[u.ID+id]
		h.feed(f)
		if !is { // an app that signs in reads the feed
			h.fetch(h.device(u.ID+id), p)
		}
	case "erase": // rare: it leaves little to look at
		if h.draw("really", 4) == 0 {
			h.feed(erases(u))
			for _, id := range []string{"phone", "desk"} {
				delete(h.devices, u.ID+id) // its app begins anew
			}
		}
	case "leave":
		if at := h.endpoint(p); at != "" {
			h.feed(leaves(u, at))
		}
	case "answer":
		quiet = true
		h.answer(carillon.Outcome{Class: carillon.Accepted})
	case "fail":
		quiet = true
		h.answer(carillon.Outcome{Class: []carillon.Class{carillon.Transient, carillon.Unknown, carillon.ThrottledEndpoint}[h.draw("class", 3)]})
	case "throttle":
		quiet = true
		h.answer(carillon.Outcome{Class: carillon.ThrottledSender, After: time.Duration(h.draw("ms", 3000)) * time.Millisecond})
	case "room":
		quiet = true
		r.v.rooms([]int{0, 1, 1000}[h.draw("room", 3)])
		synctest.Wait()
	case "wait":
		quiet = true
		pass(time.Duration(1+h.draw("ms", 2000)) * time.Millisecond)
	case "crash":
		h.crash(false)
		return
	case "rebalance":
		h.crash(true)
		return
	}
	if quiet { // before a release that came due makes another version the present one
		h.wanted(h.r.v.all()[was:])
	}
	was = len(r.v.all())
	h.caused()
	if quiet {
		h.wanted(h.r.v.all()[was:])
	}
}

// wanted: no push sets out whose notification the user is done with.
func (h *household) wanted(pushes []carillon.Push) {
	for _, p := range pushes {
		if p.Kind != carillon.KindAlert {
			continue
		}
		f := h.truth.of(p.User).find(p.ID)
		if why, handled := f.state.Handled(); p.Seq != f.content || handled && (!f.local || f.state.Deleted) {
			h.fatalf("%s of %s was handed to %s, but the present one is %s and it is %q", p.Seq, p.ID, p.Endpoint.ID, f.content, why)
		}
	}
}

// long lets a notification live longer than the test.
func (h *household) long(f fed) fed {
	f.rec.Notification.Expires = h.r.clock.UnixMilli() + (24 * time.Hour).Milliseconds()
	return f
}

func (h *household) item(p *person) *fact {
	if len(p.items) == 0 {
		return nil
	}
	return p.items[h.draw("item", len(p.items))]
}

func (h *household) endpoint(p *person) string {
	ids := slices.Sorted(maps.Keys(p.endpoints))
	if i := h.draw("at", len(ids)+1); i < len(ids) {
		return ids[i]
	}
	return ""
}

func (h *household) change(u carillon.User, f *fact, more bool) {
	p := h.truth.of(u)
	c := carillon.Change{Read: carillon.Mark(h.draw("read", 3))}
	if c.Read == carillon.Keep || h.draw("both", 2) == 0 {
		c.HasAction, c.Action = true, carillon.UserAction(h.draw("action", 4))
	}
	at := h.endpoint(p)
	x := h.r.changes(u, f.id, at, c)
	x.rec.Change.More = more
	if h.draw("conditional", 4) == 0 {
		h.rid++
		x.rec.HasRID, x.rec.RID = true, carillon.RequestID{h.rid, 1}
		x.rec.IfSeq = f.version() - carillon.Seq(h.draw("stale", 2))
	}
	if x.rec.IfSeq == 0 || x.rec.IfSeq == p.find(f.id).version() {
		h.handle(p, at, c, func(g *fact) bool { return g == p.find(f.id) })
	}
	h.feed(x)
}

// handle lets the acting device take off what its user handles there.
func (h *household) handle(p *person, at string, c carillon.Change, which func(f *fact) bool) {
	if at == "" {
		return
	}
	for _, f := range p.items {
		if p.find(f.id) != f { // another has its id
			continue
		}
		state := f.state
		state.Apply(c, carillon.MaxSeq, 0)
		if _, done := state.Handled(); done && which(f) {
			h.device(at).handled(f)
		}
	}
}

func (d *device) handled(f *fact) {
	delete(d.shows, f.id)
	d.own[f.id] = max(d.own[f.id], f.content)
}

// fetch is what an app does that reads the feed: it takes off what is handled,
// and shows what it shows as it is now.
func (h *household) fetch(d *device, p *person) {
	for _, f := range p.items {
		if _, shown := d.shows[f.id]; !shown || p.find(f.id) != f {
			continue
		}
		if f.scheduled { // the one before it is gone
			delete(d.shows, f.id)
			continue
		}
		if _, handled := f.state.Handled(); handled && (!f.local || f.state.Deleted) {
			delete(d.shows, f.id)
		} else {
			d.shows[f.id] = f.content
		}
	}
}

// answer lets one push arrive, or not, and its answer come.
func (h *household) answer(o carillon.Outcome) {
	if ids := h.r.v.waiting(); len(ids) > 0 {
		slices.Sort(ids) // lanes hand off in any order
		id := ids[h.draw("which", len(ids))]
		if o.Class == carillon.Accepted || o.Class == carillon.Unknown && h.draw("arrived", 2) == 0 {
			h.arrive(h.unanswered(id))
		}
		h.r.v.answer(h.t, id, o)
	}
}

// unanswered is the one push that an endpoint's vendor has.
func (h *household) unanswered(id string) carillon.Push {
	h.r.v.mu.Lock()
	defer h.r.v.mu.Unlock()
	return h.r.v.pushes[slices.IndexFunc(h.r.v.pushes, func(p carillon.Push) bool { return p.Endpoint.ID == id })]
}

// arrive shows or clears at the device.
func (h *household) arrive(p carillon.Push) {
	d := h.device(p.Endpoint.ID)
	switch p.Kind {
	case carillon.KindAlert:
		if p.Seq > d.own[p.ID] && p.Seq >= d.shows[p.ID] {
			d.shows[p.ID] = p.Seq
		}
	case carillon.KindClear:
		for _, id := range p.Cleared {
			delete(d.shows, id)
		}
	case carillon.KindTap:
		h.fetch(d, h.truth.of(p.User))
	case carillon.KindNone, carillon.KindData, carillon.KindFallback:
	}
}

// crash loses what was not written; what was handed off may arrive yet. In order, as
// when the partition goes to another process of the group, what is known is written
// first, and only what has no answer is to be done again.
func (h *household) crash(inOrder bool) {
	h.r.k.advance()
	kept := h.store.clone()
	h.r.v.mu.Lock()
	flying := slices.Clone(h.r.v.pushes)
	h.r.v.mu.Unlock()
	slices.SortFunc(flying, func(a, b carillon.Push) int { return cmp.Compare(a.Endpoint.ID, b.Endpoint.ID) })
	for _, p := range flying {
		if h.draw("arrived", 2) == 0 {
			h.arrive(p)
		}
	}
	next := h.r.next
	h.r.stop()
	if inOrder {
		h.save()
		kept = h.store
	}
	settled := kept.progress[0].Settled
	if settled == 0 {
		settled = carillon.MakeSeq(1, 0)
	}
	h.store = kept
	h.r = newRigAt(h.t, h.r.d.cfg, kept, settled, next)
	h.r.next = settled
	for _, f := range h.records[settled.Offset():] {
		h.r.feedAt(f.rec.At, f)
	}
	h.caused()
}

// clone is the store as a crash leaves it.
func (m *memory) clone() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newMemory()
	for u, eps := range m.endpoints {
		c.endpoints[u] = maps.Clone(eps)
	}
	for u, items := range m.items {
		c.items[u] = maps.Clone(items)
		for s, it := range items {
			it.Deliveries = slices.Clone(it.Deliveries)
			c.items[u][s] = it
		}
	}
	c.idems, c.progress, c.versions = maps.Clone(m.idems), maps.Clone(m.progress), maps.Clone(m.versions)
	c.floors, c.syncs, c.owners = maps.Clone(m.floors), maps.Clone(m.syncs), maps.Clone(m.owners)
	c.erased = maps.Clone(m.erased)
	c.dues, c.parked, c.ended = slices.Clone(m.dues), slices.Clone(m.parked), slices.Clone(m.ended)
	return c
}

// save writes the positions, as the keeper would now and then.
func (h *household) save() {
	h.r.k.advance()
	h.r.k.save(false)
}

// finish lets everything arrive and compares what the devices show with what is
// true.
func (h *household) finish() {
	var mu sync.Mutex // lanes hand off at the same time
	h.r.v.replies(func(p carillon.Push) carillon.Outcome {
		mu.Lock()
		defer mu.Unlock()
		h.arrive(p)
		return accept(p)
	})
	h.r.v.rooms(1000)
	synctest.Wait()
	for ids := h.r.v.waiting(); len(ids) > 0; ids = h.r.v.waiting() {
		h.arrive(h.unanswered(ids[0]))
		h.r.v.answer(h.t, ids[0], carillon.Outcome{Class: carillon.Accepted})
	}
	for range 4 {
		h.save()
		pass(12 * time.Minute)
		h.caused()
	}
	h.states()
	h.store.told(h.fatalf)
	for u, p := range h.truth.users {
		var alive []string
		eps, _ := h.store.Endpoints(nil, u)
		for _, e := range eps {
			alive = append(alive, e.ID)
		}
		slices.Sort(alive)
		if want := slices.Sorted(maps.Keys(p.endpoints)); !slices.Equal(alive, want) {
			h.fatalf("%s has %v, want %v", u, alive, want)
		}
		for id := range p.endpoints {
			h.tray(u, p, home{u, id}, h.devices[id])
		}
	}
	if a, s := h.r.positions(); a != int64(len(h.records)) || s != a {
		h.fatalf("applied is %d, settled %d, of %d", a, s, len(h.records))
	}
	if n := len(h.store.dues) + len(h.store.parked); n != 0 {
		h.fatalf("%d hints are left: %v %v", n, h.store.dues, h.store.parked)
	}
	if in, out := h.r.k.inFlight.Load(), h.r.k.credits.out(); in != 0 || out != 0 {
		h.fatalf("%d in flight, %d credits out", in, out)
	}
	for _, s := range h.r.d.shards {
		if len(s.residents) != 0 {
			h.fatalf("%d users are still at hand", len(s.residents))
		}
	}
}

// states: the rows say what is true.
func (h *household) states() {
	for u, p := range h.truth.users {
		for _, f := range p.items {
			it := h.store.item(u, f.created)
			if it == nil {
				h.fatalf("%s: no row of %s", u, f.created)
			}
			got, want := it.State, f.state
			if got.Read != want.Read || got.Action != want.Action || got.Deleted != want.Deleted || it.Content != f.content {
				h.fatalf("%s %s: the row of %s says %+v, true is %s and %+v", u, f.created, it.Content, got, f.content, want)
			}
			for _, d := range it.Deliveries {
				if !d.Outcome.Class.Terminal() {
					h.fatalf("%s %s: the delivery to %s is %s: %+v %+v", u, f.created, d.Endpoint, d.Outcome.Class, d, f)
				}
			}
		}
	}
}

// tray: a device shows nothing that its user is done with, and everything that
// he never was.
func (h *household) tray(u carillon.User, p *person, at home, d *device) {
	if d == nil {
		d = &device{}
	}
	for _, f := range p.items {
		if p.find(f.id) != f {
			continue
		}
		seq, shown := d.shows[f.id]
		_, handled := f.state.Handled()
		switch {
		case shown && handled && (!f.local || f.state.Deleted):
			h.fatalf("%s at %s: %s is still shown, and it is %+v", u, at.id, f.created, f.state)
		case shown && seq != f.content:
			h.fatalf("%s at %s: %s is shown at %s, is at %s", u, at.id, f.created, seq, f.content)
		case !shown && !f.touched && slices.Contains(f.at, at) && d.own[f.id] < f.content && h.same(at, f):
			h.fatalf("%s at %s: %s was never shown: %+v %+v %+v", u, at.id, f.created, f, h.store.item(u, f.created).Deliveries, d)
		}
	}
}

// same tells whether the endpoint is the registration that the item was planned
// for: one that left meanwhile lost what was under way.
func (h *household) same(at home, f *fact) bool {
	eps, _ := h.store.Endpoints(nil, at.user)
	i := slices.IndexFunc(eps, func(e carillon.Endpoint) bool { return e.ID == at.id })
	return i >= 0 && eps[i].Incarnation < f.content && eps[i].Addressed < f.content
}

// No endpoint ends in a state older than its user's, and nothing resurrects:
// whatever is sent, replaced, read, dismissed, deleted, registered, handed to
// another, tried again, and whenever the process dies.
func TestNothingResurrects(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failed any
		synctest.Test(t, func(t *testing.T) {
			defer func() { failed = recover() }()
			store := newMemory()
			h := &household{rt: rt, t: t, store: store, devices: map[string]*device{}}
			h.r = newRig(t, Config{Shards: 2, CacheBytes: 700, Credits: []int{2, 4096}[h.draw("credits", 2)], MaxItems: 10_000}, store)
			h.truth = newTruth(h.r.d.deps.IDs)
			defer func() { h.r.stop() }()
			for range rapid.IntRange(1, 50).Draw(rt, "steps") {
				h.step()
				if h.draw("save", 3) == 0 {
					h.save()
				}
			}
			h.finish()
		})
		if failed != nil {
			panic(failed)
		}
	})
}

// fatalf fails the script; it tells so at once, as a script that shrinks may take
// another course (retries have jitter).
func (h *household) fatalf(format string, args ...any) {
	h.t.Logf(format, args...)
	h.rt.Fatalf(format, args...)
}
