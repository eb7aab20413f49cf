package h2

import (
	"net/netip"
	"time"
)

const (
	pressedFor = 300 * time.Millisecond // without room: time for another connection
	slowFor    = 10 * time.Second       // half the streams after a throttle or a stall
	dialSpread = 50 * time.Millisecond  // of the first redial
	addressBad = 5 * time.Minute        // an address that failed is the last choice for so long
	maxTries   = 3                      // how often a refused request goes to another connection
	// Of the unproven that were answered lately, this share refused brings the
	// quarantine, and that ends it. A pool begins with it: a few hundred good
	// answers prove that what comes is clean.
	refusedMany, refusedFew = 0.03, 0.01
	refusedAtFirst          = 0.1
	maxLeaving              = 4 // connections that still finish, beyond the most that are open
)

// sizing is what the number of connections of one kind depends on.
type sizing struct {
	open, opening, cold int // take requests; being opened; of the open ones, not warm yet
	least, most         int // open ones
	capacity            int // streams of the open ones
	all                 int // capacity of the pool
	budget              int // unanswered requests that the pool may have
	pressed             time.Duration
	grown               time.Duration // since the last one was opened
	quiet               time.Duration // the time that peak looks back on
	peak                int           // most unanswered in it
}

// change says whether to open a connection (1), close one (-1) or neither.
// Connections are opened one by one, and only while the servers' limits, not our
// own budget, hold us back.
func (s *sizing) change(growEvery, idleAfter time.Duration) int {
	switch {
	case s.open+s.opening < s.least:
		return 1
	case s.opening > 0 || s.cold > 0:
		return 0
	case s.pressed >= pressedFor && s.grown >= growEvery && s.open < s.most && s.all < s.budget:
		return 1
	case s.open > s.least && s.quiet >= idleAfter && 2*s.peak*s.open <= s.capacity*(s.open-1):
		return -1
	}
	return 0
}

// hardly tells whether so little room is pressure.
func hardly(room, capacity int) bool { return room*8 < capacity || room == 0 }

// warmed tells whether an answer shows that the server trusts the connection.
func warmed(status int) bool { return status >= 200 && status < 300 }

// halved tells whether a connection carries half of its streams now: until then
// since a throttle of the sender or a stall of its own.
func halved(now, throttled, stalled time.Time) bool {
	return now.Before(throttled) || now.Before(stalled)
}

// failures counts a connection's end, or a dial that failed (it lived 0), among
// the failures in a row before it.
func failures(before int, lived time.Duration, useful bool) int {
	switch {
	case lived >= longLife:
		return 0
	case useful:
		return min(before+1, 2) // short, but it served: wait a little, not ever longer
	}
	return before + 1
}

// backoff is how long to wait after that many failures in a row; jitter is in
// [0, 1).
func backoff(failures int, jitter float64) time.Duration {
	switch failures {
	case 0:
		return 0
	case 1:
		return time.Duration(jitter * float64(dialSpread))
	}
	d := min(backoffFirst<<min(failures-2, 10), backoffMost)
	return d/2 + time.Duration(jitter*float64(d/2))
}

// tooLate tells whether a request has waited for too long. One in quarantine
// waits less while others go on, since it takes their room.
func tooLate(waited, most, quarantine time.Duration, unproven, othersBusy bool) bool {
	if unproven && othersBusy {
		most = min(most, quarantine)
	}
	return waited >= most
}

// choose picks the address to dial: one that did not fail lately, then the one
// with the fewest connections, then by turn. It returns -1 for none.
func choose(addrs []netip.Addr, used map[netip.Addr]int, bad map[netip.Addr]time.Time, now time.Time, turn int) int {
	best, least := -1, 0
	for i := range addrs {
		at := (i + turn) % len(addrs)
		n := used[addrs[at]]
		if now.Before(bad[addrs[at]]) {
			n += 1 << 20
		}
		if best < 0 || n < least {
			best, least = at, n
		}
	}
	return best
}

// offered is how much a caller may send who does not know where it will go. What
// waits in quarantine takes room from the rest only while it is most of what
// comes; else it goes back after a while instead of choking the rest. No more is
// offered then than its queue holds.
func offered(free, waiting [kinds]int, mostlyUnproven bool, queue int) int {
	switch {
	case free[regular]+free[quarantine] == 0:
		return 0
	case mostlyUnproven:
		return min(free[regular]-waiting[regular], queue) + free[quarantine] - waiting[quarantine]
	}
	return free[regular] - waiting[regular] + max(free[quarantine]-waiting[quarantine], 0)
}

// shareAfter moves a share by n more requests, so many of them of the kind that
// is counted: the last few hundred count.
func shareAfter(share float64, counted, n int) float64 {
	w := min(float64(n)/256, 1)
	return share*(1-w) + float64(counted)/float64(n)*w
}

// quarantined tells whether unproven requests are kept apart, after they were or
// were not, when such a share of them is refused. Clean ones gain nothing by it:
// a first broadcast is all unproven.
func quarantined(were bool, refused float64) bool {
	if were {
		return refused >= refusedFew
	}
	return refused >= refusedMany
}

// fullest picks the place with the most room, or -1.
func fullest(rooms []int) int {
	best := -1
	for i, r := range rooms {
		if r > 0 && (best < 0 || r > rooms[best]) {
			best = i
		}
	}
	return best
}
