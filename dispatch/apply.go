package dispatch

import (
	"slices"

	"carillon"
	"carillon/journal"
)

// Why a delivery is suppressed, as deliveries show it.
const (
	whyReplaced = "replaced"
	whyLeft     = "left"
	whyUnwanted = "noPush"
)

// apply works one record into the user's state. A record that this version
// does not know is passed over and stays in the journal.
func (s *shard) apply(r *resident, rec record) {
	if s.broken {
		return
	}
	if rec.recall != nil {
		s.recalled(r, rec.recall)
		return
	}
	r.k = rec.win.k
	if rec.f.Seq < rec.win.k.replayEnd && s.forgotten(r, rec) {
		return
	}
	if err := s.rec.Decode(rec.f.Value); err != nil {
		s.d.metrics.undecodable.Inc()
		s.d.deps.Log.Error("a journal record cannot be decoded and is passed over",
			"user", r.key, "partition", rec.win.k.partition, "seq", rec.f.Seq.String(), "error", err)
		s.skip(rec)
		return
	}
	if !s.rec.Known() {
		s.d.metrics.unknownKinds.Inc()
		s.skip(rec)
		return
	}
	switch s.rec.Kind {
	case journal.KindNotification:
		s.notification(r, rec)
	case journal.KindEndpoint:
		s.register(r, rec)
	case journal.KindLeave:
		s.unregister(r, rec)
	case journal.KindChange:
		s.changed(r, rec)
	case journal.KindDelete:
		s.deleted(r, rec)
	case journal.KindAck:
		s.acked(r, rec)
	case journal.KindEvict:
		s.evict(r, rec)
	case journal.KindRelease:
		s.release(r, rec)
	case journal.KindErase:
		s.erase(r, rec)
	default: // kinds whose rules are not built yet
		s.d.metrics.unknownKinds.Inc()
		s.skip(rec)
	}
}

// skip ends a record that writes nothing.
func (s *shard) skip(rec record) {
	rec.win.applied()
	rec.win.settled()
}

// done ends a record with the next write.
func (s *shard) done(r *resident, rec record) {
	r.holds++
	s.applied = append(s.applied, applied{win: rec.win, r: r})
	s.soil()
}

// register applies an endpoint's registration or renewal.
func (s *shard) register(r *resident, rec record) {
	e := r.entry
	i := e.find(s.rec.Endpoint.ID)
	var cur *carillon.Endpoint
	if i >= 0 {
		cur = &e.endpoints[i]
		if cur.Version >= rec.f.Seq { // a replay
			if cur.Version == rec.f.Seq && cur.Address != "" { // whose claim may be missing
				s.claims1(r, rec, cur, 1)
			} else {
				s.skip(rec)
			}
			return
		}
	}
	if cur == nil && rec.f.Seq < rec.win.k.replayEnd && s.outdated(r, rec) {
		return
	}
	reg := carillon.Register(cur, clone(&s.rec.Endpoint), rec.f.Seq, s.rec.At)
	eps := slices.Clone(e.endpoints)
	row := carillon.EndpointRow{User: r.user, Endpoint: reg}
	if cur != nil {
		row.Moved = cur.Expires
		eps[i] = reg
	} else {
		if out := carillon.Evictee(eps, reg.Platform); out >= 0 {
			gone := eps[out]
			gone.Version = rec.f.Seq
			s.rows.Endpoints = append(s.rows.Endpoints, carillon.EndpointRow{User: r.user, Endpoint: gone, Left: true, Moved: gone.Expires})
			eps = slices.Delete(eps, out, out+1)
		}
		eps = append(eps, reg)
	}
	s.rows.Endpoints = append(s.rows.Endpoints, row)
	s.change(r, eps)
	if cur == nil && s.flies(r, rec, reg.ID) {
		s.oweBack(r, &reg)
	}
	s.claimed(r, rec, &reg)
}

