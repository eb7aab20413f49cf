package fcm

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
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
	// maxStreams caps the unanswered pushes of one connection; FCM takes 100.
	maxStreams = 1000
	// maxConnections carries 5,000 pushes in flight: 10,000 a second, which is a
	// project's quota, at half a second each.
	maxConnections = 50
	growEvery      = 100 * time.Millisecond
	// idleAfter: Google closes idle connections after minutes itself.
	idleAfter = 2 * time.Minute
	// projectQuota is what a project has by default, a minute.
	projectQuota = 600_000
	rampUp       = time.Minute
)

// Sender is a [carillon.Sender] to FCM under one service account. Answers
// batches are valid during the call only.
type Sender struct {
	path   string
	tokens *wire.Tokens
	pool   *h2.Pool
	pace   *pacer
	clock  *carillon.Clock
	to     carillon.Receiver
	dry    bool
	taken  atomic.Bool // FCM took a message of this account's

	mu      sync.Mutex
	idle    []*shot           // not in use
	batches []*batch          // not in use
	answers []carillon.Answer // of the results at hand
	parser  fastjson.Parser   // likewise
}

// shot is one push on its way.
type shot struct {
	h2.Shot
	ref     any
	kind    carillon.Kind
	attempt uint8
	token   *wire.Token
	// local is an outcome that needed no vendor. Such a push travels all the
	// same, as a request that the client refuses, so that all answers come by one
	// road.
	local  carillon.Outcome
	buf    []byte
	fields [1]h2.Field
}

// batch is the scratch of one Send.
type batch struct {
	shots  []*shot
	out    []*h2.Shot
	parser fastjson.Parser
}

// New makes a sender for the app that cred belongs to. It reads the service
// account and starts nothing.
func New(cfg Config, cred carillon.Credential, to carillon.Receiver, clock *carillon.Clock, log *slog.Logger) (*Sender, error) {
	site, err := wire.ParseSite(cmp.Or(cfg.BaseURL, production), cfg.CAFile)
	if err != nil {
		return nil, err
	}
	acct, err := readAccount(&cred)
	if err != nil {
		return nil, err
	}
	tokenURL := cmp.Or(cfg.TokenURL, acct.TokenURI)
	trust, err := wire.TokenTLS(tokenURL, cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("token URL: %w", err)
	}
	s := &Sender{path: "/v1/projects/" + acct.ProjectID + "/messages:send", clock: clock, to: to, dry: cfg.ValidateOnly}
	s.tokens = wire.NewTokens(wire.TokensConfig{
		Name: "fcm", URL: tokenURL, Form: acct.form, TLS: trust,
		Now: clock.Now, SleepUntil: clock.SleepUntil, OnToken: s.roomAgain, Logger: log,
	})
	s.pool = h2.NewPool(h2.PoolConfig{
		Name: "fcm", Addr: site.Addr, TLS: site.TLS,
		Conn: h2.Config{
			Static:         static(&site),
			MaxInFlight:    min(maxStreams, cmp.Or(cfg.MaxInFlight, maxStreams)),
			RequestTimeout: cfg.RequestTimeout, DialTimeout: cfg.DialTimeout, PingInterval: cfg.PingInterval, PingTimeout: cfg.PingTimeout, Now: clock.Now,
		},
		Min: cfg.MinConnections, Max: cmp.Or(cfg.MaxConnections, maxConnections), MaxInFlight: cfg.MaxInFlight,
		GrowEvery: growEvery, IdleAfter: idleAfter,
		Prepare: s.prepare, OnResults: s.results, OnRoom: s.roomAgain, Logger: log,
	})
	quota, ramp := cfg.QuotaPerMinute, cmp.Or(cfg.RampUp, rampUp)
	switch {
	case quota == 0 && !cred.Sandbox:
		quota = projectQuota
	case quota <= 0:
		quota, ramp = 0, 0
	}
	s.pace = newPacer(quota, ramp, clock.Now())
	return s, nil
}

// static are the fields of every request to a site.
func static(site *wire.Site) []h2.Field {
	return []h2.Field{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: site.Scheme},
		{Name: ":authority", Value: site.Host},
		{Name: "content-type", Value: "application/json"},
	}
}

// Check asks the vendor's token endpoint whether it knows the credential.
func (s *Sender) Check(ctx context.Context) error { return s.tokens.Check(ctx) }

// Room is how many pushes FCM takes now: none before there is an access token.
func (s *Sender) Room() int {
	if s.tokens.Token() == nil {
		return 0
	}
	return min(s.pool.Room(), s.pace.room(s.clock.Now()))
}

// roomAgain passes on that a token or a connection has come, when both are there.
func (s *Sender) roomAgain() {
	if s.tokens.Token() != nil && s.pool.Room() > 0 && s.pace.room(s.clock.Now()) > 0 {
		s.to.RoomAgain()
	}
}

