package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carillon"
)

// lane is the queue to one vendor under one app's credential. Shards put
// deliveries in, one goroutine hands them to the sender as it has room, and
// answers go back to the shards in batches. Its queue is bounded by the credits
// of the partitions that feed it.
type lane struct {
	key   carillon.Lane
	index int
	d     *Dispatcher
	wake  chan struct{}
	again chan struct{} // the sender is to be opened anew

	// shut mirrors the breaker for the shards' quick look; slow tells that the
	// queue's head has waited for its vendor for too long while other lanes want to
	// go on.
	shut, slow atomic.Bool
	tempo      tempo
	// paused tells that the app's administrator stopped it: nothing goes, not even
	// a probe. Changed with mu held.
	paused atomic.Bool

	mu      sync.Mutex
	clears  []*delivery // they go first: each has its endpoint's turn already
	queue   []*delivery
	head    int
	breaker breaker
	oldest  int64 // when the queue was last seen to move, ms; 0 = it is empty

	answersMu sync.Mutex // answers of one sender may come from several connections
	back      [][]answer // by shard, reused
}

// answer is what became of one handed or withdrawn delivery.
type answer struct {
	d    *delivery
	o    carillon.Outcome
	at   int64
	kind carillon.Kind
	// withdrawn tells that the shard had suppressed it: the lane only lets go.
	withdrawn bool
	// parked tells that the lane shut, or its broadcast was paused, before it was
	// handed off.
	parked bool
	// cancelled tells that its broadcast was, before it was handed off.
	cancelled bool
}

func newLane(d *Dispatcher, key carillon.Lane, index int) *lane {
	return &lane{key: key, index: index, d: d, wake: make(chan struct{}, 1), again: make(chan struct{}, 1), back: make([][]answer, len(d.shards))}
}

// put appends deliveries; the caller keeps the slice.
func (l *lane) put(ds []*delivery) {
	l.mu.Lock()
	now := l.d.deps.Clock.UnixMilli()
	if l.head == len(l.queue) {
		l.oldest = now
	}
	l.queue = append(l.queue, ds...)
	l.pace(now)
	l.mu.Unlock()
	nudge(l.wake)
}

// urge puts a clear before all that waits to ring: it is not to wait for what
// others send. It needs no credit, as it is in no duplicate window; there is at
// most one for each endpoint.
func (l *lane) urge(d *delivery) {
	l.mu.Lock()
	if l.head == len(l.queue) && len(l.clears) == 0 {
		l.oldest = l.d.deps.Clock.UnixMilli()
	}
	l.clears = append(l.clears, d)
	l.mu.Unlock()
	nudge(l.wake)
}

// pop moves up to len(into) deliveries out of the queue, clears first. They take
// no more than half of it while others wait. Asked tells that the sender was asked
// how many that may be.
func (l *lane) pop(into []*delivery, asked bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := into
	if l.head < len(l.queue) {
		first = into[:(len(into)+1)/2]
	}
	urgent := copy(first, l.clears)
	l.clears = slices.Delete(l.clears, 0, urgent)
	ring := copy(into[urgent:], l.queue[l.head:])
	clear(l.queue[l.head : l.head+ring])
	l.head += ring
	n := urgent + ring
	if asked {
		l.tempo.full.Store(n == len(into) && n < l.d.cfg.LaneBatch)
	}
	if n > 0 {
		l.oldest = l.d.deps.Clock.UnixMilli()
		l.pace(l.oldest)
	}
	if l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	} else if l.head > 4096 && l.head > len(l.queue)/2 {
		l.queue = append(l.queue[:0], l.queue[l.head:]...)
		l.head = 0
	}
	return n
}

