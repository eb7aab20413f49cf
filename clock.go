package carillon

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Clock is the one clock by which everything of ours waits and expires. The
// zero value tells the system's time. [Clock.Move] shifts it, which wakes every
// waiter that the shift makes due; broker retention, TLS and leases stay on
// real time and do not use it. Safe for concurrent use.
type Clock struct {
	shift atomic.Int64 // nanoseconds ahead of the system's clock

	mu     sync.Mutex
	timers map[*Timer]struct{}
}

// Timer fires once on C when its clock passes its time.
type Timer struct {
	C <-chan time.Time

	c     chan time.Time
	clock *Clock
	when  time.Time
	inner *time.Timer
}

// Now is the present time, UTC.
func (c *Clock) Now() time.Time {
	return time.Now().UTC().Add(time.Duration(c.shift.Load())) //nolint:forbidigo // the one place
}

// UnixMilli is [Clock.Now] in milliseconds since 1970.
func (c *Clock) UnixMilli() int64 { return c.Now().UnixMilli() }

// Move shifts the clock by d, which may be negative, and fires what is due.
func (c *Clock) Move(d time.Duration) {
	c.shift.Add(int64(d))
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.timers {
		t.inner.Reset(t.when.Sub(c.Now()))
	}
}

// NewTimer makes a timer that fires after d. Stop it when it is not needed.
func (c *Clock) NewTimer(d time.Duration) *Timer { return c.newTimer(c.Now().Add(d)) }

// newTimer reads the clock after it holds the lock: a move that comes before is
// in what it reads, one that comes after finds the timer.
func (c *Clock) newTimer(when time.Time) *Timer {
	ch := make(chan time.Time, 1)
	t := &Timer{C: ch, c: ch, clock: c, when: when}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timers == nil {
		c.timers = make(map[*Timer]struct{})
	}
	c.timers[t] = struct{}{}
	t.inner = time.AfterFunc(when.Sub(c.Now()), t.fire) //nolint:forbidigo // the one place
	return t
}

func (t *Timer) fire() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if _, live := t.clock.timers[t]; !live {
		return
	}
	now := t.clock.Now()
	if left := t.when.Sub(now); left > 0 { // moved back in the meantime
		t.inner.Reset(left)
		return
	}
	delete(t.clock.timers, t)
	t.c <- now // capacity 1, and a timer is sent to once between resets
}

// Stop ends the timer. Nothing arrives on C after Stop returned.
func (t *Timer) Stop() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	delete(t.clock.timers, t)
	t.inner.Stop()
	t.drain()
}

// Reset makes the timer fire d from now, whether it fired before or not.
func (t *Timer) Reset(d time.Duration) {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.drain()
	t.when = t.clock.Now().Add(d)
	t.clock.timers[t] = struct{}{}
	t.inner.Reset(d)
}

func (t *Timer) drain() {
	select {
	case <-t.c:
	default:
	}
}

// Sleep waits for d by the clock or until ctx ends, whose error it returns.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	return c.SleepUntil(ctx, c.Now().Add(d))
}

// SleepUntil waits until the clock has passed when or ctx ends, whose error it
// returns. It misses no move, also not one that comes just before it.
func (c *Clock) SleepUntil(ctx context.Context, when time.Time) error {
	t := c.newTimer(when)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
