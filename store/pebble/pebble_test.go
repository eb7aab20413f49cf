package pebble_test

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"carillon"
	"carillon/store/pebble"
)

func open(t testing.TB, cfg pebble.Config, clock *carillon.Clock) *pebble.Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := pebble.Open(cfg, clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSmoke(t *testing.T) {
	clock := &carillon.Clock{}
	s := open(t, pebble.Config{}, clock)
	u := carillon.User{Host: "a.example", ID: "dev.alice"}
	now := clock.UnixMilli()
	it := &carillon.Item{
		Created: carillon.MakeSeq(1, 10), Content: carillon.MakeSeq(1, 10), Accepted: now, Expires: now + 1000_000, Body: []byte("hello"),
		Deliveries: []carillon.Delivery{{Endpoint: "e1", Kind: carillon.KindAlert}},
	}
	err := s.Write(&carillon.Rows{
		Items:     []carillon.ItemRow{{User: u, Item: it}},
		Endpoints: []carillon.EndpointRow{{User: u, Endpoint: carillon.Endpoint{ID: "e1", Platform: carillon.Windows, Expires: now + 1e6, Version: 5}}},
		Outcomes:  []carillon.OutcomeRow{{User: u, Created: it.Created, Content: it.Content, Expires: it.Expires, Delivery: carillon.Delivery{Endpoint: "e1", Kind: carillon.KindTap, Attempts: 1, Outcome: carillon.Outcome{Class: carillon.Accepted}}}},
		Positions: []carillon.Progress{{Partition: 3, Applied: 7, Settled: 5}},
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Item(u, it.Created)
	t.Logf("%+v %v", got, err)
	eps, err := s.Endpoints(nil, u)
	t.Logf("%+v %v", eps, err)
	items, err := s.Items(u, 0, 10)
	t.Logf("%+v %v", items[0], err)
	p, err := s.Progress(3)
	t.Logf("%+v %v", p, err)
	t.Logf("%+v", s.Stats())
}

// openMem opens a store in memory, for its caller to close.
func openMem(t interface{ Fatal(...any) }, cfg pebble.Config, clock *carillon.Clock) *pebble.Store {
	s, err := pebble.OpenFS(cfg, vfs.NewMem(), clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
