package httpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"

	"carillon"
)

// Streaming a body is a switch of a whole fasthttp server, and one that takes
// its limits away: the size of a body does not bind any more, and the time to
// read one covers it whole. So a large body of a streaming route is handed to a
// second server, together with its connection: the first one stops behind the
// headers, the second one reads them again and goes on. It serves that one
// request and closes. All other requests never meet it.

// markHeader is a header that only we set. Its value is the server's secret for
// a body to be streamed; any other value, and so whatever a caller sends, means
// a request with two lengths.
const (
	markHeader = "Carillon-Mark"
	twofold    = "two lengths"
)

const (
	lingerStreamFor   = 5 * lingerFor
	lingerStreamBytes = 64 << 20
)

// streams counts the connections that the streaming server holds.
type streams struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when closed and n is 0
}

func newStreams() *streams { return &streams{idle: make(chan struct{})} }

func (s *streams) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.n++
	return true
}

func (s *streams) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n--; s.closed && s.n == 0 {
		close(s.idle)
	}
}

// close lets nobody in any more, and tells when the last one has left.
func (s *streams) close() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		if s.n == 0 {
			close(s.idle)
		}
	}
	return s.idle
}

// buildStreaming makes the second server.
func (s *Server) buildStreaming(hard context.Context) *fasthttp.Server {
	f := s.build(hard)
	f.HeaderReceived = nil // the first one looked
	f.Handler = func(c *fasthttp.RequestCtx) { s.serve(hard, c) }
	f.StreamRequestBody = true
	f.DisableKeepalive = true
	return f
}

// divert makes the first server stop behind the headers. What the peer sent is
// still there, raw, for the second.
func (s *Server) divert(h *fasthttp.RequestHeader) {
	h.Set(markHeader, s.secret)
	h.Del("Expect") // the second one invites the body
	h.SetContentLength(0)
}

// hand gives the connection, and the request just read from it, to the second
// server.
func (s *Server) hand(c *fasthttp.RequestCtx) {
	h := &c.Request.Header
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s %s\r\n", h.Method(), h.RequestURI(), h.Protocol())
	head.Write(h.RawHeaders())
	below, held := c.Conn(), gated(c.Conn())
	held.in = newPace(s.cfg.ReadTimeout)
	var state *tls.ConnectionState
	if t, ok := below.(*tls.Conn); ok {
		cs := t.ConnectionState()
		state = &cs
	}
	c.HijackSetNoResponse(true)
	c.Hijack(func(nc net.Conn) {
		if !s.streams.enter() {
			return
		}
		defer s.streams.leave()
		defer func() { _ = below.Close() }() // it may linger, which is part of serving
		again := &replay{Conn: nc, held: held, r: io.MultiReader(&head, nc)}
		if state != nil {
			_ = s.streaming.ServeConn(&secureReplay{replay: again, state: *state})
			return
		}
		_ = s.streaming.ServeConn(again)
	})
}

// replay is a connection on which a request's headers come once more.
type replay struct {
	net.Conn
	held *conn
	r    io.Reader
}

// Read reads the headers, then what follows them.
func (p *replay) Read(b []byte) (int, error) { return p.r.Read(b) }

// secureReplay is a replay that fasthttp takes for TLS, which it is.
type secureReplay struct {
	*replay
	state tls.ConnectionState
}

// Handshake was done long ago.
func (p *secureReplay) Handshake() error { return nil }

// ConnectionState is the state of the TLS connection below.
func (p *secureReplay) ConnectionState() tls.ConnectionState { return p.state }

// gated finds our own connection under c; there always is one.
func gated(c net.Conn) *conn {
	switch c := c.(type) {
	case *conn:
		return c
	case *tls.Conn:
		return gated(c.NetConn())
	case *replay:
		return c.held
	case *secureReplay:
		return c.held
	}
	return &conn{}
}

// incoming is the body of a request on a streaming route.
type incoming struct {
	r     io.Reader
	left  int64 // bytes still to come; negative when unknown
	ended bool  // EOF was seen
	err   error // the first fault, as callers are told
	held  *conn
	srv   *Server
}

// Read reads what came. Its faults are [*carillon.Error]s, and one that came
// too slowly is answered 408.
func (b *incoming) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	if b.left >= 0 {
		b.left -= int64(n)
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && b.left <= 0:
		b.ended, b.err = true, io.EOF
	case b.held.in != nil && b.held.in.late: // fasthttp hides some time-outs
		b.err = &wireError{fasthttp.StatusRequestTimeout, carillon.Errorf(carillon.CodeInvalidRequest, "",
			"the body came too slowly: less than %d KiB/s for %s", slowestStream>>10, b.srv.cfg.ReadTimeout)}
	default: // fasthttp gives a bare EOF for a body that is cut short
		e := carillon.Errorf(carillon.CodeInvalidRequest, "", "the body broke off before its end")
		e.Cause = err
		b.err = e
	}
	return n, b.err
}

// Stream is the decoded body of a route that was registered with
// [Router.Stream], as it comes and without a limit: the caller reads it in
// pieces of bounded size. It lasts until the handler returns. Content-Encoding
// may be absent, identity or gzip. Whatever fails in the middle is a
// [*carillon.Error]; a body that ends early is never taken for a whole one.
func (r *Request) Stream() (io.Reader, error) {
	req := &r.ctx.Request
	r.in = incoming{srv: r.srv, held: gated(r.ctx.Conn()), left: -1, r: req.BodyStream()}
	if r.in.r == nil {
		r.in.r = bytes.NewReader(req.Body()) // a small one, read whole
	} else if n := req.Header.ContentLength(); n >= 0 {
		r.in.left = int64(n)
	}
	switch enc := bytes.TrimSpace(req.Header.ContentEncoding()); {
	case len(enc) == 0, bytes.EqualFold(enc, []byte("identity")):
		return &r.in, nil
	case bytes.EqualFold(enc, []byte("gzip")):
		r.unzip = unzipping{z: r.srv.inflaters.gzip(), in: &r.in}
		if err := r.unzip.z.Reset(&r.in); err != nil {
			return nil, r.unzip.fault(err)
		}
		return &r.unzip, nil
	default:
		return nil, carillon.Errorf(carillon.CodeUnsupportedMedia, "Content-Encoding", "%.40q is not supported here; send gzip or no encoding", enc)
	}
}

// unzipping reads gzip from a body.
type unzipping struct {
	z  *gzip.Reader
	in *incoming
}

// Read reads decoded bytes.
func (u *unzipping) Read(p []byte) (int, error) {
	n, err := u.z.Read(p)
	if err != nil && (!errors.Is(err, io.EOF) || !u.in.ended) {
		return n, u.fault(err)
	}
	return n, err
}

// fault tells a fault of the way from one of the format.
func (u *unzipping) fault(err error) error {
	if u.in.err != nil && !u.in.ended {
		return u.in.err
	}
	return badEncoding("gzip", err)
}

// endStream gives back what a stream borrowed. Where the body was not read to
// its end the peer still writes: he shall be able to read the answer.
func (r *Request) endStream() {
	if r.unzip.z != nil {
		r.srv.inflaters.pool.Put(r.unzip.z)
		r.unzip = unzipping{}
	}
	if r.ctx.Request.IsBodyStream() && !r.in.ended {
		linger(r.ctx.Conn(), lingerStreamFor, lingerStreamBytes)
	}
	r.in = incoming{}
}
