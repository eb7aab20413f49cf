package dispatch

import (
	"slices"

	"carillon"
	"carillon/journal"
)

// note is what a keeper is told once a hint's row is written or removed.
type note struct {
	k      *keeper
	due    int64        // a due row was written for then
	parked carillon.Seq // a parked row of this content was written, in lane
	again  bool         // of a delivery that a vendor had before
	lane   carillon.ParkedLane
	recall *recall // a recalled hint is done with; its row is removed
}

func (n *note) tell() {
	if n.due != 0 {
		n.k.hints.noteDue(n.due)
	}
	if n.parked != 0 {
		n.k.hints.noteParked(n.lane, n.parked, n.again)
	}
	if n.recall != nil {
		n.k.hints.returned(n.recall, true)
	}
}

// mustPark tells whether a delivery may not go to its lane now.
func (s *shard) mustPark(d *delivery, l *lane) bool {
	if !d.probe && l.closed() {
		return true
	}
	if d.p.note.Broadcast != "" && s.holds(d) { // the last of what may be in the way: it takes a place in the pace
		return true
	}
	if d.probe {
		return false
	}
	if d.p.clear {
		return false // it waits behind what is unanswered, not behind what is parked
	}
	if rc := d.p.recall; rc != nil || d.row().Attempts > 0 {
		return false // it has its turn, or takes a new one
	}
	return d.p.k.hints.behind(s.parkedLane(d))
}

// parkedLane is what a delivery parks by.
func (s *shard) parkedLane(d *delivery) carillon.ParkedLane { return parkedLane(d.lane.key, &d.p.note) }

// parkedLane is what deliveries of a notification park by. It follows from the
// content alone: who removes the row knows nothing else.
func parkedLane(l carillon.Lane, n *carillon.Notification) carillon.ParkedLane {
	return carillon.ParkedLane{Lane: l, Low: lowPriority(n), Broadcast: n.Broadcast}
}

// park leaves a delivery to its lane's parked rows.
func (s *shard) park(d *delivery) {
	switch {
	case d.p.clear:
		s.postpone(d)
		return
	case d.p.over != "": // since it went to its lane
		s.end(d, carillon.Outcome{Class: carillon.Suppressed, Reason: d.p.over})
		return
	}
	if d.p.note.Broadcast != "" && s.d.steering(d.p.r.user.Host, d.p.note.Broadcast).cancelled() {
		s.cancel(d)
		return
	}
	if rc := d.p.recall; rc != nil && rc.kind == carillon.HintParked { // its row stands as it is
		s.unrecall(d.p)
		return
	}
	d.p.k.hints.park(s.parkedLane(d), 1)
	s.d.metrics.parked.Inc()
	s.rest(d, carillon.HintParked, 0)
}

// rest leaves an open delivery to a durable hint: it leaves memory, and its
// outcome and its hint are written as one.
func (s *shard) rest(d *delivery, hint carillon.Hint, at int64) {
	p, row := d.p, d.row()
	row.Hint, row.Due = hint, at
	if hint == carillon.HintParked {
		row.Parked = s.now
	}
	p.open--
	if !p.written {
		if hint == carillon.HintParked { // rows of what is parked are written in order
			p.rowDue = s.now
			s.soil()
		}
		if p.open == 0 {
			s.finished++
			s.soil()
		}
		return
	}
	s.spend(d)
	s.outcome(p, row)
	s.hintRow(p, row)
	s.dropHint(p)
}

// unpark takes back what was counted as parked of a notification whose row is
// never written.
func (s *shard) unpark(p *pending) {
	for i := range p.deliveries {
		if d := &p.deliveries[i]; !p.written && d.row().Hint == carillon.HintParked {
			p.k.hints.park(s.parkedLane(d), -1)
		}
	}
}

// hintRow adds the hint that a delivery rests on to the batch.
func (s *shard) hintRow(p *pending, row *carillon.Delivery) {
	ref := carillon.Ref{User: p.r.user, Created: p.item.Created, Content: p.item.Content, Endpoint: row.Endpoint, Kind: row.Kind}
	switch row.Hint {
	case carillon.HintDue:
		s.rows.Dues = append(s.rows.Dues, carillon.DueRow{Partition: p.k.partition, At: row.Due, Ref: ref, Expires: p.item.Expires})
		s.notes = append(s.notes, note{k: p.k, due: row.Due})
	case carillon.HintParked:
		w := parkedLane(carillon.Lane{Platform: row.Platform, Host: p.r.user.Host}, &p.note)
		s.rows.Parked = append(s.rows.Parked, carillon.ParkedRow{Partition: p.k.partition, ParkedLane: w, Ref: ref, Expires: p.item.Expires})
		s.notes = append(s.notes, note{k: p.k, parked: ref.Content, again: row.Attempts > 0, lane: w})
	case carillon.HintNone:
	}
}

