package journal

import (
	"context"
	"hash/crc32"
	"log/slog"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/semaphore"

	"carillon"
)

// Entry is one record to append, and what became of it.
type Entry struct {
	// Key is the journal key (host/user) and chooses the partition, Value is an
	// encoded [Record]. Both are copied by Append.
	Key, Value []byte

	// Position is where the record stands; set when Err is nil.
	Position carillon.Position
	// Journalled is the time stamped on the record, milliseconds since 1970: the
	// broker's where it stamps, else ours.
	Journalled int64
	// Err is a *carillon.Error when the record was refused or its outcome is
	// unknown.
	Err error
}

// retryAfter is what callers are told to wait when the journal is not available.
const retryAfter = time.Second

// Writer appends records to the journal: idempotent (a retry never doubles a
// record, and records of one key stay in the order of their Append calls),
// acknowledged by all in-sync replicas, bounded in memory. One request is under
// way per partition, so batches grow by themselves under load. Safe for
// concurrent use.
type Writer struct {
	cfg    Config
	topic  string
	clock  *carillon.Clock
	log    *slog.Logger
	table  *crc32.Table
	client *kafka.Client

	transport *kafka.Transport
	room      *semaphore.Weighted // bytes
	parts     []part
	waiters   sync.Pool // *waiter
	batches   sync.Pool // *batch
}

// NewWriter makes a writer; it connects when Run runs. Records are stamped by
// clock where the broker does not stamp them.
func NewWriter(cfg Config, clock *carillon.Clock, log *slog.Logger) *Writer {
	cfg = cfg.withDefaults()
	w := &Writer{
		cfg:   cfg,
		topic: cfg.TopicName(),
		clock: clock,
		log:   log,
		table: castagnoli(),
		room:  semaphore.NewWeighted(int64(cfg.MaxBufferedBytes)),
		parts: make([]part, max(cfg.Partitions, 1)),
	}
	w.transport = newTransport(&w.cfg, w.topic)
	w.client = newClient(&w.cfg, w.transport)
	w.client.Timeout = cfg.RequestTimeout
	for i := range w.parts {
		w.parts[i].wake = make(chan struct{}, 1)
	}
	return w
}

// Run sends until ctx ends. Then Append refuses, and what was appended before is
// sent; what cannot be sent within ProduceTimeout fails. It returns when every
// entry is decided and every connection is closed.
func (w *Writer) Run(ctx context.Context) error {
	if err := w.cfg.Validate(); err != nil {
		return err
	}
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer w.transport.CloseIdleConnections()
	var workers sync.WaitGroup
	for p := range w.parts {
		workers.Go(func() { w.work(hard, int32(p)) }) //nolint:gosec // at most 2¹⁶ partitions
	}
	<-ctx.Done()
	for p := range w.parts {
		w.parts[p].close()
	}
	late := time.AfterFunc(w.cfg.ProduceTimeout, cancel) //nolint:forbidigo // bounds socket work, stays on real time
	defer late.Stop()
	workers.Wait()
	return nil
}

// Append appends entries and waits until each is acknowledged or has failed.
// Entries of the same key keep their order; the whole call is not atomic. Every
// entry tells its own fate; the error is that of the first one that failed, a
// *carillon.Error:
//
//   - CodeUnavailable with RetryAfter: no room in the buffer until ctx ended,
//     no broker, or the writer stops; nothing was appended.
//   - CodeUnavailable whose message says "unknown": no answer came in time. The
//     record may have been appended: repeat it under the same idempotency key.
//   - CodeTooLarge: the record is larger than a batch may be.
//
// When ctx ends, the entries still under way are unknown.
func (w *Writer) Append(ctx context.Context, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	wt := w.waiter(entries)
	chunk := w.cfg.MaxBufferedBytes / 8
	for from := 0; from < len(entries); {
		to, size := from, 0
		for to < len(entries) && (to == from || size+w.cost(&entries[to]) <= chunk) {
			size += w.cost(&entries[to])
			to++
		}
		if err := w.room.Acquire(ctx, int64(size)); err != nil {
			fail(entries[from:], full(err))
			break
		}
		w.enqueue(wt, entries, from, to)
		from = to
	}
	return w.await(ctx, wt, entries)
}

// cost is what an entry takes of the buffer's room: nothing when it is too large
// to be taken at all.
func (w *Writer) cost(e *Entry) int {
	n := entryBytes(e.Key, e.Value)
	if n+batchHeader > w.cfg.MaxBatchBytes {
		return 0
	}
	return n
}

