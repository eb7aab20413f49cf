package journal_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"carillon/journal"
	"carillon/journal/embedded"
)

// mirror is a process that follows a table.
type mirror struct {
	*journal.Table
	mu   sync.Mutex
	rows map[string]string
}

func follow(t *testing.T, cfg journal.Config) (m *mirror, stop func()) {
	t.Helper()
	m = &mirror{rows: make(map[string]string)}
	m.Table = journal.NewTable(cfg, "apps", func(rows []journal.Row) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, r := range rows {
			if r.Value == nil {
				delete(m.rows, r.Key)
			} else {
				m.rows[r.Key] = string(r.Value)
			}
		}
	}, testLog(t))
	if err := m.Open(testContext(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return m, stop
}

func (m *mirror) snapshot() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows)
}

func TestTable(t *testing.T) {
	dir := t.TempDir()
	broker := openBroker(t, embedded.Config{Dir: dir})
	cfg := ensure(t, broker.Addr(), journal.Config{})
	a, stop := follow(t, cfg)
	put := func(m *mirror, rows ...journal.Row) {
		t.Helper()
		if err := m.Put(testContext(t), rows...); err != nil {
			t.Fatal(err)
		}
	}
	put(a, journal.Row{Key: "one", Value: []byte("1")}, journal.Row{Key: "two", Value: []byte("2")})
	put(a, journal.Row{Key: "one", Value: []byte("1b")}, journal.Row{Key: "three", Value: []byte("3")})
	put(a, journal.Row{Key: "two"})
	want := map[string]string{"one": "1b", "three": "3"}
	if got := a.snapshot(); !maps.Equal(got, want) { // Put waits for its own change
		t.Errorf("%v, want %v", got, want)
	}
	// Another process starts with all of it, and follows.
	b, _ := follow(t, cfg)
	if got := b.snapshot(); !maps.Equal(got, want) {
		t.Errorf("a second process has %v, want %v", got, want)
	}
	for i := range 200 {
		put(b, journal.Row{Key: "busy", Value: fmt.Append(nil, i)})
	}
	put(a, journal.Row{Key: "last", Value: []byte("x")})
	if got := a.snapshot(); got["busy"] != "199" || got["last"] != "x" {
		t.Errorf("%v", got)
	}
	stop()
	if err := b.Put(testContext(t), journal.Row{Key: "big", Value: make([]byte, 300<<10)}); err == nil {
		t.Error("a value of 300 KiB is taken")
	}
	c, _ := follow(t, cfg)
	if got := c.snapshot(); got["busy"] != "199" || got["one"] != "1b" || len(got) != 4 {
		t.Errorf("after all that: %v", got)
	}
}
