package httpapi

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"carillon"
)

// Server is the door's HTTP server. Make it with [New], register routes on
// [Server.Router], then [Server.Listen] and [Server.Run].
type Server struct {
	cfg       Config
	publicURL string
	log       *slog.Logger
	clock     *carillon.Clock
	router    *Router
	fallback  Handler // takes what no route takes; nil: 404
	metrics   *metrics.Set
	requests  sync.Pool
	decoders  decoders
	buffers   sync.Pool // *[]byte, large ones
	spare     atomic.Pointer[[]byte]
	origins   func(origin string) bool
	lives     lives
	accepting context.Context //nolint:containedctx // Run's: it ends what is live
	fast      *fasthttp.Server
	gate      *gate
	ln        net.Listener // the gate, with TLS round it where there is a certificate
}

// New makes a server. It starts nothing.
func New(cfg Config, log *slog.Logger, clock *carillon.Clock) *Server {
	cfg = cfg.WithDefaults()
	return &Server{
		cfg: cfg, publicURL: strings.TrimRight(cfg.PublicURL, "/"), log: log, clock: clock,
		router: NewRouter(), metrics: metrics.NewSet(),
	}
}

// Router takes the routes, all of them before Run.
func (s *Server) Router() *Router { return s.router }

// Listen opens the port and loads the certificate, so that both faults show
// before anything else starts. Each is one line that says what to do.
func (s *Server) Listen() error {
	var tc *tls.Config
	if s.cfg.TLSCert != "" || s.cfg.TLSKey != "" {
		var err error
		if tc, err = loadTLS(s.cfg.TLSCert, s.cfg.TLSKey); err != nil {
			return err
		}
	}
	ln, err := listen(s.cfg.Listen, "--listen")
	if err != nil {
		return err
	}
	s.gate = newGate(ln, s.cfg.MaxConns+s.cfg.MaxConns/8+1)
	s.ln = s.gate
	if tc != nil {
		s.ln = tls.NewListener(s.gate, tc)
	}
	return nil
}

// Addr is host:port as it was really opened; "" before Listen.
func (s *Server) Addr() string {
	if s.gate == nil {
		return ""
	}
	return s.gate.Addr().String()
}

