package httpapi

import (
	"bytes"
	"context"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"

	"carillon"
)

const (
	maxClientRequestID = 128
	scratchBytes       = 4 << 10
)

// Request is one request and its answer. It belongs to its handler until that
// returns; the strings that its methods return are copies and may be kept, the
// byte slices are borrowed and may not.
type Request struct {
	// Principal is whoever the door found to be calling; this package leaves it
	// alone. Rooms put an *auth.Principal there.
	Principal any

	ctx     *fasthttp.RequestCtx
	base    context.Context //nolint:containedctx // a Request lives as long as its call, as net/http's does
	srv     *Server
	route   *route
	vals    params
	path    []byte
	id      carillon.ID
	client  string
	origin  string
	outer   *Request // of a request in a batch
	started time.Time
	scratch []byte
	body    []byte
	in      incoming
	unzip   *decoding // of Stream
}

// Fast is the underlying fasthttp context.
func (r *Request) Fast() *fasthttp.RequestCtx { return r.ctx }

// Context ends when the server gives up on requests in flight: it is not
// cancelled when the server merely stops accepting.
func (r *Request) Context() context.Context { return r.base }

// Now is when the request began, in milliseconds since 1970 by the clock.
func (r *Request) Now() int64 { return r.started.UnixMilli() }

// Method is the HTTP method.
func (r *Request) Method() string { return string(r.ctx.Method()) }

// Path is the path as it was sent, still percent-encoded.
func (r *Request) Path() string { return string(r.path) }

// Call is the method and URI of the request.
func (r *Request) Call() string { return r.Method() + " " + string(r.ctx.RequestURI()) }

// Pattern is the pattern of the route that matched.
func (r *Request) Pattern() string {
	if r.route == nil {
		return ""
	}
	return r.route.pattern
}

// Param is the percent-decoded value of the pattern's {name}, or "". What stood
// in parentheses as ('value') is the bare value; see [Key] for other forms.
func (r *Request) Param(name string) string {
	raw := r.param(name)
	if property, value, err := Key(raw); err == nil && property == "" {
		return value
	}
	return raw
}

func (r *Request) param(name string) string {
	if r.route == nil {
		return ""
	}
	for i, n := range r.route.names {
		if n != name {
			continue
		}
		raw := string(r.vals[i])
		if s, err := url.PathUnescape(raw); err == nil {
			return s
		}
		return raw
	}
	return ""
}

// Header is a header's value, or "".
func (r *Request) Header(name string) string { return string(r.ctx.Request.Header.Peek(name)) }

// HeaderBytes is a header's value, borrowed.
func (r *Request) HeaderBytes(name string) []byte { return r.ctx.Request.Header.Peek(name) }

// ContentLength is how many bytes the body has as it is sent; negative when the
// caller does not say.
func (r *Request) ContentLength() int {
	if n := r.ctx.Request.Header.ContentLength(); n >= -1 {
		return n
	}
	return 0 // fasthttp's -2: no body
}

// Query is the first value of a query parameter, or "".
func (r *Request) Query(name string) string { return string(r.ctx.QueryArgs().Peek(name)) }

// HasQuery tells whether a query parameter stands in the URL.
func (r *Request) HasQuery(name string) bool { return r.ctx.QueryArgs().Has(name) }

// QueryNames lists the query parameters.
func (r *Request) QueryNames() []string {
	var names []string
	for k := range r.ctx.QueryArgs().All() {
		names = append(names, string(k))
	}
	return names
}

// Bearer is the bearer token, borrowed; without one it is an unauthenticated
// error.
func (r *Request) Bearer() ([]byte, error) {
	h := r.ctx.Request.Header.Peek("Authorization")
	const scheme = "bearer "
	if len(h) <= len(scheme) || !bytes.EqualFold(h[:len(scheme)], []byte(scheme)) {
		return nil, carillon.Errorf(carillon.CodeUnauthenticated, "Authorization", "send a token: Authorization: Bearer ...")
	}
	return bytes.TrimSpace(h[len(scheme):]), nil
}

// RequestID is the request-id of the answer.
func (r *Request) RequestID() string { return r.id.String() }

// ClientRequestID is the caller's client-request-id, cut to what may be echoed.
func (r *Request) ClientRequestID() string { return r.client }

// RefuseConditional is the 400 of contract §1.4 for If-Modified-Since and
// If-Range on a POST of notifications.
func (r *Request) RefuseConditional() error {
	for _, name := range []string{"If-Modified-Since", "If-Range"} {
		if len(r.ctx.Request.Header.Peek(name)) > 0 {
			return carillon.Errorf(carillon.CodeInvalidRequest, name, "this header is not supported here")
		}
	}
	return nil
}

// Prefix is the version prefix of a Graph-shaped call as the caller wrote it
// ("/beta" or "/v1.0"), or "" for other calls.
func (r *Request) Prefix() string {
	for _, p := range []string{prefixBeta, prefixV1} {
		if len(r.path) > len(p) && string(r.path[:len(p)]) == p && r.path[len(p)] == '/' {
			return p
		}
	}
	return ""
}

// AppendServiceRoot appends the URL of the Graph-shaped service that was
// called, as in "http://127.0.0.1:8410/beta".
func (r *Request) AppendServiceRoot(dst []byte) []byte {
	dst = r.AppendBase(dst)
	if p := r.Prefix(); p != "" {
		return append(dst, p...)
	}
	return append(dst, prefixBeta...)
}

// AppendBase appends scheme and host as the caller sees them.
func (r *Request) AppendBase(dst []byte) []byte {
	switch {
	case r.outer != nil:
		return r.outer.AppendBase(dst)
	case r.srv.cfg.PublicURL != "":
		return append(dst, r.srv.publicURL...)
	case r.ctx.IsTLS():
		dst = append(dst, "https://"...)
	default:
		dst = append(dst, "http://"...)
	}
	return append(dst, r.ctx.Host()...)
}

// Scratch is an empty buffer to build an answer in, borrowed. There is one.
func (r *Request) Scratch() []byte { return r.scratch[:0] }

// SetHeader sets a header of the answer. An error answer drops it.
func (r *Request) SetHeader(name, value string) { r.ctx.Response.Header.Set(name, value) }

// Status sets the status of an answer without a body.
func (r *Request) Status(code int) { r.ctx.SetStatusCode(code) }

// JSON answers with a body, which is copied.
func (r *Request) JSON(status int, body []byte) {
	r.ctx.SetStatusCode(status)
	if r.Prefix() != "" {
		r.ctx.Response.Header.SetContentType("application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8")
	} else {
		r.ctx.Response.Header.SetContentType("application/json;charset=utf-8")
	}
	r.ctx.Response.SetBody(body)
}

// clientRequestID cuts what a caller sent to what may stand in a header and a
// log line.
func clientRequestID(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > maxClientRequestID {
		b = b[:maxClientRequestID]
	}
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c > ' ' && c < 0x7f && c != '"' && c != '\\' {
			out = append(out, c)
		}
	}
	return string(out)
}
