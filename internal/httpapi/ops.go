package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/pprofhandler"

	"carillon"
)

// OpsConfig is how the ops listener listens. The zero value is good.
type OpsConfig struct {
	// Listen is host:port; port 0 takes a free one.
	Listen string `yaml:"listen"`
	// Remote allows an address off loopback. The ops listener asks nobody who
	// he is: whoever reaches it may read everything and profile the process.
	Remote bool `yaml:"remote"`
}

// OpsRequest is a call of the ops listener. Path is as it was sent, still
// percent-encoded.
type OpsRequest struct {
	Method string
	Path   string
	Query  url.Values
	Body   []byte
}

// OpsHandler answers with a value that is written as JSON; []byte is written as
// it is and nil is an empty object. An error becomes Graph's error form.
type OpsHandler func(ctx context.Context, r OpsRequest) (any, error)

// Check tells whether something is ready; the error says what is missing.
type Check func(ctx context.Context) error

const opsReadyTimeout = 2 * time.Second

// Ops is the ops listener: /livez, /readyz, /metrics, /debug/pprof/ and the
// JSON handlers of other rooms. It embeds the door's own life-cycle.
type Ops struct {
	cfg      OpsConfig
	server   *Server
	handlers map[string]OpsHandler
	checks   map[string]Check
}

// NewOps makes an ops listener. It starts nothing.
func NewOps(cfg OpsConfig, log *slog.Logger, clock *carillon.Clock) *Ops {
	orString(&cfg.Listen, DefaultOpsListen)
	s := New(Config{
		Listen: cfg.Listen, WriteTimeout: 5 * time.Minute, // a profile takes as long as it was asked to
		MaxConns: 256, MaxRequestBytes: 16 << 20, DrainTimeout: time.Second,
	}, log, clock)
	return &Ops{cfg: cfg, server: s, handlers: make(map[string]OpsHandler), checks: make(map[string]Check)}
}

// Handle registers a handler for a path ("/why") and everything below it
// ("/sandbox/"); the longest prefix wins. All of them before Run.
func (o *Ops) Handle(prefix string, h OpsHandler) { o.handlers[prefix] = h }

// Check registers a condition of readiness. All of them before Run.
func (o *Ops) Check(name string, check Check) { o.checks[name] = check }

// Addr is host:port as it was really opened; "" before Listen.
func (o *Ops) Addr() string { return o.server.Addr() }

// Listen opens the port, on loopback unless the config allows more.
func (o *Ops) Listen() error {
	if !IsLoopback(o.cfg.Listen) && !o.cfg.Remote {
		return fmt.Errorf("the ops listener at %s would be open to other machines and asks nobody who he is: use a loopback address with --ops, or set ops.remote: true", o.cfg.Listen)
	}
	ln, err := listen(o.cfg.Listen, "--ops")
	if err != nil {
		return err
	}
	o.server.gate = newGate(ln, o.server.cfg.MaxConns+1)
	o.server.ln = o.server.gate
	return nil
}

// Run serves until ctx ends, then drains as [Server.Run] does.
func (o *Ops) Run(ctx context.Context) error {
	if o.server.gate == nil {
		if err := o.Listen(); err != nil {
			return err
		}
	}
	o.server.fallback = o.serve
	return o.server.Run(ctx)
}

func (o *Ops) serve(r *Request) error {
	if err := o.guard(r); err != nil {
		return err
	}
	path := string(r.path)
	switch {
	case path == "/livez":
		r.JSON(fasthttp.StatusOK, []byte(`{"status":"alive"}`))
		return nil
	case path == "/readyz":
		return o.ready(r)
	case path == "/metrics":
		r.ctx.Response.Header.SetContentType("text/plain; version=0.0.4; charset=utf-8")
		metrics.WritePrometheus(r.ctx, true)
		return nil
	case strings.HasPrefix(path, "/debug/pprof/"):
		pprofhandler.PprofHandler(r.ctx)
		return nil
	}
	h := o.find(path)
	if h == nil {
		return carillon.Errorf(carillon.CodeNotFound, "", "nothing lives at this path of the ops listener; it has /livez, /readyz, /metrics, /debug/pprof/ and %s",
			strings.Join(slices.Sorted(maps.Keys(o.handlers)), ", "))
	}
	return o.answer(r, h)
}

// guard keeps web pages out: a page in an operator's browser can reach
// loopback, but not without its own Origin or a name that leads here.
func (o *Ops) guard(r *Request) error {
	if o.cfg.Remote {
		return nil
	}
	host := string(r.ctx.Host())
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host != "" && host != "localhost" && net.ParseIP(host) == nil {
		return carillon.Errorf(carillon.CodeAccessDenied, "Host", "the ops listener answers to its address or to localhost only")
	}
	if len(r.ctx.Request.Header.Peek("Origin")) > 0 {
		return carillon.Errorf(carillon.CodeAccessDenied, "Origin", "the ops listener takes no calls from web pages")
	}
	return nil
}

func (o *Ops) find(path string) OpsHandler {
	var best string
	var found OpsHandler
	for prefix, h := range o.handlers {
		bare := strings.TrimSuffix(prefix, "/")
		if rest, ok := strings.CutPrefix(path, bare); ok && (rest == "" || rest[0] == '/') && len(bare) >= len(best) {
			best, found = bare, h
		}
	}
	return found
}

func (o *Ops) answer(r *Request, h OpsHandler) error {
	query, err := url.ParseQuery(string(r.ctx.URI().QueryString()))
	if err != nil {
		return carillon.Errorf(carillon.CodeInvalidRequest, "", "the query cannot be read: %v", err)
	}
	body, err := r.Body(o.server.cfg.MaxRequestBytes)
	if err != nil {
		return err
	}
	v, err := h(r.base, OpsRequest{Method: r.Method(), Path: string(r.path), Query: query, Body: bytes.Clone(body)})
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		r.JSON(fasthttp.StatusOK, []byte("{}"))
	case []byte:
		r.JSON(fasthttp.StatusOK, v)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("the answer to %s cannot be written as JSON: %w", r.path, err)
		}
		r.JSON(fasthttp.StatusOK, b)
	}
	return nil
}

// ready runs every check; one that fails makes it 503. What is wrong stands in
// the body, by name.
func (o *Ops) ready(r *Request) error {
	ctx, done := context.WithTimeout(r.base, opsReadyTimeout)
	defer done()
	status, word := fasthttp.StatusOK, "ready"
	results := make(map[string]string, len(o.checks))
	for name, check := range o.checks {
		results[name] = "ok"
		if err := check(ctx); err != nil {
			results[name] = err.Error()
			status, word = fasthttp.StatusServiceUnavailable, "not ready"
		}
	}
	b, err := json.Marshal(map[string]any{"status": word, "checks": results})
	if err != nil {
		return err
	}
	r.JSON(status, b)
	return nil
}
