package dispatch

import (
	"slices"

	"carillon"
)

// outgoing are a shard's deliveries of one partition, lane and priority on their
// way to the lane's queue. Those that got no credit yet wait here, in order.
type outgoing struct {
	k     *keeper
	lane  *lane
	low   bool
	queue []*delivery
	ready bool // something new is in queue
	waits bool // for credits
}

// outgoing finds the way of a delivery to its lane.
func (s *shard) outgoing(d *delivery) *outgoing {
	l, k, low := d.lane, d.p.k, d.p.low()
	if o := s.lastOut[l.index]; o != nil && o.k == k && o.low == low {
		return o
	}
	var idle *outgoing // of an earlier tenure
	for _, o := range s.out[l.index] {
		if o.k == k && o.low == low {
			s.lastOut[l.index] = o
			return o
		}
		if o.k.partition == k.partition && o.low == low && len(o.queue) == 0 && !o.waits {
			idle = o
		}
	}
	if idle == nil {
		idle = &outgoing{}
		s.out[l.index] = append(s.out[l.index], idle)
	}
	idle.k, idle.lane, idle.low = k, l, low
	s.lastOut[l.index] = idle
	return idle
}

// post hands lanes what has gathered for them, high priority first, as far as
// there are credits; what waits for them is tried again when there may be more.
func (s *shard) post(again bool) {
	if again {
		for _, o := range s.short {
			s.mark(o)
		}
	}
	if len(s.ready) == 0 {
		return
	}
	ready := s.ready
	s.ready = s.spareReady[:0] // parking gives others their turn: these go next round
	for _, low := range []bool{false, true} {
		for _, o := range ready {
			if o.low == low {
				o.ready = false
				s.postOne(o)
			}
		}
	}
	clear(ready)
	s.spareReady = ready[:0]
	if len(s.ready) > 0 {
		nudge(s.in.wake)
	}
}

// mark notes that o has something to post.
func (s *shard) mark(o *outgoing) {
	if !o.ready {
		o.ready = true
		s.ready = append(s.ready, o)
	}
}

// postOne hands a lane as much of o as there are credits for.
func (s *shard) postOne(o *outgoing) {
	if len(o.queue) > 0 && s.slow(o) {
		s.parkOut(o)
	}
	if len(o.queue) == 0 {
		s.waiting(o, false)
		return
	}
	got, waits := o.k.credits.take(s, o.lane.index, o.low, len(o.queue), o.waits)
	if o.waits != waits {
		o.waits = waits
		s.listShort(o)
	}
	if got == 0 {
		return
	}
	for _, d := range o.queue[:got] {
		d.credit = true
	}
	o.lane.put(o.queue[:got])
	left := copy(o.queue, o.queue[got:])
	clear(o.queue[left:])
	o.queue = o.queue[:left]
}

// waiting sets whether o waits for credits.
func (s *shard) waiting(o *outgoing, waits bool) {
	if o.waits == waits {
		return
	}
	o.waits = waits
	o.k.credits.quit(s)
	s.listShort(o)
}

// listShort keeps the list of those that wait.
func (s *shard) listShort(o *outgoing) {
	if o.waits {
		s.short = append(s.short, o)
	} else if i := slices.Index(s.short, o); i >= 0 {
		s.short = slices.Delete(s.short, i, i+1)
	}
}

// slow tells whether what waits in o shall park: its lane is shut, or has kept
// it waiting for too long while others want to go on.
func (s *shard) slow(o *outgoing) bool {
	if o.lane.closed() {
		return true
	}
	at := s.parkAt(o)
	return at != 0 && s.now >= at
}

// parkAt is when what waits in o parks, or that is to be looked at again, ms; 0
// when it need not.
func (s *shard) parkAt(o *outgoing) int64 {
	first := slices.IndexFunc(o.queue, func(d *delivery) bool { return !d.probe })
	if first < 0 || s.d.lanesOpen.Load() <= 1 {
		return 0
	}
	at := o.queue[first].queued + slowAfter + 1
	if at <= s.now && !o.lane.hinders(s.now) {
		return s.now + slowAnswer
	}
	return at
}

// parkOut parks what waits in o, but for probes. Others get their turns
// meanwhile: they stand in o again, behind.
func (s *shard) parkOut(o *outgoing) {
	queue := o.queue
	o.queue = nil
	for _, d := range queue {
		if d.probe {
			o.queue = append(o.queue, d)
			continue
		}
		p := d.p
		p.held--
		if d.word.CompareAndSwap(wordQueued, wordHanded) {
			s.bounce(d)
		} else {
			s.withdrawn(d)
		}
		s.settle(p)
	}
}

// spendAll spends the credits of those of p that its row is about to tell the
// outcome of.
func (s *shard) spendAll(p *pending) {
	for i := range p.deliveries {
		d := &p.deliveries[i]
		if row := d.row(); row.Hint != carillon.HintNone || row.Outcome.Class.Terminal() {
			s.spend(d)
		}
	}
}

// spend notes that the outcome of a handed delivery is in the next write: then
// its credit is free.
func (s *shard) spend(d *delivery) {
	if !d.credit {
		return
	}
	d.credit = false
	for i := range s.spent {
		if sp := &s.spent[i]; sp.k == d.p.k && sp.lane == d.lane.index {
			sp.n++
			return
		}
	}
	s.spent = append(s.spent, spent{k: d.p.k, lane: d.lane.index, n: 1})
}

// unused gives back the credit of a delivery that was never handed.
func (d *delivery) unused() {
	if d.credit {
		d.credit = false
		d.p.k.giveCredits(d.lane.index, 1)
	}
}

// spent are credits that are free with the next write.
type spent struct {
	k       *keeper
	lane, n int
}

// refund gives spent credits back.
func (s *shard) refund() {
	for _, sp := range s.spent {
		sp.k.giveCredits(sp.lane, sp.n)
	}
	clear(s.spent)
	s.spent = s.spent[:0]
}

// giveCredits gives credits back, also to deliveries that are parked.
func (k *keeper) giveCredits(lane, n int) {
	k.credits.give(lane, n)
	if k.hints.depth.Load() > 0 {
		nudge(k.hints.wake)
	}
}
