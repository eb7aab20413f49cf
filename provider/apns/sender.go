package apns

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
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
	// renewEvery spaces connections closed for the sake of tokens that never
	// worked: Apple takes rapid opening and closing for an attack.
	renewEvery = time.Minute
	// maxStreams caps the unanswered pushes of one connection; Apple's own limit
	// was never seen above 1500.
	maxStreams = 2000
	// growEvery spaces the opening of connections: "open over a few seconds".
	growEvery = 500 * time.Millisecond
	// maxKept is the most capacity that a buffer may keep between pushes.
	maxKept = 8 << 10
)

// Sender is a [carillon.Sender] to APNs under one key. Answers batches are valid
// during the call only.
type Sender struct {
	cfg         Config
	environment string
	bundles     []string // the app's bundle ids
	signer      *signer  // nil: a certificate speaks for the app
	certified   token    // what stands for its token then
	pool        *h2.Pool
	clock       *carillon.Clock
	to          carillon.Receiver
	log         *slog.Logger

	taken atomic.Bool // APNs took a push under this key
	known *proven     // device tokens that APNs took a push for
	fresh use         // to see whether tokens can be made; under mu

	mu      sync.Mutex
	idle    []*shot           // not in use
	batches []*batch          // not in use
	topics  map[string]*topic // by appId
	answers []carillon.Answer // of the results at hand
	parser  fastjson.Parser   // likewise
	turns   turns             // likewise: of those for which quarantine had no stream
	renewed time.Time         // likewise: when a connection was last closed for a token that never worked
}

// shot is one push on its way.
type shot struct {
	h2.Shot
	ref   any
	kind  carillon.Kind
	token *token
	topic *topic
	// certain tells that the endpoint named its environment itself.
	certain bool
	// local is an outcome that needed no vendor. Such a push travels all the
	// same, as a request that the client refuses, so that all answers come by one
	// road.
	local  carillon.Outcome
	mark   uint64 // of the device token
	buf    []byte
	fields [fieldsPerPush]h2.Field
}

// batch is the scratch of one Send.
type batch struct {
	shots  []*shot
	out    []*h2.Shot
	parser fastjson.Parser
}

// New makes a sender for the app that cred belongs to. It reads the key, or the
// certificate, and starts nothing. An appId of one of the app's bundle ids with the suffix of a
// push type is a topic of that type.
func New(cfg Config, cred carillon.Credential, to carillon.Receiver, clock *carillon.Clock, log *slog.Logger, bundles ...string) (*Sender, error) {
	if cfg.ServerErrorWait <= 0 {
		cfg.ServerErrorWait = defaultServerErrorWait
	}
	site, err := cfg.site(&cred)
	if err != nil {
		return nil, err
	}
	var sign *signer
	if cred.Certificate {
		certificate, err := readCertificate(&cred, clock.Now())
		if err != nil {
			return nil, err
		}
		if site.TLS == nil {
			return nil, errors.New("a certificate needs https")
		}
		site.TLS.Certificates = []tls.Certificate{certificate}
	} else if sign, err = newSigner(&cred); err != nil {
		return nil, err
	}
	s := &Sender{
		cfg: cfg, environment: cmp.Or(cred.Environment, "production"), signer: sign, clock: clock, to: to, log: log,
		topics: make(map[string]*topic), bundles: bundles, known: newProven(),
	}
	s.pool = h2.NewPool(h2.PoolConfig{
		Name: "apns", Addr: site.Addr, TLS: site.TLS,
		Conn: h2.Config{
			Static:         static(&site),
			MaxInFlight:    min(maxStreams, cmp.Or(cfg.MaxInFlight, maxStreams)),
			RequestTimeout: cfg.RequestTimeout, DialTimeout: cfg.DialTimeout, PingInterval: cfg.PingInterval, PingTimeout: cfg.PingTimeout, Now: clock.Now,
		},
		Min: cfg.MinConnections, Max: cfg.MaxConnections, MaxInFlight: cfg.MaxInFlight,
		Warm: true, Quarantine: true, GrowEvery: growEvery,
		Prepare: s.prepare, OnResults: s.results, OnRoom: to.RoomAgain, Logger: log,
	})
	return s, nil
}

// static are the fields of every request to a site.
func static(site *wire.Site) []h2.Field {
	return []h2.Field{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: site.Scheme},
		{Name: ":authority", Value: site.Host},
	}
}

// Room is how many pushes APNs takes now; it follows Apple's live stream limits.
func (s *Sender) Room() int { return s.pool.Room() }

// Stats are the counts of the lane's connections.
func (s *Sender) Stats() h2.PoolStats { return s.pool.Stats() }

