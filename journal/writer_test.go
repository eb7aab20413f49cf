package journal_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon"
	"carillon/journal"
	"carillon/journal/embedded"
)

// wantUnavailable checks the error that a caller may answer 503 with.
func wantUnavailable(t *testing.T, err error, says string) {
	t.Helper()
	var e *carillon.Error
	if !errors.As(err, &e) || e.Code != carillon.CodeUnavailable || e.RetryAfter <= 0 || !strings.Contains(e.Message, says) {
		t.Fatalf("got %#v (%v), want an unavailable that says %q", err, err, says)
	}
}

func TestRetriesNeverDouble(t *testing.T) {
	broker := openBroker(t, embedded.Config{Dir: t.TempDir()})
	cfg := ensure(t, broker.Addr(), journal.Config{})
	f := &faulty{next: func() fault { return max(none, fault(rand.IntN(8)-5)) }}
	cfg.Dial = f.dial
	w, stop := startWriter(t, cfg)

	var mu sync.Mutex
	var acked []journal.Entry
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 20 {
				es := entries(25, 10, "value")
				if err := w.Append(testContext(t), es); err != nil {
					t.Error(err)
				}
				mu.Lock()
				acked = append(acked, es...)
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	stop()
	if f.met[halved].Load() == 0 || f.met[muted].Load() == 0 {
		t.Fatal("no fault was met")
	}
	cfg.Dial = nil
	verify(t, read(t, cfg, len(acked)), acked)
}

func TestNoAnswerIsUnknown(t *testing.T) {
	broker := openBroker(t, embedded.Config{Dir: t.TempDir()})
	var mute atomic.Bool
	mute.Store(true)
	f := &faulty{next: func() fault {
		if mute.Load() {
			return muted
		}
		return none
	}}
	cfg := ensure(t, broker.Addr(), journal.Config{Partitions: 1, ProduceTimeout: 300 * time.Millisecond})
	cfg.Dial = f.dial
	w, stop := startWriter(t, cfg)

	first := entries(1, 1, "first")
	wantUnavailable(t, w.Append(testContext(t), first), "unknown")
	wantUnavailable(t, first[0].Err, "Idempotency-Key")
	mute.Store(false)
	second := entries(3, 1, "second")
	if err := w.Append(testContext(t), second); err != nil {
		t.Fatal(err)
	}
	stop()
	got := read(t, cfg, 4)[0]
	if len(got) != 4 || string(got[0].Value) != "first 0" || got[1].Seq != second[0].Position.Seq {
		t.Errorf("the log holds %d records", len(got))
	}
}

func TestCallerMayStopWaiting(t *testing.T) {
	broker := openBroker(t, embedded.Config{})
	cfg := ensure(t, broker.Addr(), journal.Config{})
	w := journal.NewWriter(cfg, &carillon.Clock{}, testLog(t))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	es := entries(10, 10, "value")
	wantUnavailable(t, w.Append(ctx, es), "unknown")
	for i := range es {
		wantUnavailable(t, es[i].Err, "unknown")
	}
	run(t, w.Run) // and what it left behind is appended after all
	more := entries(10, 10, "more")
	if err := w.Append(testContext(t), more); err != nil {
		t.Fatal(err)
	}
	for i := range more {
		if more[i].Position.Seq.Offset() == 0 {
			t.Errorf("entry %d is the first of its partition", i)
		}
		if es[i].Position.Seq != 0 {
			t.Error("an entry was written to after its call had returned")
		}
	}
}

func TestFullBufferWaitsThenRefuses(t *testing.T) {
	broker := openBroker(t, embedded.Config{})
	cfg := ensure(t, broker.Addr(), journal.Config{MaxBufferedBytes: 4 << 10, MaxBatchBytes: 2 << 10})
	w := journal.NewWriter(cfg, &carillon.Clock{}, testLog(t))

	large := entries(1, 1, strings.Repeat("x", 1500))
	var waiting sync.WaitGroup
	for range 2 {
		es := append([]journal.Entry{}, large...)
		waiting.Go(func() {
			if err := w.Append(testContext(t), es); err != nil {
				t.Error(err)
			}
		})
	}
	for { // until both are in and a third finds no room
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		es := append([]journal.Entry{}, large...)
		err := w.Append(ctx, es)
		cancel()
		if err != nil && strings.Contains(err.Error(), "full") {
			wantUnavailable(t, err, "nothing was appended")
			break
		}
		wantUnavailable(t, err, "unknown")
	}
	stop := run(t, w.Run)
	waiting.Wait()

	// Calls larger than the whole buffer go through it piece by piece.
	es := entries(200, 20, strings.Repeat("y", 200))
	if err := w.Append(testContext(t), es); err != nil {
		t.Error(err)
	}
	huge := entries(3, 1, "z")
	huge[1].Value = make([]byte, 4<<10)
	var e *carillon.Error
	if err := w.Append(testContext(t), huge); !errors.As(err, &e) || e.Code != carillon.CodeTooLarge {
		t.Errorf("a record above the batch limit: %v", err)
	}
	if huge[0].Err != nil || huge[2].Err != nil {
		t.Errorf("its neighbours: %v, %v", huge[0].Err, huge[2].Err)
	}
	stop()
	wantUnavailable(t, w.Append(testContext(t), entries(5, 5, "late")), "stopping")
}

func TestStopFlushes(t *testing.T) {
	broker := openBroker(t, embedded.Config{Dir: t.TempDir()})
	cfg := ensure(t, broker.Addr(), journal.Config{})
	w, stop := startWriter(t, cfg)

	var mu sync.Mutex
	var acked []journal.Entry
	var callers sync.WaitGroup
	begun := make(chan struct{}, 16)
	for range 16 {
		callers.Go(func() {
			for i := 0; ; i++ {
				es := entries(10, 10, "value")
				err := w.Append(testContext(t), es)
				mu.Lock()
				for _, e := range es {
					if e.Err == nil {
						acked = append(acked, e)
					}
				}
				mu.Unlock()
				if i == 3 {
					begun <- struct{}{}
				}
				if err != nil {
					wantStopping(t, err)
					return
				}
			}
		})
	}
	<-begun
	stop()
	callers.Wait()
	verify(t, read(t, cfg, len(acked)), acked)
}

func wantStopping(t *testing.T, err error) {
	if !strings.Contains(err.Error(), "stopping") {
		t.Error(err)
	}
}

func TestNoBrokerIsUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	cfg := journal.Config{ProduceTimeout: 200 * time.Millisecond}.Embedded(addr)
	w, _ := startWriter(t, cfg)
	wantUnavailable(t, w.Append(testContext(t), entries(3, 3, "value")), "nothing was appended")

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := journal.Ensure(ctx, cfg); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("Ensure without a broker: %v", err)
	}
}