// dropHint removes the row of the hint that brought p, in the same batch as
// what became of it.
func (s *shard) dropHint(p *pending) {
	rc := p.recall
	if rc == nil {
		return
	}
	p.recall = nil
	s.removeHint(rc, p.item.Expires)
}

// dropRecall ends a recalled hint that is of no use, or of no more.
func (s *shard) dropRecall(rc *recall) {
	rc.k.giveBack(1)
	s.removeHint(rc, s.now+1)
}

func (s *shard) removeHint(rc *recall, expires int64) {
	switch rc.kind {
	case carillon.HintDue:
		s.rows.Dues = append(s.rows.Dues, carillon.DueRow{Partition: rc.k.partition, At: rc.at, Ref: rc.ref, Expires: expires, Done: true})
	case carillon.HintParked:
		s.rows.Parked = append(s.rows.Parked, carillon.ParkedRow{
			Partition: rc.k.partition, ParkedLane: rc.lane, Ref: rc.ref, Expires: expires, Done: true,
		})
	case carillon.HintNone:
	}
	s.notes = append(s.notes, note{k: rc.k, recall: rc})
	s.soil()
}

// unrecall gives a recalled delivery back to the row that it still has.
func (s *shard) unrecall(p *pending) {
	rc := p.recall
	p.recall = nil
	p.open = 0
	rc.k.hints.returned(rc, false)
}

// recall gives a hint's user a place in the overlay and the hint its turn.
func (s *shard) recall(rc *recall) {
	u := rc.ref.User
	key := u.Key()
	r := s.residentOf(carillon.HashUserKey([]byte(key)), key, u, rc.k.tenure)
	if r.loading {
		r.waiting = append(r.waiting, record{recall: rc})
		return
	}
	s.recalled(r, rc)
	s.leave(r)
}

// recalled takes a delivery up again where its hint left it.
func (s *shard) recalled(r *resident, rc *recall) {
	r.k = rc.k
	if rc.ref.Kind == carillon.KindClear {
		s.recallClear(r, rc)
		return
	}
	if rc.ref.Kind == carillon.KindRelease {
		s.recallScheduled(r, rc)
		return
	}
	it := s.present(r, rc.ref.Created)
	if s.broken {
		return
	}
	at := -1
	if it != nil && it.Content == rc.ref.Content {
		at = slices.IndexFunc(it.Deliveries, func(d carillon.Delivery) bool {
			return rc.of(&d) && !d.Outcome.Class.Terminal()
		})
	}
	if at < 0 { // expired, replaced or over: the hint goes
		if rc.probe {
			s.lane(rc.lane.Lane).unprobe()
		}
		s.dropRecall(rc)
		s.endedHint(r, rc, it)
		return
	}
	p := s.newPending(r, rc.k, nil)
	p.recall, p.written = rc, true
	p.item = *it
	p.item.Deliveries = slices.Clone(it.Deliveries)
	if err := journal.DecodeNotification(it.Body, &p.note); err != nil && !it.State.Deleted {
		s.d.deps.Log.Error("an item's content cannot be decoded; its delivery is rejected", "user", r.key, "created", it.Created.String(), "error", err)
	}
	if p.note.ID = it.ID; it.ID.IsZero() {
		p.note.ID = s.d.deps.IDs.Positional(r.hash, carillon.Position{Partition: it.Partition, Seq: it.Created})
	} else {
		r.keyed = append(r.keyed, p)
	}
	p.deliveries = p.deliveries[:0]
	if cap(p.deliveries) == 0 {
		p.deliveries = make([]delivery, 0, 1)
	}
	row := &p.item.Deliveries[at]
	d := p.add(at, &carillon.Endpoint{ID: row.Endpoint})
	if d.probe = rc.probe; d.probe {
		d.lane = s.lane(rc.lane.Lane)
	}
	why, handled := it.State.Handled()
	switch {
	case handled && (it.State.Deleted || !p.note.LocalState) && !unsuppressed:
		p.over = why
		s.end(d, carillon.Outcome{Class: carillon.Suppressed, Reason: why})
	case p.item.Expires <= s.now:
		s.end(d, carillon.Outcome{Class: carillon.Expired})
	case s.fresh(d):
		row.Hint = carillon.HintNone
		s.send(d)
	}
	s.settle(p)
}
