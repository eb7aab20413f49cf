package gateway

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"carillon"
	"carillon/internal/auth"
	"carillon/journal"
)

// nullJournal assigns positions and keeps nothing.
type nullJournal struct{ next int64 }

func (j *nullJournal) Append(_ context.Context, entries []journal.Entry) error {
	for i := range entries {
		entries[i].Position = carillon.Position{Partition: 1, Seq: carillon.MakeSeq(1, j.next)}
		entries[i].Err = nil
		j.next++
	}
	return nil
}

const benchLines = 10_000

func benchBulk(tb testing.TB, rest string) (g *Gateway, p *auth.Principal, body []byte) {
	tb.Helper()
	apps, err := carillon.NewApps([]carillon.App{{Host: "app.example.com", Clients: []string{"c"}}})
	if err != nil {
		tb.Fatal(err)
	}
	g = New(Config{}, Deps{
		Apps: func() *carillon.Apps { return apps }, Journal: &nullJournal{}, IDs: &carillon.IDKey{1},
		Clock: &carillon.Clock{}, Log: slog.New(slog.DiscardHandler), Partitions: 4,
	})
	var text bytes.Buffer
	for i := range benchLines {
		fmt.Fprintf(&text, `{"userId":"dev.user-%09d","targetHostName":"app.example.com"%s,"payload":{"visualContent":{"title":"Your order has shipped","body":"Parcel 1234 leaves the depot today and arrives tomorrow before noon, said the courier."}},"priority":"High"}`+"\n",
			i*7919%1_000_000, strings.ReplaceAll(rest, "#", fmt.Sprint(i)))
	}
	return g, &auth.Principal{Client: "c", Roles: []string{auth.RoleSend}}, text.Bytes()
}

// pass is a bulk request without its HTTP.
func pass(ctx context.Context, tb testing.TB, g *Gateway, p *auth.Principal, b *bulk, body []byte, minimal bool) {
	tb.Helper()
	if err := b.begin(body, 1<<20, testNow); err != nil {
		tb.Fatal(err)
	}
	g.readLines(b, p, body)
	if b.good != benchLines {
		tb.Fatalf("%d good lines: %.300s", b.good, b.faults)
	}
	if err := g.appendLines(ctx, b); err != nil {
		tb.Fatal(err)
	}
	g.render(b, minimal)
}

func BenchmarkBulkLine(b *testing.B) {
	for _, c := range []struct {
		name, rest string
		minimal    bool
	}{
		{"ids", "", false},
		{"minimal", "", true},
		{"keyed", `,"idempotencyKey":"k-#"`, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			g, p, body := benchBulk(b, c.rest)
			work := &bulk{}
			pass(b.Context(), b, g, p, work, body, c.minimal)
			b.ReportAllocs()
			for b.Loop() {
				pass(b.Context(), b, g, p, work, body, c.minimal)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchLines, "ns/line")
			b.ReportMetric(float64(len(body))/benchLines, "B/line")
		})
	}
}

// TestBulkLineMakesNoGarbage holds the hot path to its budget: what is
// allocated does not grow with the lines.
func TestBulkLineMakesNoGarbage(t *testing.T) {
	g, p, body := benchBulk(t, "")
	work := &bulk{}
	pass(t.Context(), t, g, p, work, body, false)
	if n := testing.AllocsPerRun(5, func() { pass(t.Context(), t, g, p, work, body, false) }); n > 50 {
		t.Errorf("%v allocations for %d lines", n, benchLines)
	}
}
