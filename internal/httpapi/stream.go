package httpapi

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"carillon"
)

// fasthttp streams every body: it reads the first 8 KiB of one and leaves the
// rest to us. So a peer who only states a large length costs no memory, who may
// not call is answered before his body is read, and large bodies move at a
// pace. fasthttp takes back what a handler left unread, and closes when it is
// much.

const (
	lingerStreamFor   = 5 * lingerFor
	lingerStreamBytes = 64 << 20
)

// gated finds our own connection under c.
func gated(c net.Conn) *conn {
	switch c := c.(type) {
	case *conn:
		return c
	case *tls.Conn:
		return gated(c.NetConn())
	}
	return &conn{}
}

// incoming is the body of a request as it comes.
type incoming struct {
	r           io.Reader // nil: there is none
	left        int64     // bytes still to come; negative when unknown
	taken, most int64     // bytes that came, and how many may; 0 is any number
	ended       bool      // EOF was seen
	err         error     // the first fault, as callers are told
	held        *conn
	req         *Request
}

// arriving is the request's body as it comes. A large one must keep a pace from
// here on.
func (r *Request) arriving() *incoming {
	srv, h := r.srv, &r.ctx.Request.Header
	r.in = incoming{
		r: r.ctx.Request.BodyStream(), left: -1, req: r,
		most: int64(r.route.limit(srv.cfg.MaxRequestBytes)),
	}
	if r.in.r == nil {
		r.in.left, r.in.ended, r.in.err = 0, true, io.EOF
		return &r.in
	}
	if n := h.ContentLength(); n >= 0 {
		r.in.left = int64(n)
	}
	r.in.held = gated(r.ctx.Conn())
	if rte := r.route; rte != nil && (rte.stream || rte.most > 0) && (r.in.left < 0 || r.in.left > int64(srv.cfg.MaxRequestBytes)) {
		r.in.held.in = newPace(srv.cfg.ReadTimeout, rte.slowest())
	}
	return &r.in
}

// slowest is the least bytes a second of a large body.
func (rte *route) slowest() int64 {
	if rte.stream {
		return slowestStream
	}
	return slowestBody
}

// Read reads what came. Its faults are [*carillon.Error]s, and one that came
// too slowly is answered 408.
func (b *incoming) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	if b.taken += int64(n); b.most > 0 && b.taken > b.most {
		b.err = bodyTooLarge(int(b.most))
		return 0, b.err
	}
	if b.left >= 0 {
		b.left -= int64(n)
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && b.left <= 0:
		if b.left < 0 && len(b.req.ctx.Request.Header.PeekTrailerKeys()) > 0 {
			b.err = carillon.Errorf(carillon.CodeInvalidRequest, "Trailer", "trailers are not taken here")
			break
		}
		b.ended, b.err = true, io.EOF
	default:
		b.err = b.fault(err)
	}
	return n, b.err
}

// fault tells a body that came too slowly, which fasthttp hides at times, from
// one that broke off or has malformed chunks.
func (b *incoming) fault(err error) error {
	cfg := &b.req.srv.cfg
	switch {
	case b.held.in != nil && b.held.in.late:
		return &wireError{fasthttp.StatusRequestTimeout, carillon.Errorf(carillon.CodeInvalidRequest, "",
			"the body came too slowly: less than %d KiB/s for %s", b.held.in.slowest>>10, cfg.ReadTimeout)}
	case b.held.late:
		return &wireError{fasthttp.StatusRequestTimeout, carillon.Errorf(carillon.CodeInvalidRequest, "",
			"the request did not arrive within %s", cfg.ReadTimeout)}
	}
	e := carillon.Errorf(carillon.CodeInvalidRequest, "", "the body broke off before its end, or its chunks are malformed")
	e.Cause = err
	return e
}

// Stream is the decoded body of a route that was registered with
// [Router.Stream], as it comes and without a limit: the caller reads it in
// pieces of bounded size. It lasts until the handler returns. Content-Encoding
// is as for [Request.Body]. Whatever fails in the middle is a [*carillon.Error];
// a body that ends early is never taken for a whole one.
func (r *Request) Stream() (io.Reader, error) {
	enc, err := r.encoding()
	if err != nil {
		return nil, err
	}
	in := r.arriving()
	if enc == "" {
		return in, nil
	}
	r.unzip = r.srv.decoders.get()
	if err := r.unzip.begin(enc, in); err != nil {
		return nil, err
	}
	return r.unzip, nil
}

// drained is how much of a body fasthttp reads that nobody read; with more left
// it closes the connection.
const drained = 256 << 10

// endBody gives back what a body borrowed. A connection whose body was not read
// to its end, and is not short, ends with the answer: where an unread body of
// chunks ends is not asked of fasthttp, which reads trailers leniently. The
// peer may still write; he shall be able to read the answer.
func (r *Request) endBody() {
	if r.unzip != nil {
		r.srv.decoders.put(r.unzip)
		r.unzip = nil
	}
	if r.in.held != nil {
		r.in.held.in = nil
	}
	if r.ctx.Request.IsBodyStream() && !r.in.ended {
		n := r.ctx.Request.Header.ContentLength()
		if n < 0 || n > drained || r.in.err != nil {
			r.ctx.SetConnectionClose()
			r.lingers()
		}
	}
	r.in = incoming{}
}

// lingers lets the peer read the answer before the connection closes on what he
// still sends.
func (r *Request) lingers() {
	if rte := r.route; rte != nil && (rte.stream || rte.most > 0) {
		linger(r.ctx.Conn(), lingerStreamFor, lingerStreamBytes)
		return
	}
	linger(r.ctx.Conn(), lingerFor, lingerBytes)
}

// pace is how long a connection may still wait for its peer while a body moves.
// Every byte earns time, at most what there was in the beginning; waiting
// spends it. So a peer that stands still is cut after that time, one that only
// trickles soon after it, and what this side takes to do its own work costs him
// nothing.
type pace struct {
	left, most time.Duration
	slowest    int64 // bytes a second
	late       bool  // it ran out
}

// The least bytes a second: of the body of a bulk request, and of what is
// streamed in either direction.
const (
	slowestBody   = 256 << 10
	slowestStream = 16 << 10
)

func newPace(most time.Duration, slowest int64) *pace {
	return &pace{left: most, most: most, slowest: slowest}
}

// move runs one read or write of the connection under a deadline.
func (p *pace) move(deadline func(time.Time) error, do func([]byte) (int, error), b []byte) (int, error) {
	from := time.Now() //nolint:forbidigo // socket deadlines stay on real time
	if err := deadline(from.Add(p.left)); err != nil {
		return 0, err
	}
	n, err := do(b)
	p.left -= time.Since(from) //nolint:forbidigo // likewise
	p.late = p.late || err != nil && p.left <= 0
	p.left = min(p.left+time.Duration(n)*time.Second/time.Duration(p.slowest), p.most)
	return n, err
}
