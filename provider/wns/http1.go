package wns

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carillon/provider/h2"
)

const (
	// reasonPhrase is the name under which an answer's status line is judged.
	reasonPhrase = ":reason"

	drainTimeout = 5 * time.Second
	idleConn     = time.Minute
	maxAnswer    = 16 << 10
)

// http1 is a pool of workers, each with one unanswered request: WNS has no
// pipelining.
type http1 struct {
	p       *pool
	most    int
	rt      http.RoundTripper
	begin   func() // starts a worker; under pool.mu
	workers int    // under pool.mu
	resting int    // under pool.mu
	work    *sync.Cond
}

// wake sees to it that someone takes the n queued shots; pool.mu is held.
func (o *http1) wake(n int) {
	for range min(n, o.resting) {
		o.work.Signal()
	}
	for range min(n-o.resting, o.most-o.workers) {
		o.workers++
		o.begin()
	}
}

// runHTTP1 serves the host over HTTP/1.1 until ctx ends.
func (p *pool) runHTTP1(ctx context.Context) {
	tr := p.transport()
	defer tr.CloseIdleConnections()
	requests, cut := context.WithCancel(context.WithoutCancel(ctx)) // they outlive ctx, by the drain time at most
	defer cut()
	var workers sync.WaitGroup
	o := &http1{p: p, most: p.of.cfg.MaxConnections, rt: tr, work: sync.NewCond(&p.mu)}
	o.begin = func() { workers.Go(func() { o.serve(requests) }) }
	p.mu.Lock()
	p.old, p.reached = o, true
	p.mu.Unlock()
	p.pump()

	<-ctx.Done()
	p.mu.Lock()
	p.closed = true
	o.work.Broadcast()
	p.mu.Unlock()
	drain, done := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer done()
	stop := context.AfterFunc(drain, cut)
	defer stop()
	workers.Wait()
}

func (p *pool) transport() *http.Transport {
	cfg := &p.of.cfg
	trust := p.trust.Clone()
	trust.NextProtos = []string{"http/1.1"}
	dialer := &net.Dialer{Timeout: cfg.DialTimeout}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", p.addr)
		},
		TLSClientConfig: trust, TLSHandshakeTimeout: cfg.DialTimeout,
		TLSNextProto:       map[string]func(string, *tls.Conn) http.RoundTripper{}, // no h2
		DisableCompression: true,
		MaxConnsPerHost:    cfg.MaxConnections, MaxIdleConnsPerHost: cfg.MaxConnections, IdleConnTimeout: idleConn,
	}
}

// serve sends one shot after the other until the pool closes.
func (o *http1) serve(ctx context.Context) {
	for {
		sh := o.next()
		if sh == nil {
			return
		}
		r := h2.Result{Ref: sh}
		o.send(ctx, sh, &r)
		o.p.of.results([]h2.Result{r})
	}
}

// next waits for a shot; nil when the pool closes.
func (o *http1) next() *shot {
	p := o.p
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) == 0 && !p.closed {
		o.resting++
		o.work.Wait()
		o.resting--
	}
	if p.closed {
		o.workers--
		return nil
	}
	sh := p.queue[0]
	p.pop(1)
	return sh
}

// send is one exchange. The path goes out as it stands: Opaque is not encoded.
func (o *http1) send(ctx context.Context, sh *shot, r *h2.Result) {
	ctx, cancel := context.WithTimeout(ctx, o.p.of.cfg.RequestTimeout)
	defer cancel()
	var written atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+o.p.host, bytes.NewReader(sh.body))
	if err != nil {
		r.Fault = h2.FaultInvalid
		return
	}
	req.URL = &url.URL{Scheme: "https", Host: o.p.host, Opaque: sh.path}
	req.Header.Set("User-Agent", "carillon")
	for _, f := range sh.headers() {
		if f.Name != "content-length" { // net/http's own
			req.Header.Set(f.Name, strings.Clone(f.Value))
		}
	}
	resp, err := o.rt.RoundTrip(req)
	if err != nil {
		r.Fault = faultOf(err, written.Load())
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	_ = resp.Body.Close()
	r.Status = resp.StatusCode
	r.Fields = append(r.Fields, h2.Field{Name: reasonPhrase, Value: resp.Status})
	for name, values := range resp.Header {
		r.Fields = append(r.Fields, h2.Field{Name: strings.ToLower(name), Value: values[0]})
	}
}

// faultOf says whether the host can have seen a request that failed.
func faultOf(err error, written bool) h2.Fault {
	var timeout interface{ Timeout() bool }
	switch {
	case !written:
		return h2.FaultUnsent
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return h2.FaultTimeout
	}
	return h2.FaultLost
}
