package provider_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon"
	"carillon/provider"
	"carillon/provider/h2"
	"carillon/provider/sandbox"
)

// load is a sender under load and what became of each of its pushes. Its
// receiver checks that none is answered twice.
type load struct {
	*rig
	wake chan struct{}

	next     int            // the ref of the next push
	answered []atomic.Int32 // by ref
	done     atomic.Int64
	twice    atomic.Int64
	classes  [carillon.Classes]atomic.Int64
	unsent   atomic.Int64 // came back unsent, and were sent anew
	mu       sync.Mutex
	again    []int              // refs that are to be sent anew
	device   func(i int) string // address of the ith push
}

// newLoad runs a strict (or fast) vendor and a sender to it; change may edit
// configuration and conduct before. Most is how many pushes it can send.
func newLoad(t testing.TB, w way, mode sandbox.Mode, most int, change func(l *load)) *load {
	t.Helper()
	l := &load{rig: &rig{way: w, clock: &carillon.Clock{}, inbox: newInbox()}, wake: make(chan struct{}, 1), answered: make([]atomic.Int32, most)}
	l.device = func(i int) string { return l.address(fmt.Sprint("device-", i%1000)) }
	log := l.serve(t, mode)
	l.cfg.FCM.QuotaPerMinute = -1
	if change != nil {
		change(l)
	}
	run(t, l.server.Run)
	apps, err := carillon.NewApps([]carillon.App{l.app})
	if err != nil {
		t.Fatal(err)
	}
	v := provider.New(l.cfg, func() *carillon.Apps { return apps }, l.clock, log)
	if l.sender, err = v.Open(carillon.Lane{Platform: w.platform, Host: host}, l); err != nil {
		t.Fatal(err)
	}
	run(t, l.sender.Run)
	return l
}

// conduct changes how the vendor behaves.
func (l *load) conduct(t testing.TB, change func(c *sandbox.Conduct)) {
	t.Helper()
	c := l.server.Conduct(l.vendor)
	change(&c)
	if err := l.server.SetConduct(l.vendor, c); err != nil {
		t.Fatal(err)
	}
}

func (l *load) act(t testing.TB, acts ...sandbox.Act) {
	t.Helper()
	for i := range acts {
		acts[i].Vendor = l.vendor
	}
	if err := l.server.Act(acts...); err != nil {
		t.Fatal(err)
	}
}

func (l *load) stats() h2.PoolStats { return l.sender.(interface{ Stats() h2.PoolStats }).Stats() }

// Answers counts; each ref may come once.
func (l *load) Answers(batch []carillon.Answer) {
	done := len(batch)
	for i := range batch {
		a := &batch[i]
		if a.Outcome.Unsent { // as dispatch does
			l.unsent.Add(1)
			l.mu.Lock()
			l.again = append(l.again, a.Ref.(int))
			l.mu.Unlock()
			done--
			continue
		}
		if l.answered[a.Ref.(int)].Add(1) > 1 {
			l.twice.Add(1)
		}
		l.classes[a.Outcome.Class].Add(1)
	}
	l.done.Add(int64(done))
	l.RoomAgain()
}

// RoomAgain wakes the one that sends.
func (l *load) RoomAgain() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// batch makes n pushes, each of another notification version: first those that
// came back unsent, then new ones.
func (l *load) batch(n int) []carillon.Push {
	l.mu.Lock()
	k := min(n, len(l.again))
	refs := append([]int(nil), l.again[:k]...)
	l.again = l.again[k:]
	l.mu.Unlock()
	for len(refs) < n {
		refs = append(refs, l.next)
		l.next++
	}
	pushes := make([]carillon.Push, n)
	for i, ref := range refs {
		p := l.push("x", carillon.KindAlert, nil)
		p.Ref, p.Seq, p.Endpoint.Address = ref, carillon.MakeSeq(1, int64(ref)+1), l.device(ref)
		pushes[i] = p
	}
	return pushes
}

// resend sends what came back unsent, as far as there is room.
func (l *load) resend() {
	l.mu.Lock()
	n := len(l.again)
	l.mu.Unlock()
	if n = min(n, l.sender.Room(), 64); n > 0 {
		l.sender.Send(l.batch(n))
	}
}