// URL is the server's own base URL, without a trailing slash.
func (s *Server) URL() string {
	if s.cfg.TLSCert != "" {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// Run serves until ctx ends, then drains. It calls Listen when that was not
// done. It returns nil when it was stopped.
func (s *Server) Run(ctx context.Context) error {
	if s.gate == nil {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.instrument()
	metrics.RegisterSet(s.metrics)
	defer metrics.UnregisterSet(s.metrics, true)
	s.fast, s.accepting = s.build(hard), ctx
	served := make(chan error, 1)
	go func() { served <- s.fast.Serve(s.ln) }()
	select {
	case err := <-served:
		s.gate.closeAll()
		return fmt.Errorf("the listener at %s failed: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	drain(hard, cancel, s.fast, s.gate, s.cfg.DrainTimeout)
	s.endLives()
	_ = s.ln.Close() // fasthttp closes only what Serve was called with in time
	<-served         //nolint:errcheck // it was stopped: that is no fault
	return nil
}

// drain stops accepting, waits for requests in flight, then ends what is left:
// first their contexts, then their connections.
func drain(hard context.Context, cancel context.CancelFunc, fast *fasthttp.Server, g *gate, within time.Duration) {
	soft, done := context.WithTimeout(hard, within)
	defer done()
	g.closeUnused()
	if fast.ShutdownWithContext(soft) == nil {
		return
	}
	cancel()
	g.closeAll()
	// The handlers are told and their sockets are gone: what still runs ends at
	// its next look at either, and no caller waits for it any more.
	last, done := context.WithTimeout(context.WithoutCancel(hard), time.Second)
	defer done()
	_ = fast.ShutdownWithContext(last)
}

// endLives waits for the live answers, which were told when Run's context ended;
// what still writes to a slow peer is cut.
func (s *Server) endLives() {
	ended := s.lives.close()
	select {
	case <-ended:
		return
	case <-time.After(liveEnd): //nolint:forbidigo // sockets keep real time
	}
	s.gate.closeAll()
	<-ended
}

// liveEnd is how long a live answer may take to end.
const liveEnd = time.Second

func (s *Server) build(hard context.Context) *fasthttp.Server {
	return &fasthttp.Server{
		Name:                          "carillon",
		Logger:                        fastLogger{s.log},
		Handler:                       func(c *fasthttp.RequestCtx) { s.serve(hard, c) },
		HeaderReceived:                s.received,
		ErrorHandler:                  func(c *fasthttp.RequestCtx, err error) { s.refuse(hard, c, err) },
		Concurrency:                   s.gate.most + 1, // the gate refuses first
		ReadTimeout:                   s.cfg.ReadTimeout,
		WriteTimeout:                  s.cfg.WriteTimeout,
		IdleTimeout:                   s.cfg.IdleTimeout,
		ReadBufferSize:                s.cfg.MaxHeaderBytes,
		StreamRequestBody:             true,
		MaxIdleWorkerDuration:         200 * time.Millisecond, // how long its cleaner outlives Run
		DisablePreParseMultipartForm:  true,
		NoDefaultContentType:          true,
		LazyRequestTime:               true, // the clock's time is asked for instead
		CloseOnShutdown:               true,
		SecureErrorLogMessage:         true,
		DisableHeaderNamesNormalizing: false,
	}
}

// serve answers one request.
func (s *Server) serve(hard context.Context, c *fasthttp.RequestCtx) {
	r := s.acquire(hard, c)
	defer s.release(r)
	if mark := c.Request.Header.Peek(markHeader); len(mark) > 0 && string(mark) != markTooLarge {
		c.SetConnectionClose()
		linger(c.Conn(), lingerFor, lingerBytes)
		s.writeError(r, carillon.Errorf(carillon.CodeInvalidRequest, "headers", "this is not an HTTP/1.1 request: %s", mark))
	} else if s.gate.len() > s.cfg.MaxConns {
		c.SetConnectionClose()
		e := carillon.Errorf(carillon.CodeUnavailable, "", "this gateway serves as many connections as it may")
		e.RetryAfter = time.Second
		s.writeError(r, e)
	} else if err := s.dispatch(r); err != nil {
		s.writeError(r, err)
	}
	s.stamp(r)
	r.route.count(r.ctx.Response.StatusCode(), s.clock.Now().Sub(r.started))
}

// received looks at the head of a request before anything else is read. What is
// wrong with it the handler tells; of the rest of its connection nothing is
// read any more.
func (s *Server) received(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	why := framing(h)
	if why == "" && s.hopeless(h) {
		why = markTooLarge
	}
	if why != "" {
		h.Set(markHeader, why)
		h.Del("Expect")
		h.SetContentLength(0)
	}
	return fasthttp.RequestConfig{}
}

// dispatch finds the handler and runs it. A handler that panics is a 500 whose
// stack stands in the log.
func (s *Server) dispatch(r *Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("handler panicked", "panic", panicText(p), "method", string(r.ctx.Method()),
				"route", r.Pattern(), "request-id", r.RequestID(), "stack", string(debug.Stack()))
			err = &carillon.Error{Code: carillon.CodeInternal, Message: "an unexpected fault of the gateway; its log has the request-id"}
		}
	}()
	if done, err := s.cors(r); done || err != nil {
		return err
	}
	l := s.router.match(r.path, &r.vals)
	switch {
	case l == nil && s.fallback != nil:
		return s.fallback(r)
	case l == nil:
		return s.router.missing(r.path)
	}
	r.route = l.method(r.ctx.Method())
	if r.route == nil {
		r.ctx.Response.Header.Set("Allow", l.allow)
		return carillon.Errorf(carillon.CodeMethodNotAllowed, "", "this path takes %s", l.allow)
	}
	if err := s.tooLarge(r); err != nil {
		return err
	}
	return r.route.handle(r)
}

// refuse answers what fasthttp could not even read.
func (s *Server) refuse(hard context.Context, c *fasthttp.RequestCtx, err error) {
	r := s.acquire(hard, c)
	defer s.release(r)
	s.writeError(r, protocolError(err, &s.cfg))
	s.stamp(r)
	linger(c.Conn(), lingerFor, lingerBytes)
}

// stamp sets the headers that every answer has.
func (s *Server) stamp(r *Request) {
	h := &r.ctx.Response.Header
	var b [36]byte
	h.SetBytesV("request-id", r.id.Append(b[:0]))
	if r.client != "" {
		h.Set("client-request-id", r.client)
	}
	r.allowOrigin()
	h.Set("OData-Version", "4.0")
	h.Set("Cache-Control", "private")
	if r.ctx.IsTLS() {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

func (s *Server) acquire(hard context.Context, c *fasthttp.RequestCtx) *Request {
	r, ok := s.requests.Get().(*Request)
	if !ok {
		r = &Request{srv: s, scratch: make([]byte, 0, scratchBytes)}
	}
	r.ctx, r.base, r.started = c, hard, s.clock.Now()
	c.Response.Header.DisableNormalizing() // names go out as they are written
	r.path = c.URI().PathOriginal()
	r.client = clientRequestID(c.Request.Header.Peek("client-request-id"))
	r.id = newRequestID()
	return r
}

func (s *Server) release(r *Request) {
	r.endBody()
	r.ctx, r.base, r.route, r.path, r.client, r.origin, r.outer, r.Principal = nil, nil, nil, nil, "", "", nil, nil
	clear(r.vals[:])
	r.body = s.keep(r.body)
	s.requests.Put(r)
}

// newRequestID makes a UUID of version 4 (RFC 9562 §5.4). It identifies and
// protects nothing, so the runtime's generator will do.
func newRequestID() carillon.ID {
	var id carillon.ID
	binary.BigEndian.PutUint64(id[:8], rand.Uint64()) //nolint:gosec // see above
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()) //nolint:gosec // see above
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// panicText tells of a panic what cannot hold content: the runtime's own words,
// or a type. The stack says where.
func panicText(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a %T", p)
}

// fastLogger passes fasthttp's own lines on: they tell of clients' faults. What
// its errors quote of a request stays out, a token may be in it.
type fastLogger struct{ log *slog.Logger }

// Printf is for fasthttp.
func (l fastLogger) Printf(format string, args ...any) {
	if !l.log.Enabled(context.Background(), slog.LevelDebug) { //nolint:forbidigo // fasthttp has none
		return
	}
	safe := make([]any, len(args))
	for i, a := range args {
		safe[i] = kindOnly(a)
	}
	l.log.Debug("fasthttp", "line", fmt.Sprintf(format, safe...))
}

func kindOnly(a any) any {
	switch a := a.(type) {
	case net.Error: // addresses, and what the kernel said
		return a
	case error:
		return fmt.Sprintf("a %T", a)
	}
	return a
}
