package wns

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"time"

	"carillon"
	"carillon/provider/h2"
)

const (
	maxStreams = 1000 // of one HTTP/2 connection, beside the host's own limit
	maxHTTP2   = 8    // HTTP/2 connections to one host; whether WNS has any is not documented
)

// pool is the way to one host: a queue, and behind it HTTP/2 or, where the host
// does not agree to that, HTTP/1.1.
type pool struct {
	of    *Sender
	host  string
	addr  string
	trust *tls.Config
	conns *h2.Pool

	due  int       // pushes not answered; under Sender.mu
	used time.Time // the last answer; under Sender.mu

	mu      sync.Mutex
	queue   []*shot
	out     []*h2.Shot // scratch of the one that pumps
	pumping bool
	closed  bool
	reached bool   // answered a handshake at least once
	old     *http1 // not nil: HTTP/1.1
}

func newPool(s *Sender, host string) *pool {
	p := &pool{of: s, host: host, addr: cmp.Or(s.cfg.DialAddress, host+":443"), used: s.clock.Now()}
	p.trust = s.trust.Clone()
	p.trust.ServerName = host
	p.conns = h2.NewPool(h2.PoolConfig{
		Name: "wns " + host, Addr: p.addr, TLS: p.trust,
		Conn: h2.Config{
			AllowHTTP1:  true,
			Static:      static(host),
			MaxInFlight: min(s.cfg.MaxInFlight, maxStreams), RequestTimeout: s.cfg.RequestTimeout,
			DialTimeout: s.cfg.DialTimeout, PingInterval: s.cfg.PingInterval, PingTimeout: s.cfg.PingTimeout, Now: s.clock.Now,
		},
		Max: maxHTTP2, MaxInFlight: s.cfg.MaxInFlight,
		OnResults: s.results, OnRoom: p.room, Logger: s.log,
	})
	return p
}

// static are the fields of every request to a host over HTTP/2.
func static(host string) []h2.Field {
	return []h2.Field{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: host},
	}
}

// add queues a shot. False when the pool is closed, or when a host that was
// never reached would take more than half of the room from the others.
func (p *pool) add(sh *shot, alone bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !alone && !p.reached && len(p.queue) >= max(p.of.cfg.MaxInFlight/2, 1) {
		return false
	}
	p.queue = append(p.queue, sh)
	return true
}

// room is told that the connection takes requests.
func (p *pool) room() {
	p.mu.Lock()
	p.reached = true
	p.mu.Unlock()
	p.pump()
}

// pump hands queued shots on while the connection has room.
func (p *pool) pump() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pumping || p.closed {
		return
	}
	if p.old != nil {
		p.old.wake(len(p.queue))
		return
	}
	p.pumping = true
	for n := p.ready(); n > 0; n = p.ready() {
		p.out = p.out[:0]
		for _, sh := range p.queue[:n] {
			sh.Owner, sh.Request = sh, h2.Request{Path: sh.path, Fields: sh.headers(), Body: sh.body}
			p.out = append(p.out, &sh.Shot)
		}
		p.pop(n)
		p.mu.Unlock()
		p.conns.Send(p.out)
		p.mu.Lock()
	}
	p.pumping = false
}

func (p *pool) ready() int { return min(len(p.queue), p.conns.Room()) }

// pop takes n shots off the queue's head.
func (p *pool) pop(n int) {
	left := copy(p.queue, p.queue[n:])
	clear(p.queue[left:])
	p.queue = p.queue[:left]
}

// expire takes out the shots that were queued before then (milliseconds), with
// their outcome set.
func (p *pool) expire(then int64) []*shot {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.queue) && p.queue[n].queued <= then {
		n++
	}
	return p.fail(n, carillon.Outcome{Class: carillon.Transient, Reason: reasonUnreached, Unsent: true, After: unreachedWait})
}

// fail takes n shots off with an outcome; mu is held.
func (p *pool) fail(n int, o carillon.Outcome) []*shot {
	if n == 0 {
		return nil
	}
	failed := append([]*shot(nil), p.queue[:n]...)
	for _, sh := range failed {
		sh.local = o
	}
	p.pop(n)
	return failed
}

// run serves the host until ctx ends, and leaves nothing unanswered.
func (p *pool) run(ctx context.Context) {
	err := p.conns.Run(ctx)
	switch {
	case errors.Is(err, h2.ErrHTTP1):
		p.runHTTP1(ctx)
	case err != nil:
		p.of.log.Error("wns: the connection cannot be kept", "host", p.host, "error", err)
	}
	p.mu.Lock()
	p.closed = true
	left := p.fail(len(p.queue), carillon.Outcome{Class: carillon.Transient, Reason: reasonUnsent, Unsent: true})
	p.mu.Unlock()
	p.of.answerLocally(left)
}
