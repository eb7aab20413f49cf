package fcm_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon/provider/fcm"
)

// TestPace: under constant demand the quota is reached in not less than the ramp-up
// time, and never passed; after a pause it begins anew.
func TestPace(t *testing.T) {
	const quota = 600_000
	at := start()
	p := fcm.NewPace(quota, time.Minute, at)
	second := func() (n int) {
		for range 100 {
			k := p.Room(at)
			p.Take(k)
			n += k
			at = at.Add(10 * time.Millisecond)
		}
		return n
	}
	first, reached := second(), 0
	if first < 50 || first > 400 {
		t.Errorf("%d in the first second", first)
	}
	last, total := first, first
	for i := 1; i < 120; i++ {
		n := second()
		if n > last+quota/60/60*2+1 {
			t.Errorf("second %d: %d after %d", i, n, last)
		}
		if n > quota/60+1 {
			t.Errorf("second %d: %d, more than the quota", i, n)
		}
		if reached == 0 && n > quota/60*98/100 {
			reached = i
		}
		last, total = n, total+n
	}
	if reached < 55 || reached > 75 {
		t.Errorf("the quota is reached after %d s, want a minute", reached)
	}
	t.Logf("%d in the first second, the quota after %d s, %d in two minutes", first, reached, total)
	at = at.Add(10 * time.Minute)
	if n := second(); n > 500 {
		t.Errorf("%d in the first second after a pause", n)
	}
}

// TestPaceQuota: whatever the demand, no minute gets more than its quota and what
// was saved up.
func TestPaceQuota(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		quota := rapid.IntRange(1, 1_000_000).Draw(t, "quota")
		ramp := rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute}).Draw(t, "ramp")
		at := start()
		p := fcm.NewPace(quota, ramp, at)
		var sent []int
		for range 600 { // ten steps a second
			n := p.Room(at)
			if n < 0 {
				t.Fatal("room below 0")
			}
			n = min(n, rapid.SampledFrom([]int{0, 1, 100, 1 << 30}).Draw(t, "demand"))
			p.Take(n)
			sent = append(sent, n)
			at = at.Add(100 * time.Millisecond)
		}
		total := 0
		for _, n := range sent {
			total += n
		}
		if most := float64(quota)*(1+0.2/60) + 2; float64(total) > most {
			t.Fatalf("%d in a minute, quota %d", total, quota)
		}
	})
}

// TestPaceSmall: a small quota is no reason to wait for a ramp.
func TestPaceSmall(t *testing.T) {
	at := start()
	p := fcm.NewPace(120, time.Minute, at)
	n := 0
	for range 30 {
		k := p.Room(at)
		p.Take(k)
		n += k
		at = at.Add(time.Second)
	}
	if n < 28 || n > 61 {
		t.Errorf("%d in 30 s at 2 a second", n)
	}
}