// run opens the sender and hands off until ctx ends. A credential that the
// vendor does not accept, or that cannot be read, shuts the lane; it is read
// anew for each probe, so that replacing it heals.
func (l *lane) run(ctx context.Context) error {
	for ctx.Err() == nil {
		sender, err := l.d.deps.Vendors.Open(l.key, l)
		var fault *carillon.Error
		switch {
		case err == nil:
			err = l.serve(ctx, sender)
		case errors.As(err, &fault) && (fault.Code == carillon.CodeNotFound || fault.Code == carillon.CodeNotImplemented):
			l.d.deps.Log.Error("a lane has no way out; its deliveries are rejected",
				"platform", l.key.Platform.String(), "app", l.key.Host, "error", err)
			l.reject(ctx)
			err = nil
		default:
			l.d.deps.Log.Error("a lane's credential cannot be used; its deliveries park until it is mended",
				"platform", l.key.Platform.String(), "app", l.key.Host, "error", err)
			l.shutNow(shutCredential)
			l.handOff(ctx, nil)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// serve runs one sender until ctx ends or it is to be opened anew.
func (l *lane) serve(ctx context.Context, sender carillon.Sender) error {
	own, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() { failed = sender.Run(own) })
	l.handOff(ctx, sender)
	stop()
	wg.Wait()
	if errors.Is(failed, context.Canceled) {
		return nil
	}
	return failed
}

// shutNow shuts the lane for a fault that is no vendor's answer.
func (l *lane) shutNow(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breaker.close(why, l.d.deps.Clock.UnixMilli(), shutForCredential, rand.Float64()) //nolint:gosec // jitter needs no secrecy
	l.changed()
}

// hinders tells whether what waits for the lane for too long shall park. Only
// beside other lanes does it: alone, its full queue pauses the readers, and the
// journal is the queue. And only for its vendor's sake: when we are late
// ourselves, parking makes us later.
func (l *lane) hinders(now int64) bool {
	return l.d.lanesOpen.Load() > 1 && l.tempo.slow(now, l.d.cfg.Credits)
}

// pace looks at how long the head of the queue has waited; l.mu is held.
func (l *lane) pace(now int64) {
	slow := false
	if l.head < len(l.queue) && l.hinders(now) {
		age := now - l.queue[l.head].queued
		slow = age > slowAfter || l.slow.Load() && age > slowAfter/2
	}
	if slow != l.slow.Load() {
		l.slow.Store(slow)
		nudge(l.wake)
		l.d.laneChanged()
	}
}

// handOff gives queued deliveries to the sender, in order, as it has room. What
// is queued when the breaker shuts goes back to the shards, which park it.
// Without a sender everything does. It returns when ctx ends or the sender is to
// be opened anew.
func (l *lane) handOff(ctx context.Context, sender carillon.Sender) {
	taken := make([]*delivery, l.d.cfg.LaneBatch)
	pushes := make([]carillon.Push, 0, l.d.cfg.LaneBatch)
	stall := l.d.deps.Clock.NewTimer(stallAfter * time.Millisecond)
	defer stall.Stop()
	for {
		room, asked := len(taken), sender != nil && !l.closed()
		if asked {
			room = min(sender.Room(), room)
		}
		n := l.pop(taken[:room], asked)
		if n == 0 {
			select {
			case <-ctx.Done():
				return
			case <-l.again:
				return
			case <-l.wake:
			case <-stall.C:
				l.checkStall()
				stall.Reset(stallAfter * time.Millisecond)
			}
			continue
		}
		now := l.d.deps.Clock.UnixMilli()
		pushes = l.claim(pushes[:0], taken[:n], sender == nil, now)
		if len(pushes) > 0 {
			l.tempo.sent(len(pushes), now)
			l.d.metrics.handed.Add(len(pushes))
			sender.Send(pushes)
		}
		clear(pushes)
	}
}

// closed tells whether what comes to the lane parks.
func (l *lane) closed() bool { return l.shut.Load() || l.slow.Load() }

// checkStall shuts a lane whose queue has not moved for too long.
func (l *lane) checkStall() {
	now := l.d.deps.Clock.UnixMilli()
	l.mu.Lock()
	defer l.mu.Unlock()
	if (l.head < len(l.queue) || len(l.clears) > 0) && l.breaker.stalled(now-l.oldest, now, rand.Float64()) { //nolint:gosec // jitter needs no secrecy
		l.changed()
	}
}

// changed tells everybody that the breaker is another one; l.mu is held.
func (l *lane) changed() {
	shut := l.breaker.closed() || l.paused.Load()
	if shut != l.shut.Load() {
		if shut {
			l.d.deps.Log.Warn("a lane is shut; its deliveries park", "platform", l.key.Platform.String(), "app", l.key.Host, "why", l.why())
			l.d.metrics.shuts.Inc()
		} else {
			l.d.deps.Log.Info("a lane is open again", "platform", l.key.Platform.String(), "app", l.key.Host)
		}
		l.shut.Store(shut)
	}
	nudge(l.wake)
	l.d.laneChanged()
}

// admits tells whether deliveries may go, and from when a probe may.
func (l *lane) admits(now int64) (open bool, until int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused.Load() {
		return false, now + hintIdle.Milliseconds()
	}
	return !l.breaker.closed() && !l.slow.Load(), max(l.breaker.next(), now)
}

// probe takes the turn of the one delivery that tries a shut lane.
func (l *lane) probe(now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	granted := !l.paused.Load() && l.breaker.probe(now)
	if granted && l.breaker.why == shutCredential {
		nudge(l.again)
	}
	return granted
}

// unprobe gives that turn back.
func (l *lane) unprobe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breaker.unprobe()
}

// claim swaps the words of taken deliveries and makes pushes of those that are
// still wanted and not too late.
func (l *lane) claim(pushes []carillon.Push, taken []*delivery, none bool, now int64) []carillon.Push {
	shut := l.closed()
	for _, d := range taken {
		if none || shut && (!d.probe || l.paused.Load()) {
			l.letGo(answer{d: d, parked: d.word.CompareAndSwap(wordQueued, wordHanded), withdrawn: d.word.Load() == wordSuppressed})
			continue
		}
		if !d.word.CompareAndSwap(wordQueued, wordHanded) {
			l.letGo(answer{d: d, withdrawn: true})
			continue
		}
		p := d.p
		if p.note.Broadcast != "" && !p.clear {
			if st := l.d.steering(p.r.user.Host, p.note.Broadcast); st.cancelled() || st.paused() || st.paced() && !d.paced {
				l.letGo(answer{d: d, cancelled: st.cancelled(), parked: !st.cancelled()})
				continue
			}
		}
		d.handed = now
		if p.item.Expires <= now {
			l.letGo(answer{d: d, at: now, o: carillon.Outcome{Class: carillon.Expired}})
			continue
		}
		row := d.row()
		pushes = append(pushes, carillon.Push{
			Ref: d, Kind: row.Kind, Attempt: row.Attempts + 1, User: p.r.user, Endpoint: d.endpoint,
			Notification: &p.note, ID: p.note.ID, Created: p.item.Created, Seq: p.item.Content, Cleared: p.cleared,
		})
	}
	return pushes
}

// letGo answers a delivery that was not sent.
func (l *lane) letGo(a answer) {
	a.kind = a.d.row().Kind
	a.d.p.r.home.in.answered([]answer{a})
}

// reject ends what comes to a lane that cannot be opened.
func (l *lane) reject(ctx context.Context) {
	taken := make([]*delivery, l.d.cfg.LaneBatch)
	for {
		for n := l.pop(taken, false); n > 0; n = l.pop(taken, false) {
			now := l.d.deps.Clock.UnixMilli()
			for _, d := range taken[:n] {
				won := d.word.CompareAndSwap(wordQueued, wordHanded)
				l.letGo(answer{d: d, at: now, withdrawn: !won, o: carillon.Outcome{Class: carillon.Rejected, Reason: "noCredential"}})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-l.again:
			return
		case <-l.wake:
		}
	}
}

// reopen has the sender opened anew.
func (l *lane) reopen() {
	l.mu.Lock()
	if l.breaker.closed() && l.breaker.why == shutCredential {
		l.breaker.unprobe()
		l.breaker.until = l.d.deps.Clock.UnixMilli()
		l.changed()
	}
	l.mu.Unlock()
	nudge(l.again)
}

// Answers takes a batch of the sender's answers back to their shards.
func (l *lane) Answers(batch []carillon.Answer) {
	l.judge(batch)
	l.answersMu.Lock()
	defer l.answersMu.Unlock()
	for i := range batch {
		a := &batch[i]
		d := a.Ref.(*delivery) // every push of ours carries one
		home := d.p.r.home
		l.back[home.index] = append(l.back[home.index], answer{d: d, o: a.Outcome, at: a.At, kind: a.Kind})
	}
	for i, as := range l.back {
		if len(as) > 0 {
			l.d.shards[i].in.answered(as)
			clear(as)
			l.back[i] = as[:0]
		}
	}
}

// judge shows the breaker what came back.
func (l *lane) judge(batch []carillon.Answer) {
	now := l.d.deps.Clock.UnixMilli()
	l.tempo.heard(batch, now)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range batch {
		d := batch[i].Ref.(*delivery) //nolint:forcetypeassert // every push of ours carries one
		// The address tells devices apart: many users name theirs alike.
		if l.breaker.answer(batch[i].Outcome, d.endpoint.Address, d.probe, now, rand.Float64()) { //nolint:gosec // jitter needs no secrecy
			l.changed()
		}
	}
}

// RoomAgain wakes the hand-off.
func (l *lane) RoomAgain() { nudge(l.wake) }
