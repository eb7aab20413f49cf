package dispatch

import (
	"time"

	"carillon"
)

// storeRetry is the pause between two tries of a store that fails.
const storeRetry = 100 * time.Millisecond

// soil notes that something waits for the next write.
func (s *shard) soil() {
	if s.dirty == 0 {
		s.dirty = s.now
	}
}

// flushIfDue writes when enough has gathered or waited long enough.
func (s *shard) flushIfDue() {
	switch {
	case s.finished+len(s.rows.Outcomes)+len(s.applied) >= s.d.cfg.FlushRows:
	case s.dirty != 0 && s.now-s.dirty >= s.d.cfg.FlushEvery.Milliseconds():
	case len(s.unsent) > 0 && s.unsent[0].rowDue <= s.now:
	default:
		return
	}
	s.flush(false)
}

// flush writes in one store batch the rows that are complete or have waited
// long enough (or all of them), and every later outcome and changed endpoint.
// A notification's row goes out once, with the outcomes known by then.
func (s *shard) flush(all bool) {
	if s.broken {
		return
	}
	s.touchedRows()
	wait := s.unsent[:0]
	for _, p := range s.unsent {
		switch {
		case p.replaced: // the newer version's row stands for it
			s.countPlanned(p)
			s.endedRows(p)
			s.idemRow(p)
			s.spendAll(p)
			s.unpark(p)
			s.wrote = append(s.wrote, p)
		case p.open == 0 || all || p.rowDue <= s.now:
			s.row(p)
			s.wrote = append(s.wrote, p)
		default:
			wait = append(wait, p)
		}
	}
	clear(s.unsent[len(wait):])
	s.unsent = wait
	s.dirty, s.finished = 0, 0
	s.stateRows()
	s.countRows()
	if len(s.rows.Floors)+len(s.rows.Syncs)+len(s.rows.Owners)+len(s.rows.Items)+len(s.rows.Outcomes)+len(s.rows.Endpoints)+len(s.rows.Idems)+len(s.rows.Dues)+len(s.rows.Parked)+len(s.rows.Ended)+len(s.rows.Erased)+len(s.rows.Members) > 0 {
		began := s.d.deps.Clock.Now()
		crash(crashSettle)
		if !s.must("write", func() error { return s.d.deps.Store.Write(&s.rows, false) }) {
			return
		}
		crash(crashSettled)
		s.d.metrics.flushed(&s.rows, s.d.deps.Clock.Now().Sub(began))
		s.trim()
	}
	s.written()
}

// touchedRows adds the rows of items whose state changed.
func (s *shard) touchedRows() {
	for _, t := range s.touched {
		s.rows.Items = append(s.rows.Items, carillon.ItemRow{User: t.r.user, Item: t.item, Moved: t.moved, Was: t.was})
	}
}

// stateRows adds the rows of what users' endpoints are owed.
func (s *shard) stateRows() {
	for _, r := range s.syncs {
		st := r.entry.state
		s.rows.Syncs = append(s.rows.Syncs, carillon.SyncRow{User: r.user, Sync: st.sync, Moved: st.syncRow})
		st.syncRow = st.sync.Expires // of an entry that is nobody's but this user's yet
	}
}

// wroteState lets go of what touchedRows and stateRows added, and settles what
// waited for it.
func (s *shard) wroteState() {
	for i, t := range s.touched {
		s.touched[i] = nil
		t.r.touched = t.r.touched[:0]
		t.r.holds--
		s.leave(t.r)
	}
	s.touched = s.touched[:0]
	for i, r := range s.syncs {
		s.syncs[i] = nil
		r.syncDirty = false
		s.settleDebts(r)
		r.holds--
		s.leave(r)
	}
	s.syncs = s.syncs[:0]
}

// row adds a notification's row to the batch.
func (s *shard) row(p *pending) {
	s.rows.Items = append(s.rows.Items, carillon.ItemRow{User: p.r.user, Item: &p.item, Moved: p.moved, Was: p.was})
	for i := range p.item.Deliveries {
		s.hintRow(p, &p.item.Deliveries[i])
	}
	if p.item.Scheduled {
		s.releaseRow(p.r, &p.item, p.item.Content, p.note.DeliverAt)
	}
	s.countPlanned(p)
	s.endedRows(p)
	s.idemRow(p)
	s.spendAll(p)
}

