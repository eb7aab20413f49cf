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

const (
	// A ledger row covers about a second, or so many records.
	ledgerFor     = 1000
	ledgerRecords = 50_000
	// trimEvery is how often what is settled is trimmed from the journal.
	trimEvery = 5 * time.Second
)

// What a partition may have read and not settled: so many records for each
// credit, and bytes. It is more than what can be handed off, so that the
// deliveries which wait for one vendor, until they park, do not keep the others'
// records in the journal.
const (
	backlogFactor = 4
	backlogBytes  = 64 << 20
	// maxWindows bounds the batches that wait for an older one to settle.
	maxWindows = 1 << 16
)

// keeper owns one partition: its fetch loop and its positions. It outlives a
// generation when the partition stays: what is in flight goes on, and the next
// claim resumes where the last one stopped fetching.
type keeper struct {
	d         *Dispatcher
	partition int32
	tenure    uint64
	inFlight  atomic.Int64  // records not settled, and deliveries beyond each one's first
	wake      chan struct{} // the positions may move
	bytes     atomic.Int64  // of batches not settled
	room      chan struct{} // it may read on
	hints     *hints
	credits   *credits

	mu        sync.Mutex
	windows   []*window // in order; the front ones are passed by settled
	behind    int       // how many of the front windows applied has passed
	from      carillon.Seq
	applied   carillon.Seq // next seqs: all below are applied, settled
	settled   carillon.Seq
	ledger    carillon.LedgerRow // of the range that is being settled
	ledgerAt  int64              // when it began, milliseconds
	replayEnd carillon.Seq       // records below may have rows already
}

func newKeeper(d *Dispatcher, partition int32, tenure uint64) *keeper {
	return &keeper{
		d: d, partition: partition, tenure: tenure, wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		hints: newHints(), credits: newCredits(d.cfg.Credits),
	}
}

// nudge leaves a wake-up in a channel of capacity one.
func nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// take and giveBack count what is in flight.
func (k *keeper) take(n int) { k.inFlight.Add(int64(n)) }

func (k *keeper) giveBack(n int) {
	left, limit := k.inFlight.Add(-int64(n)), k.backlog()
	if left < limit && left+int64(n) >= limit {
		nudge(k.room)
	}
}

// backlog is how many records may be in flight: no more than are remembered of a
// user, whose they all may be.
func (k *keeper) backlog() int64 {
	return int64(min(backlogFactor*k.d.cfg.Credits, k.d.cfg.MaxItems))
}

// giveBytes counts a batch that is settled as a whole.
func (k *keeper) giveBytes(n int64) {
	if left := k.bytes.Add(-n); left < backlogBytes && left+n >= backlogBytes {
		nudge(k.room)
	}
}

// begin sets where to read from: the store is the record of what is settled,
// the group's commit only mirrors it.
func (k *keeper) begin(c *journal.Claim) error {
	p, err := k.d.deps.Store.Progress(k.partition)
	if err != nil {
		return fmt.Errorf("dispatch: positions of partition %d: %w", k.partition, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.replayEnd = c.End()
	if k.from != 0 { // kept over a rebalance: go on in memory
		return nil
	}
	from, err := resume(p, c.Start(), c.Committed(), c.End())
	if err != nil {
		return fmt.Errorf("dispatch: partition %d %w", k.partition, err)
	}
	if err := k.loadHints(); err != nil {
		return fmt.Errorf("dispatch: parked deliveries of partition %d: %w", k.partition, err)
	}
	k.from = from
	k.applied, k.settled = k.from, k.from
	k.applied = max(p.Applied, k.from)
	return nil
}

// replayed tells whether all records are applied that an earlier run may have
// applied.
func (k *keeper) replayed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.applied >= k.replayEnd
}

// begun tells whether the keeper knows where to read.
func (k *keeper) begun() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.from != 0
}

// Fits tells whether a store and a journal belong together, by how far a
// partition is in the store and where its log starts, is committed and ends; the
// error begins behind the partition's name, and says what to do.
func Fits(p carillon.Progress, start, committed, end carillon.Seq) error {
	_, err := resume(p, start, committed, end)
	return err
}