// Stats are the counts of the lane's connections.
func (s *Sender) Stats() h2.PoolStats { return s.pool.Stats() }

// Send encodes pushes and queues them on the connection.
func (s *Sender) Send(pushes []carillon.Push) {
	if len(pushes) == 0 {
		return
	}
	now := s.clock.Now().UnixMilli()
	tok := s.tokens.Token()
	b := s.take(len(pushes))
	sent := 0
	for i := range pushes {
		p, sh := &pushes[i], b.shots[i]
		sh.ref, sh.kind, sh.attempt = p.Ref, p.Kind, p.Attempt
		b.out = append(b.out, &sh.Shot)
		if sh.local = refusal(p, tok, now); sh.local.Class != carillon.Open {
			continue
		}
		sh.buf, sh.kind = appendBody(sh.buf[:0], p, &b.parser, now, s.dry)
		sh.Request = h2.Request{Path: s.path, Fields: append(sh.fields[:0], h2.Field{Name: "authorization"}), Body: sh.buf}
		sent++
	}
	s.pace.take(sent)
	s.pool.Send(b.out)
	s.give(b)
}

// prepare gives pushes the access token of the moment.
func (s *Sender) prepare(_ *h2.PoolConn, shots []*h2.Shot) {
	tok := s.tokens.Token()
	if tok == nil {
		tok = &wire.Token{} // gone since Send: FCM answers 401
	}
	for _, p := range shots {
		sh := p.Owner.(*shot) //nolint:forcetypeassert // every Owner is ours
		sh.token, sh.Fields[0].Value = tok, tok.Header
	}
}

// refusal is the outcome of a push that no vendor needs to see, or open.
func refusal(p *carillon.Push, tok *wire.Token, now int64) carillon.Outcome {
	switch {
	case p.Notification.Expires <= now:
		return carillon.Outcome{Class: carillon.Expired, Reason: reasonExpired}
	case tok == nil:
		return carillon.Outcome{Class: carillon.Transient, Reason: reasonNoToken, Unsent: true, After: time.Second}
	}
	return carillon.Outcome{}
}

// results turns what the client brings into answers. The client calls it from
// one goroutine at a time.
func (s *Sender) results(results []h2.Result) {
	now := s.clock.Now()
	at := now.UnixMilli()
	answers := s.answers[:0]
	for i := range results {
		sh := results[i].Ref.(*shot) //nolint:forcetypeassert // every Ref is ours
		o := sh.local
		if o.Class == carillon.Open {
			o = judge(&results[i], &s.parser, now, sh.attempt)
			weigh(&o, s.taken.Load())
			s.consider(&o, sh.token)
		}
		answers = append(answers, carillon.Answer{Ref: sh.ref, Outcome: o, At: at, Kind: sh.kind})
	}
	s.free(results)
	s.answers = answers
	s.to.Answers(answers)
	clear(answers)
}

// consider does what an answer asks of the access token.
func (s *Sender) consider(o *carillon.Outcome, t *wire.Token) {
	switch {
	case o.Class == carillon.Accepted:
		t.Prove()
		if !s.taken.Load() {
			s.taken.Store(true)
		}
	case o.Class == carillon.ThrottledSender:
		s.pool.Throttle()
	case o.Class == carillon.WrongCredential && o.Status == 401 && o.Reason != "THIRD_PARTY_AUTH_ERROR" && s.tokens.Refused(t):
		o.Class, o.After = carillon.Transient, time.Second // the account is good
	}
}

// Run keeps access token and connections until ctx ends and waits, bounded, for
// the answers still due.
func (s *Sender) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all.Go(func() { _ = s.tokens.Run(ctx) })
	all.Go(func() { s.wakePaced(ctx) })
	return s.pool.Run(ctx)
}

// wakePaced tells of room that the pace gives back.
func (s *Sender) wakePaced(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.pace.empty:
		}
		if s.clock.Sleep(ctx, s.pace.wait()) != nil {
			return
		}
		s.roomAgain()
	}
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
		sh := &shot{}
		sh.Owner = sh
		b.shots = append(b.shots, sh)
	}
	b.out = b.out[:0]
	return b
}

func (s *Sender) give(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, b)
}

// free takes the shots of results back. Their number is bounded by the most
// that ever were in flight.
func (s *Sender) free(results []h2.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range results {
		sh := results[i].Ref.(*shot) //nolint:forcetypeassert // every Ref is ours
		sh.ref, sh.token, sh.Request = nil, nil, h2.Request{}
		if cap(sh.buf) > maxKept {
			sh.buf = nil
		}
		s.idle = append(s.idle, sh)
	}
}
