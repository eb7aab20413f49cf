package provider_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"carillon"
	"carillon/provider/sandbox"
)

// day is how long a day in miniature lasts: `go test ./provider -run TestDay -v -day 10m`,
// or CARILLON_DAY, which CI sets to a minute. The other tests under load take a
// third of it.
var day = flag.Duration("day", usualDay(), "length of a day in miniature")

func usualDay() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("CARILLON_DAY")); err == nil {
		return d
	}
	return 6 * time.Second
}

// TestDay: half of what the sender can do, for a while, with connections cut,
// reset, stalled, silenced and sent away at random: every push is answered exactly
// once, none arrives twice but what was unknown, goroutines and heap stay flat. The
// vendor is the fast one: the strict one's memory of pushes would be in the heap.
func TestDay(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	l := newLoad(t, ways()[0], sandbox.Fast, int(max(day.Seconds(), 20)*60_000), func(l *load) {
		l.cfg.APNs.PingInterval, l.cfg.APNs.PingTimeout, l.cfg.APNs.RequestTimeout = 500*time.Millisecond, 500*time.Millisecond, 3*time.Second
		l.conduct(t, func(c *sandbox.Conduct) {
			c.ColdStreams, c.Streams = 1, 1000
			c.Latency = sandbox.Latency{Median: 5 * time.Millisecond, P99: 30 * time.Millisecond}
		})
	})
	n, took := l.send(t, min(*day/6, 5*time.Second), 0)
	peak := float64(n) / took.Seconds()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	routines := runtime.NumGoroutine()

	kinds := []sandbox.ActKind{sandbox.Close, sandbox.Reset, sandbox.GoAway, sandbox.HalfClose, sandbox.Silence, sandbox.Stall}
	for at := time.Duration(0); at < *day; {
		at += time.Duration(rnd.Float64() * float64(600*time.Millisecond))
		a := sandbox.Act{Kind: kinds[rnd.IntN(len(kinds))], After: at + time.Millisecond, Times: 1}
		if a.Kind == sandbox.Silence || a.Kind == sandbox.Stall {
			a.For = time.Duration(rnd.Float64() * float64(2*time.Second))
		}
		l.act(t, a)
	}
	n, took = l.send(t, *day, peak/2)
	l.server.StopActs()
	l.want(t, carillon.Accepted, carillon.Unknown)
	st, pool := l.vendored(), l.stats()
	accepted, unknown := l.classes[carillon.Accepted].Load(), l.classes[carillon.Unknown].Load()
	if st.Accepted < accepted || st.Accepted > accepted+unknown {
		t.Errorf("%d accepted, %d unknown, the vendor took %d", accepted, unknown, st.Accepted)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d pushes in %v at half of %.0f a second: %d accepted, %d unknown, 0 twice; %d sent anew; %d connections, %d sent again; heap %d → %d KiB, goroutines %d → %d",
		n, took.Round(time.Millisecond), peak, accepted, unknown, l.unsent.Load(),
		st.Connections, pool.Replays, before.HeapAlloc>>10, after.HeapAlloc>>10, routines, runtime.NumGoroutine())
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if now := runtime.NumGoroutine(); now > routines+60 {
		t.Errorf("goroutines: %d → %d", routines, now)
	}
}
