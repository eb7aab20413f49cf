package sandbox

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2conn is one HTTP/2 connection. Its reader parses frames where they lie in the
// read buffer, judges each request inline and leaves the answers of everything it
// had at hand in one write: no goroutine, and in Fast mode nearly no allocation,
// per request. Only scripted delays use a second goroutine (see late).
type h2conn struct {
	s    *Server
	d    *door
	nc   *tls.Conn
	raw  *readAhead
	fast bool // Fast mode
	set  settings

	dec      *hpack.Decoder
	decoding *stream // the fields that dec emits belong to it
	fields   int     // bytes of them
	frag     []byte  // of a header block that spans frames
	fragID   uint32  // its stream; 0: none
	fragEnd  bool    // its HEADERS ended the stream

	cur     *stream            // the last stream opened, while its body is open
	open    map[uint32]*stream // others whose body is open
	free    []*stream
	lastID  uint32 // highest stream opened
	recvWin int64  // what the client may still send on the connection
	unacked int64  // received since the last WINDOW_UPDATE
	sticky  sticky

	stopped atomic.Bool
	over    atomic.Bool // the reader shall end
	done    chan struct{}

	mu      sync.Mutex // held while a batch is handled; guards what follows
	out     []byte
	answers answers
	late    late
	mood    mood
	pings   int // since the last request
}

// stream is a request in arrival.
type stream struct {
	id        uint32
	method    string
	path      string
	authority string
	apnsID    string // Fast mode keeps only path and this
	fields    []field
	malformed bool
	regular   bool // a header that is no pseudo header came
	tooLong   bool
	body      []byte
	bodyLen   int
	recvWin   int64
}

// connError is what ends a connection with a GOAWAY.
type connError struct {
	code http2.ErrCode
	text string
}

// Error is the fault as the log shows it.
func (f connError) Error() string { return f.code.String() + " " + f.text }

func newH2conn(s *Server, d *door, nc *tls.Conn, raw *readAhead) *h2conn {
	c := &h2conn{
		s: s, d: d, nc: nc, raw: raw, fast: s.cfg.Mode == Fast,
		set:  settingsOf(d.vendor, s.cfg.Mode, d.conduct.Load()),
		open: map[uint32]*stream{}, done: make(chan struct{}),
	}
	if shown := nc.ConnectionState().PeerCertificates; len(shown) > 0 {
		c.sticky.certificate = shown[0]
	}
	c.recvWin = c.set.connWindow
	c.dec = hpack.NewDecoder(4096, c.emit)
	c.dec.SetMaxStringLength(maxFrame)
	c.answers.init(d.vendor, &c.set)
	return c
}

// stop ends the reader; it says GOAWAY and closes.
func (c *h2conn) stop() {
	c.stopped.Store(true)
	c.endReader()
}

