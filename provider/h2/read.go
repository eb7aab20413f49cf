package h2

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http2"
)

const readBuffer = 64 << 10 // more than the longest frame, and than a TLS record

// read is the reader: each read's frames are parsed without the lock, applied
// under it, and what they answered is handed over in one call.
func (c *conn) read() {
	var (
		buf     = make([]byte, readBuffer)
		have    int
		p       = newParser()
		results []Result
		begun   []uint32
	)
	for {
		n, err := c.nc.Read(buf[have:])
		have += n
		if n > 0 {
			used, perr := p.feed(buf[:have])
			var alive bool
			results, begun, alive = c.apply(p, results, begun, perr)
			c.cl.deliver(results)
			clear(results)
			results = results[:0]
			p.reset()
			if !alive {
				return
			}
			have = copy(buf, buf[used:have])
		}
		if err != nil {
			c.mu.Lock()
			c.die(http2.ErrCodeNo, c.lossReason("read: "+err.Error()))
			c.mu.Unlock()
			return
		}
	}
}

// lossReason prefers what the server said in its GOAWAY to how the socket ended.
func (c *conn) lossReason(err string) string {
	if c.state == leaving {
		return c.reason + "; " + err
	}
	return err
}

// apply takes the events of one read to their streams. perr is what ended the
// parsing, if anything did. begun is storage for the streams whose answer began.
func (c *conn) apply(p *parser, results []Result, begun []uint32, perr error) ([]Result, []uint32, bool) {
	c.mu.Lock()
	c.heard = true
	begun = begun[:0]
	for i := range p.events {
		if c.state == dead {
			break
		}
		ev := &p.events[i]
		var err error
		switch ev.kind {
		case http2.FrameHeaders:
			results, err = c.onHeaders(p, ev, results)
			if !ev.end {
				begun = append(begun, ev.id)
			}
		case http2.FrameData:
			results, err = c.onData(ev, results)
		case http2.FrameRSTStream:
			results, err = c.onReset(ev, results)
		case http2.FrameGoAway:
			results = c.onGoAway(ev, results)
		case http2.FrameWindowUpdate:
			results, err = c.onWindow(ev, results)
		default:
			err = c.onControl(ev)
		}
		if err == nil {
			err = c.listen(ev)
		}
		if err != nil {
			perr = err
			break
		}
	}
	for _, id := range begun {
		if s := c.streams.find(id); s != nil {
			s.keep()
		}
	}
	if perr != nil && c.state != dead {
		code := http2.ErrCodeProtocol
		if ce, ok := perr.(*connError); ok { //nolint:errorlint // made in this package, never wrapped
			code = ce.code
		}
		c.die(code, "the server broke the protocol: "+perr.Error())
	}
	if c.state != dead {
		c.pump()
	}
	alive := c.state != dead
	edge := c.publish()
	c.mu.Unlock()
	c.cl.room(edge)
	return results, begun, alive
}

// listen counts frames that bring nothing: a server that says little else for
// long is a flood (RFC 9113 §10.5).
func (c *conn) listen(ev *event) error {
	switch ev.kind {
	case http2.FrameHeaders:
		if ev.status < 200 && !ev.end {
			c.noise++
		}
	case http2.FrameData:
		if len(ev.data) == 0 && !ev.end {
			c.noise++
		}
	default:
		c.noise++
	}
	if c.noise > maxNoise {
		return &connError{http2.ErrCodeEnhanceYourCalm, "a flood of frames that bring nothing"}
	}
	return nil
}

