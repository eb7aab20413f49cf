package h2

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// state of a connection; it only ever grows.
type state uint8

const (
	opening state = iota // the server's first SETTINGS are awaited
	open
	leaving // takes nothing new, answers still come
	dead
)

const (
	sweepEvery = 50 * time.Millisecond // how late a deadline may be noticed
	byeTimeout = time.Second           // for a last GOAWAY
	maxControl = 10_000                // answers to the server's frames in one write; more is a flood
	maxNoise   = 20_000                // frames that bring nothing between two looks of the keeper
	sendChunk  = 64                    // requests encoded between two looks at the writer
)

// conn is one connection. Three goroutines work on it, started by serve: the
// reader (read.go), the writer (write.go) and serve itself, the keeper of time.
// Callers of send are the fourth party. mu is held for short whole steps: a
// chunk of requests encoded, the events of one read applied.
type conn struct {
	cl    *Client
	cfg   *Config
	nc    net.Conn
	began time.Time

	room    atomic.Int32
	writing atomic.Int64  // since when the present write runs, unix nanoseconds; 0: none
	wake    chan struct{} // to the writer, when it sleeps
	nudge   chan struct{} // to the keeper, when it sleeps
	left    chan struct{} // closed: takes nothing new
	gone    chan struct{} // closed: dead

	mu        sync.Mutex
	state     state
	reason    string // why it is leaving or dead
	enc       *encoder
	streams   table
	inFlight  int
	counted   int // inFlight as in the client's statistics
	limitTold int // likewise

	out        []byte // frames for the writer
	batch      uint64 // counts what the writer took
	cut        uint64 // batch at death: what was queued in it was never written
	control    int    // frames in out that answer frames of the server
	writerIdle bool
	waiting    []uint32 // streams whose body waits for a window

	// What the server said in SETTINGS and WINDOW_UPDATE.
	limit          int // of streams
	maxFrame       int
	streamWindow   int64
	window         int64
	peerHeaderList int
	staticSize     int

	halved   bool   // half of the limit is enough
	noise    int    // frames that brought nothing since the last tick or answer
	received uint32 // DATA bytes not yet given back as connection credit
	soonest  int64  // no deadline is earlier
	useful   bool   // something was answered on it
	heard    bool   // something was read since the last tick
	fresh    bool   // the first request after none was sent since the last tick
	suspect  bool   // a deadline passed since the last tick
	asleep   bool   // the keeper has no short timer

	// Of the keeper alone.
	lastHeard, pinged, drainUntil time.Time
	stalled                       int64 // the write that was last counted as stalled
}

func newConn(cl *Client, nc net.Conn) *conn {
	c := &conn{
		cl: cl, cfg: &cl.cfg, nc: nc, began: realNow(),
		wake: make(chan struct{}, 1), nudge: make(chan struct{}, 1),
		left: make(chan struct{}), gone: make(chan struct{}),
		enc: newEncoder(cl.cfg.Static), streams: newTable(cl.cfg.MaxInFlight, cl.firstID),
		limit: cl.cfg.MaxInFlight, maxFrame: maxFrameLen,
		streamWindow: initialWindow, window: initialWindow,
		peerHeaderList: 64 << 10, staticSize: listSize(cl.cfg.Static),
		soonest: never,
	}
	c.lastHeard = c.began
	c.out = append(c.out, http2.ClientPreface...)
	c.out = appendSettings(c.out,
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderList})
	c.out = appendWindowUpdate(c.out, 0, connRecvWindow-initialWindow)
	return c
}

const never = int64(1<<63 - 1)

// serve runs the connection until it is dead and every request on it answered.
// The end of ctx makes it drain first.
func (c *conn) serve(ctx context.Context) {
	var wg sync.WaitGroup
	written := make(chan struct{})
	wg.Go(c.read)
	wg.Go(func() {
		defer close(written)
		c.write()
	})
	c.keep(ctx.Done())
	c.finish()
	// A write that is stuck must not hold the end up; the writer may have a
	// GOAWAY to say.
	_ = c.nc.SetWriteDeadline(realNow().Add(byeTimeout))
	<-written
	_ = c.nc.Close()
	wg.Wait()
}

