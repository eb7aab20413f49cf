package dispatch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"carillon"
)

const (
	// recallBatch is how many hints of one kind a partition reads at once, and
	// the most that are recalled and not done.
	recallBatch = 256
	// hintIdle is how long a keeper waits for a hint at most before it looks
	// again.
	hintIdle = time.Minute
)

// recall is a hint that came up: a delivery of an earlier plan gets a turn.
// Its row stays until the delivery's outcome, or another hint, is written.
type recall struct {
	k     *keeper
	kind  carillon.Hint
	ref   carillon.Ref
	at    int64 // due rows: their time
	lane  carillon.ParkedLane
	probe bool // goes through a shut lane
	paced bool // has its place in its broadcast's pace
}

// of tells whether it is a delivery's hint.
func (rc *recall) of(d *carillon.Delivery) bool {
	return d.Endpoint == rc.ref.Endpoint && d.Hint == rc.kind && (d.Kind == carillon.KindFallback) == (rc.ref.Kind == carillon.KindFallback)
}

// waiting is what a partition keeps of one carillon.ParkedLane.
type waiting struct {
	rows     int64 // written and not removed
	recalled int   // of those, how many are with a shard
	cursor   *carillon.ParkedRow
	// tried is the row that the last probe took: the next one takes another, as
	// what failed once and parks again may fail for reasons of its own.
	tried *carillon.ParkedRow
	// late is the lowest content that was parked, or came back, since the keeper
	// read what it looks through.
	late carillon.Seq
	// looked is how far the shut lane's rows were looked through for expired
	// ones, nextLook when to go on.
	looked   *carillon.ParkedRow
	nextLook int64
}

// hints is what a partition knows of its durable waiting deliveries.
type hints struct {
	wake chan struct{}

	mu       sync.Mutex
	soonest  int64 // of due rows written since the last look; 0 = none
	cursor   *carillon.DueRow
	recalled int // due rows that are with a shard
	out      map[refKey]struct{}
	// gone are the hints that went since the present look began: they may stand in
	// rows that it has read before.
	gone   map[refKey]struct{}
	parked map[carillon.ParkedLane]*waiting
	depth  atomic.Int64 // parked rows of all lanes
}

// refKey is a [carillon.Ref] that can be compared, with the kind of hint.
type refKey struct {
	user     string
	content  carillon.Seq
	endpoint string
	turn     carillon.Kind
	hint     carillon.Hint
}

func keyOf(ref *carillon.Ref, hint carillon.Hint) refKey {
	return refKey{user: ref.User.Key(), content: ref.Content, endpoint: ref.Endpoint, turn: ref.Kind, hint: hint}
}

func newHints() *hints {
	return &hints{wake: make(chan struct{}, 1), out: make(map[refKey]struct{}), gone: make(map[refKey]struct{}), parked: make(map[carillon.ParkedLane]*waiting)}
}

// noteDue tells that a due row was written.
func (h *hints) noteDue(at int64) {
	h.mu.Lock()
	if h.soonest == 0 || at < h.soonest {
		h.soonest = at
	}
	h.mu.Unlock()
	nudge(h.wake)
}

// park counts a delivery that is about to be parked; those after it see it.
func (h *hints) park(w carillon.ParkedLane, n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.parked[w]
	if q == nil {
		q = &waiting{}
		w.Lane.Host, w.Broadcast = string([]byte(w.Lane.Host)), string([]byte(w.Broadcast))
		h.parked[w] = q
	}
	q.rows += n
	h.depth.Add(n)
	h.tidy(w, q)
}

// tidy forgets a broadcast's lane without rows: there are many, and none comes back.
// h.mu is held.
func (h *hints) tidy(w carillon.ParkedLane, q *waiting) {
	if w.Broadcast != "" && q.rows == 0 && q.recalled == 0 {
		delete(h.parked, w)
	}
}

// behind tells whether a newcomer of a lane must park behind others.
func (h *hints) behind(w carillon.ParkedLane) bool {
	if h.depth.Load() == 0 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.parked[w]
	return q != nil && q.rows > 0
}

