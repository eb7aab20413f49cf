package carillon

import (
	"math"
	"slices"
)

// trailMost is how many moments a trail keeps.
const trailMost = 8

// Moment is when something had come as far as a seq, milliseconds since 1970.
type Moment struct {
	Seq Seq
	At  int64
}

// Trail is when something came how far, the oldest first: the latest moments, and
// older ones ever farther apart. It is a value, as [Sync] is.
type Trail []Moment

// Add notes that it came as far as a seq at a time.
func (t Trail) Add(seq Seq, at int64) Trail {
	if n := len(t); n > 0 && (seq <= t[n-1].Seq || at < t[n-1].At) {
		return t
	}
	t = append(slices.Clip(t), Moment{Seq: seq, At: at})
	if len(t) <= trailMost {
		return t
	}
	// The one goes without which the least is lost, for how long ago it is; the
	// oldest when no notification is that old any more.
	if at-t[0].At > MaxLife.Milliseconds() {
		return t[1:]
	}
	drop, least := 1, math.MaxFloat64
	for i := 1; i < len(t)-1; i++ {
		if gap := float64(t[i+1].At-t[i-1].At) / float64(at-t[i].At+1); gap < least {
			drop, least = i, gap
		}
	}
	return slices.Concat(t[:drop], t[drop+1:])
}

// When is at the latest when it had come as far as a seq; 0 when it has not.
func (t Trail) When(seq Seq) int64 {
	for _, m := range t {
		if m.Seq >= seq {
			return m.At
		}
	}
	return 0
}
