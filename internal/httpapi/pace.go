package httpapi

import "time"

// slowestStream is the least bytes a second at which a streamed body must move.
const slowestStream = 16 << 10

// pace is how long a connection may still wait for its peer while a body is
// streamed. Every byte earns time, at most what there was in the beginning;
// waiting spends it. So a peer that stands still is cut after that time, one
// that only trickles soon after it, and what this side takes to do its own work
// costs him nothing.
type pace struct {
	left, most time.Duration
	late       bool // it ran out
}

func newPace(most time.Duration) *pace { return &pace{left: most, most: most} }

// move runs one read or write of the connection under a deadline.
func (p *pace) move(deadline func(time.Time) error, do func([]byte) (int, error), b []byte) (int, error) {
	from := time.Now() //nolint:forbidigo // socket deadlines stay on real time
	if err := deadline(from.Add(p.left)); err != nil {
		return 0, err
	}
	n, err := do(b)
	p.left -= time.Since(from) //nolint:forbidigo // likewise
	p.late = p.late || err != nil && p.left <= 0
	p.left = min(p.left+time.Duration(n)*time.Second/slowestStream, p.most)
	return n, err
}
