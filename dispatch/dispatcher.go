package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"carillon"
	"carillon/journal"
)

// Dispatcher turns journal records into pushes and rows.
type Dispatcher struct {
	cfg       Config
	deps      Deps
	metrics   *metrics
	cache     cache
	shards    []*shard
	slots     [carillon.Slots]uint8 // which shard owns a slot
	loads     chan *loadBatch
	leaver    *leaver
	forgetter *forgetter

	lanesOpen atomic.Int32
	steers    atomic.Pointer[map[castKey]*steered]
	meters    meters
	halt      chan struct{} // closed when shards shall stop trying

	mu      sync.Mutex
	keepers map[int32]*keeper
	tenures uint64
	lanes   map[carillon.Lane]*lane
	open    func(*lane)     // starts a lane; nil while the dispatcher does not run
	paused  map[string]bool // apps that their administrators stopped, by host
}

// Source gives claims of journal partitions, as [journal.Group] does.
type Source interface {
	Run(ctx context.Context, consume func(ctx context.Context, c *journal.Claim) error) error
}

// New makes a dispatcher; nothing runs until Run.
func New(cfg Config, deps Deps) (*Dispatcher, error) {
	d := &Dispatcher{
		cfg: cfg.withDefaults(), deps: deps, metrics: newMetrics(),
		halt:    make(chan struct{}),
		keepers: make(map[int32]*keeper), lanes: make(map[carillon.Lane]*lane), paused: make(map[string]bool),
	}
	var err error
	if d.cache, err = newCache(d.cfg.CacheBytes); err != nil {
		return nil, fmt.Errorf("dispatch: cache of %d bytes: %w", d.cfg.CacheBytes, err)
	}
	d.loads = make(chan *loadBatch, 64)
	d.leaver = newLeaver(d)
	d.forgetter = &forgetter{d: d, wake: make(chan struct{}, 1), vacated: map[erasure]struct{}{}}
	for i := range d.cfg.Shards {
		d.shards = append(d.shards, newShard(d, i))
	}
	for slot := range d.slots {
		d.slots[slot] = uint8(slot * d.cfg.Shards / carillon.Slots) //nolint:gosec // at most 256 shards
	}
	return d, nil
}

// shardOf is the index of the shard that owns the user with this hash.
func (d *Dispatcher) shardOf(hash uint64) int { return int(d.slots[carillon.Slot(hash)]) }