// enqueue deals entries[from:to] to their partitions: each partition's lock is
// taken once, and records are encoded into its open batch right away.
func (w *Writer) enqueue(wt *waiter, entries []Entry, from, to int) {
	wt.mu.Lock()
	wt.pending += to - from
	wt.mu.Unlock()
	if to-from == 1 {
		p := Partition(entries[from].Key, len(w.parts))
		wt.next[from] = -1
		w.put(wt, entries, p, int32(from)) //nolint:gosec // slices of entries are far below 2³¹
		return
	}
	for p := range wt.heads {
		wt.heads[p] = -1
	}
	for i := from; i < to; i++ {
		at := int32(i) //nolint:gosec // likewise
		p := Partition(entries[i].Key, len(w.parts))
		wt.next[i] = -1
		if wt.heads[p] < 0 {
			wt.heads[p] = at
		} else {
			wt.next[wt.tails[p]] = at
		}
		wt.tails[p] = at
	}
	for p, head := range wt.heads {
		if head >= 0 {
			w.put(wt, entries, int32(p), head)
		}
	}
}

// put adds the chain of entries that starts at head to partition p.
func (w *Writer) put(wt *waiter, entries []Entry, p, head int32) {
	refused, size := 0, 0
	part := &w.parts[p]
	part.mu.Lock()
	for i := head; i >= 0; i = wt.next[i] {
		e := &entries[i]
		n := w.cost(e)
		switch {
		case n == 0:
			e.Err = carillon.Errorf(carillon.CodeTooLarge, "", "a record of %d bytes is larger than the journal takes (%d)",
				len(e.Key)+len(e.Value), w.cfg.MaxBatchBytes)
		case part.closed:
			e.Err = stopping()
		default:
			part.open(&w.batches, n, w.cfg.MaxBatchBytes).add(wt, i, e.Key, e.Value)
			continue
		}
		refused++
		size += n
	}
	part.mu.Unlock()
	part.poke()
	if refused > 0 {
		w.room.Release(int64(size))
		wt.settle(refused, nil)
	}
}

// await waits for the call's entries, or gives them up when ctx ends.
func (w *Writer) await(ctx context.Context, wt *waiter, entries []Entry) error {
	wt.settle(1, nil)
	select {
	case <-wt.done:
	case <-ctx.Done():
		if w.abandon(wt, entries, ctx.Err()) {
			return first(entries)
		}
		<-wt.done // decided in the same moment
	}
	wt.entries = nil
	w.waiters.Put(wt)
	return first(entries)
}

func (w *Writer) abandon(wt *waiter, entries []Entry, cause error) bool {
	wt.mu.Lock()
	defer wt.mu.Unlock()
	if wt.pending == 0 {
		return false
	}
	wt.entries, wt.abandoned = nil, true
	err := unknown("the caller stopped waiting", cause)
	for i := range entries {
		if e := &entries[i]; e.Err == nil && e.Position.Seq == 0 {
			e.Err = err
		}
	}
	return true
}

func (w *Writer) waiter(entries []Entry) *waiter {
	wt, _ := w.waiters.Get().(*waiter)
	if wt == nil {
		wt = &waiter{
			done:  make(chan struct{}, 1),
			heads: make([]int32, len(w.parts)),
			tails: make([]int32, len(w.parts)),
		}
	}
	if cap(wt.next) < len(entries) {
		wt.next = make([]int32, len(entries))
	}
	wt.next = wt.next[:len(entries)]
	wt.entries, wt.pending, wt.abandoned = entries, 1, false
	for i := range entries {
		entries[i].Position, entries[i].Journalled, entries[i].Err = carillon.Position{}, 0, nil
	}
	return wt
}

func fail(entries []Entry, err *carillon.Error) {
	for i := range entries {
		entries[i].Err = err
	}
}

func first(entries []Entry) error {
	for i := range entries {
		if entries[i].Err != nil {
			return entries[i].Err
		}
	}
	return nil
}

func full(cause error) *carillon.Error {
	return &carillon.Error{
		Code:       carillon.CodeUnavailable,
		Message:    "the journal's buffer is full: nothing was appended, try again in a second",
		RetryAfter: retryAfter,
		Cause:      cause,
	}
}

func stopping() *carillon.Error {
	return &carillon.Error{
		Code:       carillon.CodeUnavailable,
		Message:    "this gateway is stopping: nothing was appended, send it to another one or again in a second",
		RetryAfter: retryAfter,
	}
}

func unknown(why string, cause error) *carillon.Error {
	return &carillon.Error{
		Code:       carillon.CodeUnavailable,
		Message:    "the outcome is unknown (" + why + "): it may have been accepted. Repeat it with the same Idempotency-Key (or appNotificationId), which never rings twice",
		RetryAfter: retryAfter,
		Cause:      cause,
	}
}
