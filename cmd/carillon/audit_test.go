package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carillon"
	"carillon/config"
	"carillon/internal/auth"
	"carillon/store/pebble"
)

// shop is a data directory with a store that is filled by hand.
type shop struct {
	*testing.T

	data string
	s    *pebble.Store
	now  int64
}

func newShop(t *testing.T) *shop {
	t.Helper()
	clock := &carillon.Clock{}
	data := t.TempDir()
	if _, err := auth.LoadMaster(filepath.Join(data, masterFile), true); err != nil {
		t.Fatal(err)
	}
	s, err := pebble.Open(pebble.Config{Dir: filepath.Join(data, "store")}, clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &shop{T: t, data: data, s: s, now: clock.UnixMilli()}
}

func (s *shop) write(rows *carillon.Rows) {
	s.Helper()
	if err := s.s.Write(rows, true); err != nil {
		s.Fatal(err)
	}
}

func (s *shop) report() *auditReport {
	s.Helper()
	r, err := auditStore(s.Context(), s.s)
	if err != nil {
		s.Fatal(err)
	}
	return r
}

func at(offset int64) carillon.Seq { return carillon.MakeSeq(1, offset) }

// item is one at the offset with a delivery that ended, one that is due and one
// that is parked, and their hints.
func (s *shop) item(offset int64) *carillon.Rows {
	u := carillon.User{Host: "demo.localhost", ID: fmt.Sprint("dev.", offset)}
	expires := s.now + time.Hour.Milliseconds()
	it := &carillon.Item{Created: at(offset), Content: at(offset), Partition: 2, Accepted: s.now, Expires: expires, Body: []byte("x"), Deliveries: []carillon.Delivery{
		{Endpoint: "pc", Platform: carillon.Windows, Kind: carillon.KindAlert, Attempts: 1, Outcome: carillon.Outcome{Class: carillon.Accepted}},
		{Endpoint: "phone", Platform: carillon.IOS, Kind: carillon.KindAlert, Attempts: 1, Outcome: carillon.Outcome{Class: carillon.Transient}, Hint: carillon.HintDue, Due: s.now + 5000},
		{Endpoint: "tablet", Platform: carillon.Android, Kind: carillon.KindAlert, Hint: carillon.HintParked},
	}}
	ref := func(i int) carillon.Ref {
		return carillon.Ref{User: u, Created: at(offset), Content: at(offset), Endpoint: it.Deliveries[i].Endpoint, Kind: it.Deliveries[i].Kind}
	}
	return &carillon.Rows{
		Items:  []carillon.ItemRow{{User: u, Item: it}},
		Dues:   []carillon.DueRow{{Partition: 2, At: s.now + 5000, Ref: ref(1), Expires: expires}},
		Parked: []carillon.ParkedRow{{Partition: 2, ParkedLane: carillon.ParkedLane{Lane: carillon.Lane{Platform: carillon.Android, Host: u.Host}, Low: offset%2 == 0}, Ref: ref(2), Expires: expires}},
	}
}

// ledger settles the range with one item a record.
func (s *shop) ledger(from, to int64) *carillon.Rows {
	row := carillon.LedgerRow{Partition: 2, From: at(from), To: at(to), Records: to - from, Planned: 3 * (to - from), Open: 2 * (to - from), Expires: s.now + carillon.MaxLife.Milliseconds()}
	row.Terminal[carillon.Accepted] = to - from
	return &carillon.Rows{Ledger: []carillon.LedgerRow{row}, Positions: []carillon.Progress{{Partition: 2, Applied: at(to + 1), Settled: at(to)}}}
}

// stock is a store that closes: records 0 to 9 are settled in three ranges, 10
// is not.
func (s *shop) stock() {
	s.Helper()
	for offset := range int64(11) {
		s.write(s.item(offset))
	}
	for _, r := range [][2]int64{{0, 4}, {4, 5}, {5, 10}} {
		s.write(s.ledger(r[0], r[1]))
	}
}

func TestAuditCloses(t *testing.T) {
	s := newShop(t)
	s.stock()
	r := s.report()
	if !r.Closed || r.Items != 10 || r.Unsettled != 1 || r.Due != 11 || r.Parked != 11 || r.Deliveries["accepted"] != 10 || r.Deliveries["open"] != 10 {
		t.Errorf("%+v", r)
	}
	var b strings.Builder
	r.write(&b)
	for _, want := range []string{"partition 2   1/0 … 1/10: 3 ranges of 10 records, 30 planned = 10 accepted + 20 waiting", "closed  "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

// TestAuditFinds: each thing that may go wrong is told, with whom it concerns.
func TestAuditFinds(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(s *shop)
	}{
		{"a range is missing", "partition 2: the ledger's range up to 1/5 is followed by one from 1/6", func(s *shop) {
			s.write(s.ledger(6, 10))
			r := s.ledger(5, 5)
			r.Positions = nil
			s.write(r)
		}},
		{"the end is missing", "partition 2: the ledger ends at 1/10, but 1/12 is settled", func(s *shop) {
			s.write(&carillon.Rows{Positions: []carillon.Progress{{Partition: 2, Settled: at(12)}}})
		}},
		{"a range does not balance", "partition 2: range 1/4 … 1/5 planned 4, but 1 ended and 2 waited", func(s *shop) {
			r := s.ledger(4, 5)
			r.Ledger[0].Planned++
			s.write(r)
		}},
		{"more items than planned", "partition 2: its items hold 30 settled deliveries, its ledger counted 27 only", func(s *shop) {
			r := s.ledger(4, 5)
			r.Ledger[0].Planned, r.Ledger[0].Open, r.Ledger[0].Terminal = 0, 0, [carillon.Classes]int64{}
			s.write(r)
		}},
		{"an item before the ledger", "no range of the ledger of partition 2 covers it", func(s *shop) {
			r := s.item(9)
			r.Items[0].Item.Created, r.Items[0].Item.Content = carillon.Seq(5), carillon.Seq(5)
			r.Items[0].Item.Deliveries = nil
			s.write(&carillon.Rows{Items: r.Items})
		}},
		{"a due row is lost", "demo.localhost/dev.7 1/7 phone: it is due, in 0 places", func(s *shop) {
			r := s.item(7)
			r.Dues[0].Done = true
			s.write(&carillon.Rows{Dues: r.Dues})
		}},
		{"a parked row is lost", "demo.localhost/dev.7 1/7 tablet: it is parked, in 0 places", func(s *shop) {
			r := s.item(7)
			r.Parked[0].Done = true
			s.write(&carillon.Rows{Parked: r.Parked})
		}},
		{"a delivery waits twice", "demo.localhost/dev.7 1/7 tablet: it is parked, in 2 places", func(s *shop) {
			r := s.item(7)
			r.Parked[0].Low = !r.Parked[0].Low
			s.write(&carillon.Rows{Parked: r.Parked})
		}},
		{"a due row of another time", "demo.localhost/dev.7 1/7 phone: it waits, but no delivery of the item is open there", func(s *shop) {
			r := s.item(7)
			r.Dues[0].At++
			s.write(&carillon.Rows{Dues: r.Dues})
		}},
		{"a hint of an ended delivery", "demo.localhost/dev.7 1/7 tablet: it waits, but no delivery", func(s *shop) {
			r := s.item(7)
			d := r.Items[0].Item.Deliveries[2]
			d.Outcome.Class, d.Hint = carillon.Gone, carillon.HintNone
			s.write(&carillon.Rows{Outcomes: []carillon.OutcomeRow{{User: r.Items[0].User, Created: at(7), Content: at(7), Expires: r.Items[0].Item.Expires, Delivery: d}}})
		}},
		{"a hint without an item", "demo.localhost/dev.99 1/99 phone: it waits, but there is no such item", func(s *shop) {
			s.write(&carillon.Rows{Dues: s.item(99).Dues})
		}},
		{"nobody knows", "demo.localhost/dev.7 1/7 tablet: it is open and waits nowhere", func(s *shop) {
			r := s.item(7)
			r.Items[0].Item.Deliveries[2].Hint = carillon.HintNone
			s.write(&carillon.Rows{Items: r.Items})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			s.stock()
			c.change(s)
			r := s.report()
			if r.Closed || len(r.Problems) == 0 || !strings.Contains(strings.Join(r.Problems, "\n"), c.want) {
				t.Errorf("want %q, got %q", c.want, r.Problems)
			}
		})
	}
}

// TestAuditLeavesAlone: what is on its way, replaced or expired is no problem.
func TestAuditLeavesAlone(t *testing.T) {
	s := newShop(t)
	s.stock()
	r := s.item(10) // not settled: its shard has it in memory
	r.Items[0].Item.Deliveries[2].Hint = carillon.HintNone
	r.Parked[0].Done = true
	s.write(&carillon.Rows{Items: r.Items, Parked: r.Parked})
	r = s.item(3) // replaced by record 11
	r.Items[0].Item.Content, r.Items[0].Item.Deliveries = at(11), nil
	s.write(&carillon.Rows{Items: r.Items})
	r = s.item(50) // hints of an item that expired
	r.Dues[0].Expires, r.Parked[0].Expires = s.now-1, s.now-1
	s.write(&carillon.Rows{Dues: r.Dues, Parked: r.Parked})
	got := s.report()
	if !got.Closed || got.Stale != 2 || got.Due != 11 || got.Parked != 10 {
		t.Errorf("%+v", got)
	}
}

func TestAuditOfADataDirectory(t *testing.T) {
	s := newShop(t)
	s.stock()
	if code, _, fault := call(t, "audit", "--data", s.data); code != exitFailed || !strings.Contains(fault, "in use by another") {
		t.Errorf("%d %s", code, fault)
	}
	_ = s.s.Close()
	code, out, fault := call(t, "audit", "--data", s.data, "--json")
	var r auditReport
	if err := json.Unmarshal([]byte(out), &r); code != exitOK || err != nil || !r.Closed || r.Items != 10 {
		t.Errorf("%d %v %s %s", code, err, out, fault)
	}
	if err := inStore(filepath.Join(s.data, "store"), &carillon.Clock{}, func(p *pebble.Store) error {
		for offset := range int64(30) { // 30 problems
			r := s.item(100 + offset)
			if err := p.Write(&carillon.Rows{Dues: r.Dues}, true); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	code, out, fault = call(t, "audit", "--data", s.data)
	if code != exitFailed || strings.Count(out, "PROBLEM") != auditProblems || !strings.Contains(out, "and 10 more") || !strings.Contains(fault, "it does not close: 30 problems") {
		t.Errorf("%d\n%s%s", code, out, fault)
	}
}

// TestAuditMissesRows: a store that lost its last rows agrees with itself, but
// not with its journal.
func TestAuditMissesRows(t *testing.T) {
	data := t.TempDir()
	if code, _, fault := call(t, "demo", "--data", data, "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"); code != exitOK {
		t.Fatal(fault)
	}
	logs, err := filepath.Glob(filepath.Join(data, "store", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, log := range logs {
		if err := os.Remove(log); err != nil {
			t.Fatal(err)
		}
	}
	code, out, fault := call(t, "audit", "--data", data)
	if code != exitFailed || !strings.Contains(out, "but the store knows of 0/0 only") || !strings.Contains(fault, "it does not close") {
		t.Errorf("%d\n%s%s", code, out, fault)
	}
}

// TestRestore: what a backup holds comes back, what was under way ends, and the
// journal goes on in the next epoch.
func TestRestore(t *testing.T) {
	s := newShop(t)
	s.stock()
	r := s.item(12) // under way: nothing is known of one delivery
	r.Items[0].Item.Deliveries[2].Hint = carillon.HintNone
	s.write(&carillon.Rows{Items: r.Items, Dues: r.Dues})
	_ = s.s.Close()
	dir := t.TempDir()
	to, data := filepath.Join(dir, "deep", "backup"), filepath.Join(dir, "data")
	for _, args := range [][]string{
		{"backup", "--data", s.data, "--to", to}, {"restore", "--from", to, "--data", data, "--json"}, {"audit", "--data", data},
	} {
		code, out, fault := call(t, args...)
		if code != exitOK {
			t.Fatalf("%q: %d %s%s", args, code, out, fault)
		}
		if args[0] == "restore" && (!strings.Contains(out, `"underWay": 2`) || !strings.Contains(out, `"unconfirmed": 1`) || !strings.Contains(out, `"epoch": 2`)) {
			t.Error(out)
		}
	}
	if epoch, err := epochOf(data, 1); epoch != 2 || err != nil {
		t.Error(epoch, err)
	}
	for _, secret := range []string{filepath.Join(to, masterFile), filepath.Join(data, masterFile)} {
		if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	err := inStore(filepath.Join(data, "store"), &carillon.Clock{}, func(p *pebble.Store) error {
		it, err := p.Item(r.Items[0].User, at(12))
		if err != nil || it.Deliveries[2].Outcome != (carillon.Outcome{Class: carillon.Unconfirmed, Reason: "storeLost"}) || it.Deliveries[1].Hint != carillon.HintDue {
			t.Errorf("%+v, %v", it, err)
		}
		progress, err := p.Progress(2)
		if progress.Settled != at(13) || progress.Applied != at(13) {
			t.Errorf("%+v", progress)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ want, from, data string }{
		{"is not empty", to, data},
		{"is no whole backup", s.data, filepath.Join(dir, "other")},
	} {
		if code, _, fault := call(t, "restore", "--from", c.from, "--data", c.data); code != exitFailed || !strings.Contains(fault, c.want) {
			t.Errorf("%d %s", code, fault)
		}
	}
	if code, _, fault := call(t, "backup", "--data", data, "--to", to); code != exitFailed || !strings.Contains(fault, "is there already") {
		t.Errorf("%d %s", code, fault)
	}
	again := filepath.Join(dir, "again") // a backup of the restored one goes on from its epoch
	if code, _, fault := call(t, "backup", "--data", data, "--to", again); code != exitOK {
		t.Fatal(fault)
	}
	if m, err := readManifest(again); err != nil || m.Epoch != 2 {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestLiveAuditAndBackup asks a running system, and serves what it backed up.
func TestLiveAuditAndBackup(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreTopFunction("time.Sleep")) // fasthttp's clock
	dir := t.TempDir()
	serve := func(data string, while func(ops string)) {
		t.Helper()
		e := &env{stdin: strings.NewReader(""), stdout: &strings.Builder{}, stderr: &strings.Builder{}}
		cfg, err := e.load(config.Options{Set: []config.Setting{
			{Key: "data", Value: data, Flag: "data"}, {Key: "http.listen", Value: "127.0.0.1:0", Flag: "listen"}, {Key: "ops.listen", Value: "127.0.0.1:0", Flag: "ops"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.serve(t.Context(), cfg, slog.New(slog.DiscardHandler), func(ctx context.Context, sys *system) error {
			if err := e.demo(ctx, sys, false); err != nil {
				return err
			}
			while(sys.ops.Addr())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	backup := filepath.Join(dir, "backup")
	serve(filepath.Join(dir, "data"), func(ops string) {
		for _, args := range [][]string{{"audit"}, {"backup", "--to", backup}} {
			if code, out, fault := call(t, append(args, "--ops", ops)...); code != exitOK {
				t.Errorf("%q: %d %s%s", args, code, out, fault)
			}
		}
	})
	second := filepath.Join(dir, "second")
	if code, _, fault := call(t, "restore", "--from", backup, "--data", second); code != exitOK {
		t.Fatal(fault)
	}
	serve(second, func(ops string) {
		code, out, fault := call(t, "audit", "--ops", ops)
		if code != exitOK || !strings.Contains(out, "closed") {
			t.Errorf("%d %s%s", code, out, fault)
		}
	})
	if code, out, fault := call(t, "audit", "--data", second); code != exitOK || !strings.Contains(out, "… 2/") || !strings.Contains(out, "2 settled items") {
		t.Errorf("%d %s%s", code, out, fault)
	}
}
