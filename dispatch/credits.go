package dispatch

import "sync"

// grant decides how many of want hand-off credits a lane may take of a
// partition that has total, of which held are taken, mine by this lane. Beside
// another lane none holds more than half of what the others leave free, so that
// there is something left for them whenever they come: a silent vendor keeps what
// it has until its requests' deadline. Low priority never takes the last eighth.
// It is pure.
func grant(total, held, mine int, low, shared bool, want int) int {
	room := total - held
	if low {
		room -= total / 8
	}
	if shared { // rounded up: one credit is better than none for all
		room = min(room, (total-(held-mine)+1)/2-mine)
	}
	return max(min(room, want), 0)
}

// credits are what a partition hands off by: a delivery takes one before it goes
// to its lane, and gives it back when its outcome is written. So they are also
// the most that can ring twice after a crash.
type credits struct {
	mu     sync.Mutex
	total  int
	held   int
	lanes  []laneCredits // by the lane's index
	used   int           // lanes that ever wanted any
	shards []*shard      // that wait, as often as they have queues that do
}

// laneCredits is one lane's part.
type laneCredits struct {
	held int
	used bool
}

func newCredits(total int) *credits { return &credits{total: total} }

// lane is the lane's part; c.mu is held.
func (c *credits) lane(index int) *laneCredits {
	for len(c.lanes) <= index {
		c.lanes = append(c.lanes, laneCredits{})
	}
	return &c.lanes[index]
}

// shared tells whether the partition has other lanes; c.mu is held.
func (c *credits) shared(l *laneCredits) bool {
	return c.used > 1 || c.used == 1 && !l.used
}

// take takes up to want credits for a queue of s. Of a queue that wants more
// than it got s is told when there may be more ([inbox.credit]); waited tells
// that the queue waits already, waits whether it does now.
func (c *credits) take(s *shard, index int, low bool, want int, waited bool) (got int, waits bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lane(index)
	if !l.used {
		l.used = true
		c.used++
	}
	got = grant(c.total, c.held, l.held, low, c.shared(l), want)
	c.held += got
	l.held += got
	if waits = got < want; waits != waited {
		c.wait(s, waits)
	}
	return got, waits
}

// quit takes a queue of s off those that wait.
func (c *credits) quit(s *shard) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wait(s, false)
}

// wait counts a queue that begins or ceases to wait; c.mu is held.
func (c *credits) wait(s *shard, begins bool) {
	if begins {
		c.shards = append(c.shards, s)
		return
	}
	for i := range c.shards {
		if c.shards[i] == s {
			last := len(c.shards) - 1
			c.shards[i], c.shards[last] = c.shards[last], nil
			c.shards = c.shards[:last]
			return
		}
	}
}

// give takes n credits of a lane back.
func (c *credits) give(index, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held -= n
	c.lane(index).held -= n
	c.tell()
}

// tell wakes the shards that wait; c.mu is held.
func (c *credits) tell() {
	for _, s := range c.shards {
		s.in.credit()
	}
}

// room is how many credits a lane could take now.
func (c *credits) room(index int, low bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lane(index)
	return grant(c.total, c.held, l.held, low, c.shared(l), c.total)
}

// out is how many credits are taken.
func (c *credits) out() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}
