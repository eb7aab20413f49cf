package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Pool sends requests to one service over several connections. Its methods may
// be called from any goroutine.
type Pool struct {
	cfg   PoolConfig
	nudge chan struct{} // to Run: something is to do

	list     atomic.Pointer[[]*PoolConn] // those that take requests
	due      atomic.Int64                // taken and not answered
	waiting  [kinds]atomic.Int64         // of these, in queues
	mostly   atomic.Bool                 // most of what comes is unproven
	refusing atomic.Bool                 // too many of the unproven are refused: they have connections of their own
	starved  atomic.Bool                 // somebody saw no room and wants to be told
	asleep   atomic.Bool                 // Run looks rarely

	delivering sync.Mutex // OnResults is not called twice at once

	mu      sync.Mutex
	running bool
	stopped bool // Run is ending: nothing is sent any more
	pumping bool
	queues  [kinds]queue
	local   []Result // to be answered without a connection
	taken   []*Shot  // scratch of the one that pumps
	reqs    []*Request
	rooms   []int

	conns     map[*PoolConn]struct{} // all, the leaving ones included
	wanted    bool                   // a regular connection, beside quarantine
	share     float64                // of the unproven in what comes, lately
	refused   float64                // of those that were refused in the answers to the unproven, lately
	grown     time.Time
	pressed   [kinds]time.Time // since when there is hardly room; zero: there is
	peak      [kinds]int
	peakSince [kinds]time.Time
	throttled time.Time // until when all carry half
	failed    int       // in a row
	notBefore time.Time // of the next dial
	fatal     error
	turn      int
	used      map[netip.Addr]int
	bad       map[netip.Addr]time.Time

	past PoolStats // counts, of connections that have ended too
}

// PoolStats are counts since NewPool, and of now where that is said.
type PoolStats struct {
	Open, Quarantine, Opening, Leaving int // connections now; Open includes Quarantine
	Capacity                           int // streams of the open ones now
	InFlight, Waiting                  int // requests on connections, and without one, now
	Dials, DialFailures                uint64
	GoAways                            uint64
	Replays                            uint64 // requests that went to another connection
	Throttles                          uint64
	Stalls                             uint64
	Overdue                            uint64 // requests that no connection took in time
	Connections                        uint64 // opened: first SETTINGS seen
	BytesWritten, Writes               uint64 // before TLS, and how many writes carried them
}

// Add adds another pool's.
func (s *PoolStats) Add(o *PoolStats) {
	s.Open += o.Open
	s.Quarantine += o.Quarantine
	s.Opening += o.Opening
	s.Leaving += o.Leaving
	s.Capacity += o.Capacity
	s.InFlight += o.InFlight
	s.Waiting += o.Waiting
	s.Dials += o.Dials
	s.DialFailures += o.DialFailures
	s.GoAways += o.GoAways
	s.Replays += o.Replays
	s.Throttles += o.Throttles
	s.Stalls += o.Stalls
	s.Overdue += o.Overdue
	s.Connections += o.Connections
	s.BytesWritten += o.BytesWritten
	s.Writes += o.Writes
}

// count adds what a connection has done.
func (s *PoolStats) count(o *Stats) {
	s.GoAways += o.GoAways
	s.Connections += o.Connections
	s.BytesWritten += o.BytesWritten
	s.Writes += o.Writes
}

// NewPool returns a pool that does nothing until Run.
func NewPool(cfg PoolConfig) *Pool {
	p := &Pool{
		cfg: cfg.withDefaults(), nudge: make(chan struct{}, 1), conns: map[*PoolConn]struct{}{},
		used: map[netip.Addr]int{}, bad: map[netip.Addr]time.Time{},
	}
	p.list.Store(&[]*PoolConn{})
	p.starved.Store(true)
	p.share = 1
	p.mostly.Store(p.cfg.Quarantine)
	p.refused = refusedAtFirst
	p.refusing.Store(true)
	return p
}

// Stats returns the pool's counts.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.past
	st.Waiting = p.queued()
	for c := range p.conns {
		own := c.client.Stats()
		st.count(&own)
		st.InFlight += own.InFlight
		switch {
		case c.leaving:
			st.Leaving++
		case c.opened.IsZero():
			st.Opening++
		default:
			st.Open++
			st.Capacity += c.client.Limit()
			if c.kind == quarantine {
				st.Quarantine++
			}
		}
	}
	return st
}

