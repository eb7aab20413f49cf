package sandbox

import (
	"container/heap"
	"slices"
	"sync"
	"time"
)

// late is the answers of a connection that a script delays or holds. Its
// goroutine starts with the first one and ends with the connection.
type late struct {
	wg      sync.WaitGroup
	started bool
	over    bool // the connection ends: nothing is started
	wake    chan struct{}
	due     byTime
	seq     int
	held    []postponed
}

type postponed struct {
	at  time.Time
	seq int
	id  uint32
	rep reply
}

// postpone keeps an answer; c.mu is held.
func (c *h2conn) postpone(id uint32, rep reply) {
	l := &c.late
	if !c.startLate() {
		return
	}
	p := postponed{at: realNow().Add(rep.delay), id: id, rep: rep}
	p.rep.delay = 0
	if rep.hold {
		l.held = append(l.held, p)
		return
	}
	l.insert(p)
}

// startLate starts the second goroutine; false: the connection ends. c.mu is held.
func (c *h2conn) startLate() bool {
	l := &c.late
	if l.over {
		return false
	}
	if !l.started {
		l.started, l.wake = true, make(chan struct{}, 1)
		l.wg.Go(c.answerLate)
	}
	return true
}

func (l *late) insert(p postponed) {
	l.seq++
	p.seq = l.seq
	heap.Push(&l.due, p)
	if l.due[0].seq == p.seq {
		l.hurry()
	}
}

// byTime is a heap: the next answer first, and of two at once the older.
type byTime []postponed

// Len, Swap, Push and Pop are for container/heap.
func (h *byTime) Len() int { return len(*h) }

// Swap swaps.
func (h *byTime) Swap(i, j int) { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }

// Less orders by time.
func (h *byTime) Less(i, j int) bool {
	a, b := &(*h)[i], &(*h)[j]
	if c := a.at.Compare(b.at); c != 0 {
		return c < 0
	}
	return a.seq < b.seq
}

// Push appends.
func (h *byTime) Push(x any) { *h = append(*h, x.(postponed)) } //nolint:forcetypeassert // nothing else is pushed

// Pop removes the last.
func (h *byTime) Pop() any {
	old := *h
	n := len(old) - 1
	p := old[n]
	old[n] = postponed{}
	*h = old[:n]
	return p
}

// hurry makes the goroutine look again.
func (l *late) hurry() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// releaseHeld lets the held answers go, each when its delay is over.
func (c *h2conn) releaseHeld() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.late.held {
		p.rep.hold = false
		c.late.insert(p)
	}
	c.late.held = nil
}

// cancelLate drops the answer of a stream that the client reset; c.mu is held.
func (c *h2conn) cancelLate(id uint32) {
	is := func(p postponed) bool { return p.id == id }
	before := len(c.late.due) + len(c.late.held)
	c.late.due = slices.DeleteFunc(c.late.due, is)
	if len(c.late.due)+len(c.late.held) < before {
		heap.Init(&c.late.due)
	}
	c.late.held = slices.DeleteFunc(c.late.held, is)
	c.answers.active -= before - len(c.late.due) - len(c.late.held)
	wasBlocked := len(c.answers.blocked)
	c.answers.blocked = slices.DeleteFunc(c.answers.blocked, func(p pending) bool { return p.id == id })
	c.answers.active -= wasBlocked - len(c.answers.blocked)
}

func (c *h2conn) answerLate() {
	timer := time.NewTimer(time.Hour) //nolint:forbidigo // scripted delays are real time
	defer timer.Stop()
	for {
		wait, ok := c.answerDue()
		if !ok {
			c.endReader()
			return
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-c.late.wake:
		case <-c.done:
			return
		}
	}
}

// answerDue writes what is due; it returns the time to the next, and false when
// the connection is to be closed.
func (c *h2conn) answerDue() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := realNow()
	if c.mood.mute && !c.mood.until.IsZero() && !c.mood.until.After(now) {
		c.mood.speak()
	}
	for len(c.late.due) > 0 && !c.late.due[0].at.After(now) {
		p := heap.Pop(&c.late.due).(postponed) //nolint:forcetypeassert // nothing else is in it
		c.settle(p.id, p.rep)
	}
	if c.flush() != nil || c.answers.ended() {
		return 0, false
	}
	wait := time.Hour
	if len(c.late.due) > 0 {
		wait = c.late.due[0].at.Sub(now)
	}
	if c.mood.mute && !c.mood.until.IsZero() {
		wait = min(wait, c.mood.until.Sub(now))
	}
	return wait, true
}
