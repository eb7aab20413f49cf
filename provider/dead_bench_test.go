package provider_test

import (
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"carillon"
	"carillon/provider/sandbox"
)

// BenchmarkDeadTokens is what dead device tokens cost: pairs of runs, one with 5 %
// of the pushes to tokens that never worked and one without, each first in turn.
// APNs takes 20 streams a connection here, answers after 40 ms, and lowers the
// limit to 1 after 20 refusals. An iteration is a pair; the metrics are the mean
// ratio of the pushes a second that the vendor answered, and the half of its 95 %
// interval:
//
//	go test ./provider -run '^$' -bench DeadTokens -benchtime 12x
func BenchmarkDeadTokens(b *testing.B) {
	const window = 2 * time.Second
	var dead func(i int) bool
	l := newLoad(b, ways()[0], sandbox.Strict, b.N*20_000+20_000, func(l *load) {
		l.cfg.APNs.MaxInFlight = 60
		l.conduct(b, func(c *sandbox.Conduct) {
			c.Streams, c.Latency = 20, sandbox.Latency{Median: 40 * time.Millisecond}
		})
		l.device = func(i int) string {
			if dead(i) {
				return sandbox.FaultyAddress(sandbox.APNs, fmt.Sprint("dead-", i), 400)
			}
			return l.address(fmt.Sprint("device-", i%200))
		}
	})
	none, some := func(int) bool { return false }, func(i int) bool { return i%20 == 7 }
	dead = none
	l.send(b, window, 0) // every living token is proven, the pool has grown
	dead = some
	l.send(b, window, 0)
	rate := func(d func(int) bool) float64 {
		dead = d
		var from, to atomic.Int64 // without the start and the end
		time.AfterFunc(window/5, func() { from.Store(l.done.Load()) })
		time.AfterFunc(window, func() { to.Store(l.done.Load()) })
		l.send(b, window+50*time.Millisecond, 0)
		return float64(to.Load()-from.Load()) / (window - window/5).Seconds()
	}
	var ratios []float64
	b.ResetTimer()
	for i := range b.N {
		var with, without float64
		if i%2 == 0 {
			without, with = rate(none), rate(some)
		} else {
			with, without = rate(some), rate(none)
		}
		ratios = append(ratios, with/without)
		b.Logf("pair %d: %.0f a second without dead tokens, %.0f with 5 %%", i, without, with)
	}
	mean, sd := 0.0, 0.0
	for _, r := range ratios {
		mean += r / float64(len(ratios))
	}
	for _, r := range ratios {
		sd += (r - mean) * (r - mean) / math.Max(float64(len(ratios)-1), 1)
	}
	b.ReportMetric(mean, "ratio")
	b.ReportMetric(2.2*math.Sqrt(sd/float64(len(ratios))), "±95%")
	b.Logf("refused as dead: %d, sent back from quarantine: %d, connections %d", l.classes[carillon.Gone].Load()+l.classes[carillon.Rejected].Load(), l.unsent.Load(), l.vendored().Connections)
}
