package dispatch

import (
	"sync/atomic"

	"carillon"
)

// spares bounds the free lists of a shard.
const spares = 16 << 10

// The word of a delivery in a lane's queue. The lane swaps queued → handed just
// before it encodes, the shard swaps queued → suppressed; the winner decides.
const (
	wordQueued uint32 = iota
	wordHanded
	wordSuppressed
)

// pending is a notification whose row is not written, or whose deliveries are
// not all over. Pendings are reused: one is free again only when no lane, heap
// or queue points to its deliveries.
type pending struct {
	r          *resident
	next, prev *pending // of the same user, newer ones first
	k          *keeper
	win        *window // nil when a hint brought it
	recall     *recall // the hint that brought it, while its row stands
	item       carillon.Item
	note       carillon.Notification
	deliveries []delivery
	open       int          // deliveries without a terminal outcome
	held       int          // deliveries that a lane or a vendor still points to
	extra      int          // credits beyond the record's own
	late       int          // outcome rows that wait for the next write
	rowDue     int64        // when the row is written even if deliveries are open, ms
	moved      int64        // see carillon.ItemRow
	was        carillon.Seq // likewise
	idem       carillon.Idem
	hasIdem    bool
	written    bool // the row is
	unapplied  bool // it counts as applied with the next write
	hurry      bool // its row goes with the next write
	erased     bool // its user was: nothing of it is written any more
	replaced   bool // by a newer version: its row must not be written any more
	// over is why nobody shall get it any more, "" while they shall.
	over string
	// clear marks what tells an endpoint of changes made elsewhere: no
	// notification, in no row and no ledger. Cleared are the ids it names.
	clear   bool
	cleared []carillon.ID
}

// delivery is one planned delivery on its way.
type delivery struct {
	p        *pending
	index    int // in the item's deliveries
	endpoint *carillon.Endpoint
	lane     *lane
	word     atomic.Uint32
	queued   int64 // when it went to its lane, ms
	probe    bool  // goes through a shut lane
	credit   bool  // holds one of the partition's
	paced    bool  // has its place in its broadcast's pace
	again    bool  // taken back from its lane because its endpoint changed
	handed   int64 // by the lane, before it encodes
}

// low tells whether the notification goes out with low priority.
func (p *pending) low() bool { return lowPriority(&p.note) }

// lowPriority: what is shown never has it.
func lowPriority(n *carillon.Notification) bool {
	return n.Priority == carillon.PriorityLow && !n.HasVisual
}

// row is the delivery as rows keep it.
func (d *delivery) row() *carillon.Delivery { return &d.p.item.Deliveries[d.index] }

func (s *shard) newPending(r *resident, k *keeper, win *window) *pending {
	var p *pending
	if n := len(s.sparePendings); n > 0 {
		p = s.sparePendings[n-1]
		s.sparePendings = s.sparePendings[:n-1]
	} else {
		p = &pending{}
	}
	p.r, p.k, p.win = r, k, win
	r.holds++
	if p.next = r.pendings; p.next != nil {
		p.next.prev = p
	}
	r.pendings = p
	return p
}

// unlink takes a pending off its user's list.
func (r *resident) unlink(p *pending) {
	if p.prev == nil {
		r.pendings = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	}
}

// settle ends a pending whose row is written and whose deliveries are over.
func (s *shard) settle(p *pending) {
	if !p.written || p.open > 0 || p.held > 0 || p.late > 0 {
		return
	}
	if p.win != nil {
		p.win.tally.count(p.item.Deliveries)
		p.win.settled()
		if p.extra > 0 {
			p.k.giveBack(p.extra)
		}
	} else {
		p.k.giveBack(1)
	}
	r := p.r
	r.holds--
	r.unlink(p)
	if !p.item.ID.IsZero() {
		r.forget(p)
	}
	rows := p.item.Deliveries[:0]
	clear(p.deliveries)
	*p = pending{deliveries: p.deliveries[:0], cleared: p.cleared[:0]}
	p.item.Deliveries = rows
	if len(s.sparePendings) < spares {
		s.sparePendings = append(s.sparePendings, p)
	}
	s.leave(r)
}

