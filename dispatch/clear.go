package dispatch

import (
	"carillon"
)

// clearEvery is how long after a clear to an endpoint the next one waits, so
// that what is handled meanwhile goes with it; milliseconds.
const clearEvery = 250

// backAfter is how long after its return an endpoint is told to fetch that still
// had a push on its way when it left; milliseconds.
const backAfter = 1000

// clearing is what one endpoint is being told.
type clearing struct {
	endpoint string
	p        *pending // unanswered
	since    int64    // when the last one set out, ms
}

// debt is a record that settles when what it owes is told, or waits durably.
type debt struct {
	win *window
	seq carillon.Seq
}

// opened is a user's window: at its end his endpoints are looked at again.
type opened struct {
	r   *resident
	end int64
}

// owe raises what the user's other endpoints must hear of.
func (s *shard) owe(r *resident, y carillon.Sync, acting string, targets carillon.PlatformSet, at carillon.Seq, until int64) {
	y, owed := y.Owe(r.entry.endpoints, acting, targets, at, until, s.now)
	if owed && len(r.clears) == 0 && r.asked == 0 {
		r.asked = s.rec.At
	}
	s.setSync(r, y)
}

// oweBack owes something to an endpoint that left and is back while its vendor
// still has a push of before: what that shows may have been handled meanwhile.
func (s *shard) oweBack(r *resident, e *carillon.Endpoint) {
	y := r.entry.sync()
	es := y.Of(e)
	es.Owed, es.Cleared, es.Until = e.Version, e.Version-1, s.now+carillon.DefaultLife.Milliseconds()
	es.Behind = true
	y.Expires = max(y.Expires, es.Until)
	s.remind(r, &es, s.now+backAfter)
	s.setSync(r, y.With(es))
}

// remind writes the due row that an endpoint's next clear waits by.
func (s *shard) remind(r *resident, es *carillon.EndpointSync, at int64) {
	es.Due = at
	s.rows.Dues = append(s.rows.Dues, carillon.DueRow{Partition: r.k.partition, At: at, Ref: clearRef(r, es.Endpoint), Expires: es.Until})
	s.notes = append(s.notes, note{k: r.k, due: at})
}

// setSync puts what the user's endpoints know in line for its row.
func (s *shard) setSync(r *resident, y carillon.Sync) {
	y.Expires = max(y.Expires, s.now+1)
	r.alter().sync = y
	if !r.syncDirty {
		r.syncDirty = true
		r.holds++
		s.syncs = append(s.syncs, r)
	}
	s.soil()
}

// finish ends a record that may have changed a user's state: it is applied with
// the next write if it wrote anything, and settled when his endpoints know.
func (s *shard) finish(r *resident, rec record, wrote bool) {
	switch {
	case !s.owes(r, rec.f.Seq):
		if wrote {
			s.done(r, rec)
		} else {
			s.skip(rec)
		}
		return
	case wrote:
		r.holds++
		s.applied = append(s.applied, applied{win: rec.win, r: r, debt: true})
		s.soil()
	default:
		rec.win.applied()
	}
	r.holds++
	r.debts = append(r.debts, debt{win: rec.win, seq: rec.f.Seq})
	s.askTell(r)
}

// owes tells whether an endpoint of the user must hear of the record at seq and
// no durable row reminds of it.
func (s *shard) owes(r *resident, seq carillon.Seq) bool {
	y := r.entry.sync()
	for i := range r.entry.endpoints {
		e := &r.entry.endpoints[i]
		if es := y.Of(e); es.Owed >= seq && es.Cleared < seq && es.Due == 0 && es.Owes(s.now) && e.Pushable(s.now) {
			return true
		}
	}
	return false
}

// askTell lets the user's endpoints be told at the end of the round, so that
// changes that come together are one wake-up.
func (s *shard) askTell(r *resident) {
	if !r.owing {
		r.owing = true
		r.holds++
		s.owing = append(s.owing, r)
	}
}