// send sends as there is room until the time is over, no faster than rate a
// second (0: as fast as it goes), and waits for the answers.
func (l *load) send(t testing.TB, d time.Duration, rate float64) (n int, took time.Duration) {
	t.Helper()
	first, begin := l.next, time.Now()
	idle := time.NewTimer(0)
	defer idle.Stop()
	for time.Since(begin) < d && l.next < len(l.answered)-64 {
		k := min(l.sender.Room(), 64)
		if rate > 0 {
			k = min(k, int(rate*time.Since(begin).Seconds())-(l.next-first))
		}
		if k > 0 {
			l.sender.Send(l.batch(k))
			continue
		}
		idle.Reset(2 * time.Millisecond)
		select {
		case <-l.wake:
		case <-idle.C:
		}
	}
	l.settle(t)
	return l.next - first, time.Since(begin)
}

// settle waits until everything is answered.
func (l *load) settle(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for l.done.Load() < int64(l.next) {
		l.resend()
		select {
		case <-l.wake:
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d of %d pushes are answered: %+v", l.done.Load(), l.next, l.stats())
		}
	}
}

// want checks that every push was answered once, and in one of these ways.
func (l *load) want(t testing.TB, classes ...carillon.Class) {
	t.Helper()
	if n := l.twice.Load(); n > 0 {
		t.Errorf("%d pushes are answered twice", n)
	}
	rest := int64(l.next)
	for _, c := range classes {
		rest -= l.classes[c].Load()
	}
	if rest != 0 {
		counts := map[carillon.Class]int64{}
		for c := range l.classes {
			counts[carillon.Class(c)] = l.classes[c].Load()
		}
		t.Errorf("%d of %d pushes ended in another way than %v: %v", rest, l.next, classes, counts)
	}
}

func (l *load) vendored() sandbox.Vendored { return l.server.Counts().Vendors[l.vendor] }

// TestColdBurst: 200 pushes at once on a connection that takes one, 50 times, as
// APNs is when a token has not been seen: none is lost, none is refused.
func TestColdBurst(t *testing.T) {
	const bursts, each, atOnce = 50, 200, 10
	l := newLoad(t, ways()[0], sandbox.Strict, 0, func(l *load) {
		l.conduct(t, func(c *sandbox.Conduct) {
			c.SettingsDelay, c.Latency = 10*time.Millisecond, sandbox.Latency{Median: 20 * time.Millisecond}
		})
	})
	apps, _ := carillon.NewApps([]carillon.App{l.app})
	v := provider.New(l.cfg, func() *carillon.Apps { return apps }, l.clock, discard())
	var lost, took, back atomic.Int64
	burst := func(i int) {
		b := &load{rig: &rig{way: l.way, clock: l.clock, server: l.server}, wake: make(chan struct{}, 1), answered: make([]atomic.Int32, each), device: func(n int) string { return l.address(fmt.Sprint(i, "-", n)) }}
		s, err := v.Open(carillon.Lane{Platform: carillon.IOS, Host: host}, b)
		if err != nil {
			t.Error(err)
			return
		}
		ctx, stop := context.WithCancel(t.Context())
		var end sync.WaitGroup
		end.Go(func() { _ = s.Run(ctx) })
		for s.Room() == 0 {
			<-b.wake
		}
		b.sender = s
		begin := time.Now()
		s.Send(b.batch(each)) // it has room for one
		b.settle(t)
		took.Add(int64(time.Since(begin)))
		back.Add(b.unsent.Load())
		lost.Add(each - b.classes[carillon.Accepted].Load())
		stop()
		end.Wait()
	}
	for i := 0; i < bursts; i += atOnce {
		var all sync.WaitGroup
		for k := range atOnce {
			all.Go(func() { burst(i + k) })
		}
		all.Wait()
	}
	st := l.vendored()
	t.Logf("%d bursts of %d: %d lost, %d came back unsent and were sent anew, %d streams refused, %v each", bursts, each, lost.Load(), back.Load(), st.Overruns, time.Duration(took.Load()/bursts).Round(time.Millisecond))
	if lost.Load() > 0 || st.Overruns > 0 || st.Duplicates > 0 {
		t.Errorf("%d lost, %+v", lost.Load(), st)
	}
}

