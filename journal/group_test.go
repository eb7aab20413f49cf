package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon"
	"carillon/journal"
	"carillon/journal/embedded"
)

// tally is what members consumed, in the order in which they did.
type tally struct {
	mu      sync.Mutex
	changed *sync.Cond
	seen    map[int32][]journal.Fetched
	total   int
	holders map[int32]string
}

func newTally() *tally {
	t := &tally{seen: make(map[int32][]journal.Fetched), holders: make(map[int32]string)}
	t.changed = sync.NewCond(&t.mu)
	return t
}

func (t *tally) update(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	t.changed.Broadcast()
}

// wait waits until f holds.
func (t *tally) wait(tb testing.TB, f func() bool) {
	tb.Helper()
	ctx := testContext(tb)
	defer context.AfterFunc(ctx, func() { t.update(func() {}) })()
	t.mu.Lock()
	defer t.mu.Unlock()
	for !f() {
		if ctx.Err() != nil {
			tb.Fatalf("waited in vain: %d records, holders %v", t.total, t.holders)
		}
		t.changed.Wait()
	}
}

func (t *tally) held(by string) (n int) {
	for _, h := range t.holders {
		if h == by {
			n++
		}
	}
	return n
}

// consume counts what comes, and commits when its generation ends.
func (t *tally) consume(name string) func(context.Context, *journal.Claim) error {
	return func(ctx context.Context, c *journal.Claim) error {
		from := max(c.Committed(), c.Start())
		t.update(func() { t.holders[c.Partition()] = name })
		defer t.update(func() { delete(t.holders, c.Partition()) })
		for {
			b, err := c.Fetch(ctx, from)
			if ctx.Err() != nil {
				return c.Commit(context.WithoutCancel(ctx), from)
			}
			if err != nil {
				return err
			}
			t.update(func() {
				t.seen[c.Partition()] = append(t.seen[c.Partition()], b.Records...)
				t.total += len(b.Records)
			})
			from = b.Next
		}
	}
}

func join(t *testing.T, cfg journal.Config, name string, sum *tally) (leave func()) {
	g := journal.NewGroup(cfg, testLog(t))
	return run(t, func(ctx context.Context) error { return g.Run(ctx, sum.consume(name)) })
}

func TestMembersShareWithoutLossOrRepeat(t *testing.T) {
	broker := openBroker(t, embedded.Config{Dir: t.TempDir()})
	cfg := ensure(t, broker.Addr(), journal.Config{Partitions: 8})
	w, _ := startWriter(t, cfg)

	var mu sync.Mutex
	var acked []journal.Entry
	writing, stopWriting := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	writers.Go(func() {
		for writing.Err() == nil {
			es := entries(40, 40, "value")
			if err := w.Append(testContext(t), es); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			acked = append(acked, es...)
			mu.Unlock()
		}
	})
	sum := newTally()
	join(t, cfg, "a", sum)
	sum.wait(t, func() bool { return sum.held("a") == 8 && sum.total > 100 })
	leave := join(t, cfg, "b", sum)
	sum.wait(t, func() bool { return sum.held("a") == 4 && sum.held("b") == 4 })
	before := sum.total
	sum.wait(t, func() bool { return sum.total > before+100 })
	leave()
	sum.wait(t, func() bool { return sum.held("a") == 8 })
	join(t, cfg, "c", sum)
	sum.wait(t, func() bool { return sum.held("a") == 4 && sum.held("c") == 4 })

	stopWriting()
	writers.Wait()
	sum.wait(t, func() bool { return sum.total >= len(acked) })
	verify(t, sum.seen, acked) // in order, each once
}

