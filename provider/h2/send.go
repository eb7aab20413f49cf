package h2

import (
	"time"

	"golang.org/x/net/http2"
)

const maxWait = 365 * 24 * time.Hour // a deadline further off is this far

// send queues up to sendChunk requests as far as there is room. It returns those
// it did not take; requests that cannot be said at all are appended to bad.
func (c *conn) send(reqs []*Request, bad []Result) ([]*Request, []Result) {
	now := c.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == 0 {
		c.fresh = true
	}
	i := 0
	for ; i < len(reqs) && c.state == open && c.inFlight < c.streamLimit(); i++ {
		why, ok := c.start(reqs[i], now)
		if !ok {
			break
		}
		if why != "" {
			bad = append(bad, Result{Ref: reqs[i].Ref, Fault: FaultInvalid, Reason: "h2: " + why})
		}
	}
	if c.asleep {
		c.asleep = false
		c.poke()
	}
	c.publish()
	return reqs[i:], bad
}

// start opens a stream and queues the request on it. why says what is wrong
// with the request; ok is false when the connection has no stream left.
func (c *conn) start(r *Request, now time.Time) (why string, ok bool) {
	if why := c.check(r); why != "" {
		return why, true
	}
	s := c.streams.take()
	if s == nil {
		c.leave("the stream ids are used up")
		return "", false
	}
	s.ref, s.body, s.batch, s.window = r.Ref, r.Body, c.batch, c.streamWindow
	wait := c.cfg.RequestTimeout
	if !r.Deadline.IsZero() {
		wait = min(r.Deadline.Sub(now), maxWait)
	}
	s.deadline = now.UnixNano() + int64(wait)
	c.soonest = min(c.soonest, s.deadline)
	c.inFlight++
	c.queueHeaders(s.id, r)
	if !c.queueBody(s) {
		c.waiting = append(c.waiting, s.id)
	}
	return "", true
}

// queueHeaders queues HEADERS, and CONTINUATION where one frame is too short.
func (c *conn) queueHeaders(id uint32, r *Request) {
	var end http2.Flags
	if len(r.Body) == 0 {
		end = http2.FlagHeadersEndStream
	}
	from := len(c.out)
	c.out = append(c.out, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	c.out = c.enc.appendBlock(c.out, r.Path, r.Fields)
	n := len(c.out) - from - frameHeaderLen
	if n <= c.maxFrame {
		putFrameHeader(c.out[from:], n, http2.FrameHeaders, end|http2.FlagHeadersEndHeaders, id)
		return
	}
	putFrameHeader(c.out[from:], c.maxFrame, http2.FrameHeaders, end, id)
	rest := append([]byte(nil), c.out[from+frameHeaderLen+c.maxFrame:]...)
	c.out = c.out[:from+frameHeaderLen+c.maxFrame]
	for len(rest) > 0 {
		n := min(len(rest), c.maxFrame)
		var flags http2.Flags
		if n == len(rest) {
			flags = http2.FlagContinuationEndHeaders
		}
		c.out = appendFrameHeader(c.out, n, http2.FrameContinuation, flags, id)
		c.out = append(c.out, rest[:n]...)
		rest = rest[n:]
	}
}

// queueBody queues as much of the body as the windows allow and tells whether
// that was all.
func (c *conn) queueBody(s *slot) bool {
	for len(s.body) > 0 {
		n := int(min(int64(len(s.body)), int64(c.maxFrame), c.window, s.window))
		if n <= 0 {
			return false
		}
		var flags http2.Flags
		if n == len(s.body) {
			flags = http2.FlagDataEndStream
		}
		c.out = appendFrameHeader(c.out, n, http2.FrameData, flags, s.id)
		c.out = append(c.out, s.body[:n]...)
		s.body = s.body[n:]
		c.window -= int64(n)
		s.window -= int64(n)
	}
	s.body = nil
	return true
}

// pump goes on with the bodies that waited for a window, oldest first, and
// forgets those whose stream is over.
func (c *conn) pump() {
	kept := c.waiting[:0]
	for _, id := range c.waiting {
		if s := c.streams.find(id); s != nil && !c.queueBody(s) {
			kept = append(kept, id)
		}
	}
	c.waiting = kept
}
