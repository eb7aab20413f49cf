package dispatch

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"carillon"
	"carillon/journal"
)

// shard owns a set of users. Everything below in is touched by its goroutine
// alone.
type shard struct {
	d     *Dispatcher
	index int
	in    inbox

	now       int64 // milliseconds, once a round
	timer     *carillon.Timer
	armed     int64 // when the timer fires, ms; 0 when it is not set
	residents map[uint64]*resident
	missing   []*resident
	parting   []*resident // changed and idle; they leave at the next barrier
	partAt    int64
	owing     []*resident // whose endpoints are to be told something
	windows   []opened    // of clears, by their ends
	ended     int         // so many of these are over
	lanes     map[carillon.Lane]*lane

	out               [][]*outgoing // by lane
	lastOut           []*outgoing   // by lane, the one used last
	ready, spareReady []*outgoing   // those with something new
	short             []*outgoing   // those that wait for credits
	spent             []spent       // credits whose outcomes are in rows

	rec     journal.Record // reused for decoding
	targets []carillon.Target

	rows      carillon.Rows
	unsent    []*pending                      // rows not written yet, in order
	wrote     []*pending                      // being written
	finished  int                             // of unsent, how many need wait for nothing
	dirty     int64                           // since when something waits for the next write, ms; 0 = nothing
	broken    bool                            // the store failed while stopping: nothing counts any more
	lates     []*pending                      // whose outcome rows are in rows
	applied   []applied                       // other records whose rows are in rows
	notes     []note                          // hints whose rows are in rows
	touched   []*touched                      // items whose state goes with the next write
	syncs     []*resident                     // whose sync rows go with the next write
	claims    map[carillon.AddressHash]*claim // owners whose rows are not written
	untrimmed int                             // item rows since a user was trimmed last
	causes    []*causing                      // records to append, with the end of the round

	casts  map[castPart]*castCount // of broadcasts, by what they are counted by
	counts []*castCount            // those whose row goes with the next write

	spareResidents []*resident
	sparePendings  []*pending
	random         *rand.Rand
}

// applied is a record that is done when the next write is.
type applied struct {
	win *window
	r   *resident // nil when it is no user's
	// joint, when set, ends with the last of its parts.
	joint *joint
	// debt tells that it settles later, when what it owes is told.
	debt bool
}

// inbox is how others reach a shard: they append under a lock and wake it once.
type inbox struct {
	wake chan struct{}

	mu      sync.Mutex
	slices  []slice
	answers []answer
	loads   []*loadBatch
	recalls []*recall
	left    []*causing
	credits bool // there may be more
}

// credit tells that there may be credits for what waits, or that a lane is
// another one.
func (in *inbox) credit() {
	in.mu.Lock()
	in.credits = true
	in.mu.Unlock()
	nudge(in.wake)
}

func (in *inbox) recall(r *recall) {
	in.mu.Lock()
	in.recalls = append(in.recalls, r)
	in.mu.Unlock()
	nudge(in.wake)
}

func (in *inbox) caused(cs []*causing) {
	in.mu.Lock()
	in.left = append(in.left, cs...)
	in.mu.Unlock()
	nudge(in.wake)
}

func (in *inbox) slice(sl slice) {
	in.mu.Lock()
	in.slices = append(in.slices, sl)
	in.mu.Unlock()
	nudge(in.wake)
}

func (in *inbox) answered(as []answer) {
	in.mu.Lock()
	in.answers = append(in.answers, as...)
	in.mu.Unlock()
	nudge(in.wake)
}

func (in *inbox) loaded(b *loadBatch) {
	in.mu.Lock()
	in.loads = append(in.loads, b)
	in.mu.Unlock()
	nudge(in.wake)
}

// mail is a taken inbox; its slices are swapped, not copied.
type mail struct {
	slices  []slice
	answers []answer
	loads   []*loadBatch
	recalls []*recall
	left    []*causing
	credits bool
}

// take swaps what came in with the emptied slices of the last round.
func (in *inbox) take(m *mail) {
	clear(m.slices)
	clear(m.answers)
	clear(m.loads)
	clear(m.recalls)
	clear(m.left)
	in.mu.Lock()
	defer in.mu.Unlock()
	m.slices, in.slices = in.slices, m.slices[:0]
	m.answers, in.answers = in.answers, m.answers[:0]
	m.loads, in.loads = in.loads, m.loads[:0]
	m.recalls, in.recalls = in.recalls, m.recalls[:0]
	m.left, in.left = in.left, m.left[:0]
	m.credits, in.credits = in.credits, false
}

func newShard(d *Dispatcher, index int) *shard {
	return &shard{
		d: d, index: index, in: inbox{wake: make(chan struct{}, 1)},
		residents: make(map[uint64]*resident), lanes: make(map[carillon.Lane]*lane), claims: make(map[carillon.AddressHash]*claim),
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), //nolint:gosec // jitter needs no secrecy
	}
}

