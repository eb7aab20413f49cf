package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"carillon"
	"carillon/gateway"
	"carillon/journal"
	"carillon/journal/embedded"
)

// TestOnRealJournal sends through the real writer to a real broker, and finds
// every id again at the place that it names.
func TestOnRealJournal(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	broker, err := embedded.Open(embedded.Config{Dir: t.TempDir()}, log)
	if err != nil {
		t.Fatal(err)
	}
	cfg := journal.Config{Partitions: partitions}.Embedded(broker.Addr())
	if err := journal.Ensure(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	w := journal.NewWriter(cfg, &carillon.Clock{}, log)
	run.Go(func() { _ = w.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		run.Wait()
		_ = broker.Close()
	})

	r := newRigOn(t, gateway.Config{}, w)
	const lines = 12_000
	var body bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&body, "%s\n", line(fmt.Sprintf("dev.u%d", i%500), fmt.Sprintf(`,"groupName":"g%d"`, i)))
	}
	a := r.want(r.call("POST", bulk, r.app(), body.String(), "Content-Type", "application/x-ndjson"), 200)
	ids := bytes.Split(bytes.TrimSuffix(a.body, []byte{'\n'}), []byte{'\n'})
	if len(ids) != lines+1 || !bytes.Contains(ids[lines], []byte(`"accepted":12000,"failed":0`)) {
		t.Fatalf("%d lines, last %s", len(ids), ids[len(ids)-1])
	}
	single := r.want(r.call("POST", "/beta/users/dev.u7/notifications", r.app(), visual("")), 201)

	records := readJournal(t, cfg, lines+1)
	find := func(user, id string) *carillon.Notification {
		t.Helper()
		u := carillon.User{Host: host, ID: user}
		parsed, err := carillon.ParseID(id)
		if err != nil {
			t.Fatal(err)
		}
		pos, ok := r.ids.Position(u.Hash(), parsed)
		rec, found := records[pos]
		if !ok || !found || rec.key != u.Key() {
			t.Fatalf("%s of %s: position %v %v, record %v %q", id, user, pos, ok, found, rec.key)
		}
		return &rec.rec.Notification
	}
	for i, l := range ids[:lines] {
		var m struct{ ID string }
		if err := json.Unmarshal(l, &m); err != nil {
			t.Fatal(err)
		}
		if n := find(fmt.Sprintf("dev.u%d", i%500), m.ID); n.Group != fmt.Sprintf("g%d", i) {
			t.Fatalf("line %d: %q", i, n.Group)
		}
	}
	if n := find("dev.u7", single.str("id")); n.Title != "Hello" {
		t.Errorf("%+v", n)
	}
}

// readJournal reads everything, which must be want records.
func readJournal(t *testing.T, cfg journal.Config, want int) map[carillon.Position]appended {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	all := map[carillon.Position]appended{}
	g := journal.NewGroup(cfg, slog.New(slog.DiscardHandler))
	_ = g.Run(ctx, func(ctx context.Context, c *journal.Claim) error {
		for from := c.Start(); ; {
			b, err := c.Fetch(ctx, from)
			if err != nil {
				return nil //nolint:nilerr // the end
			}
			mu.Lock()
			for _, f := range b.Records {
				a := appended{key: string(f.Key), at: carillon.Position{Partition: c.Partition(), Seq: f.Seq}}
				if err := a.rec.Decode(bytes.Clone(f.Value)); err != nil {
					t.Error(err)
				}
				all[a.at] = a
			}
			if len(all) >= want {
				cancel()
			}
			mu.Unlock()
			from = b.Next
		}
	})
	if len(all) != want {
		t.Fatalf("%d records, want %d", len(all), want)
	}
	return all
}
