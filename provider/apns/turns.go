package apns

import "time"

const (
	turnFirst = 5 * time.Second
	turnEvery = 20 * time.Millisecond // about what one stream of Apple's carries
	turnMost  = 5 * time.Minute
)

// turns says when pushes for which quarantine had no stream are due again: one
// after the other, so that thousands do not come back at once to find none again.
type turns struct{ last time.Time }

// next is how long the next one waits.
func (t *turns) next(now time.Time) time.Duration {
	t.last = t.last.Add(turnEvery)
	switch first, most := now.Add(turnFirst), now.Add(turnMost); {
	case t.last.Before(first):
		t.last = first
	case t.last.After(most):
		t.last = most
	}
	return t.last.Sub(now)
}