// resume is where to go on. A commit follows the synced row of the same
// position, so a store that is behind the commit has lost rows or never had
// them, and a journal that ends before what is settled is another one: neither
// is passed over in silence.
func resume(p carillon.Progress, start, committed, end carillon.Seq) (carillon.Seq, error) {
	switch known := max(p.Applied, p.Settled); {
	case known > end:
		return 0, fmt.Errorf("ends at %s, but the store holds rows up to %s: this is another or a shorter journal. Point carillon to the journal that belongs to its store", end, known)
	case p.Settled < committed && committed.Offset() > 0: // an idle partition's first commit is no loss
		return 0, fmt.Errorf("is settled up to %s, but the store knows of %s only: it is damaged, empty or another. Restore the store that belongs to this journal from a backup; to give up what it held, start with an empty data directory (on Kafka also with another journal.topic)", committed, p.Settled)
	case p.Applied.Epoch() < start.Epoch() && p.Applied > p.Settled:
		return 0, fmt.Errorf("begins at %s, but the records %s … %s of the journal before it are not settled: go back to that one (journal.epoch %d) until they are", start, p.Settled, p.Applied, p.Applied.Epoch())
	case p.Settled.Epoch() < start.Epoch():
		return max(start, committed), nil // a new journal, and all of the old one is settled
	case p.Settled != 0:
		return p.Settled, nil
	}
	return max(start, committed), nil
}

// fetch reads the partition into the shards until ctx ends.
func (k *keeper) fetch(ctx context.Context, c *journal.Claim) error {
	for {
		if err := k.admit(ctx); err != nil {
			return nil //nolint:nilerr // ctx ended: that is how fetching stops
		}
		b, err := c.Fetch(ctx, k.from)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // likewise
		case err != nil:
			return fmt.Errorf("dispatch: partition %d at %s: %w", k.partition, k.from, err)
		}
		if len(b.Records) > 0 || b.Next > k.from {
			k.deal(b)
		}
	}
}

// deal hands a fetched batch to the shards.
func (k *keeper) deal(b journal.Batch) {
	n := len(b.Records)
	w := &window{k: k, next: b.Next}
	w.tally.records = int64(n)
	w.unapplied.Store(int32(n)) //nolint:gosec // bounded by the fetch's bytes
	w.unsettled.Store(int32(n)) //nolint:gosec // likewise
	k.mu.Lock()
	k.windows = append(k.windows, w)
	k.from = b.Next
	k.mu.Unlock()
	if n == 0 {
		nudge(k.wake)
		return
	}
	k.take(n)
	for i := range b.Records {
		w.bytes += int64(len(b.Records[i].Key) + len(b.Records[i].Value))
	}
	k.bytes.Add(w.bytes)
	k.d.metrics.fetched.Add(n)
	slices := cut(w, b.Records, k.d.shardOf, len(k.d.shards))
	for i := range slices {
		if len(slices[i].index) > 0 {
			k.d.shards[i].in.slice(slices[i])
		}
	}
}

