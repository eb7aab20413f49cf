package h2_test

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/provider/h2"
)

// collector gathers results and notes references that are answered twice.
type collector struct {
	mu      sync.Mutex
	results map[any]h2.Result
	twice   []any
	change  chan struct{}
}

func newCollector() *collector {
	return &collector{results: map[any]h2.Result{}, change: make(chan struct{}, 1)}
}

func (g *collector) add(rs []h2.Result) {
	g.mu.Lock()
	for _, r := range rs {
		if _, ok := g.results[r.Ref]; ok {
			g.twice = append(g.twice, r.Ref)
		}
		r.Fields, r.Body = slices.Clone(r.Fields), bytes.Clone(r.Body)
		g.results[r.Ref] = r
	}
	g.mu.Unlock()
	g.poke()
}

func (g *collector) poke() {
	select {
	case g.change <- struct{}{}:
	default:
	}
}

func (g *collector) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	for !ok() {
		select {
		case <-g.change:
		case <-timeout.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// room waits until the client takes requests.
func (g *collector) room(t *testing.T, c *h2.Client) int {
	t.Helper()
	g.wait(t, "room", func() bool { return c.Room() > 0 })
	return c.Room()
}

// all waits for n results, each of another reference.
func (g *collector) all(t *testing.T, n int) map[any]h2.Result {
	t.Helper()
	g.wait(t, "all results", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.results) >= n || len(g.twice) > 0
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.twice) > 0 {
		t.Fatalf("answered twice: %v", g.twice)
	}
	return g.results
}
