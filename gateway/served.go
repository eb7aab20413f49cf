package gateway

import (
	"context"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"carillon"
	"carillon/internal/auth"
	"carillon/journal"
)

const (
	// ackEvery is how often an endpoint's reads become a record at most.
	ackEvery = 2 * time.Second
	// servedMost bounds the endpoints that are remembered, servedReads the reads of
	// each, and the single notifications, that no record tells yet.
	servedMost  = 1 << 16
	servedReads = 16
	// repeatWithin is how soon the same call again may mean that the answer to the
	// first one was lost.
	repeatWithin = 60_000 // milliseconds
)

// Served remembers what reads served to which endpoint, until the endpoint shows
// that it arrived: by a token that the answer held, by an entity tag, or by its
// next call, unless that is the same call again. Then one record acknowledges
// it, with whatever else arrived in those seconds. What is forgotten here, by a
// restart or because there are too many endpoints, costs a clear or a fallback
// more and nothing else. Safe for concurrent use; a nil one remembers nothing.
type Served struct {
	journal Journal
	clock   *carillon.Clock
	log     *slog.Logger
	records *vm.Counter
	seed    maphash.Seed
	wake    chan struct{}

	mu       sync.Mutex
	now, old map[reader]*served // old ones are forgotten when now is full
	arrived  []*served          // which records are to tell
}

// reader is one registration of an endpoint.
type reader struct {
	user         carillon.User
	installation string
	incarnation  carillon.Seq
}

// served is what one endpoint was served, and what is known to have arrived.
type served struct {
	reader

	reads   []served1
	got     carillon.Seq  // the feed arrived without a gap up to there
	gotIDs  []carillon.ID // and these single ones
	told    carillon.Seq  // by records
	live    bool          // its live feed goes on where got ends
	waiting bool          // in arrived
}

// served1 is one read: of the feed up to a seq, or of a notification.
type served1 struct {
	call uint64 // hash
	at   int64  // milliseconds since 1970
	to   carillon.Seq
	id   carillon.ID
}

// NewServed makes one. It starts nothing; without Run nothing is acknowledged.
func NewServed(j Journal, clock *carillon.Clock, log *slog.Logger) *Served {
	return &Served{
		journal: j, clock: clock, log: log, wake: make(chan struct{}, 1), seed: maphash.MakeSeed(),
		records: vm.GetOrCreateCounter("carillon_ingress_acks_by_call_total"),
		now:     make(map[reader]*served), old: make(map[reader]*served),
	}
}

// with calls fn with what is known of an endpoint, and has a record told when
// more of it arrived.
func (s *Served) with(sub *auth.Subscription, fn func(e *served)) {
	if s == nil || sub.Installation == "" {
		return
	}
	k := reader{user: sub.User, installation: sub.Installation, incarnation: sub.Incarnation}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.now[k]
	if e == nil {
		if e = s.old[k]; e == nil {
			e = &served{reader: k}
		}
		if len(s.now) >= servedMost/2 {
			s.old, s.now = s.now, make(map[reader]*served)
		}
		s.now[k] = e
	}
	fn(e)
	if !e.waiting && (e.got > e.told || len(e.gotIDs) > 0) {
		e.waiting = true
		if s.arrived = append(s.arrived, e); len(s.arrived) == 1 {
			s.nudge()
		}
	}
}

// Came notes that an endpoint makes a call (its method and URI): what it was
// served by others has arrived.
func (s *Served) Came(sub *auth.Subscription, call string) {
	if s == nil || sub.Installation == "" {
		return
	}
	hash, now := maphash.String(s.seed, call), s.clock.UnixMilli()
	s.with(sub, func(e *served) {
		e.reads = slices.DeleteFunc(e.reads, func(r served1) bool {
			if r.call == hash && now-r.at < repeatWithin {
				return true // it is served again
			}
			e.got = max(e.got, r.to)
			e.one(r.id)
			return true
		})
	})
}

// one notes that a single notification arrived.
func (e *served) one(id carillon.ID) {
	if !id.IsZero() && len(e.gotIDs) < servedReads && !slices.Contains(e.gotIDs, id) {
		e.gotIDs = append(e.gotIDs, id)
	}
}

// All notes that a call serves an endpoint all of its user's notifications, up
// to a seq of his feed; the newest of them changed at another.
func (s *Served) All(sub *auth.Subscription, call string, to, newest carillon.Seq) {
	s.read(sub, call, served1{to: to}, newest)
}

// One notes that a call serves an endpoint a single notification.
func (s *Served) One(sub *auth.Subscription, call string, id carillon.ID) {
	s.read(sub, call, served1{id: id}, 0)
}

func (s *Served) read(sub *auth.Subscription, call string, r served1, newest carillon.Seq) {
	if s == nil || sub.Installation == "" {
		return
	}
	r.call, r.at = maphash.String(s.seed, call), s.clock.UnixMilli()
	s.with(sub, func(e *served) {
		if len(e.reads) < servedReads && (r.to == 0 || newest > max(e.got, e.told)) {
			e.reads = append(e.reads, r)
		}
	})
}

// Got notes that an endpoint has its user's feed up to a seq, without a gap.
func (s *Served) Got(sub *auth.Subscription, to carillon.Seq) {
	s.with(sub, func(e *served) { e.got = max(e.got, to) })
}

// GotOne notes that an endpoint has a single notification.
func (s *Served) GotOne(sub *auth.Subscription, id carillon.ID) {
	s.with(sub, func(e *served) { e.one(id) })
}

// Live notes that an endpoint follows its user's feed live behind a seq that it
// names, 0 when it names none. It has everything up to there, if it went on
// where it was.
func (s *Served) Live(sub *auth.Subscription, after carillon.Seq) {
	s.with(sub, func(e *served) {
		begun := after <= e.got || slices.ContainsFunc(e.reads, func(r served1) bool { return after <= r.to })
		if e.live = after != 0 && (begun || e.live); e.live {
			e.got = max(e.got, after)
		}
	})
}

func (s *Served) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run appends the acknowledgements until ctx ends; what waits then is forgotten.
func (s *Served) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		if s.clock.Sleep(ctx, ackEvery) != nil {
			return nil //nolint:nilerr // ctx ended
		}
		s.flush(ctx)
	}
}

// flush appends one record for each endpoint that something arrived at.
func (s *Served) flush(ctx context.Context) {
	s.mu.Lock()
	arrived := s.arrived
	s.arrived = nil
	entries := make([]journal.Entry, len(arrived))
	at := s.clock.UnixMilli()
	for i, e := range arrived {
		rec := journal.Record{Kind: journal.KindAck, At: at, Ack: journal.Ack{
			Installation: e.installation, Incarnation: e.incarnation, Position: e.got, Fetched: e.gotIDs,
		}}
		entries[i] = journal.Entry{Key: e.user.AppendKey(nil), Value: rec.Append(nil)}
		e.told, e.gotIDs, e.waiting = max(e.told, e.got), e.gotIDs[:0], false
	}
	s.mu.Unlock()
	if len(entries) == 0 {
		return
	}
	if err := s.journal.Append(ctx, entries); err != nil {
		s.log.Debug("what endpoints were served is not acknowledged", "endpoints", len(entries), "error", err)
		return
	}
	s.records.Add(len(entries))
}