// endReader makes the reader end the connection.
func (c *h2conn) endReader() {
	c.over.Store(true)
	c.mood.leave()
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// serve runs the connection to its end, which always is an error.
func (c *h2conn) serve() {
	err := c.run()
	close(c.done)
	c.mu.Lock()
	c.late.over = true
	var f connError
	switch {
	case errors.As(err, &f):
		if f.code != http2.ErrCodeNo {
			c.s.counts.vendors[c.d.vendor].goAways.Add(1)
		}
		c.out = appendGoAway(c.out, c.lastID, f.code, f.text)
	case c.stopped.Load():
		c.out = appendGoAway(c.out, c.lastID, http2.ErrCodeNo, "")
	}
	wrote := c.flush()
	linger := wrote == nil && !c.answers.cut && (f != connError{} || c.answers.goneAway)
	c.mu.Unlock()
	if linger {
		c.linger()
	}
	_ = c.nc.Close()
	c.late.wg.Wait()
	if !errors.Is(err, io.EOF) && !c.stopped.Load() {
		c.s.log.Debug("sandbox: connection ended", "vendor", c.d.vendor, "error", err)
	}
}

// linger lets the client read the GOAWAY: closing while its bytes are unread would
// reset the connection and take the GOAWAY with it.
func (c *h2conn) linger() {
	_ = c.nc.CloseWrite()
	if tcp, ok := c.raw.Conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	_ = c.nc.SetReadDeadline(realNow().Add(time.Second))
	if !c.stopped.Load() {
		_, _ = io.Copy(io.Discard, c.raw)
	}
}

func (c *h2conn) run() error {
	if !c.beLate() {
		return errOver
	}
	c.mu.Lock()
	c.out = appendSettings(c.out, c.set.list)
	if grow := c.set.connWindow - 65535; grow > 0 {
		c.out = appendWindow(c.out, 0, grow)
	}
	err := c.flush()
	c.mu.Unlock()
	if err != nil {
		return err
	}
	var preface [len(http2.ClientPreface)]byte
	if _, err := io.ReadFull(c.nc, preface[:]); err != nil {
		return err
	}
	if string(preface[:]) != http2.ClientPreface {
		return connError{http2.ErrCodeProtocol, "bad preface"}
	}
	buf := make([]byte, 4*(maxFrame+9))
	have := 0
	for {
		n, err := c.read(buf[have:])
		if err != nil {
			return err
		}
		have += n
		used, err := c.batch(buf[:have])
		if err != nil {
			return err
		}
		have = copy(buf, buf[used:have])
	}
}

// batch handles the whole frames in b and writes the answers, unless more of the
// client's bytes are at hand already.
func (c *h2conn) batch(b []byte) (used int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(b)-used >= 9 {
		f := b[used:]
		n := int(f[0])<<16 | int(f[1])<<8 | int(f[2])
		if n > maxFrame {
			return used, connError{http2.ErrCodeFrameSize, "frame too large"}
		}
		if len(f) < 9+n {
			break
		}
		used += 9 + n
		id := binary.BigEndian.Uint32(f[5:9]) &^ (1 << 31)
		if err := c.frame(http2.FrameType(f[3]), http2.Flags(f[4]), id, f[9:9+n]); err != nil {
			return used, err
		}
	}
	if c.unacked > c.set.connWindow/2 {
		c.out = appendWindow(c.out, 0, c.unacked)
		c.recvWin += c.unacked
		c.unacked = 0
	}
	if c.raw.more() && len(c.out) < maxFrame {
		return used, nil
	}
	if err := c.flush(); err != nil {
		return used, err
	}
	if c.answers.ended() {
		return used, io.EOF
	}
	return used, nil
}

func (c *h2conn) frame(t http2.FrameType, flags http2.Flags, id uint32, p []byte) error {
	if c.fragID != 0 && (t != http2.FrameContinuation || id != c.fragID) {
		return connError{http2.ErrCodeProtocol, "header block interrupted"}
	}
	switch t {
	case http2.FrameData:
		return c.data(flags, id, p)
	case http2.FrameHeaders:
		return c.headers(flags, id, p)
	case http2.FrameContinuation:
		return c.continuation(flags, id, p)
	case http2.FrameSettings:
		return c.settings(flags, id, p)
	case http2.FrameRSTStream:
		return c.reset(id, p)
	case http2.FramePing:
		if id != 0 || len(p) != 8 {
			return connError{http2.ErrCodeProtocol, "bad PING"}
		}
		if !flags.Has(http2.FlagPingAck) {
			return c.ping(p)
		}
	case http2.FrameWindowUpdate:
		return c.window(id, p)
	case http2.FramePushPromise:
		return connError{http2.ErrCodeProtocol, "PUSH_PROMISE from a client"}
	default: // PRIORITY, GOAWAY, extensions
	}
	return nil
}

// unpad removes padding; PRIORITY fields of a HEADERS frame with it.
func unpad(flags http2.Flags, p []byte, headers bool) ([]byte, error) {
	pad := 0
	if flags.Has(http2.FlagDataPadded) {
		if len(p) == 0 {
			return nil, connError{http2.ErrCodeFrameSize, "no pad length"}
		}
		pad, p = int(p[0]), p[1:]
	}
	if headers && flags.Has(http2.FlagHeadersPriority) {
		if len(p) < 5 {
			return nil, connError{http2.ErrCodeFrameSize, "no priority"}
		}
		p = p[5:]
	}
	if pad > len(p) {
		return nil, connError{http2.ErrCodeProtocol, "padding too long"}
	}
	return p[:len(p)-pad], nil
}

func (c *h2conn) data(flags http2.Flags, id uint32, p []byte) error {
	size := int64(len(p))
	c.recvWin -= size
	c.unacked += size
	if c.recvWin < 0 {
		return connError{http2.ErrCodeFlowControl, "connection window overrun"}
	}
	body, err := unpad(flags, p, false)
	if err != nil {
		return err
	}
	end := flags.Has(http2.FlagDataEndStream)
	st := c.find(id)
	if st == nil {
		if id == 0 || id > c.lastID && !c.answers.goneAway {
			return connError{http2.ErrCodeProtocol, "DATA on an idle stream"}
		}
		return nil // reset or answered before
	}
	st.recvWin -= size
	if st.recvWin < 0 {
		return connError{http2.ErrCodeFlowControl, "stream window overrun"}
	}
	if end && st.bodyLen == 0 && len(body) <= maxBody {
		st.bodyLen = len(body)
		c.finish(st, body) // where it lies, without a copy
		return nil
	}
	st.bodyLen += len(body)
	st.body = append(st.body, body[:min(len(body), maxBody-len(st.body))]...)
	if end {
		c.finish(st, st.body)
		return nil
	}
	if st.recvWin < c.set.window/2 {
		c.out = appendWindow(c.out, id, c.set.window-st.recvWin)
		st.recvWin = c.set.window
	}
	return nil
}

// find is the stream whose body is open, or nil.
func (c *h2conn) find(id uint32) *stream {
	if c.cur != nil && c.cur.id == id {
		return c.cur
	}
	return c.open[id]
}

// reset is the client giving up a stream.
func (c *h2conn) reset(id uint32, p []byte) error {
	if id == 0 || len(p) != 4 || id > c.lastID && !c.answers.goneAway {
		return connError{http2.ErrCodeProtocol, "bad RST_STREAM"}
	}
	if st := c.find(id); st != nil {
		c.release(st)
		c.answers.active--
		return nil
	}
	c.cancelLate(id)
	return nil
}

// release forgets a stream whose request has ended.
func (c *h2conn) release(st *stream) {
	if c.cur == st {
		c.cur = nil
	} else {
		delete(c.open, st.id)
	}
	if cap(st.body) > 2*maxBody || len(c.free) > 1000 {
		return
	}
	clear(st.fields)
	*st = stream{fields: st.fields[:0], body: st.body[:0]}
	c.free = append(c.free, st)
}

// finish has the whole request: it is judged and answered here and now.
func (c *h2conn) finish(st *stream, body []byte) {
	id := st.id
	if st.malformed {
		c.release(st)
		c.out = appendReset(c.out, id, http2.ErrCodeProtocol)
		c.answers.unflushed++
		return
	}
	if c.fast && !c.s.special.Load() {
		c.s.fastCount(c.d.vendor, st.path, st.apnsID, body)
		c.answers.batched++
		c.release(st)
		c.answerFast(id)
		return
	}
	rep := reply{status: 431, reason: "HeaderListTooLarge"}
	if !st.tooLong {
		r := &request{
			vendor: c.d.vendor, method: st.method, path: st.path, authority: st.authority,
			fields: st.fields, body: body, bodyLen: st.bodyLen, sticky: &c.sticky,
		}
		rep = c.s.answer(c.d, r)
	}
	c.release(st)
	c.settle(id, rep)
}
