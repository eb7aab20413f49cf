package httpapi

import (
	"bytes"
	"errors"
	"io"

	"github.com/valyala/fasthttp"

	"carillon"
)

// The buffers that bodies are gathered in: small ones stay with their Request,
// large ones are shared.
const (
	firstBuffer   = 4 << 10
	maxKeptBuffer = 128 << 10
)

// Body is the decoded body, of at most limit bytes, borrowed until the handler
// returns. Content-Encoding may be absent, identity, gzip or deflate; anything
// else is 415 (contract §1.1). The limit holds for the decoded bytes, so that
// a small body that would decode to a huge one ends as 413 before it does. What
// the body says is not read before this is called: whoever calls has admitted
// the caller.
func (r *Request) Body(limit int) ([]byte, error) {
	enc, err := r.encoding()
	if err != nil {
		return nil, err
	}
	in := r.arriving()
	if enc == "" {
		if in.left > int64(limit) {
			return nil, bodyTooLarge(limit)
		}
		return r.gather(in, limit)
	}
	d := r.srv.decoders.get()
	defer r.srv.decoders.put(d)
	if err := d.begin(enc, in); err != nil {
		return nil, err
	}
	return r.gather(d, limit)
}

// gather reads at most limit bytes into the request's own buffer. Where the
// length is stated it allocates once; else the buffer grows fourfold, so that
// what it outgrew is a third of it.
func (r *Request) gather(from io.Reader, limit int) ([]byte, error) {
	want := firstBuffer
	if from == &r.in && r.in.left >= 0 {
		want = int(r.in.left) + 1 // so that the end shows
	}
	b := r.room(nil, want)
	for {
		n, err := from.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > limit:
			r.body = b
			return nil, bodyTooLarge(limit)
		case errors.Is(err, io.EOF):
			r.body = b
			return b, nil
		case err != nil:
			r.body = b
			return nil, err
		}
		if len(b) == cap(b) {
			next := 4 * cap(b)
			if next > limit/2 {
				next = limit + 1
			}
			b = r.room(b, next)
		}
	}
}

// room is a buffer for size bytes that begins with have.
func (r *Request) room(have []byte, size int) []byte {
	if cap(r.body) >= size && have == nil {
		return r.body[:0]
	}
	if size > maxKeptBuffer {
		if b := r.srv.large(); cap(b) >= size {
			return append(b[:0], have...)
		}
	}
	return append(make([]byte, 0, max(size, len(have)+1)), have...)
}

// large is a buffer that somebody is done with, if there is one.
func (s *Server) large() []byte {
	if b := s.spare.Swap(nil); b != nil {
		return *b
	}
	if b, ok := s.buffers.Get().(*[]byte); ok {
		return *b
	}
	return nil
}

// keep gives a large buffer to whoever needs one next. One stays for good: a
// pool alone forgets it, or hides it on another core.
func (s *Server) keep(b []byte) []byte {
	if cap(b) <= maxKeptBuffer {
		return b
	}
	large := b // a copy, so that small ones do not escape
	if s.spare.CompareAndSwap(nil, &large) {
		return nil
	}
	s.buffers.Put(&large)
	return nil
}

// markTooLarge is the mark of a body of which not even the beginning is read.
const markTooLarge = "too large"

// hopeless tells whether a body says itself that it is too large for its route,
// and so much so that the connection will end with the answer. fasthttp reads
// the first 8 KiB of any body before it runs a handler, and tells whoever waits
// for 100-continue to go on: such a caller would be answered after his body, or
// after the time for it.
func (s *Server) hopeless(h *fasthttp.RequestHeader) bool {
	n := h.ContentLength()
	if n <= max(s.cfg.MaxRequestBytes, drained) {
		return false
	}
	path := h.RequestURI()
	if i := bytes.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	var vals params
	l := s.router.match(path, &vals)
	if l == nil {
		return false
	}
	rte := l.method(h.Method())
	most := rte.limit(s.cfg.MaxRequestBytes)
	return rte != nil && most > 0 && n > most
}

// tooLarge is the 413 of a body that says so itself, before a handler reads of it.
func (s *Server) tooLarge(r *Request) error {
	most := r.route.limit(s.cfg.MaxRequestBytes)
	if len(r.ctx.Request.Header.Peek(markHeader)) > 0 {
		r.ctx.SetConnectionClose()
		r.lingers()
		return bodyTooLarge(most)
	}
	if n := r.ctx.Request.Header.ContentLength(); most > 0 && n > most {
		return bodyTooLarge(most)
	}
	return nil
}

// limit is how many bytes a body may have as it is sent; 0 is any number.
func (rte *route) limit(common int) int {
	switch {
	case rte == nil || rte.most == 0 && !rte.stream:
		return common
	case rte.stream:
		return 0
	}
	return rte.most
}

func bodyTooLarge(limit int) *carillon.Error {
	return carillon.Errorf(carillon.CodeTooLarge, "", "the body is larger than the %d bytes that are allowed", limit)
}
