package wns

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/h2"
	"carillon/provider/wire"
)

const (
	// maxKept is the most capacity that a buffer may keep between pushes.
	maxKept = 16 << 10
	// sweepEvery is how often hosts are looked at: for pushes that waited too
	// long, and for connections that nobody needs.
	sweepEvery = time.Second
	idleFor    = 10 * time.Minute
	idleIfFull = 5 * time.Second

	unreachedWait = 30 * time.Second
)

// Sender is a [carillon.Sender] to WNS under one app's credential. Answers
// batches are valid during the call only.
type Sender struct {
	cfg    Config
	trust  *tls.Config // of all hosts, but for the name
	tokens *wire.Tokens
	clock  *carillon.Clock
	to     carillon.Receiver
	log    *slog.Logger

	due    atomic.Int64 // pushes taken and not answered
	taken  atomic.Bool  // WNS took a push of this app's
	opened chan *pool   // to be run
	ring   chan struct{}

	mu      sync.Mutex
	hosts   map[string]*pool
	idle    []*shot  // not in use
	batches []*batch // not in use
	local   []*shot  // answered here, by Run when it is running
	running bool

	delivering sync.Mutex        // Answers is not called twice at once
	answers    []carillon.Answer // of the results at hand
}

// shot is one push on its way.
type shot struct {
	h2.Shot
	ref    any
	kind   carillon.Kind
	token  *wire.Token
	pool   *pool            // nil when no host was to be asked
	local  carillon.Outcome // set when no host was asked
	queued int64            // milliseconds since 1970
	path   string
	body   []byte
	fields [fieldsPerPush]h2.Field
	buf    []byte
}

// batch is the scratch of one Send.
type batch struct {
	shots, local []*shot
	pools        []*pool
	parser       fastjson.Parser
}

// New makes a sender for the app that cred belongs to. It starts nothing.
func New(cfg Config, cred carillon.Credential, to carillon.Receiver, clock *carillon.Clock, log *slog.Logger) (*Sender, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	ask, err := form(&cred)
	if err != nil {
		return nil, err
	}
	hosts, err := wire.ClientTLS("notify.windows.com", cfg.CAFile)
	if err != nil {
		return nil, err
	}
	tokenURL := cfg.tokenURL(&cred)
	trust, err := wire.TokenTLS(tokenURL, cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("token URL: %w", err)
	}
	s := &Sender{
		cfg: cfg, trust: hosts, clock: clock, to: to, log: log,
		opened: make(chan *pool, cfg.MaxHosts), ring: make(chan struct{}, 1), hosts: make(map[string]*pool),
	}
	s.tokens = wire.NewTokens(wire.TokensConfig{
		Name: "wns", URL: tokenURL, Form: ask, TLS: trust,
		Now: clock.Now, SleepUntil: clock.SleepUntil, OnToken: s.roomAgain, Logger: log,
	})
	return s, nil
}

// Check asks the vendor's token endpoint whether it knows the credential.
func (s *Sender) Check(ctx context.Context) error { return s.tokens.Check(ctx) }

// Room is how many pushes are taken now: none before there is an access token.
// Whether a push's host can be reached is found out with the push.
func (s *Sender) Room() int {
	if s.tokens.Token() == nil {
		return 0
	}
	return max(s.cfg.MaxInFlight-int(s.due.Load()), 0)
}

func (s *Sender) roomAgain() {
	if s.Room() > 0 {
		s.to.RoomAgain()
	}
}

// Stats are the counts of the HTTP/2 connections to all hosts of now.
func (s *Sender) Stats() h2.PoolStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum h2.PoolStats
	for _, p := range s.hosts {
		st := p.conns.Stats()
		sum.Add(&st)
	}
	return sum
}

// Send encodes pushes and queues them for their channels' hosts.
func (s *Sender) Send(pushes []carillon.Push) {
	if len(pushes) == 0 {
		return
	}
	now := s.clock.Now().UnixMilli()
	tok := s.tokens.Token()
	s.due.Add(int64(len(pushes)))
	b := s.take(len(pushes))
	for i := range pushes {
		p, sh := &pushes[i], b.shots[i]
		sh.ref, sh.kind, sh.token, sh.queued = p.Ref, p.Kind, tok, now
		host, path, ok := carillon.SplitChannel(p.Endpoint.Address)
		if sh.local = s.refusal(p, ok, now); sh.local.Class == carillon.Open {
			sh.local = s.enqueue(b, sh, p, host, path)
		}
		if sh.local.Class != carillon.Open {
			b.local = append(b.local, sh)
		}
	}
	for _, p := range b.pools {
		p.pump()
	}
	s.answerLocally(b.local)
	s.give(b)
}

