package conformance

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"carillon"
	"carillon/store"
)

// model is what a store should hold of one user.
type model struct {
	*rig
	u         carillon.User
	next      int64
	items     map[carillon.Seq]*carillon.Item
	endpoints map[string]carillon.EndpointRow // with tombstones
	waits     map[carillon.Seq]wait
}

// wait is where the first delivery of an item waits.
type wait struct {
	due    *carillon.DueRow
	parked *carillon.ParkedRow
}

// testModel shortens, lengthens, replaces, leaves, replays and lets time pass:
// the store shows what the model does, and an old version never comes back.
func testModel(t *testing.T, b Backend) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{
			rig: newRig(t, b), u: alice(), next: 1,
			items: make(map[carillon.Seq]*carillon.Item), endpoints: make(map[string]carillon.EndpointRow),
			waits: make(map[carillon.Seq]wait),
		}
		rt.Repeat(map[string]func(*rapid.T){
			"add":      m.add,
			"change":   m.change,
			"outcome":  m.outcome,
			"register": m.register,
			"leave":    m.leaves,
			"time":     func(rt *rapid.T) { m.pass(rapid.Int64Range(1, 6).Draw(rt, "hours")) },
			"":         m.check,
		})
		if t.Failed() {
			rt.FailNow()
		}
	})
}

func (m *model) now() int64 { return m.clock.UnixMilli() }

// expiry is some hours ahead.
func (m *model) expiry(rt *rapid.T) int64 {
	passed := (m.now() - m.start) / hour
	return m.in(passed + rapid.Int64Range(0, 12).Draw(rt, "expiry"))
}

func (m *model) seq() int64 {
	m.next++
	return m.next
}

// live are the items that a shard would find.
func (m *model) live() []carillon.Seq {
	return slices.Sorted(func(yield func(carillon.Seq) bool) {
		for s, it := range m.items {
			if it.Expires > m.now() && !yield(s) {
				return
			}
		}
	})
}

func (m *model) add(rt *rapid.T) {
	n := m.seq()
	it := item(n, n, m.expiry(rt))
	m.items[it.Created] = it
	m.write(put(m.u, it, 0))
}

// change replaces an item's content or state, often with another expiry.
func (m *model) change(rt *rapid.T) {
	live := m.live()
	if len(live) == 0 {
		return
	}
	old := m.items[rapid.SampledFrom(live).Draw(rt, "item")]
	it := *old
	it.Expires = m.expiry(rt)
	it.Deliveries = slices.Clone(old.Deliveries)
	if rapid.Bool().Draw(rt, "content") {
		it.Content = seq(m.seq())
		it.Deliveries, it.State = item(1, 1, 0).Deliveries, carillon.State{}
	} else {
		it.State.Apply(carillon.Change{Read: carillon.Mark(rapid.ByteRange(1, 2).Draw(rt, "read"))}, seq(m.seq()), m.now())
	}
	it.Feed = store.Version(&it)
	m.items[it.Created] = &it
	rows := putOver(m.u, &it, old.Expires, old.Feed)
	if it.Content != old.Content {
		rows.Dues, rows.Parked = m.unrest(it.Created)
	}
	m.write(rows)
}

func (m *model) outcome(rt *rapid.T) {
	live := m.live()
	if len(live) == 0 {
		return
	}
	it := m.items[rapid.SampledFrom(live).Draw(rt, "item")]
	d := it.Deliveries[0]
	d.Hint, d.Due = carillon.HintNone, 0
	d.Attempts = rapid.Uint8Range(0, 3).Draw(rt, "attempts")
	d.Handed = m.seq()                                                                                           // what happens later is handed later
	d.Outcome = carillon.Outcome{Class: carillon.Class(rapid.IntRange(0, carillon.Classes-1).Draw(rt, "class"))} //nolint:gosec // few
	row := outcome(m.u, it, d)
	m.rest(rt, it, row)
	store.Settle(it, &row.Outcomes[0])
	m.write(row)
}

// rest gives an outcome that changes the item the hint that belongs to it, and
// takes the former one away, in one batch.
func (m *model) rest(rt *rapid.T, it *carillon.Item, rows *carillon.Rows) {
	d := &rows.Outcomes[0].Delivery
	if store.Rank(d) < store.Rank(&it.Deliveries[0]) {
		return
	}
	rows.Dues, rows.Parked = m.unrest(it.Created)
	w := wait{}
	if !d.Outcome.Class.Terminal() {
		d.Hint = carillon.Hint(rapid.ByteRange(0, 2).Draw(rt, "hint"))
	}
	at := carillon.Ref{User: m.u, Created: it.Created, Content: it.Content, Endpoint: d.Endpoint, Kind: d.Kind}
	switch d.Hint {
	case carillon.HintDue:
		d.Due = m.now() + rapid.Int64Range(0, 9).Draw(rt, "due")
		w.due = &carillon.DueRow{Partition: it.Partition, At: d.Due, Ref: at, Expires: it.Expires}
		rows.Dues = append(rows.Dues, *w.due)
	case carillon.HintParked:
		w.parked = &carillon.ParkedRow{Partition: it.Partition, ParkedLane: parkedLane(), Ref: at, Expires: it.Expires}
		rows.Parked = append(rows.Parked, *w.parked)
	case carillon.HintNone:
	}
	m.waits[it.Created] = w
}

func parkedLane() carillon.ParkedLane {
	return carillon.ParkedLane{Lane: carillon.Lane{Platform: carillon.IOS, Host: alice().Host}}
}

