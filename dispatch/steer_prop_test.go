package dispatch

import (
	"testing"

	"pgregory.net/rapid"
)

// A pacer never gives out more than its pace and what it may be ahead, whoever
// asks when, and everything that it owes to one who asks often enough.
func TestPacer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &pacer{perSecond: rapid.IntRange(1, 5000).Draw(t, "pace")}
		start := rapid.Int64Range(1, 1<<40).Draw(t, "now")
		now, given := start, 0
		ahead := max(float64(p.perSecond)/paceAhead, 1)
		for range rapid.IntRange(1, 60).Draw(t, "asks") {
			got, next := p.take(rapid.IntRange(0, 600).Draw(t, "want"), now)
			if next <= now {
				t.Fatalf("asked to come at %d, at %d", next, now)
			}
			back := rapid.IntRange(0, got).Draw(t, "back")
			p.give(back)
			if given += got - back; float64(given) > float64(now-start)*float64(p.perSecond)/1000+ahead {
				t.Fatalf("%d in %d ms at %d a second", given, now-start, p.perSecond)
			}
			now += rapid.Int64Range(0, 2000).Draw(t, "pass")
		}
		given = 0
		for start = now; now < start+10_000; {
			got, next := p.take(1<<20, now)
			given, now = given+got, next
		}
		if least := int(float64(p.perSecond)*10*0.9) - 1; given < least && p.perSecond >= 20 {
			t.Fatalf("%d in 10 s at %d a second", given, p.perSecond)
		}
	})
}

func TestMeter(t *testing.T) {
	var m meters
	key := castKey{"h", "b"}
	if r := m.rate(key, 5000); r != 0 {
		t.Error(r)
	}
	for s := range int64(30) {
		m.add(key, 100, s*1000+500)
		if r := m.rate(key, s*1000+999); r < 90 || r > 111 {
			t.Errorf("after %d s: %v a second", s, r)
		}
	}
	if r := m.rate(key, 34_999); r < 45 || r > 55 {
		t.Errorf("5 s later: %v", r)
	}
	if r := m.rate(key, 41_000); r != 0 {
		t.Errorf("12 s later: %v", r)
	}
}
