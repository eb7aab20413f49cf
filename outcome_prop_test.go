package carillon_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon"
)

func anyOutcome(t *rapid.T) carillon.Outcome {
	return carillon.Outcome{
		Class:  carillon.Class(rapid.IntRange(0, carillon.Classes-1).Draw(t, "class")),
		After:  time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "after")),
		Unsent: rapid.Bool().Draw(t, "unsent"),
	}
}

// Whatever the vendor answers, a delivery ends: by attempts, or at its expiry.
func TestVerdictsEndByExpiry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := rapid.Int64Range(0, 1<<41).Draw(t, "now")
		expires := now + rapid.Int64Range(0, carillon.MaxLife.Milliseconds()).Draw(t, "life")
		attempts := uint8(0)
		for round := 0; ; round++ {
			o := anyOutcome(t)
			if !o.Unsent {
				attempts++
			}
			v := carillon.Judge(o, attempts, now, expires, rapid.Float64Range(0, 0.999).Draw(t, "jitter"))
			if v.Final.Class.Terminal() {
				return
			}
			if v.Final.Class != carillon.Open {
				t.Fatalf("neither over nor open: %v", v)
			}
			if v.Retry <= now || v.Retry >= expires {
				t.Fatalf("at %d the next attempt is due at %d, expiry is %d", now, v.Retry, expires)
			}
			now = v.Retry
		}
	})
}

func TestVerdictKeepsTerminalOutcomes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := anyOutcome(t)
		if !o.Class.Terminal() {
			return
		}
		if v := carillon.Judge(o, 1, 0, 1, 0); v.Final != o {
			t.Fatalf("%v became %v", o, v.Final)
		}
	})
}

func TestJudge(t *testing.T) {
	const now, far = 1_000_000, 1_000_000 + 3_600_000
	f := func(name string, o carillon.Outcome, attempt uint8, expires int64, wantClass carillon.Class, wantIn time.Duration) {
		t.Helper()
		v := carillon.Judge(o, attempt, now, expires, 0)
		if v.Final.Class != wantClass {
			t.Errorf("%s: class %s, want %s", name, v.Final.Class, wantClass)
		}
		if got := time.Duration(v.Retry-now) * time.Millisecond; wantIn > 0 && got != wantIn {
			t.Errorf("%s: retry in %s, want %s", name, got, wantIn)
		}
	}
	f("accepted is over", carillon.Outcome{Class: carillon.Accepted}, 1, far, carillon.Accepted, 0)
	f("the vendor's wait is kept", carillon.Outcome{Class: carillon.ThrottledSender, After: time.Minute}, 1, far, carillon.Open, time.Minute)
	f("a wait of nothing is no wait given", carillon.Outcome{Class: carillon.Transient, After: time.Millisecond}, 1, far, carillon.Open, time.Second)
	f("a short wait does not use the attempts up", carillon.Outcome{Class: carillon.ThrottledEndpoint, After: time.Second}, 5, far, carillon.Open, 16*time.Second)
	f("a turn of one's own is kept", carillon.Outcome{Class: carillon.Transient, After: time.Millisecond, Unsent: true}, 5, far, carillon.Open, time.Millisecond)
	f("an absurd wait is capped, then too late", carillon.Outcome{Class: carillon.ThrottledSender, After: 100 * time.Hour}, 1, far, carillon.Expired, 0)
	f("unsent is repeated soon", carillon.Outcome{Class: carillon.Transient, Unsent: true}, 9, far, carillon.Open, 500*time.Millisecond)
	f("backs off", carillon.Outcome{Class: carillon.Transient}, 3, far, carillon.Open, 4*time.Second)
	f("a wrong credential waits", carillon.Outcome{Class: carillon.WrongCredential}, 1, far, carillon.Open, 30*time.Second)
	f("unknown ends unconfirmed", carillon.Outcome{Class: carillon.Unknown}, carillon.MaxAttempts, far, carillon.Unconfirmed, 0)
	f("unknown too late is unconfirmed", carillon.Outcome{Class: carillon.Unknown}, 1, now+10, carillon.Unconfirmed, 0)
	f("transient ends rejected", carillon.Outcome{Class: carillon.Transient}, carillon.MaxAttempts, far, carillon.Rejected, 0)
	f("too late is expired", carillon.Outcome{Class: carillon.Transient}, 1, now+10, carillon.Expired, 0)
}