// flies tells whether a push to an installation that comes may still arrive from
// before it left. Of a replay nobody knows what the last run had handed off, but
// only a user with notifications can have got any.
func (s *shard) flies(r *resident, rec record, id string) (may bool) {
	switch {
	case r.turnAt(id) >= 0:
		return true
	case rec.f.Seq >= rec.win.k.replayEnd:
		return false
	case r.pendings != nil:
		return true
	}
	s.must("items", func() error {
		items, err := s.d.deps.Store.Items(r.user, carillon.MaxSeq, 1)
		may = len(items) > 0
		return err
	})
	return may
}

// outdated tells whether a replayed registration did its work before and its
// endpoint left or was replaced since: it must not come back, nor take another's
// place. Then the record is over (or the dispatcher stops).
func (s *shard) outdated(r *resident, rec record) bool {
	var version carillon.Seq
	ok := s.must("endpoint", func() (err error) {
		version, err = s.d.deps.Store.EndpointVersion(r.user, s.rec.Endpoint.ID)
		return err
	})
	if ok && version < rec.f.Seq {
		return false
	}
	if ok {
		s.skip(rec)
	}
	return true
}

// unregister applies an endpoint's leaving, unless it came back since.
func (s *shard) unregister(r *resident, rec record) {
	l := &s.rec.Leave
	i := r.entry.find(l.Installation)
	if i < 0 || r.entry.endpoints[i].Version >= rec.f.Seq ||
		l.Incarnation != 0 && r.entry.endpoints[i].Incarnation != l.Incarnation ||
		l.Addressed != 0 && r.entry.endpoints[i].Addressed != l.Addressed {
		s.skip(rec)
		return
	}
	s.remove1(r, rec, i)
}

// change gives the user new endpoints; deliveries that a vendor has keep the old
// ones.
func (s *shard) change(r *resident, eps []carillon.Endpoint) {
	e := *r.entry
	e.endpoints = eps
	r.entry, r.changed = &e, true
	if len(r.debts) > 0 { // what they wait for may be none's any more
		s.setSync(r, e.sync().Prune(eps, s.now))
	}
	r.reconsider()
}

// notification plans a notification, or goes on with one that an earlier run
// has planned.
func (s *shard) notification(r *resident, rec record) {
	seq := rec.f.Seq
	replay := seq < rec.win.k.replayEnd
	created, old, ok := s.identify(r, rec, replay)
	switch {
	case s.broken:
		return
	case !ok:
		s.skip(rec)
		return
	}
	if s.rec.Notification.DeliverAt > s.rec.At && old != nil && old.Content != seq && s.stands(r, created) {
		s.keepNext(r, rec, created)
		return
	}
	p := s.newPending(r, rec.win.k, rec.win)
	p.note = s.rec.Notification
	p.item = carillon.Item{
		Created: created, Content: seq, Partition: rec.win.k.partition,
		ID: p.note.ID, Accepted: s.rec.At, Journalled: rec.f.Time, Planned: s.now,
		Expires: p.note.Expires, Body: s.rec.Body, Deliveries: p.item.Deliveries,
	}
	if p.note.ID.IsZero() {
		p.note.ID = s.d.deps.IDs.Positional(rec.hash, carillon.Position{Partition: p.item.Partition, Seq: created})
	} else {
		r.keyed = append(r.keyed, p)
	}
	if s.rec.HasRID {
		p.hasIdem = true
		p.idem = carillon.Idem{
			RID: s.rec.RID, BodyHash: s.rec.BodyHash, Seq: seq, ID: p.note.ID,
			Expires: s.rec.At + carillon.IdempotencyFor.Milliseconds(),
		}
		r.idems = append(r.idems, p.idem)
	}
	s.setOut(r, p, old, replay)
}

// setOut plans p, or goes on with the plan of an earlier run, and hands off what
// is to be handed off.
func (s *shard) setOut(r *resident, p *pending, old *carillon.Item, replay bool) {
	if old != nil && old.Content == p.item.Content {
		crash(crashReplay)
		s.redrive(p, old)
	} else {
		s.planNew(r, p, old, replay)
	}
	again := p.written
	if !again {
		s.keep(p)
		if replay {
			s.covered(r, p)
		}
	}
	for i := range p.deliveries {
		if row := p.deliveries[i].row(); !row.Outcome.Class.Terminal() && row.Hint == carillon.HintNone {
			s.send(&p.deliveries[i])
		}
	}
	if again {
		s.known(p)
	}
}