// parkedOf counts the parked rows that which chooses.
func (h *hints) parkedOf(which func(w *carillon.ParkedLane) bool) (n int64) {
	if h.depth.Load() == 0 {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for w, q := range h.parked {
		if which(&w) {
			n += q.rows
		}
	}
	return n
}

// returned tells that a shard is done with a recalled hint; removed, that its
// row is gone.
func (h *hints) returned(r *recall, removed bool) {
	key := keyOf(&r.ref, r.kind)
	h.mu.Lock()
	delete(h.out, key)
	if removed {
		h.gone[key] = struct{}{}
	}
	if r.kind == carillon.HintDue {
		h.recalled--
	} else if q := h.parked[r.lane]; q != nil {
		q.recalled--
		if removed {
			q.rows--
			h.depth.Add(-1)
			h.tidy(r.lane, q)
		} else {
			q.rewind(r.ref.Content)
		}
	}
	h.mu.Unlock()
	nudge(h.wake)
}

// rewind makes the next look begin before a row that stands where the cursor
// has passed: of one endpoint the older goes first. h.mu is held.
func (q *waiting) rewind(content carillon.Seq) {
	if q.cursor != nil && content <= q.cursor.Ref.Content {
		q.cursor = nil
	}
	q.late = min(q.late, content)
}

// noteParked tells that a parked row was written; again, that a vendor had the
// delivery before: it keeps no order any more.
func (h *hints) noteParked(w carillon.ParkedLane, content carillon.Seq, again bool) {
	h.mu.Lock()
	q := h.parked[w]
	if q == nil { // recalled and gone meanwhile
		h.mu.Unlock()
		return
	}
	q.rewind(content)
	if !again && q.tried != nil && content <= q.tried.Ref.Content {
		q.tried = nil
	}
	h.mu.Unlock()
	nudge(h.wake)
}

// look begins a look at what waits.
func (h *hints) look() {
	h.mu.Lock()
	clear(h.gone)
	h.mu.Unlock()
}

// found takes a row that the present look has read for a shard; false when one
// has it already, or it went since.
func (h *hints) found(r *recall) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := keyOf(&r.ref, r.kind)
	if _, gone := h.gone[key]; gone {
		return false
	}
	return h.take(key, r)
}

// claim takes a row for a shard; false when one has it already.
func (h *hints) claim(r *recall) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.take(keyOf(&r.ref, r.kind), r)
}

// take is claim; h.mu is held.
func (h *hints) take(key refKey, r *recall) bool {
	if _, taken := h.out[key]; taken {
		return false
	}
	h.out[key] = struct{}{}
	if r.kind == carillon.HintDue {
		h.recalled++
	} else if q := h.parked[r.lane]; q != nil {
		q.recalled++
	}
	return true
}

// loadHints counts what an earlier run left parked.
func (k *keeper) loadHints() error {
	counts, err := k.d.deps.Store.ParkedDepth(k.partition)
	if err != nil {
		return err
	}
	for _, c := range counts {
		k.hints.park(c.ParkedLane, c.Rows)
	}
	return nil
}

// recallDue gives due and parked deliveries their turns, until ctx ends.
func (k *keeper) recallDue(ctx context.Context) {
	clock := k.d.deps.Clock
	t := clock.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.hints.wake:
		case <-t.C:
		}
		now := clock.UnixMilli()
		k.hints.look()
		next := k.fireDue(now)
		if k.replayed() { // else what is parked would go before what is older and re-driven
			next = min(next, k.drainParked(now))
		}
		t.Reset(min(time.Duration(max(next-now, 1))*time.Millisecond, hintIdle))
	}
}

// fireDue recalls what is due at now; it gives the time of the next look.
func (k *keeper) fireDue(now int64) int64 {
	h := k.hints
	room, cursor := h.dueFrom()
	later := now + hintIdle.Milliseconds()
	if room <= 0 {
		return later // a shard's return wakes us
	}
	for wrapped := cursor == nil; ; wrapped, cursor = true, nil {
		rows, err := k.d.deps.Store.Due(nil, k.partition, cursor, room+1)
		if err != nil {
			k.d.storeFault("due", err)
			return now + storeRetry.Milliseconds()
		}
		for i := range rows {
			row := &rows[i]
			if row.At > now {
				return row.At
			}
			r := &recall{k: k, kind: carillon.HintDue, ref: row.Ref, at: row.At}
			if h.found(r) {
				h.mu.Lock()
				h.cursor = row
				h.mu.Unlock()
				k.d.recall(r)
				if room--; room == 0 {
					return later
				}
			}
		}
		if wrapped || len(rows) > room {
			return later
		}
	}
}

