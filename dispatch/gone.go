package dispatch

import (
	"context"
	"sync"

	"carillon"
	"carillon/journal"
)

const (
	// minute is the window of the cap on leaves, milliseconds.
	minute = 60_000
	// causedAtOnce is how many records are appended in one go.
	causedAtOnce = 4096
)

// Journal takes the records that applying causes.
type Journal interface {
	Append(ctx context.Context, entries []journal.Entry) error
}

// leaver appends the records that applying causes: claims of addresses, evictions
// of their former owners, and leave(endpoint) for addresses that a vendor says are
// gone. Of these it allows some a minute and app: a vendor's or an operator's
// fault looks like mass death, and endpoints are dear.
type leaver struct {
	d    *Dispatcher
	wake chan struct{}

	mu      sync.Mutex
	waiting []*causing
	window  int64            // the minute that counts are of
	counts  map[string]int64 // by host
}

// causing is one record that applying another one causes, and what waits for its
// acknowledgement: one of the four.
type causing struct {
	home  *shard
	entry journal.Entry
	p     *pending // found its endpoint gone
	joint *joint   // a registration, whose address is claimed
	claim *claim   // an address's, whose former owner is evicted
	due   *recall  // of a scheduled notification, which is released
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

func (l *leaver) put(vs []*causing) {
	l.mu.Lock()
	l.waiting = append(l.waiting, vs...)
	l.mu.Unlock()
	nudge(l.wake)
}

// cause puts a record by for the end of the round: one at a time each would be
// an append of its own.
func (s *shard) cause(v *causing) {
	v.home = s
	s.causes = append(s.causes, v)
}

// putCauses hands on what the round caused.
func (s *shard) putCauses() {
	if len(s.causes) == 0 {
		return
	}
	s.d.leaver.put(s.causes)
	clear(s.causes)
	s.causes = s.causes[:0]
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
		for ; len(batch) > causedAtOnce; batch = batch[causedAtOnce:] {
			l.append(ctx, batch[:causedAtOnce])
		}
		l.append(ctx, batch)
	}
}

// append tries until the journal has taken the batch: what a vendor found gone
// is not forgotten, and the deliveries that found it are not settled before.
func (l *leaver) append(ctx context.Context, batch []*causing) {
	entries := make([]journal.Entry, len(batch))
	for i, v := range batch {
		entries[i] = v.entry
	}
	for len(entries) > 0 {
		err := l.d.deps.Journal.Append(ctx, entries)
		if err == nil {
			break
		}
		l.d.deps.Log.Warn("what applying caused cannot be journalled yet", "records", len(entries), "error", err)
		if !l.d.pause(storeRetry) {
			return
		}
	}
	byShard := make(map[*shard][]*causing)
	for _, v := range batch {
		byShard[v.home] = append(byShard[v.home], v)
	}
	for s, cs := range byShard {
		s.in.caused(cs)
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
	s.cause(&causing{p: p, entry: journal.Entry{Key: r.user.AppendKey(nil), Value: rec.Append(nil)}})
}

// caused goes on with what waited for a record that is journalled now.
func (s *shard) caused(c *causing) {
	switch {
	case c.p != nil:
		c.p.held--
		s.settle(c.p)
	case c.joint != nil:
		s.part1(c.joint)
	case c.claim != nil:
		s.owned(c.claim)
	case c.due != nil:
		s.dropRecall(c.due)
	}
}
