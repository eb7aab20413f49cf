package httpapi

import (
	"io"
	"runtime/debug"

	"github.com/valyala/fasthttp"

	"carillon"
)

// Send answers with what body gives, of any length, in chunks as it gives it.
// It is read and closed after the handler returned, so it must not touch the
// Request. When it fails the connection is cut without the last chunk, which
// every client tells from the end; a client who takes the answer slower than
// 16 KiB a second for longer than [Config.WriteTimeout] is cut off. The answer
// is its connection's last.
func (r *Request) Send(contentType string, body io.ReadCloser) {
	res := &r.ctx.Response
	res.SetStatusCode(fasthttp.StatusOK)
	res.Header.SetContentType(contentType)
	res.SetConnectionClose()
	gated(r.ctx.Conn()).out = newPace(r.srv.cfg.WriteTimeout, slowestStream)
	res.SetBodyStream(&outgoing{ReadCloser: body, srv: r.srv, id: r.id, pattern: r.Pattern()}, -1)
}

// outgoing is a body under way: its faults stand in the log, as its caller
// cannot be told any more.
type outgoing struct {
	io.ReadCloser
	srv     *Server
	id      carillon.ID
	pattern string
}

// Read reads what goes out next. What panics ends the answer, not the process.
func (o *outgoing) Read(b []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			o.srv.log.Error("answer panicked", "panic", panicText(p), "route", o.pattern, "request-id", o.id.String(), "stack", string(debug.Stack()))
			n, err = 0, io.ErrUnexpectedEOF
		}
	}()
	n, err = o.ReadCloser.Read(b)
	if err != nil && err != io.EOF {
		o.srv.log.Error("answer broke off", "route", o.pattern, "request-id", o.id.String(), "error", err.Error())
	}
	return n, err
}
