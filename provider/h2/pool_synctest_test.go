package h2_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"carillon/provider/h2"
)

// ok answers each request after a time.
func ok(after time.Duration) func(*served, request) {
	return func(c *served, r request) {
		time.Sleep(after)
		c.answer(r, 200)
	}
}

// TestPoolWarm: a new connection gets one request until that was answered well, and
// never more than the server's limit.
func TestPoolWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var status atomic.Int32
		status.Store(400)
		r := start(t, newService(t, 1, nil), func(cfg *h2.PoolConfig) { cfg.Warm = true })
		r.serve = func(c *served, q request) {
			time.Sleep(40 * time.Millisecond)
			c.answer(q, int(status.Load()))
			if status.Load() == 200 {
				time.Sleep(30 * time.Millisecond)
				c.settings(1000)
			}
		}
		synctest.Wait()
		if r.Room() != 1 {
			t.Fatalf("room %d, want 1", r.Room())
		}
		r.send("a", 200, false) // a caller that does not look: nothing is lost
		time.Sleep(20 * time.Millisecond)
		if n := len(r.conn(0).requests()); n != 1 || r.Room() != 0 {
			t.Fatalf("%d requests on a cold connection, room %d", n, r.Room())
		}
		time.Sleep(40 * time.Millisecond)
		if n := len(r.conn(0).requests()); n != 2 {
			t.Fatalf("%d requests, want one after a refusal", n)
		}
		status.Store(200)
		time.Sleep(time.Second)
		r.expect("a", 1, 400, h2.FaultNone)
		if r.answered() != 200 || r.count() != 1 || r.Room() != 1000 {
			t.Fatalf("%d answered on %d connections, room %d", r.answered(), r.count(), r.Room())
		}
		r.stop()
	})
}

// TestPoolReplay: what a server refused, or did not come to before its GOAWAY, is sent
// again at once; what it may have seen is not.
func TestPoolReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, 100, nil)
		s.serve = func(c *served, q request) {
			switch {
			case c.n == 0 && q.id == 1:
				c.reset(q, http2.ErrCodeRefusedStream)
			case c.n == 0 && q.path == "/a1" && q.id < 20:
				time.Sleep(time.Millisecond)
				c.goAway(q.id)
				time.Sleep(time.Millisecond)
				c.answer(q, 201)
			case c.n == 0:
			default:
				c.answer(q, 200)
			}
		}
		r := start(t, s, nil)
		synctest.Wait()
		begin := time.Now()
		r.send("a", 5, false)
		time.Sleep(200 * time.Millisecond)
		if r.answered() != 5 {
			t.Fatalf("%d answered", r.answered())
		}
		r.mu.Lock()
		for name, res := range r.results {
			if want := map[bool]int{true: 201, false: 200}[name == "a1"]; res.Status != want {
				t.Errorf("%s: %+v, want %d", name, res, want)
			}
		}
		r.mu.Unlock()
		if d := time.Since(begin); d > time.Second {
			t.Errorf("it took %v", d)
		}
		if st := r.Stats(); st.GoAways != 1 || st.Replays < 4 {
			t.Errorf("%+v", st)
		}
		r.stop()
	})
}

// TestPoolRefusedForEver: a server that refuses everything gets each request a few
// times, not for ever.
func TestPoolRefusedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, 100, func(c *served, q request) { c.reset(q, http2.ErrCodeRefusedStream) })
		r := start(t, s, nil)
		synctest.Wait()
		r.send("a", 3, false)
		time.Sleep(time.Second)
		r.expect("a", 3, 0, h2.FaultUnsent)
		if n := len(s.conn(0).requests()); n != 12 {
			t.Errorf("%d tries of 3 requests", n)
		}
		r.stop()
	})
}

// pressure keeps a pool busy for a time.
func pressure(r *rig, prefix string, unproven bool, d time.Duration) (sent int) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if n := r.Room(); n > 0 {
			r.send(fmt.Sprint(prefix, sent, "-"), n, unproven)
			sent += n
		}
	}
	return sent
}