// Room is how many requests Send takes now: the free streams of all connections
// that are admitted, less what waits already; 0 while there is none.
func (p *Pool) Room() int {
	room := p.room()
	if room == 0 {
		p.starved.Store(true)
		room = p.room() // it may have come just before
	}
	return room
}

func (p *Pool) room() int {
	var free, waiting [kinds]int
	for _, c := range *p.list.Load() {
		free[c.kind] += c.room()
	}
	for k := range waiting {
		waiting[k] = int(p.waiting[k].Load())
	}
	mostly := p.mostly.Load()
	due := int(p.due.Load())
	if !mostly {
		due -= waiting[quarantine] // bounded by its own queue
	}
	room := offered(free, waiting, mostly, p.quarantineQueue())
	return max(min(room, p.cfg.MaxInFlight-due), 0)
}

// queued is how many requests wait for a connection.
func (p *Pool) queued() int {
	n := 0
	for k := range p.waiting {
		n += int(p.waiting[k].Load())
	}
	return n
}

// tellRoom tells who saw no room that there is some.
func (p *Pool) tellRoom() {
	if p.cfg.OnRoom != nil && p.starved.Load() && p.room() > 0 && p.starved.CompareAndSwap(true, false) {
		p.cfg.OnRoom()
	}
}

// Throttle has all connections carry half of their streams for a while: the
// server said that the sender is too fast.
func (p *Pool) Throttle() {
	now := realNow()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past.Throttles++
	p.throttled = now.Add(slowFor)
	for c := range p.conns {
		p.slow(c, now)
	}
	p.poke()
}

// Retire has the connection that s is, or was last, on take nothing new and end
// when what is open on it is answered. Another takes its place.
func (p *Pool) Retire(s *Shot, reason string) {
	if c := s.conn; c != nil {
		c.client.Leave(reason)
	}
}

// Run keeps the connections until ctx ends, then drains and returns nil. It
// returns early with [ErrHTTP1] when the server does not speak HTTP/2 and
// PoolConfig.Conn allows that, and for a useless Config. It must not run twice at once.
func (p *Pool) Run(ctx context.Context) error {
	if _, _, err := net.SplitHostPort(p.cfg.Addr); err != nil {
		return fmt.Errorf("pool: PoolConfig.Addr: %w", err)
	}
	p.mu.Lock()
	if p.running {
		p.mu.Unlock()
		return errors.New("pool: Run is already running")
	}
	p.running, p.stopped, p.fatal, p.failed, p.notBefore = true, false, nil, 0, time.Time{}
	p.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var conns sync.WaitGroup
	timer := newTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-p.nudge:
		case <-timer.C:
		}
		next, err := p.tick(ctx, &conns)
		p.answerLocal()
		p.pump()
		p.tellRoom()
		if err != nil {
			cancel()
			p.drain(&conns)
			return err
		}
		timer.Reset(next)
	}
	p.drain(&conns)
	return nil
}

// drain waits for the connections to end and answers what has none.
func (p *Pool) drain(conns *sync.WaitGroup) {
	p.mu.Lock()
	p.stopped = true
	p.reject("shutting down")
	p.mu.Unlock()
	p.answerLocal()
	conns.Wait()
	p.mu.Lock()
	p.running = false
	p.reject("shutting down")
	p.mu.Unlock()
	p.answerLocal()
}

// reject has everything in the queues answered unsent; mu is held.
func (p *Pool) reject(reason string) {
	for k := range p.queues {
		q := &p.queues[k]
		for _, s := range q.shots[q.head:] {
			p.local = append(p.local, Result{Ref: s, Fault: FaultUnsent, Reason: reason})
		}
		p.waiting[k].Add(-int64(q.len()))
		*q = queue{}
	}
}

