package dispatch

import "carillon"

// turnMost is how many deliveries wait in memory for their turn at one
// endpoint; more park.
const turnMost = 64

// turn is one endpoint's unanswered delivery and those that wait behind it.
type turn struct {
	endpoint string
	busy     *delivery
	waiting  []*delivery
}

// turnAt is the index of the endpoint's turn, or -1.
func (r *resident) turnAt(endpoint string) int {
	for i := range r.queues {
		if r.queues[i].endpoint == endpoint {
			return i
		}
	}
	return -1
}

// send gives a delivery its turn at its endpoint: at once when no other is
// unanswered there, else behind those that wait. What finds its lane shut,
// others parked before it, or too many waiting, parks.
func (s *shard) send(d *delivery) {
	l := s.lane(carillon.Lane{Platform: d.endpoint.Platform, Host: d.p.r.user.Host})
	d.lane = l
	if s.mustPark(d, l) {
		s.park(d)
		return
	}
	r := d.p.r
	i := r.turnAt(d.endpoint.ID)
	switch {
	case i < 0:
		r.queues = append(r.queues, turn{endpoint: d.endpoint.ID, busy: d})
		s.enqueue(d)
	case d.p.recall == nil && (len(r.queues[i].waiting) >= turnMost || s.silent(&r.queues[i], d)): // of the recalled there are few
		s.park(d)
	default:
		r.queues[i].waiting = append(r.queues[i].waiting, d)
	}
}

// silent tells whether a new delivery shall not wait in memory for its turn, as
// the one before it is unanswered for too long and its lane hinders others:
// their records would stay in flight, and the partition's reader stand still. It
// may wait while the reader is far from that, as what parks makes all that comes
// after it park too.
func (s *shard) silent(t *turn, d *delivery) bool {
	return t.busy != nil && s.now-t.busy.queued > slowAfter && d.lane.hinders(s.now) &&
		d.p.k.inFlight.Load() > d.p.k.backlog()/2 &&
		!d.p.clear && !d.probe && d.row().Attempts == 0
}

// enqueue puts a delivery on its way to its lane.
func (s *shard) enqueue(d *delivery) {
	d.p.held++
	d.queued = s.now
	d.word.Store(wordQueued)
	if d.p.clear {
		d.lane.urge(d)
		return
	}
	o := s.outgoing(d)
	o.queue = append(o.queue, d)
	s.mark(o)
	if len(o.queue) >= s.d.cfg.LaneBatch && !o.waits && !o.lane.closed() {
		s.postOne(o)
	}
}

// pass frees the endpoint that d held and gives the next its turn.
func (s *shard) pass(d *delivery) {
	r := d.p.r
	i := r.turnAt(d.endpoint.ID)
	if i < 0 || r.queues[i].busy != d {
		return
	}
	t := &r.queues[i]
	for t.busy = nil; len(t.waiting) > 0; {
		next := t.waiting[0]
		t.waiting = append(t.waiting[:0], t.waiting[1:]...)
		if s.fresh(next) {
			t.busy = next
			s.enqueue(next)
			return
		}
	}
	last := len(r.queues) - 1
	r.queues[i] = r.queues[last]
	r.queues[last] = turn{}
	r.queues = r.queues[:last]
}

// fresh looks at a delivery's endpoint once more, as it may have changed while
// the delivery waited; false when that ended it.
func (s *shard) fresh(d *delivery) bool {
	e, row := d.p.r.entry, d.row()
	i := e.find(d.endpoint.ID)
	left := i < 0 || e.endpoints[i].Incarnation != row.Incarnation
	if d.p.clear {
		return s.freshClear(d, left, i)
	}
	if left {
		s.end(d, carillon.Outcome{Class: carillon.Suppressed, Reason: whyLeft})
		return false
	}
	d.endpoint = &e.endpoints[i]
	if row.Kind == carillon.KindFallback {
		return s.freshToast(d)
	}
	switch d.endpoint.Push {
	case carillon.NoPush:
		s.end(d, carillon.Outcome{Class: carillon.Suppressed, Reason: whyUnwanted})
		return false
	case carillon.TapOnly:
		row.Kind = carillon.KindTap
	case carillon.WithPayload:
	}
	return true
}

// reconsider takes back, as far as no vendor has them, deliveries to endpoints
// that changed: they go again as the endpoint is now, or not at all.
func (r *resident) reconsider() {
	for i := range r.queues {
		d := r.queues[i].busy
		if d == nil || d.again {
			continue
		}
		if at := r.entry.find(d.endpoint.ID); at >= 0 {
			is, was := &r.entry.endpoints[at], d.endpoint
			if is.Incarnation == was.Incarnation && is.Addressed == was.Addressed && is.Push == was.Push {
				continue
			}
		}
		d.again = d.word.CompareAndSwap(wordQueued, wordSuppressed)
	}
}

// withdrawn acts on a delivery that its lane gave back because the shard wanted
// it back.
func (s *shard) withdrawn(d *delivery) {
	if d.again {
		if d.again = false; s.fresh(d) {
			s.enqueue(d)
			return
		}
	}
	s.pass(d)
}

// bounce parks a delivery that its lane did not take, and those that wait behind
// it for the endpoint: who was planned later shall not go before it. Retries and
// the other priority go their own way.
func (s *shard) bounce(d *delivery) {
	r := d.p.r
	first := d.row().Attempts == 0
	s.park(d)
	if i := r.turnAt(d.endpoint.ID); first && i >= 0 && r.queues[i].busy == d {
		t := &r.queues[i]
		waiting := t.waiting
		t.waiting = nil
		for _, w := range waiting {
			if w.p.low() != d.p.low() || w.p.note.Broadcast != d.p.note.Broadcast || w.row().Attempts > 0 || w.probe {
				t.waiting = append(t.waiting, w)
				continue
			}
			s.park(w)
			s.settle(w.p)
		}
	}
	s.pass(d)
}

// withdraw takes d out of the turn's waiting list; true when it was there.
func (r *resident) withdraw(d *delivery) bool {
	i := r.turnAt(d.endpoint.ID)
	if i < 0 {
		return false
	}
	t := &r.queues[i]
	for j, w := range t.waiting {
		if w == d {
			t.waiting = append(t.waiting[:j], t.waiting[j+1:]...)
			return true
		}
	}
	return false
}
