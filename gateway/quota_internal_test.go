package gateway

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon"
)

func TestQuotaTake(t *testing.T) {
	var u spent
	q := carillon.Quota{PerSecond: 10, PerDay: 1000}
	now := int64(1_000_000)
	take := func(n int, want time.Duration) {
		t.Helper()
		if wait := u.take(q, 1, n, now); (wait - want).Abs() > time.Millisecond {
			t.Fatalf("%d at %d: wait %v, want %v", n, now, wait, want)
		}
	}
	take(10, 0)                    // the second's worth
	take(1, 100*time.Millisecond)  // nothing is left of it
	now += 100                     //
	take(25, 0)                    // as a whole, though one was there
	take(1, 2500*time.Millisecond) // until that is paid back
	now += 2499
	take(1, time.Millisecond)
	now++
	take(1, 0)
	now += 60_000
	take(1000, 0)                                                                     // the day's: 1000 − 10 − 25 − 1 − 1000, and what came back
	take(1, time.Duration((1-(-36+62.6*1000/86400))*86400/1000*float64(time.Second))) // 86.4 s for each
	now -= 5_000
	if wait := u.take(q, 1, 1, now); wait < time.Minute {
		t.Errorf("a clock that goes back gives %v", wait)
	}
}

func TestQuotaIsShared(t *testing.T) {
	n := 4
	q := newQuotas(func() int { return n })
	app := &carillon.App{Host: "a.example", Quota: carillon.Quota{PerSecond: 40}}
	passed := 0
	for q.take(app, 1, 1000) == 0 {
		passed++
	}
	if passed != 10 {
		t.Errorf("one of four gateways lets %d of 40 through", passed)
	}
	if q.take(&carillon.App{Host: "b.example"}, 1_000_000, 1000) != 0 || len(q.used) != 1 {
		t.Error("an app without a quota is held up, or remembered")
	}
	n = 0
	if q.take(&carillon.App{Host: "c.example", Quota: carillon.Quota{PerDay: 1}}, 1, 1000) != 0 {
		t.Error("the one of a day does not pass")
	}
}

// In the long run no more passes than the rate and one full bucket allow, but for
// the last request, and whoever waits as long as he was told passes.
func TestQuotaHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := carillon.Quota{PerSecond: rapid.Int64Range(1, 1000).Draw(t, "rate")}
		var u spent
		begin := int64(1_000_000)
		now, passed := begin, 0
		for range rapid.IntRange(1, 100).Draw(t, "requests") {
			n := rapid.IntRange(1, 500).Draw(t, "n")
			wait := u.take(q, 1, n, now)
			if wait != 0 {
				now += wait.Milliseconds() + 1
				if again := u.take(q, 1, n, now); again != 0 {
					t.Fatalf("told to wait %v, and then %v", wait, again)
				}
			}
			passed += n
			if most := float64(q.PerSecond)*(1+float64(now-begin)/1000) + float64(n); float64(passed) > most+1 {
				t.Fatalf("%d passed in %d ms at %d a second", passed, now-begin, q.PerSecond)
			}
			now += rapid.Int64Range(0, 3000).Draw(t, "pause")
		}
	})
}
