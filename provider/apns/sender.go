package apns

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/h2"
)

const (
	// renewEvery spaces connections closed for their token's sake: Apple takes
	// rapid opening and closing for an attack.
	renewEvery = time.Minute
	// maxKept is the most capacity that a buffer may keep between pushes.
	maxKept = 8 << 10
)

// Sender is a [carillon.Sender] to APNs under one key. Answers batches are valid
// during the call only.
type Sender struct {
	cfg         Config
	environment string
	bundles     []string // the app's bundle ids
	signer      *signer
	client      *h2.Client
	clock       *carillon.Clock
	to          carillon.Receiver
	log         *slog.Logger

	renew chan struct{} // the connection's token is spoilt
	taken atomic.Bool   // APNs took a push under this key

	mu      sync.Mutex
	idle    []*shot           // not in use
	batches []*batch          // not in use
	topics  map[string]*topic // by appId
	answers []carillon.Answer // of the results at hand
	parser  fastjson.Parser   // likewise
	renewed time.Time         // likewise: when the connection was last closed
}

// shot is one push on its way.
type shot struct {
	ref   any
	kind  carillon.Kind
	token *token
	topic *topic
	// certain tells that the endpoint named its environment itself.
	certain bool
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

// New makes a sender for the app that cred belongs to. It reads the key and
// starts nothing. An appId of one of the app's bundle ids with the suffix of a
// push type is a topic of that type.
func New(cfg Config, cred carillon.Credential, to carillon.Receiver, clock *carillon.Clock, log *slog.Logger, bundles ...string) (*Sender, error) {
	if cfg.ServerErrorWait <= 0 {
		cfg.ServerErrorWait = defaultServerErrorWait
	}
	site, err := cfg.site(&cred)
	if err != nil {
		return nil, err
	}
	sign, err := newSigner(&cred)
	if err != nil {
		return nil, err
	}
	s := &Sender{
		cfg: cfg, environment: cmp.Or(cred.Environment, "production"), signer: sign, clock: clock, to: to, log: log,
		renew: make(chan struct{}, 1), topics: make(map[string]*topic),
		bundles: bundles,
	}
	s.client = h2.New(h2.Config{
		Name: "apns", Addr: site.Addr, TLS: site.TLS,
		Static: []h2.Field{
			{Name: ":method", Value: "POST"},
			{Name: ":scheme", Value: site.Scheme},
			{Name: ":authority", Value: site.Host},
		},
		MaxInFlight: cfg.MaxInFlight, RequestTimeout: cfg.RequestTimeout, DialTimeout: cfg.DialTimeout,
		Now: clock.Now, OnResults: s.results, OnRoom: to.RoomAgain, Logger: log,
	})
	return s, nil
}

// Room is how many pushes APNs takes now; it follows Apple's live stream limit.
func (s *Sender) Room() int { return s.client.Room() }

// Send encodes pushes and queues them on the connection.
func (s *Sender) Send(pushes []carillon.Push) {
	if len(pushes) == 0 {
		return
	}
	now := s.clock.Now()
	tok, err := s.signer.token(now, s.client.Stats().Connections)
	if err != nil {
		s.log.Error("apns: no provider token can be made", "error", err)
	}
	b := s.take(len(pushes))
	for i := range pushes {
		p, sh := &pushes[i], b.shots[i]
		sh.ref, sh.kind, sh.token, sh.topic = p.Ref, p.Kind, tok, s.topic(p.Endpoint.AppID)
		sh.certain = p.Endpoint.Environment != ""
		o := optionsOf(p, &b.parser)
		req, ok := h2.Request{}, false
		if sh.local = s.refusal(p, sh.topic, &o, tok, now); sh.local.Class == carillon.Open {
			if req, ok = b.encode(sh, p, sh.topic, &o, tok, now); !ok {
				sh.local = carillon.Outcome{Class: carillon.Rejected, Reason: reasonTooLarge}
			}
		}
		if !ok {
			req = h2.Request{Ref: sh}
		}
		b.reqs = append(b.reqs, req)
	}
	s.client.Send(b.reqs)
	s.give(b)
}

// refusal is the outcome of a push that no vendor needs to see, or open.
func (s *Sender) refusal(p *carillon.Push, t *topic, o *options, tok *token, now time.Time) carillon.Outcome {
	switch {
	case p.Notification.Expires <= now.UnixMilli():
		return carillon.Outcome{Class: carillon.Expired, Reason: reasonExpired}
	case p.Endpoint.Environment != "" && p.Endpoint.Environment != s.environment:
		return carillon.Outcome{Class: carillon.Rejected, Reason: reasonEnvironment}
	case !t.takes(p, o):
		return carillon.Outcome{Class: carillon.Suppressed, Reason: reasonPushType}
	case tok == nil:
		return carillon.Outcome{Class: carillon.WrongCredential, Reason: reasonSigning}
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
			o = judge(&results[i], &s.parser, now, s.cfg.ServerErrorWait)
			weigh(&o, standing{key: s.taken.Load(), topic: sh.topic.taken.Load(), environment: sh.certain})
			s.consider(&o, sh, now)
		}
		answers = append(answers, carillon.Answer{Ref: sh.ref, Outcome: o, At: at, Kind: sh.kind})
	}
	s.free(results)
	s.answers = answers
	s.to.Answers(answers)
	clear(answers)
}

// consider does what an answer asks of the token and the connection. Apple's
// connections stay wedged after these two: only closing helps.
func (s *Sender) consider(o *carillon.Outcome, sh *shot, now time.Time) {
	t := sh.token
	switch {
	case o.Class == carillon.Accepted:
		for _, b := range [...]*atomic.Bool{&t.proven, &s.taken, &sh.topic.taken} {
			if !b.Load() { // a read is cheaper than a write when all answers say so
				b.Store(true)
			}
		}
		return
	case o.Reason == "ExpiredProviderToken" && t.proven.Load():
		o.Class, o.After = carillon.Transient, time.Second // the key is good
	case o.Reason == "TooManyProviderTokenUpdates":
		s.signer.hold(t) // another one would make it worse
	case o.Reason == "ExpiredProviderToken":
	default:
		return
	}
	if since := now.Sub(s.renewed); since >= 0 && since < renewEvery {
		return
	}
	s.renewed = now
	s.log.Warn("apns: closing the connection", "reason", o.Reason)
	select {
	case s.renew <- struct{}{}:
	default:
	}
}

// Run keeps the connection until ctx ends and waits, bounded, for the answers
// still due.
func (s *Sender) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	return nil
}

// connect runs the client until ctx ends or its connection must be closed.
func (s *Sender) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.client.Run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-s.renew:
		cancel()
		return <-done
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
		sh.ref, sh.token, sh.topic = nil, nil, nil
		if cap(sh.buf) > maxKept {
			sh.buf = nil
		}
		s.idle = append(s.idle, sh)
	}
}