// TestPoolGrow: under pressure connections come one by one, over all addresses, up to
// what the budget needs; idle ones go.
func TestPoolGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, 10, ok(50*time.Millisecond))
		for i := range 4 {
			s.addrs = append(s.addrs, netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 2)}))
		}
		r := start(t, s, func(cfg *h2.PoolConfig) {
			cfg.MaxInFlight, cfg.Max, cfg.GrowEvery, cfg.IdleAfter = 75, 16, time.Second, time.Minute
		})
		synctest.Wait()
		sent := pressure(r, "a", false, 3*time.Second)
		if n := r.Stats().Open; n < 2 || n > 4 {
			t.Errorf("%d connections after 3 s, want one a second", n)
		}
		sent += pressure(r, "b", false, 20*time.Second)
		if st := r.Stats(); st.Open != 8 || st.Capacity != 80 {
			t.Errorf("%+v, want the 8 connections that 75 requests need", st)
		}
		per := map[string]int{}
		for _, addr := range s.dialled() {
			per[addr]++
		}
		for addr, n := range per {
			if n > 2 || len(per) != 5 {
				t.Errorf("%d of %d connections to %s", n, len(s.dialled()), addr)
			}
		}
		for range 20 { // a trickle that one connection carries easily
			r.send(fmt.Sprint("c", sent), 1, false)
			sent++
			time.Sleep(30 * time.Second)
		}
		if n := r.Stats().Open; n != 1 {
			t.Errorf("%d connections after ten quiet minutes", n)
		}
		if r.answered() != sent {
			t.Errorf("%d of %d answered", r.answered(), sent)
		}
		for i := range s.count() {
			if c := s.conn(i); c.mostOpen() > 10 {
				t.Errorf("%d streams on a connection of 10", c.mostOpen())
			}
		}
		r.stop()
	})
}

// TestPoolQuarantine: what may be refused has connections of its own, and when these
// are choked it goes back and does not stop the rest.
func TestPoolQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, 10, nil)
		s.serve = func(c *served, q request) {
			time.Sleep(50 * time.Millisecond)
			if strings.HasPrefix(q.path, "/dead") {
				c.answer(q, 400)
				c.settings(1)
				return
			}
			c.answer(q, 200)
		}
		r := start(t, s, func(cfg *h2.PoolConfig) { cfg.Warm, cfg.Quarantine, cfg.Max = true, true, 2 })
		synctest.Wait()
		r.send("new", 1, true)
		time.Sleep(time.Second)
		if s.count() != 1 {
			t.Fatalf("%d connections before anything is proven", s.count())
		}
		r.send("known", 1, false)
		time.Sleep(time.Second)
		if st := r.Stats(); st.Open != 2 || st.Quarantine != 1 {
			t.Fatalf("%+v, want one connection of each kind", st)
		}
		begin, dead := time.Now(), 0
		n := 0
		for time.Since(begin) < 5*time.Second {
			if room := min(r.Room(), 5); room > 0 {
				r.send(fmt.Sprint("live", n, "-"), room, false)
				n += room
				for ; dead < n/5; dead++ {
					r.send(fmt.Sprint("dead", dead, "-"), 1, true)
				}
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if n < 850 { // 10 streams of 50 ms for 5 s
			t.Errorf("%d requests of the living in 5 s beside dead ones, want almost 1000", n)
		}
		if s.conn(1).carries("dead") || s.conn(1).carries("new") {
			t.Error("the regular connection carries what is not proven")
		}
		if st := r.Stats(); st.Overdue == 0 || r.answered() != n+dead+2 {
			t.Errorf("%d of %d answered, %+v", r.answered(), n+dead+2, st)
		}
		r.stop()
	})
}

// TestPoolQuarantineLifts: while the unproven are good, as those of a first
// broadcast, they go anywhere and as fast as others; when too many are refused,
// they are kept apart again.
func TestPoolQuarantineLifts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, 100, nil)
		s.serve = func(c *served, q request) {
			time.Sleep(time.Millisecond)
			c.answer(q, map[bool]int{true: 400, false: 200}[strings.HasPrefix(q.path, "/dead")])
		}
		r := start(t, s, func(cfg *h2.PoolConfig) { cfg.Warm, cfg.Quarantine, cfg.Max = true, true, 2 })
		synctest.Wait()
		send := func(name string, n int) {
			for n > 0 {
				if room := min(r.Room(), n); room > 0 {
					r.send(fmt.Sprint(name, n, "-"), room, true)
					n -= room
					continue
				}
				time.Sleep(time.Millisecond)
			}
			time.Sleep(100 * time.Millisecond)
		}
		send("first", 1000)
		send("second", 2000)
		if s.count() != 2 || !s.conn(1).carries("second") {
			t.Fatalf("%d connections, the regular one carries no clean request that is unproven", s.count())
		}
		send("dead", 300)
		send("third", 200)
		if s.conn(1).carries("third") {
			t.Error("a third of them dead, and they are not kept apart")
		}
		if st := r.Stats(); st.Overdue > 0 || r.answered() != 3500 {
			t.Errorf("%d of 3500 answered, %+v", r.answered(), st)
		}
		r.stop()
	})
}

