package h2

// Send takes requests and does not wait for the network. The caller sends at
// most Room. The slice is the caller's again when Send returns.
func (p *Pool) Send(shots []*Shot) {
	if len(shots) == 0 {
		return
	}
	now := realNow().UnixNano()
	p.due.Add(int64(len(shots)))
	p.mu.Lock()
	takes := p.running && !p.stopped
	unproven := 0
	for _, s := range shots {
		s.since, s.tries, s.Ref = now, 0, s
		switch {
		case s.Path == "":
			p.local = append(p.local, Result{Ref: s, Fault: FaultInvalid, Reason: "the request has no path"})
		case !takes:
			p.local = append(p.local, Result{Ref: s, Fault: FaultUnsent, Reason: "not running"})
		default:
			k := p.kind(s)
			if k == regular {
				p.wanted = true
			} else if unproven++; p.queues[k].len() >= p.quarantineQueue() {
				p.local = append(p.local, Result{Ref: s, Fault: FaultUnsent, Reason: ReasonWaited})
				break
			}
			p.queues[k].push(s)
			p.waiting[k].Add(1)
		}
	}
	if p.cfg.Quarantine {
		p.share = shareAfter(p.share, unproven, len(shots))
		p.mostly.Store(p.share >= 0.5)
	}
	wake := len(p.local) > 0 || p.asleep.Load()
	running := p.running
	p.mu.Unlock()
	p.pump()
	switch {
	case !running:
		p.answerLocal()
	case wake:
		p.poke()
	}
}

// pump hands waiting requests to connections as far as these have room. One
// goroutine at a time does it, for all.
func (p *Pool) pump() {
	if p.queued() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pumping || p.stopped {
		return
	}
	p.pumping = true
	for p.step() {
	}
	p.pumping = false
	clear(p.taken)
	clear(p.reqs)
}

// step hands some requests to one connection and tells whether it could. Mu is
// held, but not while they are encoded.
func (p *Pool) step() bool {
	for k := kinds - 1; k >= 0; k-- { // what can only wait in quarantine first
		q := &p.queues[k]
		n := q.len()
		if n == 0 {
			continue
		}
		c, room := p.pick(kind(k))
		if c == nil {
			continue
		}
		if gate := c.gate.Load(); gate == gateOne {
			c.gate.Store(gateShut) // opened again by the answer
		}
		p.taken = q.pop(p.taken[:0], min(n, room, sendChunk))
		p.mu.Unlock()
		p.waiting[k].Add(-int64(len(p.taken)))
		p.hand(c, p.taken)
		p.mu.Lock()
		return true
	}
	return false
}

// pick finds the connection with the most room for a kind of request: what is
// not in quarantine may go anywhere, but prefers its own kind. The room that it
// had is told too, since by now there may be none.
func (p *Pool) pick(k kind) (c *PoolConn, room int) {
	list := *p.list.Load()
	for try := k; ; try = quarantine {
		p.rooms = p.rooms[:0]
		for _, c := range list {
			room := 0
			if c.kind == try {
				room = c.room()
			}
			p.rooms = append(p.rooms, room)
		}
		if i := fullest(p.rooms); i >= 0 {
			return list[i], p.rooms[i]
		}
		if try == quarantine {
			return nil, 0
		}
	}
}

// hand encodes requests for a connection.
func (p *Pool) hand(c *PoolConn, shots []*Shot) {
	if p.cfg.Prepare != nil {
		p.cfg.Prepare(c, shots)
	}
	p.reqs = p.reqs[:0]
	for _, s := range shots {
		s.conn = c
		p.reqs = append(p.reqs, &s.Request)
	}
	c.client.sendChunk(p.reqs)
}

// settle takes results of a connection: what was not sent goes to another one,
// the rest to the caller.
func (p *Pool) settle(results []Result) {
	kept := results[:0]
	var again []*Shot
	unproven, refused := 0, 0
	for i := range results {
		s := results[i].Ref.(*Shot) //nolint:forcetypeassert // every Ref is ours
		if s.Unproven && results[i].Status != 0 {
			unproven++
			refused += btoi(results[i].Status >= 400 && results[i].Status < 500)
		}
		if results[i].Fault == FaultUnsent && s.tries < maxTries {
			again = append(again, s)
			continue
		}
		kept = append(kept, results[i])
	}
	if len(again) > 0 {
		p.replay(again)
	}
	if unproven > 0 && p.cfg.Quarantine {
		p.learn(unproven, refused)
	}
	p.deliver(kept)
	p.pump()
	p.tellRoom()
}

// learn looks at the answers to unproven requests, and decides whether such go
// to quarantine from now on.
func (p *Pool) learn(unproven, refused int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = shareAfter(p.refused, refused, unproven)
	if on := quarantined(p.refusing.Load(), p.refused); on != p.refusing.Load() {
		p.refusing.Store(on)
		p.cfg.Logger.Info("pool: quarantine", "name", p.cfg.Name, "on", on, "refused", p.refused)
	}
}

// replay puts shots that no server has seen to the front of their queues.
func (p *Pool) replay(shots []*Shot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		for _, s := range shots {
			p.local = append(p.local, Result{Ref: s, Fault: FaultUnsent, Reason: "shutting down"})
		}
		p.poke()
		return
	}
	var by [kinds][]*Shot
	for _, s := range shots {
		s.tries++
		k := p.kind(s)
		by[k] = append(by[k], s)
	}
	for k := range by {
		if len(by[k]) > 0 {
			p.queues[k].unpop(by[k])
			p.waiting[k].Add(int64(len(by[k])))
		}
	}
	p.past.Replays += uint64(len(shots))
}

// deliver hands results to the caller, one batch at a time.
func (p *Pool) deliver(results []Result) {
	if len(results) == 0 {
		return
	}
	p.delivering.Lock()
	defer p.delivering.Unlock()
	for i := range results {
		results[i].Ref = results[i].Ref.(*Shot).Owner //nolint:forcetypeassert // every Ref is ours
	}
	p.due.Add(-int64(len(results)))
	p.cfg.OnResults(results)
}

// answerLocal answers what needs no connection, until there is none.
func (p *Pool) answerLocal() {
	for {
		p.mu.Lock()
		results := p.local
		p.local = nil
		p.mu.Unlock()
		if len(results) == 0 {
			return
		}
		p.deliver(results)
		p.tellRoom()
	}
}
