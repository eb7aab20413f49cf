package fcm

import (
	"math"
	"sync"
	"time"
)

// pace says how fast an app may send: a project's quota, evenly over its minute,
// and to that from little over the ramp-up time each time that traffic grows
// (Google: "Scale to millions of users": ramp from 0 to the most over 60 s, do not
// drain the quota at the start of a minute). It is pure: time comes as an argument.
type pace struct {
	full float64       // a second
	ramp time.Duration // from the least to the full

	level  float64 // of full, now
	tokens float64
	at     time.Time
	second time.Time // the second that is counted began then, or a little later
	used   int       // since then
}

const (
	burst    = 200 * time.Millisecond // what may be saved up
	leastPer = 100.0                  // a second that need no ramp
)

func newPace(perMinute int, ramp time.Duration, now time.Time) pace {
	p := pace{full: float64(perMinute) / 60, ramp: ramp, at: now, second: now}
	p.level = p.least()
	p.tokens = p.depth()
	return p
}

// least is the level that needs no ramp.
func (p *pace) least() float64 {
	if p.ramp <= 0 {
		return 1
	}
	return min(max(leastPer/p.full, min(1/p.ramp.Seconds(), 1)), 1)
}

func (p *pace) rate() float64 { return p.full * p.level }

func (p *pace) depth() float64 { return max(p.rate()*burst.Seconds(), 1) }

// advance brings level and tokens to now. A second in which at least half of the
// rate was used raises it by the ramp's share, any other lowers it.
func (p *pace) advance(now time.Time) {
	if now.Before(p.at) { // the clock went back
		p.at, p.second, p.used = now, now, 0
	}
	if gone := now.Sub(p.second); gone >= time.Second && p.ramp > 0 {
		share := 1 / p.ramp.Seconds()
		if float64(p.used) < p.rate()/2 {
			share = -share
		}
		idle := gone.Seconds() - 1 // what follows the second that was counted
		p.level = min(max(p.level+share-idle/p.ramp.Seconds(), p.least()), 1)
		p.second, p.used = now, 0
	}
	p.tokens = min(p.tokens+p.rate()*now.Sub(p.at).Seconds(), p.depth())
	p.at = now
}

// room is how many may go now.
func (p *pace) room(now time.Time) int {
	p.advance(now)
	return max(int(p.tokens), 0)
}

// take notes that n go.
func (p *pace) take(n int) {
	p.tokens -= float64(n)
	p.used += n
}

// wait is when a worthwhile number may go again.
func (p *pace) wait() time.Duration {
	missing := max(p.depth()/4, 1) - p.tokens
	return time.Duration(max(missing/p.rate(), 0.001) * float64(time.Second))
}

// pacer is a pace for many goroutines; one of 0 a minute holds nobody.
type pacer struct {
	empty chan struct{} // somebody found no room

	mu   sync.Mutex
	pace pace
}

func newPacer(perMinute int, ramp time.Duration, now time.Time) *pacer {
	p := &pacer{empty: make(chan struct{}, 1)}
	if perMinute > 0 {
		p.pace = newPace(perMinute, ramp, now)
	}
	return p
}

func (p *pacer) room(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pace.full == 0 {
		return math.MaxInt
	}
	n := p.pace.room(now)
	if n == 0 {
		select {
		case p.empty <- struct{}{}:
		default:
		}
	}
	return n
}

func (p *pacer) take(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pace.full > 0 {
		p.pace.take(n)
	}
}

func (p *pacer) wait() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pace.wait()
}