// tellOwing tells endpoints what they are owed, and looks at those whose windows
// end.
func (s *shard) tellOwing() {
	for s.ended < len(s.windows) && s.windows[s.ended].end <= s.now {
		r := s.windows[s.ended].r
		s.windows[s.ended] = opened{}
		s.ended++
		r.more = false
		s.askTell(r)
		r.holds--
	}
	if s.ended == len(s.windows) || s.ended > spares {
		s.windows = append(s.windows[:0], s.windows[s.ended:]...)
		s.ended = 0
	}
	for i := 0; i < len(s.owing); i++ {
		r := s.owing[i]
		s.owing[i] = nil
		r.owing = false
		r.holds--
		if r.more { // the rest of the call comes; if it does not, the window ends
			s.window(r)
		} else {
			s.tellAll(r)
		}
		s.leave(r)
	}
	s.owing = s.owing[:0]
}

// window looks at the user again a little later.
func (s *shard) window(r *resident) {
	r.holds++
	s.windows = append(s.windows, opened{r: r, end: s.now + clearEvery})
}

// tellAll tells those of a user's endpoints that are owed something and are not
// being told.
func (s *shard) tellAll(r *resident) {
	y := r.entry.sync()
	for i := range r.entry.endpoints {
		e := &r.entry.endpoints[i]
		es := y.Of(e)
		if !es.Owes(s.now) || es.Due != 0 || !e.Pushable(s.now) {
			continue
		}
		c := r.clearing(e.ID)
		if c.p == nil && s.now >= c.since+clearEvery { // else the answer or the window's end looks again
			s.tell(r, c, e, &es, nil)
		}
	}
	r.asked = 0
	keep := r.clears[:0]
	for _, c := range r.clears {
		if c.p != nil || s.now < c.since+clearEvery {
			keep = append(keep, c)
		}
	}
	clear(r.clears[len(keep):])
	r.clears = keep
}

// clearing finds or makes an endpoint's; it moves when another is made.
func (r *resident) clearing(endpoint string) *clearing {
	for i := range r.clears {
		if r.clears[i].endpoint == endpoint {
			return &r.clears[i]
		}
	}
	r.clears = append(r.clears, clearing{endpoint: endpoint, since: -clearEvery})
	return &r.clears[len(r.clears)-1]
}

// tell sets a clear on its way: the position to sync to, and the ids handled
// since the endpoint's last word, or a tap when they are too many. It takes its
// turn behind what is unanswered there, so it comes after the push that it
// clears. A due row that brought it stays until the answer.
func (s *shard) tell(r *resident, c *clearing, e *carillon.Endpoint, es *carillon.EndpointSync, rc *recall) {
	p := s.newPending(r, r.k, nil)
	p.clear, p.written, p.recall = true, true, rc
	if rc == nil {
		p.k.take(1)
	}
	ids, whole := r.entry.sync().Since(p.cleared[:0], es)
	kind := carillon.KindClear
	if !whole || len(ids) == 0 {
		kind, ids = carillon.KindTap, ids[:0]
	}
	p.cleared = ids
	p.item.Created, p.item.Content, p.item.Partition, p.item.Expires = es.Owed, es.Owed, r.k.partition, es.Until
	p.item.Accepted = r.asked
	p.item.Deliveries = append(p.item.Deliveries[:0], carillon.Delivery{
		Endpoint: e.ID, Incarnation: e.Incarnation, Addressed: e.Addressed, Platform: e.Platform, Kind: kind, Attempts: es.Attempts,
	})
	p.note = carillon.Notification{Accepted: s.now, Expires: es.Until, TTL: -1, Badge: -1}
	if len(ids) > 0 {
		p.note.ID = ids[len(ids)-1]
	}
	p.deliveries = p.deliveries[:0]
	p.reserve(1, 0)
	c.p, c.since = p, s.now
	s.window(r)
	d := p.add(0, e)
	if !s.freshClear(d, false, r.entry.find(e.ID)) {
		return
	}
	if d.lane = s.lane(carillon.Lane{Platform: e.Platform, Host: r.user.Host}); rc != nil && d.lane.shut.Load() {
		d.probe = d.lane.probe(s.now) // else a lane that only clears wait for would stay shut
	}
	s.send(d)
}

// freshClear looks at the endpoint of a clear once more; false when that ended it.
func (s *shard) freshClear(d *delivery, left bool, i int) bool {
	if left || d.p.r.entry.endpoints[i].Push == carillon.NoPush {
		s.closeClear(d, carillon.Verdict{Final: carillon.Outcome{Class: carillon.Suppressed, Reason: whyLeft}})
		return false
	}
	d.endpoint = &d.p.r.entry.endpoints[i]
	if d.endpoint.Push == carillon.TapOnly {
		d.row().Kind, d.p.cleared = carillon.KindTap, d.p.cleared[:0]
	}
	return true
}