// idemRow adds what is remembered of the request that brought p.
func (s *shard) idemRow(p *pending) {
	if p.hasIdem {
		s.rows.Idems = append(s.rows.Idems, carillon.IdemRow{User: p.r.user, Idem: p.idem})
	}
}

// written counts what the batch held and lets go of it.
func (s *shard) written() {
	clear(s.rows.Items)
	clear(s.rows.Outcomes)
	clear(s.rows.Endpoints)
	clear(s.rows.Idems)
	s.rows.Items, s.rows.Outcomes = s.rows.Items[:0], s.rows.Outcomes[:0]
	s.rows.Endpoints, s.rows.Idems = s.rows.Endpoints[:0], s.rows.Idems[:0]
	s.forgetClaims()
	clear(s.rows.Floors)
	clear(s.rows.Syncs)
	clear(s.rows.Owners)
	s.rows.Floors, s.rows.Syncs, s.rows.Owners = s.rows.Floors[:0], s.rows.Syncs[:0], s.rows.Owners[:0]
	if len(s.rows.Erased) > 0 {
		nudge(s.d.forgetter.wake)
	}
	clear(s.rows.Erased)
	s.rows.Erased = s.rows.Erased[:0]
	clear(s.rows.Ended)
	s.rows.Ended = s.rows.Ended[:0]
	clear(s.rows.Members)
	s.rows.Broadcasts, s.rows.Members = s.rows.Broadcasts[:0], s.rows.Members[:0]
	clear(s.rows.Dues)
	clear(s.rows.Parked)
	s.rows.Dues, s.rows.Parked = s.rows.Dues[:0], s.rows.Parked[:0]
	for i := range s.notes {
		s.notes[i].tell()
		s.notes[i] = note{}
	}
	s.notes = s.notes[:0]
	s.refund()
	s.wroteState()
	for i, p := range s.wrote {
		p.written = true
		s.tap(p.r, p.win)
		p.win.applied()
		if p.hasIdem {
			p.r.forgetIdem(p.idem.RID)
		}
		s.settle(p)
		s.wrote[i] = nil
	}
	s.wrote = s.wrote[:0]
	for i, p := range s.lates {
		p.late--
		if p.unapplied {
			p.unapplied = false
			s.tap(p.r, p.win)
			p.win.applied()
		}
		s.settle(p)
		s.lates[i] = nil
	}
	s.lates = s.lates[:0]
	for i, a := range s.applied {
		s.applied[i] = applied{}
		s.tap(a.r, a.win)
		switch {
		case a.joint != nil:
			s.part1(a.joint)
		case a.debt:
			a.win.applied()
		default:
			a.win.applied()
			a.win.settled()
		}
		if a.r != nil {
			a.r.holds--
			s.leave(a.r)
		}
	}
	s.applied = s.applied[:0]
}

// tap tells who follows the user live that rows of his are written. The position
// is that of the last record fetched with the one that wrote them.
func (s *shard) tap(r *resident, w *window) {
	if s.d.deps.Taps != nil && r != nil && w != nil {
		s.d.deps.Taps.Tap(r.hash, carillon.Position{Partition: w.k.partition, Seq: w.next - 1})
	}
}

// forgetIdem drops a request that its row remembers from now on.
func (r *resident) forgetIdem(rid carillon.RequestID) {
	for i := range r.idems {
		if r.idems[i].RID == rid {
			r.idems = append(r.idems[:i], r.idems[i+1:]...)
			return
		}
	}
}

// must repeats a store call until it works: the shard stands still meanwhile,
// and the journal is the queue. While the dispatcher stops it gives up: then
// nothing more counts as done, and the next start finds it.
func (s *shard) must(what string, call func() error) bool {
	for !s.broken {
		err := call()
		if err == nil {
			return true
		}
		s.d.storeFault(what, err)
		if !s.d.pause(storeRetry) {
			s.broken = true
		}
	}
	return false
}
