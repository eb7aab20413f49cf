package h2_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/provider/h2"

	"golang.org/x/net/http2"
)

// TestPoolOnce: whatever servers do, every request is answered once, and one that
// came back unsent was never taken by any of them.
func TestPoolOnce(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { poolOnce(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func poolOnce(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	var mu sync.Mutex // of rnd and taken
	taken := map[string]int{}
	dice := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(n)
	}
	s := newService(t, uint32(1+dice(20)), nil)
	s.serve = func(c *served, q request) {
		time.Sleep(time.Duration(dice(100)) * time.Millisecond)
		refuse := dice(10) == 0
		if !refuse {
			mu.Lock()
			taken[q.path]++
			mu.Unlock()
		}
		switch dice(60) {
		case 0:
			c.nc.Close()
		case 1:
			c.goAwayNow()
		case 2:
			c.settings(uint32(1 + dice(20)))
		case 3:
			return // never answered
		}
		switch {
		case refuse:
			c.reset(q, http2.ErrCodeRefusedStream)
		case dice(20) == 0:
			c.reset(q, http2.ErrCodeInternal)
		case dice(10) == 0:
			c.answer(q, 400)
		default:
			c.answer(q, 200)
		}
	}
	r := start(t, s, func(cfg *h2.PoolConfig) {
		cfg.Warm, cfg.Quarantine, cfg.Max = dice(2) == 0, dice(2) == 0, 1+dice(4)
		cfg.GrowEvery, cfg.Conn.RequestTimeout = 100*time.Millisecond, 2*time.Second
	})
	sent := 0
	for range 60 {
		time.Sleep(time.Duration(dice(60)) * time.Millisecond)
		n := 1 + dice(10) // also where there is no room
		r.send(fmt.Sprint("a", sent, "-"), n, dice(2) == 0)
		sent += n
		if dice(20) == 0 {
			r.Throttle()
		}
	}
	if dice(2) == 0 {
		time.Sleep(10 * time.Second)
	}
	r.stop()
	time.Sleep(time.Second) // servers that were about to answer end too
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.results) != sent || len(r.twice) > 0 {
		t.Errorf("%d of %d answered, twice: %v", len(r.results), sent, r.twice)
	}
	mu.Lock()
	defer mu.Unlock()
	for name, res := range r.results {
		n := taken["/"+name]
		if res.Fault == h2.FaultUnsent && n > 0 {
			t.Errorf("%s came back unsent (%s), but a server took it", name, res.Reason)
		}
		if n > 1 {
			t.Errorf("%s was taken %d times", name, n)
		}
	}
}