// Send encodes pushes and queues them on the connections.
func (s *Sender) Send(pushes []carillon.Push) {
	if len(pushes) == 0 {
		return
	}
	now := s.clock.Now()
	signs := s.signs(now)
	b := s.take(len(pushes))
	for i := range pushes {
		p, sh := &pushes[i], b.shots[i]
		sh.ref, sh.kind, sh.topic = p.Ref, p.Kind, s.topic(p.Endpoint.AppID)
		sh.certain = p.Endpoint.Environment != ""
		sh.mark = s.known.mark(p.Endpoint.Address)
		sh.Unproven = !s.known.has(sh.mark)
		o := optionsOf(p, &b.parser)
		if sh.local = s.refusal(p, sh.topic, &o, signs, now); sh.local.Class == carillon.Open && !sh.encode(p, sh.topic, &o, now) {
			sh.local = carillon.Outcome{Class: carillon.Rejected, Reason: reasonTooLarge}
		}
		switch {
		case sh.local.Class != carillon.Open:
			sh.Request = h2.Request{}
		case s.signer == nil:
			sh.Fields = sh.Fields[1:] // without authorization
		}
		b.out = append(b.out, &sh.Shot)
	}
	s.pool.Send(b.out)
	s.give(b)
}

// signs tells whether provider tokens can be made.
func (s *Sender) signs(now time.Time) bool {
	if s.signer == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.signer.token(now, &s.fresh)
	if err != nil {
		s.log.Error("apns: no provider token can be made", "error", err)
	}
	return err == nil
}

// prepare gives pushes the provider token of the connection that they go on.
// Under a certificate there is none.
func (s *Sender) prepare(c *h2.PoolConn, shots []*h2.Shot) {
	if s.signer == nil {
		for _, p := range shots {
			sh := p.Owner.(*shot) //nolint:forcetypeassert // every Owner is ours
			sh.token = &s.certified
		}
		return
	}
	u, ok := c.Data.(*use)
	if !ok {
		u = &use{}
		c.Data = u
	}
	tok, err := s.signer.token(s.clock.Now(), u)
	if err != nil {
		tok = &token{} // it could be made just before, see signs
	}
	for _, p := range shots {
		sh := p.Owner.(*shot) //nolint:forcetypeassert // every Owner is ours
		sh.token, sh.Fields[0].Value = tok, tok.header
	}
}

// refusal is the outcome of a push that no vendor needs to see, or open.
func (s *Sender) refusal(p *carillon.Push, t *topic, o *options, signs bool, now time.Time) carillon.Outcome {
	switch {
	case p.Notification.Expires <= now.UnixMilli():
		return carillon.Outcome{Class: carillon.Expired, Reason: reasonExpired}
	case p.Endpoint.Environment != "" && p.Endpoint.Environment != s.environment:
		return carillon.Outcome{Class: carillon.Rejected, Reason: reasonEnvironment}
	case !t.takes(p, o):
		return carillon.Outcome{Class: carillon.Suppressed, Reason: reasonPushType}
	case !signs:
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
			if o.Unsent && sh.Unproven && results[i].Reason == h2.ReasonWaited {
				o.After = s.turns.next(now)
			}
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

// consider does what an answer asks of token, connection and pace.
func (s *Sender) consider(o *carillon.Outcome, sh *shot, now time.Time) {
	t := sh.token
	switch o.Class {
	case carillon.Accepted:
		for _, b := range [...]*atomic.Bool{&t.proven, &s.taken, &sh.topic.taken} {
			if !b.Load() { // a read is cheaper than a write when all answers say so
				b.Store(true)
			}
		}
		s.known.add(sh.mark)
		return
	case carillon.Gone:
		s.known.remove(sh.mark)
		return
	case carillon.ThrottledSender:
		s.pool.Throttle()
	default:
	}
	switch {
	case o.Reason == "ExpiredProviderToken" && t.proven.Load():
		o.Class, o.After = carillon.Transient, time.Second // the key is good
	case o.Reason == "TooManyProviderTokenUpdates" && s.signer != nil:
		s.signer.hold(t) // another one would make it worse
	case o.Reason == "ExpiredProviderToken":
		if since := now.Sub(s.renewed); since >= 0 && since < renewEvery {
			return
		}
		s.renewed = now
	default:
		return
	}
	// Apple's connections stay wedged after these two: only closing helps.
	s.pool.Retire(&sh.Shot, o.Reason)
}

// Run keeps the connections until ctx ends and waits, bounded, for the answers
// still due.
func (s *Sender) Run(ctx context.Context) error { return s.pool.Run(ctx) }

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
		sh.ref, sh.token, sh.topic, sh.Request = nil, nil, nil, h2.Request{}
		if cap(sh.buf) > maxKept {
			sh.buf = nil
		}
		s.idle = append(s.idle, sh)
	}
}