func TestCommitIsResumedFrom(t *testing.T) {
	needsEmbedded(t)
	dir := t.TempDir()
	broker, err := embedded.Open(embedded.Config{Dir: dir}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg := ensure(t, broker.Addr(), journal.Config{})
	w, stop := startWriter(t, cfg)
	es := entries(300, 30, "value")
	if err := w.Append(testContext(t), es[:200]); err != nil {
		t.Fatal(err)
	}
	sum := newTally()
	leave := join(t, cfg, "a", sum)
	sum.wait(t, func() bool { return sum.total == 200 })
	leave()
	stop()
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}

	broker = openBroker(t, embedded.Config{Dir: dir})
	cfg = ensure(t, broker.Addr(), journal.Config{})
	marked := 0
	marks, err := journal.Marks(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range marks {
		if m.Partition != int32(i) || m.Start.Offset() != 0 || m.Committed != m.End {
			t.Errorf("a group that has left: %+v", m)
		}
		marked += int(m.Committed.Offset())
	}
	if len(marks) != cfg.Partitions || marked != 200 {
		t.Errorf("%d partitions with %d records", len(marks), marked)
	}
	later := cfg
	later.Epoch = 2
	if marks, err = journal.Marks(testContext(t), later); err != nil || len(marks) != 0 {
		t.Errorf("of a topic that is not there: %v, %v", marks, err)
	}
	w, _ = startWriter(t, cfg)
	if err := w.Append(testContext(t), es[200:]); err != nil {
		t.Fatal(err)
	}
	join(t, cfg, "b", sum)
	sum.wait(t, func() bool { return sum.total == 300 })
	verify(t, sum.seen, es)
}

// TestGroupOutlivesTheBroker: consumers go on after the broker was away. What was
// not committed comes again.
func TestGroupOutlivesTheBroker(t *testing.T) {
	needsEmbedded(t)
	dir := t.TempDir()
	broker, err := embedded.Open(embedded.Config{Dir: dir}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg := ensure(t, broker.Addr(), journal.Config{Partitions: 1})
	w, _ := startWriter(t, cfg)
	es := entries(40, 4, "value")
	if err := w.Append(testContext(t), es[:20]); err != nil {
		t.Fatal(err)
	}
	sum := newTally()
	g := journal.NewGroup(cfg, slog.New(slog.DiscardHandler))
	run(t, func(ctx context.Context) error { return g.Run(ctx, sum.consume("a")) })
	sum.wait(t, func() bool { return sum.total == 20 })
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	openBroker(t, embedded.Config{Dir: dir, Addr: broker.Addr()})
	if err := w.Append(testContext(t), es[20:]); err != nil {
		t.Fatal(err)
	}
	sum.wait(t, func() bool {
		rs := sum.seen[0]
		return len(rs) >= 40 && rs[len(rs)-1].Seq == carillon.MakeSeq(1, 39)
	})
}

// claim gives f one claim on the only partition.
func claim(t *testing.T, cfg journal.Config, f func(ctx context.Context, c *journal.Claim)) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	err := journal.NewGroup(cfg, testLog(t)).Run(ctx, func(ctx context.Context, c *journal.Claim) error {
		defer cancel()
		f(ctx, c)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	broker := openBroker(t, embedded.Config{})
	cfg := ensure(t, broker.Addr(), journal.Config{Partitions: 1})
	w, _ := startWriter(t, cfg)
	claim(t, cfg, func(ctx context.Context, c *journal.Claim) {
		if c.Committed() != 0 || c.Start() != carillon.MakeSeq(1, 0) || c.End() != c.Start() {
			t.Errorf("claim on an empty partition: committed %s, %s … %s", c.Committed(), c.Start(), c.End())
		}
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		begun := time.Now()
		if _, err := c.Fetch(short, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("fetch of nothing: %v", err)
		}
		if d := time.Since(begun); d > 500*time.Millisecond {
			t.Errorf("fetch ended %s after its context", d)
		}
		if err := w.Append(ctx, entries(10, 1, "value")); err != nil {
			t.Error(err)
		}
		b, err := c.Fetch(ctx, 0)
		if err != nil || len(b.Records) == 0 || b.Records[0].Seq != c.Start() || b.HighWater != carillon.MakeSeq(1, 10) {
			t.Errorf("fetch after a cut one: %v, %+v", err, b)
		}
		b, err = c.Fetch(ctx, carillon.MakeSeq(1, 7)) // in the middle of a batch
		if err != nil || len(b.Records) != 3 || b.Records[0].Seq.Offset() != 7 || b.Next.Offset() != 10 {
			t.Errorf("fetch from the middle: %v, %+v", err, b)
		}
	})
}

func TestOutOfRangeIsSaid(t *testing.T) {
	needsEmbedded(t)
	broker := openBroker(t, embedded.Config{Dir: t.TempDir()})
	cfg := ensure(t, broker.Addr(), journal.Config{Partitions: 1})
	w, _ := startWriter(t, cfg)
	if err := w.Append(testContext(t), entries(10, 1, "value")); err != nil {
		t.Fatal(err)
	}
	if err := broker.TrimTo(testContext(t), cfg.TopicName(), 0, 6); err != nil {
		t.Fatal(err)
	}
	claim(t, cfg, func(ctx context.Context, c *journal.Claim) {
		if c.Start().Offset() != 6 || c.End().Offset() != 10 {
			t.Errorf("after a trim the claim holds %s … %s", c.Start(), c.End())
		}
		for _, from := range []int64{5, 11} {
			if _, err := c.Fetch(ctx, carillon.MakeSeq(1, from)); !errors.Is(err, journal.ErrOutOfRange) {
				t.Errorf("fetch from %d: %v", from, err)
			}
		}
		if _, err := c.Fetch(ctx, carillon.MakeSeq(2, 6)); err == nil {
			t.Error("fetch of another epoch works")
		}
		if b, err := c.Fetch(ctx, 0); err != nil || len(b.Records) != 4 {
			t.Errorf("fetch of the rest: %v, %d records", err, len(b.Records))
		}
	})
}

func TestConsumersErrorEndsRun(t *testing.T) {
	broker := openBroker(t, embedded.Config{})
	cfg := ensure(t, broker.Addr(), journal.Config{})
	fault := errors.New("no room in the store")
	err := journal.NewGroup(cfg, testLog(t)).Run(testContext(t), func(ctx context.Context, c *journal.Claim) error {
		if c.Partition() == 2 {
			return fault
		}
		<-ctx.Done()
		return nil
	})
	if !errors.Is(err, fault) {
		t.Errorf("Run ended with %v", err)
	}
}

// TestFailedCommitJoinsAnew: a commit may fail because a broker restarts; that is
// no reason to stop, but the partition must not be left alone either.
func TestFailedCommitJoinsAnew(t *testing.T) {
	broker := openBroker(t, embedded.Config{})
	cfg := ensure(t, broker.Addr(), journal.Config{})
	w, _ := startWriter(t, cfg)
	if err := w.Append(testContext(t), entries(20, 20, "value")); err != nil {
		t.Fatal(err)
	}
	sum := newTally()
	var once sync.Once
	run(t, func(ctx context.Context) error {
		return journal.NewGroup(cfg, slog.New(slog.DiscardHandler)).Run(ctx, func(ctx context.Context, c *journal.Claim) (err error) {
			if c.Partition() == 1 {
				once.Do(func() { err = fmt.Errorf("commit: %w", journal.ErrNotCommitted) })
				if err != nil {
					return err
				}
			}
			return sum.consume("a")(ctx, c)
		})
	})
	sum.wait(t, func() bool { return sum.total == 20 && sum.held("a") == 4 })
}

// TestOverstayingClaimCannotCommit: a consumer that does not return in time has
// lost its generation. Its commit must not overwrite the successor's, and the
// partition's next consumer waits for it.
func TestOverstayingClaimCannotCommit(t *testing.T) {
	broker := openBroker(t, embedded.Config{})
	cfg := ensure(t, broker.Addr(), journal.Config{Partitions: 2, DrainTimeout: 10 * time.Millisecond})
	w, _ := startWriter(t, cfg)
	if err := w.Append(testContext(t), entries(20, 20, "value")); err != nil {
		t.Fatal(err)
	}
	sum := newTally()
	late, refused, begun := make(chan struct{}), make(chan error, 2), make(chan struct{}, 2)
	var old, overlap sync.Map
	a := journal.NewGroup(cfg, slog.New(slog.DiscardHandler))
	run(t, func(ctx context.Context) error {
		return a.Run(ctx, func(ctx context.Context, c *journal.Claim) error {
			if _, again := old.LoadOrStore(c.Partition(), true); again {
				if _, still := overlap.Load(c.Partition()); still {
					t.Errorf("partition %d has two consumers", c.Partition())
				}
				return sum.consume("a")(ctx, c)
			}
			overlap.Store(c.Partition(), true)
			defer overlap.Delete(c.Partition())
			begun <- struct{}{}
			<-late
			refused <- c.Commit(context.WithoutCancel(ctx), carillon.MakeSeq(1, 5))
			return nil
		})
	})
	<-begun
	<-begun
	join(t, cfg, "b", sum)
	sum.wait(t, func() bool { return sum.held("b") == 1 }) // so there is a new generation
	close(late)
	for range 2 {
		if err := <-refused; !errors.Is(err, journal.ErrNotCommitted) {
			t.Errorf("a claim of an ended generation could commit: %v", err)
		}
	}
	sum.wait(t, func() bool { return sum.total == 20 })
}

func TestEnsureRefusesAnotherCount(t *testing.T) {
	broker := openBroker(t, embedded.Config{})
	cfg := ensure(t, broker.Addr(), journal.Config{Partitions: 3})
	if err := journal.Ensure(testContext(t), cfg); err != nil {
		t.Errorf("a second time: %v", err)
	}
	cfg.Partitions = 4
	err := journal.Ensure(testContext(t), cfg)
	if err == nil || !strings.Contains(err.Error(), "has 3 partitions, this configuration pins 4") {
		t.Errorf("another count: %v", err)
	}
}