// refusal is the outcome of a push that no host needs to see, or open.
func (s *Sender) refusal(p *carillon.Push, channel bool, now int64) carillon.Outcome {
	switch {
	case !channel:
		return carillon.Outcome{Class: carillon.Rejected, Reason: reasonNotWNS}
	case p.Notification.Expires <= now:
		return carillon.Outcome{Class: carillon.Expired, Reason: reasonExpired}
	case s.tokens.Token() == nil:
		return carillon.Outcome{Class: carillon.Transient, Reason: reasonNoToken, Unsent: true, After: time.Second}
	}
	return carillon.Outcome{}
}

// enqueue encodes a push and queues it at its host.
func (s *Sender) enqueue(b *batch, sh *shot, p *carillon.Push, host, path string) carillon.Outcome {
	po, alone := s.pool(host)
	if po == nil {
		return carillon.Outcome{Class: carillon.Transient, Reason: reasonHosts, Unsent: true, After: time.Second}
	}
	sh.pool = po
	sh.encode(p, path, &b.parser)
	if !po.add(sh, alone) {
		return carillon.Outcome{Class: carillon.Transient, Reason: reasonNoRoom, Unsent: true, After: time.Second}
	}
	if !slices.Contains(b.pools, po) {
		b.pools = append(b.pools, po)
	}
	return carillon.Outcome{}
}

// pool finds or opens the host's pool, counts a push that is due there and tells
// whether it is the only host; nil when there are too many.
func (s *Sender) pool(host string) (p *pool, alone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p = s.hosts[host]; p == nil {
		if len(s.hosts) >= s.cfg.MaxHosts {
			return nil, false
		}
		p = newPool(s, strings.Clone(host))
		s.hosts[p.host] = p
		s.opened <- p // has room for as many as there can be
	}
	p.due++
	return p, len(s.hosts) == 1
}

// Run keeps access token and connections until ctx ends and waits, bounded, for
// the answers still due.
func (s *Sender) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.setRunning(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve(ctx)
	}()
	for {
		select {
		case <-s.ring:
			s.deliverLocal()
		case <-done:
			s.setRunning(false)
			s.deliverLocal()
			return nil
		}
	}
}

func (s *Sender) setRunning(running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = running
}

// serve runs the tokens and the pools that Send opens.
func (s *Sender) serve(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { _ = s.tokens.Run(ctx) })
	stop := make(map[*pool]context.CancelFunc)
	tick := s.clock.NewTimer(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-s.opened:
			ctx, cancel := context.WithCancel(ctx)
			stop[p] = cancel
			all.Go(func() {
				defer cancel()
				p.run(ctx)
			})
		case <-tick.C:
			for _, p := range s.sweep() {
				if cancel := stop[p]; cancel != nil {
					cancel()
				}
				delete(stop, p)
			}
			tick.Reset(sweepEvery)
		}
	}
}

// sweep answers what waited too long for its host and takes out, to be closed,
// the pools that nobody used for a while.
func (s *Sender) sweep() []*pool {
	now := s.clock.Now()
	var pools, unused []*pool
	s.mu.Lock()
	limit := idleFor
	if len(s.hosts) >= s.cfg.MaxHosts {
		limit = idleIfFull
	}
	for host, p := range s.hosts {
		if p.due > 0 {
			pools = append(pools, p)
		} else if now.Sub(p.used) > limit {
			unused = append(unused, p)
			delete(s.hosts, host)
		}
	}
	s.mu.Unlock()
	for _, p := range pools {
		s.answerLocally(p.expire(now.Add(-s.cfg.RequestTimeout).UnixMilli()))
	}
	return unused
}

// take finds a batch with n idle shots.
func (s *Sender) take(n int) *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b *batch
	if last := len(s.batches) - 1; last >= 0 {
		b, s.batches = s.batches[last], s.batches[:last]
	} else {
		b = &batch{}
	}
	had := min(n, len(s.idle))
	b.shots = append(b.shots[:0], s.idle[len(s.idle)-had:]...)
	s.idle = s.idle[:len(s.idle)-had]
	for range n - had {
		b.shots = append(b.shots, &shot{})
	}
	b.local, b.pools = b.local[:0], b.pools[:0]
	return b
}

func (s *Sender) give(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(b.pools) // a closed pool must not live on here
	s.batches = append(s.batches, b)
}
