package h2_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"carillon/provider/h2"

	"pgregory.net/rapid"
)

func TestSizing(t *testing.T) {
	busy := h2.Sizing{Open: 2, Least: 1, Most: 16, Capacity: 200, All: 200, Budget: 4000, Pressed: time.Second, Grown: time.Hour, Peak: 200, Quiet: time.Hour}
	f := func(name string, want int, edit func(s *h2.Sizing)) {
		t.Helper()
		s := busy
		edit(&s)
		if got := s.Change(time.Second, time.Minute); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	f("pressed", 1, func(*h2.Sizing) {})
	f("pressed for an instant", 0, func(s *h2.Sizing) { s.Pressed = 100 * time.Millisecond })
	f("another one is on its way", 0, func(s *h2.Sizing) { s.Opening = 1 })
	f("another one is not warm yet", 0, func(s *h2.Sizing) { s.Cold = 1 })
	f("grown just now", 0, func(s *h2.Sizing) { s.Grown = 900 * time.Millisecond })
	f("as many as allowed", 0, func(s *h2.Sizing) { s.Most = 2 })
	f("streams for all that we would have open", 0, func(s *h2.Sizing) { s.Budget = 200 })
	f("below the least, whatever else", 1, func(s *h2.Sizing) { s.Least, s.Pressed = 3, 0 })
	f("the least is on its way", 0, func(s *h2.Sizing) { s.Least, s.Opening = 3, 1 })
	f("idle", -1, func(s *h2.Sizing) { s.Pressed, s.Peak = 0, 40 })
	f("not idle for long enough", 0, func(s *h2.Sizing) { s.Pressed, s.Peak, s.Quiet = 0, 40, time.Second })
	f("one would do, but not with ease", 0, func(s *h2.Sizing) { s.Pressed, s.Peak = 0, 60 })
	f("idle, but the least", 0, func(s *h2.Sizing) { s.Pressed, s.Peak, s.Open = 0, 0, 1 })
}

// TestSizingProp: the size stays between its bounds from any state, and what
// shrinks would not grow at once.
func TestSizingProp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.IntRange(0, 4).Draw(t, "least")
		most := rapid.IntRange(max(least, 1), 20).Draw(t, "most")
		limit := rapid.IntRange(1, 1000).Draw(t, "limit")
		s := h2.Sizing{Least: least, Most: most, Budget: rapid.IntRange(1, 5000).Draw(t, "budget")}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			s.Capacity, s.All = s.Open*limit, s.Open*limit
			s.Pressed = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "pressed")
			s.Peak = rapid.IntRange(0, s.Capacity).Draw(t, "peak")
			s.Grown, s.Quiet = time.Hour, time.Hour
			switch s.Change(time.Second, time.Minute) {
			case 1:
				s.Open++
			case -1:
				if s.Open--; s.Open > 0 && 2*s.Peak > s.Open*limit {
					t.Fatalf("closed one of %d, the rest of %d streams had %d in use", s.Open+1, s.Open*limit, s.Peak)
				}
			}
			if s.Open > most || s.Open < 0 {
				t.Fatalf("%d connections of at most %d", s.Open, most)
			}
		}
		for range 30 {
			s.Capacity, s.All, s.Pressed, s.Peak = s.Open*limit, s.Open*limit, 0, 0
			s.Open += s.Change(time.Second, time.Minute)
		}
		if s.Open != least {
			t.Fatalf("%d connections after a long idle time, want %d", s.Open, least)
		}
	})
}

func TestBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1000).Draw(t, "failures")
		d := h2.Backoff(n, rapid.Float64Range(0, 0.999).Draw(t, "jitter"))
		switch {
		case n == 0 && d != 0, n == 1 && d > 50*time.Millisecond, d < 0, d > 10*time.Second, n >= 2 && d < 50*time.Millisecond, n >= 10 && d < 5*time.Second:
			t.Fatalf("%v after %d failures", d, n)
		}
	})
	for _, tc := range []struct {
		before int
		lived  time.Duration
		useful bool
		want   int
	}{
		{7, time.Hour, false, 0}, {0, time.Millisecond, true, 1}, {7, time.Millisecond, true, 2}, {7, 0, false, 8},
	} {
		if got := h2.Failures(tc.before, tc.lived, tc.useful); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}