// told takes in what became of a clear that was handed off.
func (s *shard) told(d *delivery, a *answer) {
	p := d.p
	d.row().Attempts++
	if p.item.Accepted != 0 && p.recall == nil && d.handed != 0 {
		s.d.metrics.clearTook.Update(float64(max(d.handed-p.item.Accepted, 0)) / 1000)
	}
	s.closeClear(d, s.later(p, a.o))
	s.settle(p)
}

// later judges an attempt at a clear, which is repeated until it is over.
func (s *shard) later(p *pending, o carillon.Outcome) carillon.Verdict {
	attempt := min(p.item.Deliveries[0].Attempts, carillon.MaxAttempts-1)
	return carillon.Judge(o, attempt, s.now, p.item.Expires, s.random.Float64())
}

// postpone leaves a clear whose lane is shut to a due row.
func (s *shard) postpone(d *delivery) {
	d.row().Attempts++
	s.closeClear(d, s.later(d.p, carillon.Outcome{Class: carillon.Transient}))
}

// closeClear ends a clear by a verdict: told, or due again. It lives until the
// next write.
func (s *shard) closeClear(d *delivery, v carillon.Verdict) {
	p := d.p
	r := p.r
	p.open = 0
	s.spend(d)
	if c := r.clearing(d.endpoint.ID); c.p == p {
		c.p = nil
	}
	due := v.Retry
	if v.Final.Class.Terminal() {
		due = 0
	}
	if d.probe && d.handed == 0 { // it tried nothing
		d.lane.unprobe()
	}
	s.d.metrics.clear(v.Final.Class)
	if i := r.entry.find(d.endpoint.ID); i >= 0 && r.entry.endpoints[i].Incarnation == d.row().Incarnation {
		es := r.entry.sync().Of(&r.entry.endpoints[i])
		if es.Due, es.Attempts = 0, d.row().Attempts; due == 0 {
			es.Cleared, es.Attempts, es.Behind = max(es.Cleared, p.item.Content), 0, false
			if v.Final.Class == carillon.Accepted {
				es.Told = es.Told.Add(p.item.Content, s.now)
			}
			// What came meanwhile was settled by the row that goes now.
			if p.recall != nil && es.Owes(s.now) {
				s.remind(r, &es, s.now+clearEvery)
			}
		} else {
			s.remind(r, &es, due)
		}
		s.setSync(r, r.entry.sync().With(es))
	}
	s.askTell(r) // it may be owed more by now, or be another's turn
	s.dropHint(p)
	if v.Final.Class == carillon.Gone {
		s.gone(d, v.Final)
	}
	p.late++
	s.lates = append(s.lates, p)
	s.soil()
}

func clearRef(r *resident, endpoint string) carillon.Ref {
	return carillon.Ref{User: r.user, Endpoint: endpoint, Kind: carillon.KindClear}
}

// recallClear takes a clear up again whose time has come.
func (s *shard) recallClear(r *resident, rc *recall) {
	if i := r.entry.find(rc.ref.Endpoint); i >= 0 {
		e := &r.entry.endpoints[i]
		es := r.entry.sync().Of(e)
		c := r.clearing(e.ID)
		switch {
		case es.Due != rc.at || c.p != nil: // another row reminds of it
		case es.Owes(s.now) && e.Pushable(s.now):
			s.tell(r, c, e, &es, rc)
			return
		default:
			es.Due, es.Attempts = 0, 0
			s.setSync(r, r.entry.sync().With(es))
		}
	}
	s.dropRecall(rc)
}

// settleDebts settles the records of a user whose endpoints know by rows that
// are written, or are reminded by such.
func (s *shard) settleDebts(r *resident) {
	if len(r.debts) == 0 {
		return
	}
	told := carillon.MaxSeq
	y := r.entry.sync()
	for i := range r.entry.endpoints {
		e := &r.entry.endpoints[i]
		if es := y.Of(e); es.Owes(s.now) && es.Due == 0 && e.Pushable(s.now) {
			told = min(told, es.Cleared)
		}
	}
	n := 0
	for n < len(r.debts) && r.debts[n].seq <= told {
		r.debts[n].win.settled()
		n++
	}
	r.holds -= n
	r.debts = append(r.debts[:0], r.debts[n:]...)
}
