package dispatch

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon"
)

// Whatever comes back, a shut breaker lets a probe through in bounded time, one
// at a time, and one good answer opens it.
func TestBreakerHeals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b breaker
		now := int64(1_000_000)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += rapid.Int64Range(0, 5_000).Draw(t, "pass")
			switch rapid.IntRange(0, 3).Draw(t, "do") {
			case 0:
				b.stalled(rapid.Int64Range(0, 10_000).Draw(t, "waited"), now, 0.5)
			case 1:
				if first, second := b.probe(now), b.probe(now); first && second {
					t.Fatal("two probes at a time")
				}
			default:
				o := anyAnswer(t)
				was := b.shut
				if changed := b.answer(o, rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "endpoint"), rapid.Bool().Draw(t, "probe"), now, 0.5); b.shut != was && !changed {
					t.Fatalf("%v changed it from shut=%v silently", o, was)
				}
			}
			if b.shut && b.why != shutThrottled && b.until > now+shutMost*5/4 {
				t.Fatalf("shut (%s) for %d ms", b.why, b.until-now)
			}
		}
		if !b.shut {
			return
		}
		now = max(now, b.until) + probeTimeout
		if !b.probe(now) {
			t.Fatal("no probe after its time")
		}
		if !b.answer(carillon.Outcome{Class: carillon.Accepted}, "a", true, now, 0) || b.shut {
			t.Fatal("a good answer leaves it shut")
		}
	})
}

func anyAnswer(t *rapid.T) carillon.Outcome {
	return carillon.Outcome{Class: carillon.Class(rapid.IntRange(1, carillon.Classes-1).Draw(t, "class"))}
}

func TestBreaker(t *testing.T) {
	bad := carillon.Outcome{Class: carillon.WrongCredential}
	var b breaker
	for range 100 {
		b.answer(bad, "one", false, 0, 0)
	}
	if b.shut {
		t.Error("one device's foreign token shuts the lane of all")
	}
	for _, e := range []string{"two", "three", "four"} {
		b.answer(bad, e, false, 0, 0)
	}
	if !b.shut || b.why != shutCredential {
		t.Errorf("four devices in a row: %+v", b)
	}
	if b.probe(shutForCredential - 1) {
		t.Error("a probe before its time")
	}
	b = breaker{}
	b.answer(carillon.Outcome{Class: carillon.ThrottledSender, After: 90_000_000_000}, "one", false, 0, 0)
	if !b.shut || b.until != 90_000 {
		t.Errorf("the vendor asks for 90 s: %+v", b)
	}
}

// What was handed off before the lane shut comes back in dozens: it prolongs
// nothing, and a good answer among it opens the lane at once, unless the vendor
// asked us to wait.
func TestBreakerAndLateAnswers(t *testing.T) {
	silent, throttled := carillon.Outcome{Class: carillon.Unknown}, carillon.Outcome{Class: carillon.ThrottledSender, After: 30 * time.Second}
	good := carillon.Outcome{Class: carillon.Accepted}
	var b breaker
	for range 1000 {
		b.answer(silent, "one", false, 0, 0)
	}
	if !b.shut || b.until != shutFirst {
		t.Errorf("shut until %d ms after a thousand answers, want %d", b.until, shutFirst)
	}
	if !b.answer(good, "one", false, 1, 0) || b.shut {
		t.Error("an answer that speaks for the way out does not open it")
	}
	b.answer(throttled, "one", false, 0, 0)
	if b.answer(good, "two", false, 1, 0); !b.shut {
		t.Error("a late answer opens a lane that shall wait")
	}
	if b.answer(throttled, "two", false, 10, 0); b.until != 30_010 {
		t.Errorf("shut until %d ms", b.until)
	}
	if b.answer(good, "two", true, 40_000, 0); b.shut {
		t.Error("a probe's good answer does not open it")
	}
}

// A vendor that comes back is found within seconds, however long it was out,
// and even while the last probe waits for its answer.
func TestBreakerProbesSoon(t *testing.T) {
	var b breaker
	b.stalled(stallAfter, 0, 1)
	now := int64(0)
	for range 100 {
		last := now
		if now = b.next(); now-last > shutLast*5/4 {
			t.Fatalf("a probe after %d ms", now-last)
		}
		if !b.probe(now) || b.probe(now) {
			t.Fatal("not one probe at its time")
		}
		if b.next() > now+probeTimeout {
			t.Fatalf("with a silent probe, the next one after %d ms", b.next()-now)
		}
		b.answer(carillon.Outcome{Class: carillon.Transient}, "one", true, now, 1)
	}
}
