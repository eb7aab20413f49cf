package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const maxDraining = 4 // connections that still finish beside the current one

// Client sends requests to one server over one HTTP/2 connection at a time. Its
// methods may be called from any goroutine.
type Client struct {
	cfg     Config
	tls     *tls.Config
	firstID uint32

	cur     atomic.Pointer[conn]
	lastErr atomic.Pointer[string] // why there is no connection

	delivering sync.Mutex // OnResults is not called twice at once

	mu       sync.Mutex
	running  bool
	settling bool          // somebody is in settle
	rejected []Result      // to be answered
	ring     chan struct{} // something is in rejected, for Run

	inFlight, limit                                         atomic.Int64
	conns, goAways, refused, timeouts, bytesWritten, writes atomic.Uint64
	stalls                                                  atomic.Uint64
}

// Stats are counts since New, and InFlight of now.
type Stats struct {
	InFlight     int    // requests handed over on a connection and not answered
	Connections  uint64 // opened: first SETTINGS seen
	GoAways      uint64 // connections that the server said GOAWAY on
	Refused      uint64 // requests taken and then answered FaultUnsent
	Timeouts     uint64 // requests answered FaultTimeout
	BytesWritten uint64 // before TLS
	Writes       uint64 // how many writes carried them
	Stalls       uint64 // writes that took longer than Config.StallAfter
}

// New returns a client that does nothing until Run.
func New(cfg Config) *Client {
	cfg = cfg.withDefaults()
	return &Client{cfg: cfg, tls: ClientTLS(cfg.TLS, cfg.Addr, cfg.AllowHTTP1), firstID: 1, ring: make(chan struct{}, 1)}
}

// Room returns how many more requests Send takes now; 0 while not connected.
func (c *Client) Room() int {
	if cn := c.cur.Load(); cn != nil {
		return int(cn.room.Load())
	}
	return 0
}

// Stats returns the client's counts.
func (c *Client) Stats() Stats {
	return Stats{
		InFlight:     int(c.inFlight.Load()),
		Connections:  c.conns.Load(),
		GoAways:      c.goAways.Load(),
		Refused:      c.refused.Load(),
		Timeouts:     c.timeouts.Load(),
		BytesWritten: c.bytesWritten.Load(),
		Writes:       c.writes.Load(),
		Stalls:       c.stalls.Load(),
	}
}

// Limit returns how many requests may be unanswered at once on the connection
// that takes requests: the least of the server's limit and ours; 0 while not
// connected.
func (c *Client) Limit() int { return int(c.limit.Load()) }

// InFlight returns the requests handed over on a connection and not answered.
func (c *Client) InFlight() int { return int(c.inFlight.Load()) }

// Halve has the connection carry half of its Limit, or all of it again. What is
// open above that is not touched, and the next connection is not meant. OnRoom is
// not called.
func (c *Client) Halve(on bool) {
	if cn := c.cur.Load(); cn != nil {
		cn.halve(on)
	}
}

// Leave has the connection take nothing new and end when what is open on it is
// answered. Run opens another one at once.
func (c *Client) Leave(reason string) {
	if cn := c.cur.Load(); cn != nil {
		cn.mu.Lock()
		cn.leave(reason)
		cn.mu.Unlock()
	}
}

// Send queues requests and returns at once; it never waits for the network. The
// caller sends at most Room; what cannot be taken is answered with FaultUnsent
// (by OnResults, from another goroutine; from within Send only while Run is not
// running). The slices reqs and Request.Fields may be reused after Send, the
// bodies after their Result.
func (c *Client) Send(reqs []Request) {
	var chunk [sendChunk]*Request
	for len(reqs) > 0 {
		n := min(len(reqs), sendChunk)
		for i := range n {
			chunk[i] = &reqs[i]
		}
		c.sendChunk(chunk[:n])
		reqs = reqs[n:]
	}
}

// sendChunk is Send for up to sendChunk requests.
func (c *Client) sendChunk(reqs []*Request) {
	var rejected []Result
	if cn := c.cur.Load(); cn != nil {
		reqs, rejected = cn.send(reqs, nil)
	}
	if len(reqs) > 0 {
		why := c.whyNot()
		for _, r := range reqs {
			rejected = append(rejected, Result{Ref: r.Ref, Fault: FaultUnsent, Reason: why})
		}
	}
	if len(rejected) > 0 {
		c.reject(rejected)
	}
}

