package httpapi

import (
	"context"
	"slices"
	"sync"
	"time"

	"carillon"
)

const (
	appliedPoll = 5 * time.Millisecond
	appliedWait = 2 * time.Second
	appliedMost = 16 << 10 // waiters of all partitions
)

// Applied lets a reader wait until a partition's rows are written up to its own
// write. The waiters of a partition share one poll loop, which runs only while
// there are any; [Applied.Run] owns the loops.
type Applied struct {
	progress func(partition int32) (carillon.Progress, error)
	clock    *carillon.Clock
	wake     chan struct{}

	mu      sync.Mutex
	waiting map[int32][]*waiter // a key stands here while the partition's loop runs or is due to start
	fresh   []int32             // partitions whose loop is due to start
	count   int
	running bool
}

type waiter struct {
	seq  carillon.Seq
	done chan error // capacity 1
}

// NewApplied makes a waiter over the store's progress rows. It starts nothing.
func NewApplied(progress func(partition int32) (carillon.Progress, error), clock *carillon.Clock) *Applied {
	return &Applied{progress: progress, clock: clock, wake: make(chan struct{}, 1), waiting: make(map[int32][]*waiter)}
}

// Passed tells whether the rows of the record at seq are written. Progress
// names the next seq to apply, as Kafka's commits do.
func Passed(p carillon.Progress, seq carillon.Seq) bool { return p.Applied > seq }

// Wait returns nil once the rows of the record at pos are written. After two
// seconds, or when too many wait, it is an unavailable error with Retry-After;
// when ctx ends it is ctx's error.
func (a *Applied) Wait(ctx context.Context, pos carillon.Position) error {
	if p, err := a.progress(pos.Partition); err == nil && Passed(p, pos.Seq) {
		return nil
	}
	w := &waiter{seq: pos.Seq, done: make(chan error, 1)}
	if err := a.join(pos.Partition, w); err != nil {
		return err
	}
	t := a.clock.NewTimer(appliedWait)
	defer t.Stop()
	select {
	case err := <-w.done:
		return err
	case <-t.C:
		a.leave(pos.Partition, w)
		return notApplied("what you ask for is accepted but not applied yet; ask again")
	case <-ctx.Done():
		a.leave(pos.Partition, w)
		return ctx.Err()
	}
}

func notApplied(why string) error {
	e := carillon.Errorf(carillon.CodeUnavailable, "", "%s", why)
	e.RetryAfter = time.Second
	return e
}

func (a *Applied) join(partition int32, w *waiter) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.running {
		return notApplied("the gateway starts or stops; ask again")
	}
	if a.count >= appliedMost {
		return notApplied("too many requests wait for their own writes; ask again")
	}
	if _, looping := a.waiting[partition]; !looping {
		a.fresh = append(a.fresh, partition)
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	a.waiting[partition] = append(a.waiting[partition], w)
	a.count++
	return nil
}

func (a *Applied) leave(partition int32, w *waiter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.waiting[partition]
	if i := slices.Index(list, w); i >= 0 {
		a.waiting[partition] = slices.Delete(list, i, i+1) // the loop removes the key when it sees it empty
		a.count--
	}
}

// Run starts a loop for each partition that is waited for, until ctx ends; then
// it releases who still waits and returns when every loop has ended.
func (a *Applied) Run(ctx context.Context) error {
	a.mu.Lock()
	a.running = true
	a.mu.Unlock()
	var loops sync.WaitGroup
	for {
		select {
		case <-ctx.Done():
			a.stop(&loops)
			return nil
		case <-a.wake:
		}
		a.mu.Lock()
		fresh := a.fresh
		a.fresh = nil
		a.mu.Unlock()
		for _, p := range fresh {
			loops.Go(func() { a.loop(ctx, p) })
		}
	}
}

// stop refuses newcomers, waits for the loops and then releases everybody.
func (a *Applied) stop(loops *sync.WaitGroup) {
	a.mu.Lock()
	a.running = false
	a.mu.Unlock()
	loops.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, list := range a.waiting {
		for _, w := range list {
			w.done <- notApplied("the gateway stops; ask again")
		}
		delete(a.waiting, p)
	}
	a.fresh, a.count = nil, 0
}

func (a *Applied) loop(ctx context.Context, partition int32) {
	for {
		p, err := a.progress(partition)
		if a.release(partition, p, err) {
			return
		}
		if a.clock.Sleep(ctx, appliedPoll) != nil {
			return
		}
	}
}

// release lets go whose write is applied, or everybody when the store failed.
// It reports that nobody waits any more, which ends the loop.
func (a *Applied) release(partition int32, p carillon.Progress, err error) (empty bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	keep := a.waiting[partition][:0]
	for _, w := range a.waiting[partition] {
		switch {
		case err != nil:
			w.done <- err
		case Passed(p, w.seq):
			w.done <- nil
		default:
			keep = append(keep, w)
			continue
		}
		a.count--
	}
	clear(a.waiting[partition][len(keep):])
	if len(keep) == 0 {
		delete(a.waiting, partition)
		return true
	}
	a.waiting[partition] = keep
	return false
}