func TestWriterOutlivesTheBroker(t *testing.T) {
	needsEmbedded(t)
	dir := t.TempDir()
	broker, err := embedded.Open(embedded.Config{Dir: dir}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg := ensure(t, broker.Addr(), journal.Config{})
	w, stop := startWriter(t, cfg)
	acked := entries(100, 10, "before")
	if err := w.Append(testContext(t), acked); err != nil {
		t.Fatal(err)
	}
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	while := entries(100, 10, "while")
	appended := make(chan error, 1)
	go func() { appended <- w.Append(testContext(t), while) }()
	openBroker(t, embedded.Config{Dir: dir, Addr: broker.Addr()})
	if err := <-appended; err != nil {
		t.Fatal(err)
	}
	stop()
	verify(t, read(t, cfg, 200), append(acked, while...))
}

// TestBrokerThatForgotIsTakenUpAgain: a broker that lost its log refuses the
// writer's sequence. What may have been appended is unknown, what comes after is not.
func TestBrokerThatForgotIsTakenUpAgain(t *testing.T) {
	needsEmbedded(t)
	broker, err := embedded.Open(embedded.Config{}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg := ensure(t, broker.Addr(), journal.Config{Partitions: 1})
	w, stop := startWriter(t, cfg)
	if err := w.Append(testContext(t), entries(10, 1, "before")); err != nil {
		t.Fatal(err)
	}
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	broker = openBroker(t, embedded.Config{Addr: broker.Addr()})
	ensure(t, broker.Addr(), journal.Config{Partitions: 1})
	es := entries(10, 1, "after")
	if err := w.Append(testContext(t), es); err != nil { // the old connection broke: it may have been appended
		wantUnavailable(t, err, "unknown")
		if err := w.Append(testContext(t), es); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	verify(t, read(t, cfg, 10), es)
}
