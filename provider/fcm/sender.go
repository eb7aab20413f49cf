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

// maxKept is the most capacity that a buffer may keep between pushes.
const maxKept = 16 << 10

const fieldsPerPush = 1

// Sender is a [carillon.Sender] to FCM under one service account. Answers
// batches are valid during the call only.
type Sender struct {
	path   string
	tokens *wire.Tokens
	client *h2.Client
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
	ref     any
	kind    carillon.Kind
	attempt uint8
	token   *wire.Token
	// local is an outcome that needed no vendor. Such a push travels all the
	// same, as a request that the client refuses, so that all answers come by one
	// road.
	local carillon.Outcome
	buf   []byte
}

// batch is the scratch of one Send.
type batch struct {
	reqs   []h2.Request
	fields []h2.Field
	shots  []*shot
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
		Now: clock.Now, Sleep: clock.Sleep, OnToken: s.roomAgain, Logger: log,
	})
	s.client = h2.New(h2.Config{
		Name: "fcm", Addr: site.Addr, TLS: site.TLS,
		Static: []h2.Field{
			{Name: ":method", Value: "POST"},
			{Name: ":scheme", Value: site.Scheme},
			{Name: ":authority", Value: site.Host},
			{Name: "content-type", Value: "application/json"},
		},
		MaxInFlight: cfg.MaxInFlight, RequestTimeout: cfg.RequestTimeout, DialTimeout: cfg.DialTimeout,
		Now: clock.Now, OnResults: s.results, OnRoom: s.roomAgain, Logger: log,
	})
	return s, nil
}

// Room is how many pushes FCM takes now: none before there is an access token.
func (s *Sender) Room() int {
	if s.tokens.Token() == nil {
		return 0
	}
	return s.client.Room()
}

// roomAgain passes on that a token or a connection has come, when both are there.
func (s *Sender) roomAgain() {
	if s.Room() > 0 {
		s.to.RoomAgain()
	}
}

// Send encodes pushes and queues them on the connection.
func (s *Sender) Send(pushes []carillon.Push) {
	if len(pushes) == 0 {
		return
	}
	now := s.clock.Now().UnixMilli()
	tok := s.tokens.Token()
	b := s.take(len(pushes))
	for i := range pushes {
		p, sh := &pushes[i], b.shots[i]
		sh.ref, sh.kind, sh.attempt, sh.token = p.Ref, p.Kind, p.Attempt, tok
		if sh.local = refusal(p, tok, now); sh.local.Class != carillon.Open {
			b.reqs = append(b.reqs, h2.Request{Ref: sh})
			continue
		}
		sh.buf, sh.kind = appendBody(sh.buf[:0], p, &b.parser, now, s.dry)
		from := len(b.fields)
		b.fields = append(b.fields, h2.Field{Name: "authorization", Value: tok.Header})
		b.reqs = append(b.reqs, h2.Request{Ref: sh, Path: s.path, Fields: b.fields[from:], Body: sh.buf})
	}
	s.client.Send(b.reqs)
	s.give(b)
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
	case o.Class == carillon.WrongCredential && o.Status == 401 && o.Reason != "THIRD_PARTY_AUTH_ERROR" && s.tokens.Refused(t):
		o.Class, o.After = carillon.Transient, time.Second // the account is good
	}
}

// Run keeps access token and connection until ctx ends and waits, bounded, for
// the answers still due.
func (s *Sender) Run(ctx context.Context) error {
	var tokens sync.WaitGroup
	defer tokens.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tokens.Go(func() { _ = s.tokens.Run(ctx) })
	return s.client.Run(ctx)
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
	b.reqs, b.fields = b.reqs[:0], b.fields[:0]
	if want := n * fieldsPerPush; cap(b.fields) < want {
		b.fields = make([]h2.Field, 0, want)
	}
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
		sh.ref, sh.token = nil, nil
		if cap(sh.buf) > maxKept {
			sh.buf = nil
		}
		s.idle = append(s.idle, sh)
	}
}
