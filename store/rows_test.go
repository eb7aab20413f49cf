package store_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const accepted = int64(1_795_000_000_123)

var alice = carillon.User{Host: "app.example.com", ID: "dev.alice"}

// samples are one of each row, with every field that a row can hold.
func sampleItem() *carillon.Item {
	return &carillon.Item{
		Created: carillon.MakeSeq(1, 1000), Content: carillon.MakeSeq(1, 1010), Partition: 3,
		ID:       carillon.ID{1, 2, 3, 4, 5, 6, 0x87, 8, 0x89, 10, 11, 12, 13, 14, 15, 16},
		Accepted: accepted, Journalled: accepted + 2, Planned: accepted + 5, Expires: accepted + 7*86_400_000,
		Body:  []byte("body"),
		State: carillon.State{Read: true, Action: carillon.Dismissed, ReadSeq: carillon.MakeSeq(1, 1020), ActionSeq: carillon.MakeSeq(1, 1021)},
		Feed:  carillon.MakeSeq(1, 1021),
		Deliveries: []carillon.Delivery{
			{
				Endpoint: "phone", Incarnation: carillon.MakeSeq(1, 900), Addressed: carillon.MakeSeq(1, 950), Platform: carillon.IOS,
				Kind: carillon.KindAlert, Attempts: 1, Handed: accepted + 6, Answered: accepted + 9,
				Outcome: carillon.Outcome{Class: carillon.Accepted, Status: 200},
			},
			{
				Endpoint: "desk", Incarnation: carillon.MakeSeq(1, 800), Addressed: carillon.MakeSeq(1, 800), Platform: carillon.Windows,
				Kind: carillon.KindTap, Attempts: 2, Handed: accepted + 7, Answered: accepted + 70,
				Outcome: carillon.Outcome{Class: carillon.Gone, Reason: "gone", Status: 410, Since: accepted - 5000},
			},
			{
				Endpoint: "tablet", Platform: carillon.Android, Kind: carillon.KindData,
				Outcome: carillon.Outcome{Class: carillon.ThrottledEndpoint, Reason: "a reason without a code", After: 3 * time.Second, Unsent: true},
			},
		},
	}
}

// plainItem is the row of the normal path.
func plainItem() *carillon.Item {
	it := sampleItem()
	it.Content, it.ID, it.State, it.Feed = it.Created, carillon.ID{}, carillon.State{}, it.Created
	it.Deliveries = it.Deliveries[:1]
	it.Deliveries[0].Addressed = it.Deliveries[0].Incarnation
	return it
}

func sampleOutcome() *carillon.OutcomeRow {
	it := sampleItem()
	return &carillon.OutcomeRow{User: alice, Created: it.Created, Content: it.Content, Expires: it.Expires, Delivery: it.Deliveries[1]}
}

// dueOutcome waits for its retry, parkedItem for its lane.
func dueOutcome() *carillon.OutcomeRow {
	o := sampleOutcome()
	o.Outcome = carillon.Outcome{Class: carillon.Transient, Status: 503}
	o.Hint, o.Due = carillon.HintDue, o.Answered+1500
	return o
}

func parkedItem() *carillon.Item {
	it := plainItem()
	it.Deliveries[0] = carillon.Delivery{
		Endpoint: "phone", Incarnation: carillon.MakeSeq(1, 900), Addressed: carillon.MakeSeq(1, 900),
		Platform: carillon.IOS, Kind: carillon.KindAlert, Hint: carillon.HintParked,
	}
	return it
}

// openedOutcome was parked, then accepted, fetched and opened.
func openedOutcome() *carillon.OutcomeRow {
	o := sampleOutcome()
	o.Outcome = carillon.Outcome{Class: carillon.Accepted, Status: 200}
	o.Parked, o.Fetched, o.Opened = o.Handed-500, o.Answered+3000, o.Answered+5000
	return o
}

func sampleSync() *carillon.Sync {
	seq := func(n int64) carillon.Seq { return carillon.MakeSeq(1, n) }
	return &carillon.Sync{
		Expires: accepted + 86_400_000, Lost: seq(900), Recent: []carillon.ClearedID{{ID: sampleItem().ID, At: seq(1020)}},
		Endpoints: []carillon.EndpointSync{
			{
				Endpoint: "phone", Incarnation: seq(900), Owed: seq(1020), Cleared: seq(1020), Acked: seq(1015),
				Seen: carillon.Trail{{Seq: seq(1000), At: accepted + 3000}, {Seq: seq(1015), At: accepted + 9000}},
				Told: carillon.Trail{{Seq: seq(1020), At: accepted + 9500}},
			},
			{Endpoint: "desk", Incarnation: seq(800), Owed: seq(1020), Until: accepted + 86_400_000, Due: accepted + 5000, Attempts: 2, Behind: true},
		},
	}
}