// keep watches deadlines, pings and the drain until the connection is dead.
func (c *conn) keep(stop <-chan struct{}) {
	timer := newTimer(0)
	defer timer.Stop()
	var results []Result
	for {
		select {
		case <-c.gone:
			return
		case <-stop:
			stop = nil
			c.drainUntil = realNow().Add(c.cfg.DrainTimeout)
			c.mu.Lock()
			c.leave("shutting down")
			c.mu.Unlock()
		case <-c.nudge:
		case <-timer.C:
		}
		var next time.Duration
		results, next = c.tick(realNow(), results[:0])
		c.cl.deliver(results)
		clear(results)
		timer.Reset(next)
	}
}

// tick does what the time asks for and returns when to come again.
func (c *conn) tick(now time.Time, results []Result) ([]Result, time.Duration) {
	c.mu.Lock()
	if c.heard || c.fresh {
		c.lastHeard = now
	}
	if c.heard {
		c.pinged = time.Time{}
	}
	c.heard, c.fresh = false, false
	c.noise = 0
	if began := c.writing.Load(); began != 0 && began != c.stalled && now.UnixNano()-began >= int64(c.cfg.StallAfter) {
		c.stalled = began
		c.cl.stalls.Add(1)
	}
	results = c.sweep(results)
	c.watch(now)
	next := c.nextTick(now)
	edge := c.publish()
	c.mu.Unlock()
	c.cl.room(edge)
	return results, next
}

// watch ends the connection if its time has come, and sends pings.
func (c *conn) watch(now time.Time) {
	silent := now.Sub(c.lastHeard)
	switch {
	case c.state == dead:
	case c.state == opening && now.Sub(c.began) >= c.cfg.DialTimeout:
		c.die(http2.ErrCodeSettingsTimeout, "no SETTINGS from the server within "+c.cfg.DialTimeout.String())
	case c.state == leaving && c.inFlight == 0:
		c.die(http2.ErrCodeNo, c.reason)
	case !c.drainUntil.IsZero() && !now.Before(c.drainUntil):
		c.die(http2.ErrCodeNo, c.reason+": no answer within "+c.cfg.DrainTimeout.String())
	case !c.pinged.IsZero():
		if now.Sub(c.pinged) >= c.cfg.PingTimeout {
			c.die(http2.ErrCodeNo, "the server answered no PING for "+c.cfg.PingTimeout.String())
		}
	case c.state != opening && (silent >= c.pingInterval() || c.suspect):
		c.pinged = now
		c.out = appendPing(c.out, 0, []byte("carillon"))
	}
	c.suspect = false
}

func (c *conn) pingInterval() time.Duration {
	if c.inFlight > 0 {
		return c.cfg.PingInterval
	}
	return c.cfg.IdlePingInterval
}

func (c *conn) nextTick(now time.Time) time.Duration {
	due := c.lastHeard.Add(c.pingInterval())
	if !c.pinged.IsZero() {
		due = c.pinged.Add(c.cfg.PingTimeout)
	}
	next := max(due.Sub(now), time.Millisecond)
	c.asleep = c.inFlight == 0 && c.state == open
	if !c.asleep {
		next = min(next, sweepEvery)
	}
	return next
}

// sweep answers what has passed its deadline.
func (c *conn) sweep(results []Result) []Result {
	if c.inFlight == 0 {
		return results
	}
	now := c.cfg.Now().UnixNano()
	if now < c.soonest {
		return results
	}
	c.soonest = never
	for i := range c.streams.slots {
		s := &c.streams.slots[i]
		switch {
		case s.id == 0:
		case s.deadline > now:
			c.soonest = min(c.soonest, s.deadline)
		default:
			c.suspect = true
			c.out = appendRST(c.out, s.id, http2.ErrCodeCancel)
			results = c.fault(results, s, FaultTimeout, "no answer before the deadline")
		}
	}
	return results
}