// unrest are the rows that take an item's hint away.
func (m *model) unrest(created carillon.Seq) (dues []carillon.DueRow, parked []carillon.ParkedRow) {
	if w := m.waits[created]; w.due != nil {
		dues = append(dues, *w.due)
		dues[0].Done = true
	} else if w.parked != nil {
		parked = append(parked, *w.parked)
		parked[0].Done = true
	}
	delete(m.waits, created)
	return dues, parked
}

// register writes an endpoint by a new or an old version, with a right hint or
// none.
func (m *model) register(rt *rapid.T) {
	id := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "id")
	cur, found := m.endpoints[id]
	e := endpoint(id, m.version(rt, cur), m.expiry(rt))
	row := carillon.EndpointRow{User: m.u, Endpoint: e, Moved: m.hint(rt, cur)}
	if !found || e.Version > cur.Endpoint.Version || e.Version == cur.Endpoint.Version && !cur.Left {
		m.endpoints[e.ID] = row
	}
	m.write(&carillon.Rows{Endpoints: []carillon.EndpointRow{row}})
}

func (m *model) leaves(rt *rapid.T) {
	if len(m.endpoints) == 0 {
		return
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.endpoints))).Draw(rt, "id")
	cur := m.endpoints[id]
	e := cur.Endpoint
	e.Version = seq(m.version(rt, cur))
	if e.Version >= cur.Endpoint.Version {
		m.endpoints[id] = carillon.EndpointRow{Endpoint: e, Left: true}
	}
	m.write(leave(m.u, e, m.hint(rt, cur)))
}

// version is a new one, or any while the present row lives: an expired one may
// be gone, with its version.
func (m *model) version(rt *rapid.T, cur carillon.EndpointRow) int64 {
	if cur.Endpoint.Expires <= m.now() || rapid.Bool().Draw(rt, "new") {
		return m.seq()
	}
	return rapid.Int64Range(1, m.next).Draw(rt, "version")
}

func (m *model) hint(rt *rapid.T, cur carillon.EndpointRow) int64 {
	if rapid.Bool().Draw(rt, "hint") {
		return cur.Endpoint.Expires
	}
	return 0
}

func (m *model) check(*rapid.T) {
	m.checkWaits()
	var seqs []carillon.Seq
	for _, s := range m.live() {
		seqs = append(seqs, s)
		m.same(m.items[s], m.item(m.u, s))
	}
	slices.Reverse(seqs)
	m.same(seqs, m.rig.items(m.u, 0, 1000))
	var feed []carillon.FeedEntry
	for _, s := range seqs {
		if it := m.items[s]; it.Feed != it.Created {
			feed = append(feed, carillon.FeedEntry{Seq: it.Feed, Created: s})
		}
	}
	slices.SortFunc(feed, func(a, b carillon.FeedEntry) int { return cmp.Compare(a.Seq, b.Seq) })
	m.same(feed, m.feed(m.u, 0, 1000))
	m.checkChanges()
	var eps []carillon.Endpoint
	for id, row := range m.endpoints {
		switch {
		case row.Endpoint.Expires <= m.now():
			if row.Endpoint.Expires <= m.now()-24*hour {
				delete(m.endpoints, id)
			}
		case !row.Left:
			eps = append(eps, row.Endpoint)
		}
	}
	slices.SortFunc(eps, func(a, b carillon.Endpoint) int { return cmp.Compare(a.ID, b.ID) })
	m.same(eps, m.rig.endpoints(m.u))
}

// checkChanges reads the whole feed: each item once, as it is, at its place.
func (m *model) checkChanges() {
	var want, got []*carillon.Item
	for _, s := range m.live() {
		it := *m.items[s]
		it.Deliveries = nil
		want = append(want, &it)
	}
	slices.SortFunc(want, func(a, b *carillon.Item) int { return cmp.Compare(a.Feed, b.Feed) })
	_, _, err := m.s.Changes(m.u, carillon.FeedRange{To: seq(m.next + 1), Rows: 1000}, func(at carillon.Place, it *carillon.Item) bool {
		own := *it
		own.Body = slices.Clone(it.Body)
		got = append(got, &own)
		if at != (carillon.Place{At: it.Feed, Created: it.Created}) {
			m.Errorf("%v at %v", it, at)
		}
		return true
	})
	if err != nil {
		m.Fatal(err)
	}
	m.same(want, got)
}

// checkWaits compares the hints that have not expired: others may be swept.
func (m *model) checkWaits() {
	var due []carillon.DueRow
	var parked []carillon.ParkedRow
	for _, w := range m.waits {
		if w.due != nil && w.due.Expires > m.now() {
			due = append(due, *w.due)
		} else if w.parked != nil && w.parked.Expires > m.now() {
			parked = append(parked, *w.parked)
		}
	}
	slices.SortFunc(due, func(a, b carillon.DueRow) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Ref.Content, b.Ref.Content))
	})
	slices.SortFunc(parked, func(a, b carillon.ParkedRow) int { return cmp.Compare(a.Ref.Content, b.Ref.Content) })
	m.same(due, slices.DeleteFunc(m.due(3, nil, 1000), func(r carillon.DueRow) bool { return r.Expires <= m.now() }))
	m.same(parked, slices.DeleteFunc(m.parked(3, parkedLane(), nil, 1000), func(r carillon.ParkedRow) bool { return r.Expires <= m.now() }))
}