// TestPoolThrottle: half of the streams for ten seconds.
func TestPoolThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newService(t, 100, ok(time.Millisecond)), nil)
		synctest.Wait()
		r.Throttle()
		if r.Room() != 50 {
			t.Errorf("room %d, want half", r.Room())
		}
		time.Sleep(9 * time.Second)
		if r.Room() != 50 {
			t.Errorf("room %d after 9 s, want half", r.Room())
		}
		time.Sleep(1100 * time.Millisecond)
		if r.Room() != 100 {
			t.Errorf("room %d after 10 s, want all", r.Room())
		}
		r.stop()
	})
}

// TestPoolRedial: dials back off, go round the addresses, and what waits meanwhile
// goes back unsent after its time.
func TestPoolRedial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, 100, ok(time.Millisecond))
		s.addrs = append(s.addrs, netip.MustParseAddr("2001:db8::1"))
		s.refuse = func(string) error { return errors.New("the cable is cut") }
		r := start(t, s, nil)
		time.Sleep(time.Minute)
		if n := len(s.dialled()); n < 24 || n > 60 {
			t.Errorf("%d dials of two addresses in a minute", n)
		}
		begin := time.Now()
		r.send("a", 1, false)
		for r.answered() == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if d := time.Since(begin); d < time.Second || d > 1200*time.Millisecond {
			t.Errorf("it went back after %v", d)
		}
		r.expect("a", 1, 0, h2.FaultUnsent)
		s.mu.Lock()
		s.refuse = func(addr string) error {
			if strings.HasPrefix(addr, "[") {
				return nil
			}
			return errors.New("still cut")
		}
		s.mu.Unlock()
		time.Sleep(11 * time.Second)
		if st := r.Stats(); st.Open != 1 || r.Room() == 0 {
			t.Errorf("%+v", st)
		}
		r.stop()
	})
}

// TestPoolRetire: a connection that is asked to leave is replaced, and nothing on it
// is lost.
func TestPoolRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, 100, ok(50*time.Millisecond))
		r := start(t, s, nil)
		synctest.Wait()
		shot := &h2.Shot{Owner: "x", Request: h2.Request{Path: "/x"}}
		r.Send([]*h2.Shot{shot})
		r.Retire(shot, "its token has expired")
		r.send("a", 50, false)
		time.Sleep(500 * time.Millisecond)
		r.expect("a", 50, 200, h2.FaultNone)
		if len(s.conn(0).requests()) != 1 || len(s.conn(1).requests()) != 50 {
			t.Errorf("%d and %d requests", len(s.conn(0).requests()), len(s.conn(1).requests()))
		}
		r.stop()
	})
}

// TestPoolNotRunning: requests go back when the pool does not run, and those without
// a path always do.
func TestPoolNotRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newService(t, 100, ok(time.Millisecond)), nil)
		synctest.Wait()
		r.Send([]*h2.Shot{{Owner: "bare"}})
		synctest.Wait()
		r.mu.Lock()
		if res := r.results["bare"]; res.Fault != h2.FaultInvalid {
			t.Errorf("%+v", res)
		}
		r.mu.Unlock()
		r.stop()
		r.send("late", 2, false)
		r.expect("late", 2, 0, h2.FaultUnsent)
	})
}

// TestPoolDrain: at the end what waits goes back, what is owed is awaited.
func TestPoolDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, 2, ok(time.Second))
		r := start(t, s, nil)
		synctest.Wait()
		r.send("a", 5, false)
		synctest.Wait()
		r.stop()
		r.expect("a", 2, 200, h2.FaultNone)
		if r.answered() != 5 {
			t.Errorf("%d answered", r.answered())
		}
	})
}

// TestPoolMost: Max bounds all connections, those of quarantine included.
func TestPoolMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newService(t, 10, ok(time.Millisecond)), func(cfg *h2.PoolConfig) {
			cfg.Quarantine, cfg.Min, cfg.Max = true, 3, 3
		})
		for i := range 20 {
			r.send(fmt.Sprint(i, "-"), 1, i%2 == 0)
			time.Sleep(300 * time.Millisecond)
		}
		if n := r.Stats().Open; n != 3 {
			t.Errorf("%d connections, want 3 at most", n)
		}
		r.stop()
	})
}

// TestPoolOfOne: one request at a time, with quarantine and without.
func TestPoolOfOne(t *testing.T) {
	for _, most := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, newService(t, 10, ok(time.Millisecond)), func(cfg *h2.PoolConfig) {
				cfg.MaxInFlight, cfg.Quarantine, cfg.Max = 1, true, most
			})
			for range 3 {
				synctest.Wait()
				if r.Room() != 1 {
					t.Fatalf("room %d, want 1", r.Room())
				}
				r.send("one", 1, true)
				time.Sleep(10 * time.Millisecond)
			}
			r.stop()
		})
	}
}
