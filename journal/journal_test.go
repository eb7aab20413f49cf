package journal_test

import (
	"fmt"
	"testing"

	"carillon"
	"carillon/journal"
	"carillon/journal/embedded"
)

func entries(n, users int, value string) []journal.Entry {
	es := make([]journal.Entry, n)
	for i := range es {
		es[i] = journal.Entry{
			Key:   fmt.Appendf(nil, "app.example/user%d", i%users),
			Value: fmt.Appendf(nil, "%s %d", value, i),
		}
	}
	return es
}

// verify checks that every acknowledged entry is in the log where it says, once.
func verify(t *testing.T, got map[int32][]journal.Fetched, acked []journal.Entry) {
	t.Helper()
	at := make(map[carillon.Position]journal.Fetched)
	for p, rs := range got {
		for i, r := range rs {
			if want := carillon.MakeSeq(1, int64(i)); r.Seq != want {
				t.Fatalf("partition %d: record %d has seq %s", p, i, r.Seq)
			}
			at[carillon.Position{Partition: p, Seq: r.Seq}] = r
		}
	}
	for _, e := range acked {
		r, ok := at[e.Position]
		if !ok || string(r.Key) != string(e.Key) || string(r.Value) != string(e.Value) {
			t.Fatalf("%v: %s %s is not there, but %s %s", e.Position, e.Key, e.Value, r.Key, r.Value)
		}
		delete(at, e.Position)
		if e.Journalled != r.Time || r.Time == 0 {
			t.Fatalf("%v: stamped %d, read %d", e.Position, e.Journalled, r.Time)
		}
	}
	if len(at) > 0 {
		t.Errorf("%d records in the log that nobody was told of", len(at))
	}
}

func TestAppendIsFetchedInOrder(t *testing.T) {
	broker := openBroker(t, embedded.Config{Dir: t.TempDir()})
	cfg := ensure(t, broker.Addr(), journal.Config{})
	w, _ := startWriter(t, cfg)

	es := entries(5000, 100, "value")
	for i := 0; i < len(es); i += 1000 {
		if err := w.Append(testContext(t), es[i:i+1000]); err != nil {
			t.Fatal(err)
		}
	}
	verify(t, read(t, cfg, len(es)), es)

	last := make(map[string]carillon.Position)
	for _, e := range es {
		before, ok := last[string(e.Key)]
		if ok && (before.Partition != e.Position.Partition || before.Seq >= e.Position.Seq) {
			t.Fatalf("%s: %v stands after %v", e.Key, before, e.Position)
		}
		last[string(e.Key)] = e.Position
	}
}
