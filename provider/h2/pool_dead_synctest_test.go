package h2_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/provider/h2"
)

// TestPoolDeadTokens: 5 % of requests that are refused, on a server that lowers a
// connection's limit to 1 after 20 refusals until the next good answer, as APNs
// does, cost at most 3 % of what is answered. Time is synctest's: the machine's
// other work does not count.
func TestPoolDeadTokens(t *testing.T) {
	var ratios []float64
	for pair := range uint64(10) {
		ratios = append(ratios, deadRate(t, pair, 0.05)/deadRate(t, pair+100, 0))
	}
	mean, half := interval(ratios)
	t.Logf("%d pairs: with 5 %% dead tokens %.4f ± %.4f of the answers a second without", len(ratios), mean, half)
	if mean-half < 0.97 {
		t.Errorf("they cost %.1f %%", 100*(1-mean))
	}
}

// interval is the mean and the half of its 95 % interval.
func interval(xs []float64) (mean, half float64) {
	for _, x := range xs {
		mean += x / float64(len(xs))
	}
	for _, x := range xs {
		half += (x - mean) * (x - mean) / float64(len(xs)-1)
	}
	return mean, 2.2 * math.Sqrt(half/float64(len(xs)))
}

// deadRate is how many requests a second are answered when that share of them is
// dead.
func deadRate(t *testing.T, seed uint64, share float64) (rate float64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		const limit, warm, window = 50, time.Second, 2 * time.Second
		rnd := rand.New(rand.NewPCG(seed, 3))
		var mu sync.Mutex
		refusals := map[*served]int{}
		count := func(c *served, n int) int {
			mu.Lock()
			defer mu.Unlock()
			old := refusals[c]
			refusals[c] = n
			if n < 0 {
				refusals[c] = old + 1
			}
			return old
		}
		s := newService(t, limit, nil)
		s.serve = func(c *served, q request) {
			mu.Lock()
			d := time.Duration(30+rnd.IntN(20)) * time.Millisecond
			mu.Unlock()
			time.Sleep(d)
			if strings.HasPrefix(q.path, "/dead") {
				c.answer(q, 400)
				if count(c, -1) == 19 {
					c.settings(1)
				}
				return
			}
			c.answer(q, 200)
			if count(c, 0) >= 20 {
				c.settings(limit)
			}
		}
		r := start(t, s, func(cfg *h2.PoolConfig) {
			cfg.Warm, cfg.Quarantine, cfg.Max, cfg.MaxInFlight = true, true, 4, 3*limit
		})
		sent, from := 0, 0
		begin := time.Now()
		for time.Since(begin) < warm+window {
			if from == 0 && time.Since(begin) >= warm {
				from = r.answeredWell()
			}
			for range r.Room() {
				mu.Lock()
				dead := rnd.Float64() < share
				mu.Unlock()
				if dead {
					r.send(fmt.Sprint("dead", sent, "-"), 1, true)
				} else {
					r.send(fmt.Sprint("live", sent, "-"), 1, false)
				}
				sent++
			}
			time.Sleep(2 * time.Millisecond)
		}
		rate = float64(r.answeredWell()-from) / window.Seconds()
		r.stop()
	})
	return rate
}

// answeredWell is how many requests the server answered.
func (r *rig) answeredWell() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, res := range r.results {
		n += btoi(res.Fault == h2.FaultNone)
	}
	return n
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