func (c *conn) onHeaders(p *parser, ev *event, results []Result) ([]Result, error) {
	s := c.streams.find(ev.id)
	if s == nil {
		return results, c.stray(ev)
	}
	switch {
	case ev.malformed:
		return c.spoil(results, s, http2.ErrCodeProtocol, "malformed header fields"), nil
	case s.status != 0: // trailers (RFC 9113 §8.1)
		if !ev.end || ev.status != 0 {
			return c.spoil(results, s, http2.ErrCodeProtocol, "a second header block that is no trailer"), nil
		}
	case ev.status == 0:
		return c.spoil(results, s, http2.ErrCodeProtocol, "an answer without :status"), nil
	case ev.status < 200: // informational
		if ev.end {
			return c.spoil(results, s, http2.ErrCodeProtocol, "an informational answer that ends the stream"), nil
		}
		return results, nil
	default:
		s.status = ev.status
		s.fields = p.fields[ev.from:ev.to:ev.to]
	}
	if ev.end {
		results = c.answered(results, s)
	}
	return results, nil
}

func (c *conn) onData(ev *event, results []Result) ([]Result, error) {
	if c.received += ev.value; c.received >= connRecvWindow/2 {
		c.out = appendWindowUpdate(c.out, 0, c.received)
		c.received = 0
	}
	s := c.streams.find(ev.id)
	if s == nil {
		return results, c.stray(ev)
	}
	if s.status == 0 {
		return c.spoil(results, s, http2.ErrCodeProtocol, "DATA before the header fields"), nil
	}
	if !s.add(ev.data, c.cfg.MaxBody, ev.end) && !ev.end {
		// Enough was read to answer; the rest would only cost.
		c.out = appendRST(c.out, s.id, http2.ErrCodeCancel)
		s.body = nil
		return c.answered(results, s), nil
	}
	if ev.end {
		return c.answered(results, s), nil
	}
	if s.received += ev.value; s.received >= initialWindow/2 {
		c.out = appendWindowUpdate(c.out, s.id, s.received)
		s.received = 0
	}
	return results, nil
}

// stray judges a frame for a stream that is not open: fine if it once was.
func (c *conn) stray(ev *event) error {
	c.noise++
	if !c.streams.opened(ev.id) {
		return broken(ev.kind.String() + " on a stream that was never opened")
	}
	return nil
}

// answered ends a stream with its answer.
func (c *conn) answered(results []Result, s *slot) []Result {
	results = append(results, Result{Ref: s.ref, Status: s.status, Fields: s.fields, Body: s.answer})
	if len(s.body) > 0 { // answered before it heard us out; do not finish the sentence
		c.out = appendRST(c.out, s.id, http2.ErrCodeCancel)
	}
	s.free()
	c.inFlight--
	c.useful, c.noise = true, 0
	return results
}

// spoil ends a stream whose answer is malformed; the connection lives on
// (RFC 9113 §8.1.1).
func (c *conn) spoil(results []Result, s *slot, code http2.ErrCode, why string) []Result {
	c.out = appendRST(c.out, s.id, code)
	return c.fault(results, s, FaultProtocol, why)
}

func (c *conn) onReset(ev *event, results []Result) ([]Result, error) {
	s := c.streams.find(ev.id)
	if s == nil {
		return results, c.stray(ev)
	}
	c.noise--
	if http2.ErrCode(ev.value) == http2.ErrCodeRefusedStream && s.status == 0 {
		return c.fault(results, s, FaultUnsent, "RST_STREAM REFUSED_STREAM"), nil
	}
	return c.fault(results, s, FaultLost, streamReason("RST_STREAM", ev.value)), nil
}

// onGoAway lets the streams up to the last one finish and returns the others.
// A second GOAWAY may lower the last one (RFC 9113 §6.8).
func (c *conn) onGoAway(ev *event, results []Result) []Result {
	reason := streamReason("GOAWAY", ev.value)
	if len(ev.data) > 0 {
		reason += ": " + debugText(ev.data)
	}
	if c.state < leaving {
		c.cl.goAways.Add(1)
		c.cfg.Logger.Info("h2: the server sent GOAWAY", "name", c.cfg.Name, "reason", reason, "in_flight", c.inFlight)
	}
	c.leave(reason)
	c.reason = reason
	for i := range c.streams.slots {
		switch s := &c.streams.slots[i]; {
		case s.id <= ev.id:
		case s.status != 0: // it says that it never saw what it has begun to answer
			results = c.fault(results, s, FaultLost, reason)
		default:
			results = c.fault(results, s, FaultUnsent, reason)
		}
	}
	return results
}