// covered ends the deliveries of a notification whose row an earlier run did not
// come to write, while that run wrote a later word on everything before: the floor
// is there already, and its endpoints may have been told.
func (s *shard) covered(r *resident, p *pending) {
	if p.note.LocalState || unsuppressed {
		return
	}
	state := p.item.State
	r.entry.floor().Merge(p.item.Content, &state)
	why, handled := state.Handled()
	if !handled {
		return
	}
	p.over = why
	for i := range p.deliveries {
		if d := &p.deliveries[i]; !d.row().Outcome.Class.Terminal() {
			s.end(d, carillon.Outcome{Class: carillon.Suppressed, Reason: why})
		}
	}
}

// planNew plans a notification that no earlier run has planned; old is the
// version that it replaces, or nil.
func (s *shard) planNew(r *resident, p *pending, old *carillon.Item, replay bool) {
	seq := p.item.Content
	if old != nil {
		p.moved, p.was = old.Expires, old.Feed
	}
	p.item.Feed = seq
	s.replaceOlder(r, p)
	if old != nil {
		s.endWaiting(r, p, old)
	}
	if p.note.DeliverAt > s.rec.At { // by the record's time, so that a replay finds the same
		p.item.Scheduled, p.item.Planned = true, 0
		return
	}
	if !p.item.ID.IsZero() && len(r.entry.sync().Recent) > 0 { // it shall be shown again
		s.setSync(r, r.entry.sync().Restore(p.note.ID))
	}
	s.targets = carillon.Plan(s.targets[:0], &p.note, r.entry.endpoints, s.now)
	if p.note.Expires <= s.now {
		s.targets = s.targets[:0]
	}
	if replay { // who joined later finds it in the history
		s.targets = slices.DeleteFunc(s.targets, func(t carillon.Target) bool { return t.Endpoint.Incarnation > seq })
	}
	s.plan(p, s.targets)
}

// known counts a record whose row an earlier run wrote as applied, but not
// before the rows of what was parked of it now.
func (s *shard) known(p *pending) {
	if p.unapplied = p.late > 0; !p.unapplied {
		p.win.applied()
	}
	s.settle(p)
}

// keep puts p in line for its row.
func (s *shard) keep(p *pending) {
	s.unsent = append(s.unsent, p)
	p.rowDue = s.now + s.d.cfg.RowDelay.Milliseconds()
	if p.hurry {
		p.rowDue = s.now
	}
	if p.open == 0 {
		s.finished++
		s.soil()
	}
}

// identify finds the item that a notification record belongs to: its key in the
// store, and the row that is there already. It is not ok when the record is a
// repeat of another one, or older than what is there.
func (s *shard) identify(r *resident, rec record, replay bool) (created carillon.Seq, old *carillon.Item, ok bool) {
	seq := rec.f.Seq
	created = seq
	if s.rec.HasRID && s.repeated(r, seq) {
		s.d.metrics.duplicates.Inc()
		return 0, nil, false
	}
	if n := &s.rec.Notification; n.Broadcast != "" && n.AppNotificationID == "" {
		return s.identifyCast(r, seq, replay)
	}
	if id := s.rec.Notification.ID; !id.IsZero() {
		p := r.newest(id, seq)
		if p != nil && !p.item.State.Deleted {
			return p.item.Created, p.oldRow(), p.item.Content < seq
		}
		s.must("find", func() error {
			c, found, err := s.d.deps.Store.Find(r.user, id)
			if err == nil && found {
				created = c
			}
			return err
		})
	}
	if p := r.newest(s.rec.Notification.ID, seq); p != nil && created <= p.item.Created {
		return seq, nil, true // deleted, which the store does not know yet
	}
	if !replay && created == seq {
		return created, nil, true
	}
	if created > seq {
		created = s.earlier(r, s.rec.Notification.ID, seq, created)
	}
	old = s.present(r, created)
	switch {
	case old == nil:
		return seq, nil, true // gone since: a new incarnation
	case old.Content > seq:
		return 0, nil, false
	case old.State.Deleted && old.Content < seq:
		return seq, nil, true // likewise
	}
	return created, old, true
}