// admit waits until the partition may read on.
func (k *keeper) admit(ctx context.Context) error {
	for ctx.Err() == nil {
		k.mu.Lock()
		full := len(k.windows) >= maxWindows
		k.mu.Unlock()
		if !full && k.inFlight.Load() < k.backlog() && k.bytes.Load() < backlogBytes {
			return nil
		}
		select {
		case <-k.room:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// advance moves both positions over the windows that are done, and the ledger
// with settled.
func (k *keeper) advance() (moved bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	applied, settled := k.applied, k.settled
	for k.behind < len(k.windows) && k.windows[k.behind].unapplied.Load() == 0 {
		k.applied = max(k.applied, k.windows[k.behind].next)
		k.behind++
	}
	if applied < k.replayEnd && k.applied >= k.replayEnd {
		nudge(k.hints.wake)
	}
	done := 0
	for done < k.behind && k.windows[done].unsettled.Load() == 0 {
		w := k.windows[done]
		if k.ledger.From == 0 {
			k.ledger = carillon.LedgerRow{Partition: k.partition, From: k.settled}
			k.ledgerAt = k.d.deps.Clock.UnixMilli()
		}
		w.tally.addTo(&k.ledger)
		k.settled = w.next
		k.windows[done] = nil
		done++
	}
	k.windows = k.windows[done:]
	k.behind -= done
	if done > 0 {
		nudge(k.room)
	}
	return k.applied != applied || k.settled != settled
}

// progress is how far the partition is, with the ledger row of the range that
// is being settled; a range that is long enough is closed with it.
func (k *keeper) progress() carillon.Rows {
	k.mu.Lock()
	defer k.mu.Unlock()
	rows := carillon.Rows{Positions: []carillon.Progress{{Partition: k.partition, Applied: k.applied, Settled: k.settled}}}
	if k.ledger.From == 0 {
		return rows
	}
	now := k.d.deps.Clock.UnixMilli()
	k.ledger.To = k.settled
	k.ledger.Expires = now + carillon.MaxLife.Milliseconds()
	rows.Ledger = []carillon.LedgerRow{k.ledger}
	if k.ledger.Records >= ledgerRecords || now-k.ledgerAt >= ledgerFor {
		k.ledger = carillon.LedgerRow{}
	}
	return rows
}

// idle tells whether nothing is in flight.
func (k *keeper) idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.windows) == 0
}

// positions writes the partition's progress as it moves, until ctx ends: at
// once to the store, synced and committed at most SyncEvery later.
func (k *keeper) positions(ctx context.Context, c *journal.Claim) error {
	clock := k.d.deps.Clock
	t := clock.NewTimer(time.Hour)
	defer t.Stop()
	var unsynced, untrimmed bool
	synced, trimmed := clock.Now(), clock.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-t.C:
		}
		moved := k.advance()
		if unsynced = unsynced || moved; !unsynced {
			untrimmed = untrimmed && !k.trimIfDue(ctx, &trimmed)
			continue
		}
		if wait := k.d.cfg.SyncEvery - clock.Now().Sub(synced); wait > 0 {
			if moved {
				k.save(false)
			}
			t.Reset(wait)
			continue
		}
		if !k.save(true) {
			t.Reset(k.d.cfg.SyncEvery)
			continue
		}
		unsynced, synced = false, clock.Now()
		settled := k.settledNow()
		if err := c.Commit(ctx, settled); err != nil && ctx.Err() == nil {
			return fmt.Errorf("dispatch: commit of partition %d: %w", k.partition, err)
		}
		if untrimmed = !k.trimIfDue(ctx, &trimmed); untrimmed {
			t.Reset(trimEvery - clock.Now().Sub(trimmed))
		}
	}
}

// trimIfDue trims what is settled, unless it did so lately.
func (k *keeper) trimIfDue(ctx context.Context, trimmed *time.Time) bool {
	now := k.d.deps.Clock.Now()
	if now.Sub(*trimmed) < trimEvery {
		return false
	}
	*trimmed = now
	k.trim(ctx, k.settledNow())
	return true
}

// trim lets the journal forget what is settled, where that is ours to do.
func (k *keeper) trim(ctx context.Context, settled carillon.Seq) {
	if k.d.deps.Trim == nil {
		return
	}
	if err := k.d.deps.Trim(ctx, k.partition, settled); err != nil && ctx.Err() == nil {
		k.d.deps.Log.Warn("the journal could not be trimmed; it grows until it can", "partition", k.partition, "error", err)
	}
}

// save writes progress and ledger; a store that fails is reported and tried
// again later.
func (k *keeper) save(sync bool) bool {
	rows := k.progress()
	if err := k.d.deps.Store.Write(&rows, sync); err != nil {
		k.d.storeFault("positions", err)
		return false
	}
	return true
}

// finish waits for what is in flight, at most DrainTimeout, then saves and
// commits how far the partition came.
func (k *keeper) finish(ctx context.Context, c *journal.Claim) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.d.cfg.DrainTimeout)
	defer cancel()
	for !k.idle() {
		select {
		case <-ctx.Done():
			k.d.deps.Log.Warn("stopping with deliveries unanswered; the next start finds them",
				"partition", k.partition, "inFlight", k.inFlight.Load())
		case <-k.wake:
			k.advance()
			continue
		}
		break
	}
	k.advance()
	if !k.save(true) {
		return errors.New("dispatch: the last positions could not be saved; the next start repeats a little")
	}
	commit, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if err := c.Commit(commit, k.settledNow()); err != nil {
		k.d.deps.Log.Info("the last commit failed; the store has the position", "partition", k.partition, "error", err)
	}
	return nil
}

// settledNow is the seq below which all is settled.
func (k *keeper) settledNow() carillon.Seq {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.settled
}