// TestChoose: connections spread over the addresses as evenly as can be, and go
// to one that failed only when all did.
func TestChoose(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	rapid.Check(t, func(t *rapid.T) {
		var addrs []netip.Addr
		for i := range rapid.IntRange(1, 8).Draw(t, "addresses") {
			addrs = append(addrs, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
		}
		bad := map[netip.Addr]time.Time{}
		for _, a := range addrs {
			if rapid.Bool().Draw(t, "bad") {
				bad[a] = now.Add(time.Second)
			}
		}
		used := map[netip.Addr]int{}
		for turn := range rapid.IntRange(1, 40).Draw(t, "connections") {
			i := h2.Choose(addrs, used, bad, now, turn)
			if _, isBad := bad[addrs[i]]; isBad && len(bad) < len(addrs) {
				t.Fatal("a bad address although there are good ones")
			}
			used[addrs[i]]++
		}
		var counts []int
		for _, a := range addrs {
			if _, isBad := bad[a]; !isBad || len(bad) == len(addrs) {
				counts = append(counts, used[a])
			}
		}
		if slices.Max(counts)-slices.Min(counts) > 1 {
			t.Fatalf("uneven: %v", counts)
		}
	})
	if i := h2.Choose(nil, nil, nil, now, 3); i != -1 {
		t.Errorf("%d of no addresses", i)
	}
}

// TestOffered: while few are unproven, what they do cannot make the room less
// than what the regular connections have; while most are, nothing is offered
// that would only wait.
func TestOffered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 2000)
		free := [2]int{n.Draw(t, "free"), n.Draw(t, "free in quarantine")}
		waiting := [2]int{0, n.Draw(t, "waiting in quarantine")}
		if got := h2.Offered(free, waiting, false); got < free[0] {
			t.Errorf("few unproven: %d of %v, %v waiting", got, free, waiting)
		}
		if got := h2.Offered(free, waiting, true); got > max(free[0]+free[1]-waiting[1], 0) {
			t.Errorf("most unproven: %d of %v, %v waiting", got, free, waiting)
		}
	})
	if h2.Offered([2]int{}, [2]int{}, false) != 0 {
		t.Error("room without connections")
	}
}

// TestQuarantined: many refused bring it, hardly any end it, and between the two
// it stays as it is.
func TestQuarantined(t *testing.T) {
	for _, c := range []struct {
		were    bool
		refused float64
		want    bool
	}{{false, 0, false}, {false, 0.02, false}, {false, 0.05, true}, {true, 0.05, true}, {true, 0.02, true}, {true, 0.005, false}} {
		if got := h2.Quarantined(c.were, c.refused); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestShare(t *testing.T) {
	share := 1.0
	for range 20 {
		share = h2.ShareAfter(share, 3, 60)
	}
	if share < 0.05 || share > 0.07 {
		t.Errorf("share %v after 1200 requests of which 5 %% are unproven", share)
	}
	if share = h2.ShareAfter(share, 1000, 1000); share != 1 {
		t.Errorf("share %v after 1000 unproven", share)
	}
}

func TestTooLate(t *testing.T) {
	const most, short = time.Second, 250 * time.Millisecond
	for _, tc := range []struct {
		waited         time.Duration
		unproven, busy bool
		want           bool
	}{
		{999 * time.Millisecond, false, true, false},
		{time.Second, false, true, true},
		{300 * time.Millisecond, true, true, true},
		{300 * time.Millisecond, true, false, false},
		{time.Second, true, false, true},
	} {
		if got := h2.TooLate(tc.waited, most, short, tc.unproven, tc.busy); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

// TestQueue: what only expires and never goes out leaves no places behind.
func TestQueue(t *testing.T) {
	var q h2.Queue
	for range 10 {
		q.Push(&h2.Shot{})
	}
	for range 100_000 {
		q.Push(&h2.Shot{})
		q.Drop()
	}
	if n := q.Cap(); n > 10_000 {
		t.Errorf("%d places for ten shots", n)
	}
}

func TestFullest(t *testing.T) {
	for _, tc := range []struct {
		rooms []int
		want  int
	}{{nil, -1}, {[]int{0, 0}, -1}, {[]int{0, 3, 7, 7}, 2}} {
		if got := h2.Fullest(tc.rooms); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.rooms, got, tc.want)
		}
	}
}