func sampleDue() *carillon.DueRow {
	o := dueOutcome()
	return &carillon.DueRow{Partition: 3, At: o.Due, Expires: o.Expires, Ref: carillon.Ref{
		User: alice, Created: o.Created, Content: o.Content, Endpoint: o.Endpoint, Kind: o.Kind,
	}}
}

func sampleParked() *carillon.ParkedRow {
	return &carillon.ParkedRow{
		Partition: 3, ParkedLane: carillon.ParkedLane{Lane: carillon.Lane{Platform: carillon.IOS, Host: alice.Host}, Low: true}, Expires: accepted, Ref: sampleDue().Ref,
	}
}

func sampleLedger() *carillon.LedgerRow {
	row := &carillon.LedgerRow{
		Partition: 3, From: carillon.MakeSeq(1, 1000), To: carillon.MakeSeq(1, 1500), Records: 480, Planned: 900, Open: 20, Expires: accepted + 30*86_400_000,
	}
	row.Terminal[carillon.Accepted], row.Terminal[carillon.Gone] = 870, 10
	return row
}

// sampleEnded is a row of a log with two entries: one with every field, and one
// of the normal path.
func sampleEnded() []byte {
	whole, plain := sampleItem(), plainItem()
	var run store.EndedRun
	run.Begin(accepted + 100)
	run.Add(&carillon.EndedRow{User: alice, Item: whole, Delivery: &whole.Deliveries[1]})
	run.Add(&carillon.EndedRow{User: alice, Item: plain, Delivery: &plain.Deliveries[0]})
	return run.Value
}

func sampleEndpoint() *carillon.Endpoint {
	return &carillon.Endpoint{
		ID: "phone", Platform: carillon.IOS, Address: "c0ffee", AppID: "com.example.app", Environment: "sandbox", Locale: "de-CH",
		Push: carillon.TapOnly, Expires: accepted + 30*86_400_000, Incarnation: carillon.MakeSeq(1, 900),
		Addressed: carillon.MakeSeq(1, 950), Version: carillon.MakeSeq(1, 990), Registered: accepted - 1000,
	}
}

func sampleIdem() *carillon.Idem {
	return &carillon.Idem{
		RID: carillon.RequestID{0xaa, 0xbb}, BodyHash: [16]byte{0xcc}, Seq: carillon.MakeSeq(1, 1000),
		ID: sampleItem().ID, Expires: accepted + 86_400_000,
	}
}

func TestGoldenRows(t *testing.T) {
	progress := carillon.Progress{Partition: 3, Applied: carillon.MakeSeq(1, 1001), Settled: carillon.MakeSeq(1, 990)}
	golden(t, "rows", []string{
		"item " + hex.EncodeToString(store.AppendItem(nil, sampleItem())),
		"item plain " + hex.EncodeToString(store.AppendItem(nil, plainItem())),
		"outcome " + hex.EncodeToString(store.AppendOutcome(nil, sampleOutcome())),
		"endpoint " + hex.EncodeToString(store.AppendEndpoint(nil, sampleEndpoint(), false)),
		"endpoint left " + hex.EncodeToString(store.AppendEndpoint(nil, sampleEndpoint(), true)),
		"idem " + hex.EncodeToString(store.AppendIdem(nil, sampleIdem())),
		"reference " + hex.EncodeToString(store.AppendRef(nil, store.Ref{Created: carillon.MakeSeq(1, 1000), Expires: accepted})),
		"progress " + hex.EncodeToString(store.AppendProgress(nil, progress)),
		"outcome due " + hex.EncodeToString(store.AppendOutcome(nil, dueOutcome())),
		"item parked " + hex.EncodeToString(store.AppendItem(nil, parkedItem())),
		"hint " + hex.EncodeToString(store.AppendHint(nil, sampleDue().Ref.Kind, sampleDue().Expires)),
		"ledger " + hex.EncodeToString(store.AppendLedger(nil, sampleLedger())),
		"outcome opened " + hex.EncodeToString(store.AppendOutcome(nil, openedOutcome())),
		"sync " + hex.EncodeToString(store.AppendSync(nil, sampleSync())),
		"ended " + hex.EncodeToString(sampleEnded()),
		"place " + hex.EncodeToString(store.AppendPlace(nil, sampleItem())),
		"ended from " + hex.EncodeToString(store.AppendEndedFrom(nil, store.EndedRowAt(accepted))),
	})
}

