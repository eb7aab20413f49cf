package h2

import (
	"context"
	"sync"
	"time"
)

const (
	tickBusy = 100 * time.Millisecond
	tickIdle = 10 * time.Second
	openLate = 30 * time.Second // a server that opens a connection and grants no stream
)

// tick does what the time asks for and returns when to come again.
func (p *Pool) tick(ctx context.Context, conns *sync.WaitGroup) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fatal != nil {
		return 0, p.fatal
	}
	now := realNow()
	for c := range p.conns {
		p.watch(c, now)
	}
	p.expire(now)
	next := tickIdle
	if p.due.Load() > 0 || now.Before(p.throttled) {
		next = tickBusy
	}
	for k := range kinds {
		if wait, due := p.size(ctx, kind(k), now, conns); due {
			next = min(next, max(wait, time.Millisecond))
		}
	}
	p.asleep.Store(next > tickBusy)
	return next, nil
}

// watch looks after one connection; mu is held.
func (p *Pool) watch(c *PoolConn, now time.Time) {
	if n := c.client.Stats().Stalls; n > c.stalls {
		p.past.Stalls += n - c.stalls
		c.stalls, c.stalled = n, now.Add(slowFor)
		p.cfg.Logger.Warn("pool: writes stall", "name", p.cfg.Name, "address", c.addr)
	}
	if c.opened.IsZero() && now.Sub(c.began) > openLate {
		c.client.Leave("the server grants no stream")
	}
	p.slow(c, now)
}

// slow has a connection carry half of its streams, or all; mu is held.
func (p *Pool) slow(c *PoolConn, now time.Time) {
	if c.opened.IsZero() {
		return
	}
	if on := halved(now, p.throttled, c.stalled); on != c.halved {
		c.halved = on
		c.client.Halve(on)
	}
}

// expire takes out what has waited too long; mu is held.
func (p *Pool) expire(now time.Time) {
	busy := false
	for _, c := range *p.list.Load() {
		busy = busy || c.kind == regular && c.client.InFlight() > 0
	}
	for k := range p.queues {
		q := &p.queues[k]
		for s := q.first(); s != nil; s = q.first() {
			if !tooLate(time.Duration(now.UnixNano()-s.since), p.cfg.MaxWait, p.cfg.QuarantineWait, kind(k) == quarantine, busy) {
				break
			}
			q.drop()
			p.local = append(p.local, Result{Ref: s, Fault: FaultUnsent, Reason: ReasonWaited})
			p.waiting[k].Add(-1)
			p.past.Overdue++
		}
	}
}

// size opens or closes a connection of a kind where that is due, and returns
// when the next one may be opened if one is missing; mu is held.
func (p *Pool) size(ctx context.Context, k kind, now time.Time, conns *sync.WaitGroup) (time.Duration, bool) {
	s, youngest := p.measure(k, now)
	switch s.change(p.cfg.GrowEvery, p.cfg.IdleAfter) {
	case 1:
		if len(p.conns) >= p.cfg.Max+maxLeaving {
			return tickBusy, true
		}
		if wait := p.notBefore.Sub(now); wait > 0 {
			return wait, true
		}
		p.add(ctx, k, conns)
		return tickBusy, true
	case -1:
		youngest.client.Leave("not needed")
		fallthrough
	default:
		if now.Sub(p.peakSince[k]) >= p.cfg.IdleAfter {
			p.peak[k], p.peakSince[k] = 0, now
		}
	}
	return 0, false
}

// measure is what the size of a kind depends on now, and its youngest
// connection; mu is held.
func (p *Pool) measure(k kind, now time.Time) (s sizing, youngest *PoolConn) {
	s = sizing{least: p.least(k), most: p.cfg.Max, budget: p.cfg.MaxInFlight, grown: now.Sub(p.grown)}
	room, inFlight := 0, 0
	for c := range p.conns {
		if c.leaving {
			continue
		}
		s.most -= btoi(c.kind != k)
		s.all += c.client.Limit()
		if c.kind != k {
			continue
		}
		if c.opened.IsZero() {
			s.opening++
			continue
		}
		s.open++
		s.cold += btoi(c.gate.Load() != gateOpen)
		s.capacity += c.client.Limit()
		room += c.room()
		inFlight += c.client.InFlight()
		if youngest == nil || c.opened.After(youngest.opened) {
			youngest = c
		}
	}
	s.most = max(s.most, 1)
	if inFlight += p.queues[k].len(); s.open == 0 || !hardly(room-p.queues[k].len(), s.capacity) || inFlight == 0 {
		p.pressed[k] = time.Time{}
	} else if p.pressed[k].IsZero() {
		p.pressed[k] = now
	} else {
		s.pressed = now.Sub(p.pressed[k])
	}
	p.peak[k] = max(p.peak[k], inFlight)
	if p.peakSince[k].IsZero() {
		p.peakSince[k] = now
	}
	s.peak, s.quiet = p.peak[k], now.Sub(p.peakSince[k])
	return s, youngest
}

// least is how many connections of a kind there are always: the first one of a
// pool with quarantine is for that, as nothing is proven yet.
func (p *Pool) least(k kind) int {
	switch {
	case k == quarantine:
		return btoi(p.cfg.Quarantine)
	case p.cfg.Quarantine && !p.wanted:
		return 0
	case p.cfg.Quarantine:
		return min(p.cfg.Min, p.cfg.Max-1)
	}
	return p.cfg.Min
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