// Run works off what source gives until ctx ends, then stops in the order of
// the walk: fetching, answers, rows, lanes. It runs once.
func (d *Dispatcher) Run(ctx context.Context, source Source) error {
	rest := context.WithoutCancel(ctx)
	laneCtx, stopLanes := context.WithCancel(rest)
	shardCtx, stopShards := context.WithCancel(rest)
	defer stopLanes()
	defer stopShards()

	var lanes, shards, loaders sync.WaitGroup
	d.mu.Lock()
	d.open = func(l *lane) {
		lanes.Go(func() {
			if err := l.run(laneCtx); err != nil {
				d.deps.Log.Error("a lane ended", "platform", l.key.Platform.String(), "app", l.key.Host, "error", err)
			}
		})
	}
	d.mu.Unlock()
	for _, s := range d.shards {
		shards.Go(func() { s.run(shardCtx) })
	}
	loaders.Go(func() { d.leaver.run(shardCtx) })
	forget, stopForgetting := context.WithCancel(ctx)
	defer stopForgetting()
	loaders.Go(func() { d.forgetter.run(forget) })
	for range d.cfg.Loaders {
		loaders.Go(d.loadUsers)
	}

	err := source.Run(ctx, d.consume)
	stopForgetting()

	d.mu.Lock()
	d.open = nil
	d.mu.Unlock()
	stopLanes()
	lanes.Wait()
	close(d.halt)
	stopShards()
	shards.Wait()
	close(d.loads)
	loaders.Wait()
	d.cache.close()
	if syncErr := d.deps.Store.Write(&carillon.Rows{}, true); syncErr != nil {
		err = errors.Join(err, fmt.Errorf("dispatch: the last sync of the store: %w", syncErr))
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// consume works on one claim until its generation ends.
func (d *Dispatcher) consume(ctx context.Context, c *journal.Claim) error {
	k := d.keeper(c)
	if err := k.begin(c); err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	var saved error
	wg.Go(func() {
		saved = k.positions(run, c)
		stop()
	})
	wg.Go(func() { k.recallDue(run) })
	err := k.fetch(run, c)
	stop()
	wg.Wait()
	return errors.Join(err, saved, k.finish(ctx, c))
}

// keeper finds the partition's keeper: the one that is still in memory when the
// partition stayed here, else a new one with a new tenure.
func (d *Dispatcher) keeper(c *journal.Claim) *keeper {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.keepers[c.Partition()]
	if k == nil || c.Committed() > k.settledNow() {
		d.tenures++
		k = newKeeper(d, c.Partition(), d.tenures)
		d.keepers[c.Partition()] = k
	}
	return k
}

// lane finds or opens a way out.
func (d *Dispatcher) lane(key carillon.Lane) *lane {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l, ok := d.lanes[key]; ok {
		return l
	}
	l := newLane(d, carillon.Lane{Platform: key.Platform, Host: string([]byte(key.Host))}, len(d.lanes))
	if d.paused[l.key.Host] {
		l.paused.Store(true)
		l.shut.Store(true)
	}
	d.lanes[l.key] = l
	d.lanesOpen.Add(1)
	if d.open != nil {
		d.open(l)
	}
	return l
}

// Reopen has a lane's sender opened anew because its credential changed: what is
// under way with the old one is waited for, what waits goes out with the new one,
// and a lane that was shut for its credential tries again at once.
func (d *Dispatcher) Reopen(key carillon.Lane) {
	d.mu.Lock()
	l := d.lanes[key]
	d.mu.Unlock()
	if l != nil {
		l.reopen()
	}
}

// loadUsers reads missing users for the shards until the queue is closed.
func (d *Dispatcher) loadUsers() {
	for b := range d.loads {
		d.load(b, func(err error) bool {
			d.storeFault("endpoints", err)
			return d.pause(storeRetry)
		})
	}
}

// pause waits; false tells that the dispatcher stops.
func (d *Dispatcher) pause(t time.Duration) bool {
	timer := d.deps.Clock.NewTimer(t)
	defer timer.Stop()
	select {
	case <-d.halt:
		return false
	case <-timer.C:
		return true
	}
}

// storeFault reports a store that does not do what it should.
func (d *Dispatcher) storeFault(what string, err error) {
	d.metrics.storeFaults.Inc()
	d.deps.Log.Error("the store failed and is asked again; nothing is lost, new work waits", "call", what, "error", err)
}

// Ready tells whether all partitions are consumed; the error says what is
// missing.
func (d *Dispatcher) Ready(partitions int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, k := range d.keepers {
		if k.begun() {
			n++
		}
	}
	if n < partitions {
		return fmt.Errorf("%d of %d partitions are consumed", n, partitions)
	}
	return nil
}

// laneChanged wakes every partition's keeper and every shard: what is parked may
// drain, a probe falls due, what waits for credits shall park.
func (d *Dispatcher) laneChanged() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.keepers {
		nudge(k.hints.wake)
	}
	for _, s := range d.shards {
		s.in.credit()
	}
}

// Parked is how many deliveries of an app wait for their lanes to open. Those of
// broadcasts that their sender holds back are not among them.
func (d *Dispatcher) Parked(host string) int64 {
	return d.parked(func(w *carillon.ParkedLane) bool {
		if w.Lane.Host != host {
			return false
		}
		st := d.steering(host, w.Broadcast)
		return !st.paused() && !st.paced()
	})
}

// parked counts the parked rows that which chooses.
func (d *Dispatcher) parked(which func(w *carillon.ParkedLane) bool) (n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.keepers {
		n += k.hints.parkedOf(which)
	}
	return n
}

// Waiting is why a lane is shut and when it is tried next (milliseconds since
// 1970); "" while it is open, or was never used.
func (d *Dispatcher) Waiting(key carillon.Lane) (why string, until int64) {
	d.mu.Lock()
	l := d.lanes[key]
	d.mu.Unlock()
	if l == nil {
		return "", 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.shut.Load() {
		return "", 0
	}
	return l.why(), l.breaker.next()
}