// debugText makes GOAWAY debug data fit for logs and reasons.
func debugText(b []byte) string {
	s := string(b[:min(len(b), 256)])
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "?")
	}
	return s
}

// onControl handles SETTINGS and PING.
func (c *conn) onControl(ev *event) error {
	switch ev.kind {
	case http2.FramePing:
		if ev.end {
			return nil
		}
		c.out = appendPing(c.out, http2.FlagPingAck, ev.data)
	case http2.FrameSettings:
		if ev.end {
			return nil
		}
		if err := c.onSettings(ev.data); err != nil {
			return err
		}
		c.out = appendFrameHeader(c.out, 0, http2.FrameSettings, http2.FlagSettingsAck, 0)
	default:
		return nil
	}
	if c.control++; c.control > maxControl {
		return &connError{http2.ErrCodeEnhanceYourCalm, "a flood of PING or SETTINGS"}
	}
	return nil
}

func (c *conn) onWindow(ev *event, results []Result) ([]Result, error) {
	n := int64(ev.value & maxWindow)
	if ev.id == 0 {
		if n == 0 {
			return results, broken("WINDOW_UPDATE of 0")
		}
		if c.window += n; c.window > maxWindow {
			return results, &connError{http2.ErrCodeFlowControl, "the connection's window is over 2^31-1"}
		}
		return results, nil
	}
	s := c.streams.find(ev.id)
	if s == nil {
		return results, c.stray(ev)
	}
	// What is wrong with a stream's window ends that stream (RFC 9113 §6.9, §6.9.1).
	if n == 0 {
		return c.spoil(results, s, http2.ErrCodeProtocol, "WINDOW_UPDATE of 0"), nil
	}
	if s.window += n; s.window > maxWindow {
		return c.spoil(results, s, http2.ErrCodeFlowControl, "the stream's window is over 2^31-1"), nil
	}
	return results, nil
}

// onSettings follows the server's SETTINGS, at any time (RFC 9113 §6.5.2).
func (c *conn) onSettings(b []byte) error {
	for ; len(b) >= 6; b = b[6:] {
		v := binary.BigEndian.Uint32(b[2:])
		switch http2.SettingID(binary.BigEndian.Uint16(b)) {
		case http2.SettingHeaderTableSize:
			c.enc.setTableSize(v)
		case http2.SettingEnablePush:
			if v != 0 {
				return broken("a server cannot enable push")
			}
		case http2.SettingMaxConcurrentStreams:
			c.limit = int(min(v, 1<<30))
		case http2.SettingInitialWindowSize:
			if v > maxWindow {
				return &connError{http2.ErrCodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE over 2^31-1"}
			}
			if err := c.moveWindows(int64(v) - c.streamWindow); err != nil {
				return err
			}
			c.streamWindow = int64(v)
		case http2.SettingMaxFrameSize:
			if v < 1<<14 || v > 1<<24-1 {
				return broken("SETTINGS_MAX_FRAME_SIZE out of bounds")
			}
			c.maxFrame = int(min(v, 64<<10)) // longer frames gain nothing and make others wait
		case http2.SettingMaxHeaderListSize:
			c.peerHeaderList = int(min(v, 64<<10))
		default:
		}
	}
	if c.state == opening {
		c.state = open
		c.cl.opened(c)
	}
	return nil
}

// moveWindows applies a change of the initial window to the open streams; a
// window may become negative (RFC 9113 §6.9.2).
func (c *conn) moveWindows(by int64) error {
	for i := range c.streams.slots {
		s := &c.streams.slots[i]
		if s.id == 0 {
			continue
		}
		if s.window += by; s.window > maxWindow {
			return &connError{http2.ErrCodeFlowControl, "a stream's window is over 2^31-1"}
		}
	}
	return nil
}