// earlier finds the incarnation of a derived id whose content is at seq, when a
// later one has the id by now: a replay still has deliveries of it to end.
func (s *shard) earlier(r *resident, id carillon.ID, seq, newest carillon.Seq) carillon.Seq {
	for before := newest; ; {
		var items []*carillon.Item
		s.must("items", func() (err error) {
			items, err = s.d.deps.Store.Items(r.user, before, sinkPage)
			return err
		})
		for _, it := range items {
			if before = it.Created; it.ID == id && it.Content == seq {
				return it.Created
			}
		}
		if len(items) < sinkPage {
			return newest
		}
	}
}

// newest is what is under way of the newest notification of a derived id, nil
// when nothing is. What a hint brought back before its own record, at seq, came
// again does not count: it knows of one delivery, the row knows of all.
func (r *resident) newest(id carillon.ID, seq carillon.Seq) (found *pending) {
	if id.IsZero() {
		return nil
	}
	for _, p := range r.keyed {
		again := p.win == nil && p.item.Content == seq
		if p.item.ID == id && !p.replaced && !again && (found == nil || p.item.Created > found.item.Created) {
			found = p
		}
	}
	return found
}

// oldRow is what a replacement needs of the row in the store that it replaces:
// p's own, or while that is not written the one that p would have replaced.
func (p *pending) oldRow() *carillon.Item {
	old := &carillon.Item{Created: p.item.Created, Content: p.item.Content, Expires: p.item.Expires, Feed: p.item.Feed}
	if !p.written {
		old.Expires, old.Feed = p.moved, p.was
	}
	return old
}

// repeated tells whether another record brought the same request before.
func (s *shard) repeated(r *resident, seq carillon.Seq) bool {
	for i := range r.idems {
		if r.idems[i].RID == s.rec.RID {
			return r.idems[i].Seq != seq
		}
	}
	var idem carillon.Idem
	var found bool
	s.must("idem", func() (err error) {
		idem, found, err = s.d.deps.Store.Idem(r.user, s.rec.RID)
		return err
	})
	return found && idem.Seq != seq && idem.Expires > s.now
}

// redrive goes on with a plan that an earlier run wrote: only deliveries
// without a terminal outcome are handed off again, to the registrations that
// they were planned for.
func (s *shard) redrive(p *pending, old *carillon.Item) {
	p.written = true
	p.item.Planned, p.item.State, p.item.Feed, p.item.Expires = old.Planned, old.State, old.Feed, old.Expires
	why, handled := old.State.Handled()
	handled = handled && (old.State.Deleted || !p.note.LocalState) && !unsuppressed
	if handled {
		p.over = why
	}
	p.item.Deliveries = append(p.item.Deliveries[:0], old.Deliveries...)
	p.reserve(len(old.Deliveries), 0)
	for i := range p.item.Deliveries {
		row := &p.item.Deliveries[i]
		if row.Outcome.Class.Terminal() || row.Hint != carillon.HintNone {
			continue
		}
		if handled { // since that run
			s.end(p.add(i, &carillon.Endpoint{ID: row.Endpoint}), carillon.Outcome{Class: carillon.Suppressed, Reason: why})
			continue
		}
		s.d.metrics.redriven.Inc()
		at := p.r.entry.find(row.Endpoint)
		if at < 0 || p.r.entry.endpoints[at].Incarnation != row.Incarnation {
			s.end(p.add(i, &carillon.Endpoint{ID: row.Endpoint}), carillon.Outcome{Class: carillon.Suppressed, Reason: whyLeft})
			continue
		}
		p.add(i, &p.r.entry.endpoints[at])
	}
}

// clone gives an endpoint strings of its own: it outlives the batch.
func clone(e *carillon.Endpoint) carillon.Endpoint {
	c := *e
	for _, f := range []*string{&c.ID, &c.Address, &c.AppID, &c.Environment, &c.Locale} {
		*f = string([]byte(*f))
	}
	return c
}
