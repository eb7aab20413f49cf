package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"carillon/journal/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "t"

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t *testing.T, cfg embedded.Config) *embedded.Broker {
	t.Helper()
	b, err := embedded.Open(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func connect(t *testing.T, b *embedded.Broker) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func createTopic(t *testing.T, c *kgo.Client) {
	t.Helper()
	r := kmsg.NewCreateTopicsRequestTopic()
	r.Topic, r.NumPartitions, r.ReplicationFactor = topic, 1, 1
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, r)
	res, err := req.RequestWith(bounded(t), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(res.Topics[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// fill appends n records of 1 KiB, a batch each.
func fill(t *testing.T, c *kgo.Client, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		r := &kgo.Record{Topic: topic, Value: fmt.Appendf(make([]byte, 0, 1<<10), "%1024d", i)}
		if err := c.ProduceSync(bounded(t), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// first reads n records and gives the first one's offset.
func first(t *testing.T, c *kgo.Client, n int) int64 {
	t.Helper()
	ctx, at := bounded(t), int64(-1)
	for got := 0; got < n; {
		fs := c.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", got, n, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if at < 0 {
				at = r.Offset
			}
			if want := at + int64(got); r.Offset != want || strings.TrimSpace(string(r.Value)) != fmt.Sprint(want) {
				t.Errorf("record %d at offset %d is %s", got, r.Offset, strings.TrimSpace(string(r.Value)))
			}
			got++
		})
	}
	return at
}

func TestReopenKeepsAll(t *testing.T) {
	cfg := embedded.Config{Dir: filepath.Join(t.TempDir(), "made", "on", "demand"), SegmentBytes: 4 << 10}
	b := open(t, cfg)
	c := connect(t, b)
	createTopic(t, c)
	fill(t, c, 0, 50)
	c.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	cfg.Addr = b.Addr() // the port is kept when it is named
	b2 := open(t, cfg)
	if b2.Addr() != b.Addr() {
		t.Errorf("listens on %s, not %s", b2.Addr(), b.Addr())
	}
	c = connect(t, b2)
	fill(t, c, 50, 10)
	if at := first(t, c, 60); at != 0 {
		t.Errorf("starts at %d", at)
	}
	c.Close()
	if err := b2.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTrimFreesSegments(t *testing.T) {
	dir := t.TempDir()
	cfg := embedded.Config{Dir: dir, SegmentBytes: 4 << 10}
	b := open(t, cfg)
	c := connect(t, b)
	createTopic(t, c)
	fill(t, c, 0, 100)
	before := logBytes(t, dir)
	for _, offset := range []int64{80, 40, 80} { // going back changes nothing
		if err := b.TrimTo(bounded(t), topic, 0, offset); err != nil {
			t.Fatal(err)
		}
	}
	if after := logBytes(t, dir); after > before/2 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
	if err := b.TrimTo(bounded(t), topic, 0, 1000); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("trim beyond the end: %v", err)
	}
	c.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, cfg)
	c = connect(t, b)
	if at := first(t, c, 20); at != 80 {
		t.Errorf("after reopening it starts at %d", at)
	}
	c.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, topic+"-0") || strings.Contains(path, filepath.Join(topic, "0")) && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatal("no segments found", err)
	}
	return found
}

func logBytes(t *testing.T, dir string) (n int64) {
	for _, path := range segments(t, dir) {
		if s, err := os.Stat(path); err == nil {
			n += s.Size()
		}
	}
	return n
}

func TestTornTailIsCutOff(t *testing.T) {
	dir := t.TempDir()
	cfg := embedded.Config{Dir: dir}
	b := open(t, cfg)
	c := connect(t, b)
	createTopic(t, c)
	fill(t, c, 0, 20)
	c.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range segments(t, dir) {
		if !strings.HasSuffix(path, ".dat") && !strings.HasSuffix(path, ".log") {
			continue
		}
		s, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, s.Size()-100); err != nil { // the last batch is torn
			t.Fatal(err)
		}
	}
	var lines strings.Builder
	b, err := embedded.Open(cfg, slog.New(slog.NewTextHandler(&lines, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c = connect(t, b)
	fill(t, c, 19, 3)
	if at := first(t, c, 22); at != 0 {
		t.Errorf("starts at %d", at)
	}
	c.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(lines.String(), "level=WARN") {
		t.Errorf("nothing was logged: %s", lines.String())
	}
}

func TestRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	busy := t.TempDir()
	b := open(t, embedded.Config{Dir: busy})
	defer b.Close()
	f := func(cfg embedded.Config, says string) {
		t.Helper()
		b, err := embedded.Open(cfg, quiet())
		if err == nil {
			t.Errorf("%+v opens", cfg)
			_ = b.Close()
			return
		}
		if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is not one line that says %q", err, says)
		}
	}
	f(embedded.Config{Addr: "0.0.0.0:0"}, "not loopback")
	f(embedded.Config{Addr: ":9092"}, "not loopback")
	f(embedded.Config{Addr: "127.0.0.1"}, "127.0.0.1:port")
	f(embedded.Config{Addr: taken.Addr().String()}, "port 0")
	f(embedded.Config{Dir: filepath.Join(file, "below")}, "choose another data directory")
	f(embedded.Config{Dir: busy}, "in use")
	torn := t.TempDir()
	if err := open(t, embedded.Config{Dir: torn}).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(torn, "meta.json"), 5); err != nil {
		t.Fatal(err)
	}
	f(embedded.Config{Dir: torn}, "restore the data directory")
}