// add opens one more connection; mu is held.
func (p *Pool) add(ctx context.Context, k kind, conns *sync.WaitGroup) {
	c := &PoolConn{pool: p, kind: k, began: realNow()}
	cfg := p.cfg.Conn
	cfg.Name, cfg.Addr, cfg.Logger = p.cfg.Name, p.cfg.Addr, p.cfg.Logger
	cfg.Dial = c.dial
	cfg.OnResults, cfg.OnRoom, cfg.OnLeave = c.results, c.onRoom, c.onLeave
	c.client = New(cfg)
	p.conns[c] = struct{}{}
	p.grown = c.began
	p.past.Dials++
	conns.Go(func() { c.serve(ctx) })
}

// open admits a connection that the server has opened.
func (p *Pool) open(c *PoolConn) {
	now := realNow()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.opened.IsZero() || c.leaving {
		return
	}
	c.opened = now
	if p.cfg.Warm {
		c.gate.Store(gateOne)
	} else {
		c.gate.Store(gateOpen)
	}
	list := append(append([]*PoolConn(nil), *p.list.Load()...), c)
	p.list.Store(&list)
	p.pressed[c.kind] = time.Time{}
	p.slow(c, now)
	p.cfg.Logger.Info("pool: connected", "name", p.cfg.Name, "address", c.addr, "open", len(list))
}

// left takes a connection out that takes nothing new.
func (p *Pool) left(c *PoolConn, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.leaving = true
	c.gate.Store(gateShut)
	if c.opened.IsZero() {
		p.past.DialFailures++
	}
	list := make([]*PoolConn, 0, len(*p.list.Load()))
	for _, o := range *p.list.Load() {
		if o != c {
			list = append(list, o)
		}
	}
	p.list.Store(&list)
	if p.room() == 0 {
		p.starved.Store(true)
	}
	p.count(c)
	p.cfg.Logger.Info("pool: a connection leaves", "name", p.cfg.Name, "address", c.addr, "reason", reason, "open", len(list))
	p.poke()
}

// count counts the end of a connection or dial among the failures in a row; mu
// is held.
func (p *Pool) count(c *PoolConn) {
	now := realNow()
	lived := time.Duration(0)
	if !c.opened.IsZero() {
		lived = now.Sub(c.opened)
	}
	p.failed = failures(p.failed, lived, c.useful.Load())
	p.notBefore = now.Add(backoff(p.failed, rand.Float64())) //nolint:gosec // jitter needs no secrecy
}

// ended forgets a connection whose every request is answered.
func (p *Pool) ended(c *PoolConn, err error) {
	own := c.client.Stats()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past.count(&own)
	delete(p.conns, c)
	addr := c.addr
	p.release(c)
	if !c.leaving && err != nil { // it was never open
		p.past.DialFailures++
		p.count(c)
		p.cfg.Logger.Warn("pool: cannot connect", "name", p.cfg.Name, "error", err, "failures", p.failed)
		if errors.Is(err, ErrHTTP1) {
			p.fatal = err
		} else if addr.IsValid() {
			p.bad[addr.Addr()] = realNow().Add(addressBad)
		}
	}
	p.poke()
}

// claim picks the address that c dials next, and counts it.
func (p *Pool) claim(c *PoolConn, addrs []netip.Addr) int {
	now := realNow()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
	i := choose(addrs, p.used, p.bad, now, p.turn)
	p.release(c)
	c.addr = netip.AddrPortFrom(addrs[i], 0)
	p.used[addrs[i]]++
	return i
}

// release gives c's address back; mu is held.
func (p *Pool) release(c *PoolConn) {
	if !c.addr.IsValid() {
		return
	}
	if a := c.addr.Addr(); p.used[a] > 1 {
		p.used[a]--
	} else {
		delete(p.used, a)
	}
	c.addr = netip.AddrPort{}
}

// fault notes that an address cannot be reached.
func (p *Pool) fault(c *PoolConn, a netip.Addr) {
	now := realNow()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release(c)
	for old, until := range p.bad {
		if now.After(until) {
			delete(p.bad, old)
		}
	}
	p.bad[a] = now.Add(addressBad)
}

func (p *Pool) dial(ctx context.Context, addr string) (net.Conn, error) {
	if p.cfg.Dial != nil {
		return p.cfg.Dial(ctx, addr)
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil || p.cfg.TLS == nil {
		return nc, err
	}
	return tls.Client(nc, p.cfg.TLS), nil
}

// poke has Run look now.
func (p *Pool) poke() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}
