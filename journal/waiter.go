package journal

import "sync"

// waiter is one call of Append that waits for its entries. It is pooled: a
// call that was given up leaves its waiter behind until the last of its entries
// is decided, and only then does the waiter go back.
type waiter struct {
	done chan struct{} // capacity 1: one token when pending falls to 0

	mu        sync.Mutex
	entries   []Entry // the caller's; nil when it gave up
	pending   int     // enqueued and not decided, and 1 while Append still enqueues
	abandoned bool

	// Scratch of Append: the next entry of the same partition, and each
	// partition's first and last.
	next  []int32
	heads []int32
	tails []int32
}

// settle decides n entries by f, which is not called when the caller is gone.
// It reports whether the waiter is free for reuse by the one who settles.
func (w *waiter) settle(n int, f func(entries []Entry)) (free bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.entries != nil && f != nil {
		f(w.entries)
	}
	w.pending -= n
	if w.pending > 0 {
		return false
	}
	if w.abandoned {
		return true
	}
	w.done <- struct{}{} // never blocks: pending falls to 0 once a call
	return false
}