// forget takes a keyed notification off the list by which a replacement finds
// it.
func (r *resident) forget(p *pending) {
	for i, q := range r.keyed {
		if q == p {
			r.keyed = append(r.keyed[:i], r.keyed[i+1:]...)
			return
		}
	}
}

// plan turns targets into deliveries of p.
func (s *shard) plan(p *pending, targets []carillon.Target) {
	toasts := 0
	if p.note.Fallback.Delay != 0 {
		toasts = s.toasts(p, targets)
	}
	p.reserve(len(targets), toasts)
	for i, t := range targets {
		e := t.Endpoint
		p.item.Deliveries = append(p.item.Deliveries, carillon.Delivery{
			Endpoint: e.ID, Incarnation: e.Incarnation, Addressed: e.Addressed,
			Platform: e.Platform, Kind: t.Kind,
		})
		p.add(i, e)
	}
	if toasts > 0 {
		s.planToasts(p, targets)
	}
	s.d.metrics.planned.Add(len(targets) + toasts)
}

// reserve makes room for n deliveries that never move, and for resting ones, which
// take no credits.
func (p *pending) reserve(n, resting int) {
	if cap(p.deliveries) < n+resting {
		p.deliveries = make([]delivery, 0, n+resting)
	}
	if p.extra = max(n-1, 0); p.extra > 0 {
		p.k.take(p.extra)
	}
}

// add opens the delivery of the row at index.
func (p *pending) add(index int, e *carillon.Endpoint) *delivery {
	p.deliveries = p.deliveries[:len(p.deliveries)+1]
	d := &p.deliveries[len(p.deliveries)-1]
	d.p, d.index, d.endpoint = p, index, e
	p.open++
	return d
}

// end writes down a delivery's terminal outcome: into the item's row while that
// is not written, into a row of its own later.
func (s *shard) end(d *delivery, o carillon.Outcome) {
	p, row := d.p, d.row()
	row.Outcome, row.Hint, row.Due = o, carillon.HintNone, 0
	p.open--
	s.d.metrics.outcome(row.Platform, o.Class)
	if d.probe && (o.Class == carillon.Suppressed || o.Class == carillon.Expired) { // it tried nothing
		d.probe = false
		d.lane.unprobe()
	}
	if p.replaced && !p.written {
		return // a newer version owns the row; what became of this one is in the metrics
	}
	if !p.written {
		if p.open == 0 {
			s.finished++
			s.soil()
		}
		return
	}
	s.spend(d)
	s.outcome(p, row)
	s.dropHint(p)
}

// outcome writes a delivery of a written item into a row of its own.
func (s *shard) outcome(p *pending, row *carillon.Delivery) {
	p.late++
	if !p.erased {
		s.rows.Outcomes = append(s.rows.Outcomes, carillon.OutcomeRow{
			User: p.r.user, Created: p.item.Created, Content: p.item.Content, Expires: p.item.Expires, Delivery: *row,
		})
	}
	if row.Outcome.Class.Terminal() {
		if !p.erased {
			s.tellEnded(p.r.user, &p.item, row)
		}
		s.countEnded(p.k, p.r.user.Host, &p.note, &p.item, row.Outcome.Class)
	}
	s.lates = append(s.lates, p)
	s.soil()
}

// suppress ends every delivery of p that no vendor has yet. One that is handed
// keeps its own outcome: a late Accepted outranks.
func (s *shard) suppress(p *pending, why string) {
	o := carillon.Outcome{Class: carillon.Suppressed, Reason: why}
	for i := range p.deliveries {
		d := &p.deliveries[i]
		switch {
		case d.row().Outcome.Class.Terminal():
		case d.row().Hint != carillon.HintNone:
			if !p.written { // else it may have moved since: its row knows where it rests
				s.endResting(p, d.row(), o)
			}
		case d.again: // its lane gives it back
			d.again = false
			s.end(d, o)
		case p.r.withdraw(d):
			s.end(d, o)
		case d.lane != nil && d.word.CompareAndSwap(wordQueued, wordSuppressed):
			s.end(d, o) // the lane gives it back when it comes to it
		}
	}
}