// TestMovingLimits: the stream limit goes 1000 → 1 → 500 → 1000 under load, again
// and again: no stream is ever refused.
func TestMovingLimits(t *testing.T) {
	l := newLoad(t, ways()[0], sandbox.Strict, 1_000_000, func(l *load) {
		l.conduct(t, func(c *sandbox.Conduct) {
			c.Latency = sandbox.Latency{Median: 5 * time.Millisecond, P99: 20 * time.Millisecond}
		})
	})
	const step = 150 * time.Millisecond
	for i, limit := range []uint32{1, 500, 1000} {
		l.act(t, sandbox.Act{Kind: sandbox.Streams, Streams: limit, After: time.Duration(i+1) * step, Every: 3 * step})
	}
	n, took := l.send(t, *day/3, 0)
	l.server.StopActs()
	st, pool := l.vendored(), l.stats()
	t.Logf("%d pushes in %v over %d connections: %d streams refused, %d sent again", n, took.Round(time.Millisecond), pool.Connections, st.Overruns, pool.Replays)
	// What was about to go out when the limit fell goes to another connection, unsent:
	// that is our own doing, and no stream of the server's was asked for.
	if st.Overruns > 0 || pool.Replays > uint64(n)/100 || st.Duplicates > 0 {
		t.Errorf("%+v, %+v", st, pool)
	}
	l.want(t, carillon.Accepted)
}

// TestGoAwayLoad: GOAWAY again and again under load: nothing is lost and nothing
// arrives twice.
func TestGoAwayLoad(t *testing.T) {
	t.Parallel()
	for _, w := range ways()[:3] {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			l := newLoad(t, w, sandbox.Strict, 2_000_000, func(l *load) {
				l.conduct(t, func(c *sandbox.Conduct) {
					c.Latency, c.QuotaPerMinute = sandbox.Latency{Median: 5 * time.Millisecond, P99: 20 * time.Millisecond}, 0
				})
			})
			every := min(*day/10, 2*time.Second)
			l.act(t, sandbox.Act{Kind: sandbox.GoAway, Reason: "Shutdown", Every: every})
			n, took := l.send(t, *day/3, 0)
			l.server.StopActs()
			st, pool := l.vendored(), l.stats()
			t.Logf("%d pushes in %v, GOAWAY every %v: %d connections, %d sent again at once, %d after they came back, %d duplicates, 0 lost", n, took.Round(time.Millisecond), every, st.Connections, pool.Replays, l.unsent.Load(), st.Duplicates)
			if st.Duplicates > 0 || st.Connections < 2 {
				t.Errorf("%+v", st)
			}
			l.want(t, carillon.Accepted)
		})
	}
}

// TestSilentVendor: a vendor that says nothing any more is noticed in the time
// that is configured, and the next push goes out on another connection.
func TestSilentVendor(t *testing.T) {
	t.Parallel()
	const interval, timeout = 300 * time.Millisecond, 400 * time.Millisecond
	for _, w := range ways()[:3] {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			l := newLoad(t, w, sandbox.Strict, 1000, func(l *load) {
				l.cfg.APNs.PingInterval, l.cfg.APNs.PingTimeout = interval, timeout
				l.cfg.FCM.PingInterval, l.cfg.FCM.PingTimeout = interval, timeout
				l.cfg.WNS.PingInterval, l.cfg.WNS.PingTimeout = interval, timeout
			})
			l.send(t, 100*time.Millisecond, 100)
			var noticed time.Duration
			for range 5 { // a connection that is being opened is not silent yet
				l.act(t, sandbox.Act{Kind: sandbox.Silence})
				begin := time.Now()
				l.sender.Send(l.batch(1))
				l.settle(t)
				if noticed = time.Since(begin); l.classes[carillon.Unknown].Load() > 0 {
					break
				}
			}
			t.Logf("noticed after %v, configured are %v and %v", noticed.Round(time.Millisecond), interval, timeout)
			if l.classes[carillon.Unknown].Load() == 0 || noticed > interval+timeout+5*time.Second {
				t.Errorf("noticed after %v", noticed)
			}
			l.send(t, 50*time.Millisecond, 100)
			l.want(t, carillon.Accepted, carillon.Unknown)
		})
	}
}

// TestQuota: FCM is sent no more than the project's quota, evenly: never is a
// push answered 429.
func TestQuota(t *testing.T) {
	const quota = 6000 // a minute
	l := newLoad(t, ways()[1], sandbox.Strict, 100_000, func(l *load) {
		l.cfg.FCM.QuotaPerMinute, l.cfg.FCM.RampUp = quota, time.Second
		l.conduct(t, func(c *sandbox.Conduct) { c.QuotaPerMinute = quota })
	})
	n, took := l.send(t, *day/4, 0)
	t.Logf("%d pushes in %v, the quota is %d a second", n, took.Round(time.Millisecond), quota/60)
	if most := quota / 60 * (took.Seconds() + 0.3); float64(n) > most || n < 50 {
		t.Errorf("%d pushes, at most %.0f are due", n, most)
	}
	l.want(t, carillon.Accepted)
}