func (c *Client) whyNot() string {
	if why := c.lastErr.Load(); why != nil {
		return "h2: not connected: " + *why
	}
	if c.cur.Load() == nil {
		return "h2: not connected yet"
	}
	return "h2: no room"
}

// Run dials, serves and redials until ctx ends, then drains and returns nil. It
// returns early for a useless Config and with ErrHTTP1. It may be called again
// after it returned, not while it runs.
func (c *Client) Run(ctx context.Context) error { return c.run(ctx, c.connect) }

// RunOnce is Run for one connection: it returns why that could not be opened or
// has ended, when everything on it is answered; nil after the end of ctx.
func (c *Client) RunOnce(ctx context.Context) error { return c.run(ctx, c.connectOnce) }

func (c *Client) run(ctx context.Context, connect func(context.Context, *sync.WaitGroup) error) error {
	if err := c.cfg.validate(); err != nil {
		return err
	}
	c.mu.Lock()
	if c.running {
		c.mu.Unlock()
		return errors.New("h2: Run is already running")
	}
	c.running = true
	c.mu.Unlock()

	var conns, answers sync.WaitGroup
	stop := make(chan struct{})
	answers.Go(func() { c.answer(stop) })
	err := connect(ctx, &conns)
	conns.Wait()
	c.cur.Store(nil)
	c.lastErr.Store(nil)
	close(stop)
	answers.Wait()

	c.mu.Lock()
	c.running = false
	c.mu.Unlock()
	c.settle()
	return err
}

// connect keeps one connection that takes requests; those that are leaving
// finish beside it.
func (c *Client) connect(ctx context.Context, conns *sync.WaitGroup) error {
	row := 0 // of failures
	slots := make(chan struct{}, 1+maxDraining)
	for {
		if !pause(ctx, backoff(row, rand.Float64())) { //nolint:gosec // jitter needs no secrecy
			return nil
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		nc, err := c.dial(ctx)
		if err != nil {
			<-slots
			if ctx.Err() != nil {
				return nil //nolint:nilerr // stopped: that is no fault
			}
			if errors.Is(err, ErrHTTP1) {
				return err
			}
			row++
			c.lost(err.Error())
			continue
		}
		cn := newConn(c, nc)
		conns.Go(func() {
			cn.serve(ctx)
			<-slots
		})
		<-cn.left
		row = cn.failures(row)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // as above
		}
		c.lost(cn.why())
	}
}

// connectOnce opens one connection and waits until it takes nothing new.
func (c *Client) connectOnce(ctx context.Context, conns *sync.WaitGroup) error {
	nc, err := c.dial(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // stopped: that is no fault
		}
		return err
	}
	cn := newConn(c, nc)
	conns.Go(func() { cn.serve(ctx) })
	<-cn.left
	why := cn.why()
	c.lastErr.Store(&why)
	if c.cfg.OnLeave != nil {
		c.cfg.OnLeave(why)
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // as above
	}
	return errors.New("h2: " + why)
}

func (c *Client) lost(why string) {
	c.lastErr.Store(&why)
	c.cfg.Logger.Warn("h2: not connected", "name", c.cfg.Name, "reason", why)
}

// opened makes cn the connection that takes requests.
func (c *Client) opened(cn *conn) {
	c.conns.Add(1)
	c.lastErr.Store(nil)
	c.cur.Store(cn)
}

// pause waits for d and tells whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := newTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reject answers requests that no connection took.
func (c *Client) reject(results []Result) {
	c.mu.Lock()
	c.rejected = append(c.rejected, results...)
	running := c.running
	c.mu.Unlock()
	if !running {
		c.settle()
		return
	}
	select {
	case c.ring <- struct{}{}:
	default:
	}
}

// settle hands rejected requests back until there are none. A Send from within
// the callback only adds to them.
func (c *Client) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settling {
		return
	}
	c.settling = true
	for len(c.rejected) > 0 {
		results := c.rejected
		c.rejected = nil
		c.mu.Unlock()
		c.deliver(results)
		c.mu.Lock()
	}
	c.settling = false
}

// answer settles while Run runs; Run settles what is left.
func (c *Client) answer(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-c.ring:
		}
		c.settle()
	}
}

// deliver hands results to the caller, one batch at a time.
func (c *Client) deliver(results []Result) {
	if len(results) == 0 {
		return
	}
	c.delivering.Lock()
	defer c.delivering.Unlock()
	c.cfg.OnResults(results)
}

// room tells the caller that Room rose from 0.
func (c *Client) room(edge bool) {
	if edge && c.cfg.OnRoom != nil {
		c.cfg.OnRoom()
	}
}
