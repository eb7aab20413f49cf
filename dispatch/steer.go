package dispatch

import (
	"maps"
	"sync"

	"carillon"
)

// steered is what a sender wants of a broadcast that shall not simply run. A nil
// one simply runs.
type steered struct {
	carillon.Steering
	pacer *pacer
}

func (st *steered) cancelled() bool { return st != nil && st.State == carillon.BroadcastCancelled }
func (st *steered) paused() bool    { return st != nil && st.State == carillon.BroadcastPaused }
func (st *steered) recalled() bool  { return st != nil && st.Recalled }

// paced tells whether it goes at a pace: what is cancelled ends as fast as it can.
func (st *steered) paced() bool { return st != nil && st.MaxPerSecond > 0 && !st.cancelled() }

// Steer tells what is wanted of a broadcast. Paused, what no vendor has of it
// waits; cancelled, it is suppressed when its turn comes. It is paced as the turns
// at its endpoints come up, with a tenth of a second's worth in advance; what had its
// turn before there was a pace gets another. Recalled, what is not planned yet never
// is. A zero steering, also of one whose notifications have all expired, forgets it.
// Safe for concurrent use, before Run too.
func (d *Dispatcher) Steer(host, id string, to carillon.Steering) {
	key := castKey{host, id}
	d.mu.Lock()
	next := map[castKey]*steered{}
	if old := d.steers.Load(); old != nil {
		maps.Copy(next, *old)
	}
	was := next[key]
	delete(next, key)
	if to != (carillon.Steering{}) {
		st := &steered{Steering: to}
		if to.MaxPerSecond > 0 {
			if st.pacer = (&pacer{perSecond: to.MaxPerSecond}); was.paced() && was.MaxPerSecond == to.MaxPerSecond {
				st.pacer = was.pacer
			}
		}
		next[key] = st
	}
	d.steers.Store(&next)
	d.mu.Unlock()
	if was.paused() && to.State == carillon.BroadcastRunning {
		d.meters.forget(key) // its rate is of after the pause
	}
	if was != nil {
		d.laneChanged() // what waited may go, or end
	}
}

// steering is what is wanted of a broadcast; nil when it simply runs, and when the
// id is "".
func (d *Dispatcher) steering(host, id string) *steered {
	if id == "" {
		return nil
	}
	steers := d.steers.Load()
	if steers == nil {
		return nil
	}
	return (*steers)[castKey{host, id}]
}

// holds tells whether its sender wants a broadcast's delivery to wait; one that need
// not has taken its place in the pace. What a keeper took from the parked rows has
// its place already.
func (s *shard) holds(d *delivery) bool {
	st := s.d.steering(d.p.r.user.Host, d.p.note.Broadcast)
	switch {
	case d.p.clear:
		return false
	case st.paused():
		return true
	case !st.paced():
		return false
	}
	if rc := d.p.recall; rc != nil && rc.kind == carillon.HintParked {
		d.paced = rc.paced
		return !d.paced
	}
	if d.p.k.hints.behind(s.parkedLane(d)) {
		return true
	}
	n, _ := st.pacer.take(1, s.now)
	d.paced = n > 0
	return !d.paced
}

const (
	// paceAhead is the part of a second that a pace may be ahead, as a divisor.
	paceAhead = 10
	// paceEvery spaces the looks at what waits for its pace, milliseconds.
	paceEvery = 50
)

// pacer gives out hand-offs at a pace. Safe for concurrent use.
type pacer struct {
	perSecond int

	mu     sync.Mutex
	tokens float64
	at     int64 // when tokens was right, ms
}

// take takes up to want at now (ms), and tells when it is worth asking again.
func (p *pacer) take(want int, now int64) (got int, next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens, p.at = refill(p.tokens, p.at, now, p.perSecond), max(p.at, now)
	got = min(want, int(p.tokens))
	p.tokens -= float64(got)
	wait := int64((1-p.tokens)*1000/float64(p.perSecond)) + 1
	return got, now + max(wait, paceEvery)
}

// give gives back what was taken and not used.
func (p *pacer) give(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens += float64(n)
}

// refill is what a pacer has at now, when it had tokens at a time before.
func refill(tokens float64, at, now int64, perSecond int) float64 {
	most := max(float64(perSecond)/paceAhead, 1)
	return min(tokens+float64(max(now-at, 0))*float64(perSecond)/1000, most)
}

// Pace is how fast a broadcast goes in this process, and what holds it up.
func (d *Dispatcher) Pace(host, id string) carillon.BroadcastPace {
	st := d.steering(host, id)
	p := carillon.BroadcastPace{
		PerSecond: d.meters.rate(castKey{host, id}, d.deps.Clock.UnixMilli()),
		Parked:    d.parked(func(w *carillon.ParkedLane) bool { return w.Broadcast == id && w.Lane.Host == host }),
	}
	switch {
	case st.paused():
		p.Bound = "paused"
	case p.Parked > 0:
		if p.Bound = d.shutWhy(host); p.Bound == "" && st.paced() {
			p.Bound = "maxPerSecond"
		}
	}
	return p
}

// shutWhy is what shuts lanes of an app: its administrator, a provider, or "".
func (d *Dispatcher) shutWhy(host string) (why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused[host] {
		return "appPaused"
	}
	for key, l := range d.lanes {
		if key.Host == host && l.closed() {
			why = "provider"
		}
	}
	return why
}

const (
	meterFor  = 10   // seconds that a rate is of
	metersMax = 1024 // broadcasts that are metered
)

// meters count what ended of broadcasts, in seconds.
type meters struct {
	mu sync.Mutex
	of map[castKey]*meter
}

// meter counts by second, in a ring.
type meter struct {
	counts [meterFor]int64
	second int64 // the last one that is counted
	since  int64 // the first one
}

// at moves to a second.
func (m *meter) at(second int64) {
	if second-m.second >= meterFor {
		*m = meter{second: second, since: second}
	}
	for m.second < second {
		m.second++
		m.counts[m.second%meterFor] = 0
	}
}

// add counts n at now (ms).
func (ms *meters) add(key castKey, n, now int64) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	second := now / 1000
	m := ms.of[key]
	if m == nil {
		if ms.of == nil {
			ms.of = map[castKey]*meter{}
		}
		if len(ms.of) >= metersMax {
			maps.DeleteFunc(ms.of, func(_ castKey, m *meter) bool { return second-m.second >= meterFor })
		}
		if len(ms.of) >= metersMax {
			return // so many at once: this one goes without
		}
		m = &meter{second: second, since: second}
		ms.of[key] = m
	}
	m.at(second)
	m.counts[second%meterFor] += n
}

// forget lets the count of a broadcast begin anew.
func (ms *meters) forget(key castKey) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	delete(ms.of, key)
}

// rate is what ended a second, over the last ten or since it began.
func (ms *meters) rate(key castKey, now int64) float64 {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	m := ms.of[key]
	if m == nil || now/1000-m.second >= meterFor {
		return 0
	}
	m.at(now / 1000)
	var sum int64
	for _, n := range m.counts {
		sum += n
	}
	over := min(float64(now-m.since*1000)/1000, meterFor)
	return float64(sum) / max(over, 1)
}