// dueFrom is how many due rows may be recalled, and after which the look begins:
// before a row that was written where the cursor has passed, at the first.
func (h *hints) dueFrom() (room int, cursor *carillon.DueRow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cursor != nil && h.soonest != 0 && h.soonest <= h.cursor.At {
		h.cursor = nil
	}
	h.soonest = 0
	return recallBatch - h.recalled, h.cursor
}

// drainParked recalls parked deliveries of lanes that are open, and one of each
// lane whose breaker lets a probe through.
func (k *keeper) drainParked(now int64) int64 {
	next := now + hintIdle.Milliseconds()
	for _, w := range k.hints.lanes() {
		st := k.d.steering(w.Lane.Host, w.Broadcast)
		l := k.d.lane(w.Lane)
		open, until := l.admits(now)
		paused := st.paused()
		if paused || !open {
			next = min(next, k.dropExpired(w, now))
		}
		switch {
		case paused:
		case open && st.paced():
			next = min(next, k.drainPaced(w, st, now))
		case open:
			k.drain(w, recallBatch, false, false)
		case until <= now && l.probe(now):
			if k.drain(w, 1, true, false) == 0 {
				l.unprobe()
			}
			next = min(next, now+stallAfter)
		default:
			next = min(next, max(until, now+1))
		}
	}
	return next
}

// drainPaced is drain as fast as the broadcast's pace allows; it gives the time of
// the next look.
func (k *keeper) drainPaced(w carillon.ParkedLane, st *steered, now int64) (next int64) {
	n, next := st.pacer.take(recallBatch, now)
	if n > 0 {
		st.pacer.give(n - k.drain(w, n, false, true))
	}
	return next
}

// lanes are those with parked rows.
func (h *hints) lanes() []carillon.ParkedLane {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ws []carillon.ParkedLane
	for w, q := range h.parked {
		if q.rows > 0 {
			ws = append(ws, w)
		}
	}
	return ws
}

// drain recalls up to n parked deliveries of w, in the order of the journal,
// and tells how many.
func (k *keeper) drain(w carillon.ParkedLane, n int, probe, paced bool) int {
	h := k.hints
	h.mu.Lock()
	q := h.parked[w]
	if q == nil { // all of it went since
		h.mu.Unlock()
		return 0
	}
	room, at := min(n, recallBatch-q.recalled), &q.cursor
	if probe {
		at = &q.tried
	}
	cursor := *at
	q.late = carillon.MaxSeq
	h.mu.Unlock()
	if !probe { // more would only wait in memory
		room = min(room, k.credits.room(k.d.lane(w.Lane).index, w.Low))
	}
	sent := 0
	for wrapped := cursor == nil; room > 0; wrapped, cursor = true, nil {
		rows, err := k.d.deps.Store.Parked(nil, k.partition, w, cursor, room+recallBatch)
		if err != nil {
			k.d.storeFault("parked", err)
			return sent
		}
		for i := range rows {
			r := &recall{k: k, kind: carillon.HintParked, ref: rows[i].Ref, lane: w, probe: probe, paced: paced}
			if !h.found(r) {
				continue
			}
			h.mu.Lock()
			if rows[i].Ref.Content < q.late { // else it would be passed
				*at = &rows[i]
			}
			h.mu.Unlock()
			k.d.recall(r)
			sent++
			if room--; room == 0 {
				return sent
			}
		}
		if wrapped {
			break
		}
	}
	return sent
}

// recall sends a hint to the shard that owns the user.
func (d *Dispatcher) recall(r *recall) {
	d.metrics.recalled.Inc()
	r.k.take(1)
	d.shards[d.shardOf(r.ref.User.Hash())].in.recall(r)
}
