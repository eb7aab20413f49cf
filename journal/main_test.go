package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carillon"
	"carillon/journal"
	"carillon/journal/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests; nothing waits that long when it works.
const patience = 20 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func openBroker(t testing.TB, cfg embedded.Config) *embedded.Broker {
	t.Helper()
	broker, err := embedded.Open(cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	return broker
}

// realKafka names a variable with the address of a Kafka whose
// group.min.session.timeout.ms is 500 or less: the tests that do not need the
// embedded broker itself then run against it.
const realKafka = "CARILLON_TEST_KAFKA"

func needsEmbedded(t testing.TB) {
	if os.Getenv(realKafka) != "" {
		t.Skip("is about the embedded broker")
	}
}

// ensure gives a config for a broker's address with the topic in place.
func ensure(t testing.TB, addr string, cfg journal.Config) journal.Config {
	t.Helper()
	if kafka := os.Getenv(realKafka); kafka != "" {
		addr = kafka
		cfg.Topic = fmt.Sprintf("test.%s.%d", strings.NewReplacer("/", "-", "=", "-").Replace(t.Name()), time.Now().UnixNano())
		cfg.Group = cfg.Topic
	}
	cfg = cfg.Embedded(addr)
	if cfg.SessionTimeout == 0 {
		cfg.SessionTimeout = 2 * time.Second
		cfg.HeartbeatInterval = 50 * time.Millisecond
	}
	if err := journal.Ensure(testContext(t), cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// run runs f until the test ends, or until the returned stop is called, which
// waits for it.
func run(t testing.TB, f func(ctx context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func startWriter(t testing.TB, cfg journal.Config) (w *journal.Writer, stop func()) {
	t.Helper()
	w = journal.NewWriter(cfg, &carillon.Clock{}, testLog(t))
	return w, run(t, w.Run)
}

// ignoreEnd is err, or nil when it only says that ctx ended.
func ignoreEnd(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// read fetches partition p from its start until n records were read.
func read(t testing.TB, cfg journal.Config, n int) map[int32][]journal.Fetched {
	t.Helper()
	got := make(map[int32][]journal.Fetched)
	found := make(chan struct {
		p  int32
		rs []journal.Fetched
	})
	ctx, cancel := context.WithCancel(testContext(t))
	cfg.Group = cfg.Topic + ".read." + t.Name()
	g := journal.NewGroup(cfg, testLog(t))
	done := make(chan error, 1)
	go func() {
		done <- g.Run(ctx, func(ctx context.Context, c *journal.Claim) error {
			for from := c.Start(); ; {
				b, err := c.Fetch(ctx, from)
				if err != nil {
					return ignoreEnd(ctx, err)
				}
				from = b.Next
				select {
				case found <- struct {
					p  int32
					rs []journal.Fetched
				}{c.Partition(), b.Records}:
				case <-ctx.Done():
					return nil
				}
			}
		})
	}()
	for total := 0; total < n; {
		select {
		case f := <-found:
			got[f.p] = append(got[f.p], f.rs...)
			total += len(f.rs)
		case <-ctx.Done():
			t.Errorf("read %d of %d records, then gave up", total, n)
			n = 0
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return got
}