// run works until ctx ends, then writes what it knows.
func (s *shard) run(ctx context.Context) {
	s.timer = s.d.deps.Clock.NewTimer(time.Hour)
	defer s.timer.Stop()
	var m mail
	for {
		select {
		case <-ctx.Done():
			s.round(&m)
			s.flush(true)
			return
		case <-s.in.wake:
		case <-s.timer.C:
			s.armed = 0
		}
		s.round(&m)
	}
}

// round works off what came in and what fell due.
func (s *shard) round(m *mail) {
	s.in.take(m)
	s.now = s.d.deps.Clock.UnixMilli()
	for _, b := range m.loads {
		s.loaded(b)
	}
	for i := range m.answers {
		s.answer(&m.answers[i])
	}
	for _, r := range m.recalls {
		s.recall(r)
	}
	for _, c := range m.left {
		s.caused(c)
	}
	for i := range m.slices {
		s.slice(&m.slices[i])
	}
	s.tellOwing()
	s.requestLoads()
	s.post(m.credits || slices.ContainsFunc(s.short, s.slow))
	s.putCauses() // before a write that may have to wait
	s.flushIfDue()
	if len(s.parting) > 0 && s.now >= s.partAt {
		s.part()
	}
	s.arm()
}

// slice applies the shard's part of a batch, in order.
func (s *shard) slice(sl *slice) {
	for _, i := range sl.index {
		rec := record{win: sl.win, f: &sl.records[i], hash: sl.hashes[i]}
		if _, _, ok := carillon.SplitUserKey(rec.f.Key); !ok { // an address's, not a user's
			s.unkeyed(rec)
			continue
		}
		r := s.resident(rec)
		if r.loading {
			r.waiting = append(r.waiting, rec)
			continue
		}
		s.apply(r, rec)
		s.leave(r)
	}
}

// answer acts on what became of a handed delivery.
func (s *shard) answer(a *answer) {
	d := a.d
	p := d.p
	p.held--
	if a.withdrawn {
		d.unused()
		s.withdrawn(d)
		s.settle(p)
		return
	}
	if a.cancelled {
		d.unused()
		s.pass(d)
		s.cancel(d)
		s.settle(p)
		return
	}
	if a.parked { // the lane shut before it was handed off
		d.unused()
		s.bounce(d)
		s.settle(p)
		return
	}
	if p.clear {
		s.pass(d)
		s.told(d, a)
		return
	}
	row := d.row()
	row.Handed, row.Answered = d.handed, a.at
	if row.Kind != carillon.KindFallback { // whose turn tells it from the push before
		row.Kind = a.kind
	}
	if !a.o.Unsent {
		row.Attempts++
	}
	s.pass(d)
	v := carillon.Judge(a.o, row.Attempts, s.now, p.item.Expires, s.random.Float64())
	switch {
	case v.Final.Class.Terminal():
		s.end(d, v.Final)
		if v.Final.Class == carillon.Gone {
			s.gone(d, v.Final)
		}
	case p.replaced:
		s.end(d, carillon.Outcome{Class: carillon.Suppressed, Reason: whyReplaced})
	case p.over != "":
		s.end(d, abandoned(a.o, p.over))
	default:
		row.Outcome = a.o
		s.d.metrics.retries.Inc()
		s.rest(d, carillon.HintDue, v.Retry)
	}
	s.settle(p)
}

// lane finds the way out, opening it when it is the first use.
func (s *shard) lane(key carillon.Lane) *lane {
	if l, ok := s.lanes[key]; ok {
		return l
	}
	l := s.d.lane(key)
	s.lanes[l.key] = l
	for len(s.out) <= l.index {
		s.out, s.lastOut = append(s.out, nil), append(s.lastOut, nil)
	}
	return l
}

// arm sets the timer to the next thing that falls due.
func (s *shard) arm() {
	var next int64
	sooner := func(at int64) {
		if next == 0 || at < next {
			next = at
		}
	}
	if s.dirty != 0 {
		sooner(s.dirty + s.d.cfg.FlushEvery.Milliseconds())
	}
	if len(s.unsent) > 0 {
		sooner(s.unsent[0].rowDue)
	}
	if len(s.parting) > 0 {
		sooner(s.partAt)
	}
	for _, o := range s.short {
		if at := s.parkAt(o); at != 0 {
			sooner(at)
		}
	}
	if s.ended < len(s.windows) {
		sooner(s.windows[s.ended].end)
	}
	if next == 0 || s.armed != 0 && s.armed <= next {
		return
	}
	s.armed = next
	s.timer.Reset(time.Duration(max(next-s.now, 0)) * time.Millisecond)
}
