package dispatch

import (
	"fmt"

	"carillon"
	"carillon/journal"
)

const whyErased = "erased"

// forgotten passes over a replayed record from before its user's erasure.
func (s *shard) forgotten(r *resident, rec record) bool {
	var at carillon.Seq
	if !s.must("erased", func() (err error) {
		at, err = s.d.deps.Store.Erased(r.user)
		return err
	}) {
		return true
	}
	if rec.f.Seq > at {
		return false
	}
	s.skip(rec)
	return true
}

// erase takes away everything that is kept of a user: what waits ends, what a
// vendor has goes on and leaves no trace, his endpoints and what is known of him
// are gone, here and, with the next write, in the store. What is written of him
// before goes first, so that no row comes after.
func (s *shard) erase(r *resident, rec record) {
	k := rec.win.k
	r.holds++ // a write lets go of who is idle
	s.flush(true)
	s.eraseWaiting(r)
	if s.broken {
		return
	}
	for p := r.pendings; p != nil; p = p.next {
		if !p.clear {
			p.erased, p.over = true, whyErased
			s.suppress(p, whyErased)
		}
	}
	clear(r.keyed)
	r.keyed = r.keyed[:0] // what comes is no later version of these
	j := &joint{win: rec.win, r: r, parts: 1}
	row := carillon.ErasedRow{User: r.user, Partition: k.partition, Seq: rec.f.Seq, Expires: s.now + carillon.MaxLife.Milliseconds()}
	for i := range r.entry.endpoints {
		if e := &r.entry.endpoints[i]; e.Address != "" {
			a := carillon.VacatedAddress{Address: carillon.HashAddress(r.user.Host, e.Platform, e.Address), Version: e.Version}
			row.Addresses = append(row.Addresses, a)
			j.parts++
			s.cause(&causing{joint: j, entry: vacation(r.key, &a, s.rec.At)})
		}
	}
	s.change(r, nil)
	st := r.alter()
	st.floor, st.floorRow, st.sync, st.syncRow = nil, 0, carillon.Sync{Expires: s.now + 1}, 0
	s.rows.Erased = append(s.rows.Erased, row)
	s.applied = append(s.applied, applied{win: rec.win, r: r, joint: j})
	r.holds++
	s.d.metrics.erased.Inc()
	s.soil()
	s.flush(true)
}

// eraseWaiting removes the rows by which a user's deliveries, releases and clears
// wait.
func (s *shard) eraseWaiting(r *resident) {
	for before := carillon.Seq(0); !s.broken; {
		var items []*carillon.Item
		s.must("items", func() (err error) {
			items, err = s.d.deps.Store.Items(r.user, before, sinkPage)
			return err
		})
		for _, it := range items {
			before = it.Created
			s.eraseHints(r, it)
		}
		if len(items) < sinkPage {
			break
		}
	}
	for _, es := range r.entry.sync().Endpoints {
		if es.Due != 0 {
			s.eraseHint(&recall{k: r.k, kind: carillon.HintDue, at: es.Due, ref: clearRef(r, es.Endpoint)})
		}
	}
}

func (s *shard) eraseHints(r *resident, it *carillon.Item) {
	var note carillon.Notification
	if err := journal.DecodeNotification(it.Body, &note); err != nil && len(it.Body) > 0 {
		s.d.deps.Log.Error("an item's content cannot be decoded", "user", r.key, "created", it.Created.String(), "error", err)
	}
	s.loses(r.k, r.user, &note, it)
	for i := range it.Deliveries {
		row := &it.Deliveries[i]
		if row.Hint == carillon.HintNone || row.Outcome.Class.Terminal() {
			continue
		}
		rc := s.takeHint(r, it, row, &note)
		if rc != nil {
			s.removeHint(rc, it.Expires)
			s.d.metrics.outcome(row.Platform, carillon.Suppressed)
		}
		if rc != nil || !r.takesUp(it, row) { // else it is counted as it ends there
			s.countEnded(r.k, r.user.Host, &note, it, carillon.Suppressed)
		}
	}
	for _, n := range [...]carillon.Next{{Content: it.Content, Body: it.Body}, it.Next} {
		if !it.Awaits(n.Content) || journal.DecodeNotification(n.Body, &note) != nil {
			continue
		}
		s.eraseHint(&recall{k: r.k, kind: carillon.HintDue, at: note.DeliverAt, ref: carillon.Ref{
			User: r.user, Created: it.Created, Content: n.Content, Kind: carillon.KindRelease,
		}})
	}
}

// takesUp tells whether a recalled delivery of an item is at hand.
func (r *resident) takesUp(it *carillon.Item, row *carillon.Delivery) bool {
	for p := r.pendings; p != nil; p = p.next {
		if p.recall != nil && p.item.Created == it.Created && p.recall.of(row) {
			return true
		}
	}
	return false
}

// eraseHint removes a due row unless a keeper has recalled it: then it finds
// nothing.
func (s *shard) eraseHint(rc *recall) {
	if rc.k.hints.claim(rc) {
		s.removeHint(rc, s.now+1)
	}
}

// userMark tells users apart in a vacation without naming them.
func userMark(key string) string { return fmt.Sprintf("%016x", carillon.HashUserKey([]byte(key))) }

// vacation is the record by which an address is its erased owner's no more.
func vacation(user string, a *carillon.VacatedAddress, at int64) journal.Entry {
	gone := journal.Record{Kind: journal.KindClaim, At: at, Claim: journal.Claimed{Address: a.Address[:], User: userMark(user), Seq: a.Version}}
	return journal.Entry{Key: []byte(a.Address.String()), Value: gone.Append(nil)}
}

// vacate takes the owner's name off an address, unless another has it by now or he
// registered it again since.
func (s *shard) vacate(rec record, c *claim, cur *carillon.Owner) {
	if cur == nil || cur.Claimed >= rec.f.Seq || userMark(cur.User) != s.rec.Claim.User || cur.Version > s.rec.Claim.Seq {
		s.skip(rec)
		return
	}
	c.owner = carillon.Owner{Claimed: rec.f.Seq, Expires: cur.Expires}
	c.moved = cur.Expires
	s.claims[c.address] = c
	s.owned(c)
}