// TestRowsOfBeforeHints: rows that were written before there were hints say that
// there is none.
func TestRowsOfBeforeHints(t *testing.T) {
	row := func(s string) []byte {
		t.Helper()
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	o := carillon.OutcomeRow{User: alice, Created: sampleOutcome().Created, Content: sampleOutcome().Content, Delivery: carillon.Delivery{Endpoint: "desk"}}
	err := store.DecodeOutcome(row("013ef68997a6c2686b010309028f03179a038fdee4c004f18fe4c0047e"), &o)
	if d := cmp.Diff(sampleOutcome(), &o); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
	var it carillon.Item
	err = store.DecodeItem(row("011803f6f9b2e5bd688090e4c004040a010570686f6e656102010601c701c8010c06626f6479"), plainItem().Created, &it)
	if d := cmp.Diff(plainItem(), &it); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
}

// TestPlaceHoldsItsItem: whole but for deliveries and the next version; the row
// that only leads to it is of before.
func TestPlaceHoldsItsItem(t *testing.T) {
	var got carillon.Item
	want := *sampleItem()
	ref := store.Ref{Created: want.Created, Expires: want.Expires}
	f, whole, err := store.DecodePlace(store.AppendPlace(nil, &want), &got)
	want.Deliveries, want.Next = nil, carillon.Next{}
	if d := cmp.Diff(&want, &got); err != nil || !whole || f != ref || d != "" {
		t.Errorf("%v %t %v (-want +got)\n%s", f, whole, err, d)
	}
	if f, whole, err := store.DecodePlace(store.AppendRef(nil, ref), &got); f != ref || whole || err != nil {
		t.Errorf("a row of before: %v %t %v", f, whole, err)
	}
	if f, err := store.DecodeRef(store.AppendPlace(nil, &want)); f != ref || err != nil {
		t.Errorf("its head: %v %v", f, err)
	}
}

// TestGoldenReasons pins the codes of reasons by the rows that carry them.
func TestGoldenReasons(t *testing.T) {
	var lines []string
	for code := byte(1); ; code++ {
		row := store.AppendOutcome(nil, &carillon.OutcomeRow{Delivery: carillon.Delivery{Outcome: carillon.Outcome{Reason: "?"}}})
		at := strings.Index(string(row), "?") - 2 // the code 0, a length, the reason
		row = append(row[:at:at], code)
		var o carillon.OutcomeRow
		if store.DecodeOutcome(row, &o) != nil {
			break
		}
		lines = append(lines, fmt.Sprintf("%d %s", code, o.Outcome.Reason))
	}
	golden(t, "reasons", lines)
}

func golden(t *testing.T, name string, lines []string) {
	t.Helper()
	got := strings.Join(lines, "\n") + "\n"
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("rows that are written already would not be read (-want +got):\n%s", d)
	}
}

func TestItemOverhead(t *testing.T) {
	it := plainItem()
	n := len(store.AppendItem(nil, it)) - len(it.Body)
	if n > 48 {
		t.Errorf("a plain item takes %d bytes beside its body, want 48 at most", n)
	}
}

// TestEndedSize: what the normal path leaves in the log of outcomes is small
// beside its row.
func TestEndedSize(t *testing.T) {
	it := plainItem()
	row := carillon.EndedRow{User: alice, Item: it, Delivery: &it.Deliveries[0]}
	var run store.EndedRun
	run.Begin(accepted + 20)
	run.Add(&row)
	one := len(run.Value)
	run.Add(&row)
	if n := len(run.Value) - one - len(alice.ID) - len(it.Deliveries[0].Endpoint); n > 16 {
		t.Errorf("an entry takes %d bytes beside user and installation, want 16 at most", n)
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 4096)
	it, o, e, m := sampleItem(), sampleOutcome(), sampleEndpoint(), sampleIdem()
	due, parked, ledger := sampleDue(), sampleParked(), sampleLedger()
	run := store.EndedRun{Value: make([]byte, 0, 4096)}
	ended := carillon.EndedRow{User: alice, Item: it, Delivery: &it.Deliveries[1]}
	if n := testing.AllocsPerRun(100, func() {
		buf = store.AppendItem(buf[:0], it)
		buf = store.AppendItemKey(buf, 7, alice, it.Created)
		buf = store.AppendOutcome(buf, o)
		buf = store.AppendOutcomeKey(buf, 7, o)
		buf = store.AppendEndpoint(buf, e, false)
		buf = store.AppendIdem(buf, m)
		buf = store.AppendDueKey(buf, due)
		buf = store.AppendParkedKey(buf, parked)
		buf = store.AppendHint(buf, due.Ref.Kind, due.Expires)
		buf = store.AppendLedger(buf, ledger)
		buf = store.AppendEndedKey(buf, 3, 5)
		run.Begin(accepted)
		run.Add(&ended)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestDecodeRefusesOtherFormats(t *testing.T) {
	row := store.AppendItem(nil, sampleItem())
	row[0]++
	if err := store.DecodeItem(row, 1, &carillon.Item{}); err == nil {
		t.Error("a row of the next format was read")
	}
}

func BenchmarkAppendItem(b *testing.B) {
	it := plainItem()
	it.Body = make([]byte, 330)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = store.AppendItem(buf[:0], it)
	}
}

func BenchmarkEndedAdd(b *testing.B) {
	it := plainItem()
	row := carillon.EndedRow{User: alice, Item: it, Delivery: &it.Deliveries[0]}
	var run store.EndedRun
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%500 == 0 {
			run.Begin(accepted)
		}
		run.Add(&row)
	}
}