// finish answers everything that a dead connection still owes.
func (c *conn) finish() {
	var results []Result
	c.mu.Lock()
	for i := range c.streams.slots {
		s := &c.streams.slots[i]
		switch {
		case s.id == 0:
		case s.batch == c.cut:
			results = c.fault(results, s, FaultUnsent, c.reason)
		default:
			results = c.fault(results, s, FaultLost, c.reason)
		}
	}
	c.publish()
	c.mu.Unlock()
	c.cl.deliver(results)
}

// fault ends a stream without an answer.
func (c *conn) fault(results []Result, s *slot, f Fault, reason string) []Result {
	results = append(results, Result{Ref: s.ref, Fault: f, Reason: reason})
	s.free()
	c.inFlight--
	switch f {
	case FaultTimeout:
		c.cl.timeouts.Add(1)
	case FaultUnsent:
		c.cl.refused.Add(1)
	default:
	}
	return results
}

// leave stops taking requests. Call with mu held, as for all below.
func (c *conn) leave(reason string) {
	if c.state >= leaving {
		return
	}
	c.state, c.reason = leaving, reason
	c.room.Store(0)
	if c.limitTold != 0 {
		c.limitTold = 0
		c.cl.limit.Store(0)
	}
	close(c.left)
	c.poke()
}

// streamLimit is how many streams may be open.
func (c *conn) streamLimit() int {
	n := min(c.limit, c.cfg.MaxInFlight)
	if c.halved {
		n = (n + 1) / 2
	}
	return n
}

func (c *conn) halve(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.halved = on
	c.publish()
}

// die ends the connection: what is queued and not yet taken by the writer is
// dropped, a GOAWAY with code takes its place.
func (c *conn) die(code http2.ErrCode, reason string) {
	if c.state == dead {
		return
	}
	c.leave(reason)
	c.state, c.reason, c.cut = dead, reason, c.batch
	c.out = appendGoAway(c.out[:0], code)
	c.waiting = nil
	c.flush()
	close(c.gone)
	c.cfg.Logger.Info("h2: connection ended", "name", c.cfg.Name, "reason", reason,
		"in_flight", c.inFlight, "age", realNow().Sub(c.began))
}

// why returns what made the connection leave.
func (c *conn) why() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

// failures counts this connection's end among the failures in a row before it.
func (c *conn) failures(before int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return failures(before, realNow().Sub(c.began), c.useful)
}

// poke has the keeper look at the connection now.
func (c *conn) poke() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// flush wakes the writer if there is something to write.
func (c *conn) flush() {
	if c.writerIdle && len(c.out) > 0 {
		c.writerIdle = false
		c.wake <- struct{}{} // never blocks: the writer took the last one before it idled
	}
}

// publish ends a step: the writer is woken, the room made known. It returns
// whether room rose from 0.
func (c *conn) publish() bool {
	c.flush()
	room, limit := 0, 0
	if c.state == open {
		limit = c.streamLimit()
		room = max(0, limit-c.inFlight)
	}
	if c.limitTold != limit {
		c.limitTold = limit
		c.cl.limit.Store(int64(limit))
	}
	old := c.room.Swap(int32(room))
	if c.inFlight == 0 && c.state == leaving {
		c.poke()
	}
	if d := c.inFlight - c.counted; d != 0 {
		c.cl.inFlight.Add(int64(d))
		c.counted = c.inFlight
	}
	return old == 0 && room > 0
}

func streamReason(what string, code uint32) string {
	return what + " " + http2.ErrCode(code).String() + " (" + strconv.FormatUint(uint64(code), 10) + ")"
}
