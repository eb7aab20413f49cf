package dispatch

import (
	"context"
	"sync"

	"carillon"
	"carillon/journal"
)

// minute is the window of the cap on leaves, milliseconds.
const minute = 60_000

// Journal takes the records that applying causes.
type Journal interface {
	Append(ctx context.Context, entries []journal.Entry) error
}

// leaver appends leave(endpoint) for addresses that a vendor says are gone, with
// a cap a minute and app: a vendor's or an operator's fault looks like mass
// death, and endpoints are dear.
type leaver struct {
	d    *Dispatcher
	wake chan struct{}

	mu      sync.Mutex
	waiting []*leaving
	window  int64            // the minute that counts are of
	counts  map[string]int64 // by host
}

// leaving is one endpoint that shall leave, and the pending that waits for it.
type leaving struct {
	p     *pending
	home  *shard
	entry journal.Entry
}

func newLeaver(d *Dispatcher) *leaver {
	return &leaver{d: d, wake: make(chan struct{}, 1), counts: make(map[string]int64)}
}

// allow counts a leave of an app against the cap.
func (l *leaver) allow(host string, now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := now / minute; w != l.window {
		l.window = w
		clear(l.counts)
	}
	l.counts[host]++
	return l.counts[host] <= int64(l.d.cfg.LeavesPerMinute)
}

func (l *leaver) put(v *leaving) {
	l.mu.Lock()
	l.waiting = append(l.waiting, v)
	l.mu.Unlock()
	nudge(l.wake)
}

// run appends what waits until ctx ends and nothing waits any more, or the
// dispatcher halts.
func (l *leaver) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		l.mu.Lock()
		batch := l.waiting
		l.waiting = nil
		l.mu.Unlock()
		l.append(ctx, batch)
	}
}

// append tries until the journal has taken the batch: what a vendor found gone
// is not forgotten, and the deliveries that found it are not settled before.
func (l *leaver) append(ctx context.Context, batch []*leaving) {
	entries := make([]journal.Entry, len(batch))
	for i, v := range batch {
		entries[i] = v.entry
	}
	for len(entries) > 0 {
		err := l.d.deps.Journal.Append(ctx, entries)
		if err == nil {
			break
		}
		l.d.deps.Log.Warn("endpoints that are gone cannot be journalled yet", "endpoints", len(entries), "error", err)
		if !l.d.pause(storeRetry) {
			return
		}
	}
	byShard := make(map[*shard][]*pending)
	for _, v := range batch {
		byShard[v.home] = append(byShard[v.home], v.p)
	}
	for s, ps := range byShard {
		s.in.leftAt(ps)
	}
}

// gone acts on a vendor's word that an address does not exist: the endpoint
// leaves, unless it was registered anew since the vendor's date, has another
// address by now, or its app loses too many at once.
func (s *shard) gone(d *delivery, o carillon.Outcome) {
	p := d.p
	r := p.r
	i := r.entry.find(d.endpoint.ID)
	if i < 0 || r.entry.endpoints[i].Addressed != d.endpoint.Addressed || o.Since != 0 && r.entry.endpoints[i].Registered > o.Since {
		return
	}
	if !s.d.leaver.allow(r.user.Host, s.now) {
		s.d.metrics.leavesCapped.Inc()
		return
	}
	s.d.metrics.leaves.Inc()
	rec := journal.Record{Kind: journal.KindLeave, At: s.now, Leave: journal.Leave{
		Installation: d.endpoint.ID, Incarnation: d.endpoint.Incarnation, Addressed: d.endpoint.Addressed, Reason: "gone",
	}}
	p.held++
	s.d.leaver.put(&leaving{p: p, home: s, entry: journal.Entry{Key: r.user.AppendKey(nil), Value: rec.Append(nil)}})
}

// left ends the wait of a delivery whose endpoint's leave is journalled.
func (s *shard) left(p *pending) {
	p.held--
	s.settle(p)
}
