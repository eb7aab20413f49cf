package sandbox

import (
	"sync"
	"time"
)

// window is a quota that is whole again every minute after its first use: the
// minutes are not the clock's.
type window struct {
	from time.Time
	used int
}

// take uses one of n; false: none is left until wait is over.
func (w *window) take(n int, now time.Time) (ok bool, wait time.Duration) {
	age := now.Sub(w.from)
	if age >= time.Minute || age < 0 {
		if w.from.IsZero() || age < 0 {
			w.from = now
		} else {
			w.from = w.from.Add(age.Truncate(time.Minute))
		}
		w.used = 0
	}
	if w.used >= n {
		return false, w.from.Add(time.Minute).Sub(now)
	}
	w.used++
	return true, 0
}

// quota is a window for many at once.
type quota struct {
	mu sync.Mutex
	w  window
}

func (q *quota) take(n int, now time.Time) (ok bool, wait time.Duration) {
	if n <= 0 {
		return true, 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.w.take(n, now)
}

// bucket is a token bucket that is full at first.
type bucket struct {
	spent float64 // of the burst, at that time
	at    time.Time
}

// level is what is spent at a time.
func (b *bucket) level(refill time.Duration, now time.Time) float64 {
	return max(0, b.spent-float64(now.Sub(b.at))/float64(refill))
}

func (b *bucket) take(burst int, refill time.Duration, now time.Time) {
	b.spent, b.at = min(float64(burst), b.level(refill, now)+1), now
}

// next is when one more fits.
func (b *bucket) next(burst int, refill time.Duration, now time.Time) time.Time {
	if over := b.level(refill, now) + 1 - float64(burst); over > 1e-9 {
		return now.Add(time.Duration(over * float64(refill)))
	}
	return time.Time{}
}
