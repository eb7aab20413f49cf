package sandbox

import "golang.org/x/net/http2"

// limits is the limit of concurrent streams as it moves: what the client may rely
// on is the largest of the last limit that it acknowledged and those on their way.
type limits struct {
	limit   int   // in force
	base    int   // acknowledged, or the first
	sent    []int // of SETTINGS that left, in order, not acknowledged; 0: without a limit
	unsent  []int // of SETTINGS that wait for the next write
	target  int   // of an open connection
	cold    bool  // no 200 yet: see [Conduct.ColdStreams]
	dropped bool  // to 1, until the next 200
	rejects int   // 4xx but 410 since the last restoration
	bad     int   // BadDeviceToken in a row
}

func (l *limits) init(set *settings) {
	l.target = int(set.open)
	l.base = l.target
	if set.cold > 0 {
		l.cold, l.base = true, int(set.cold)
	}
	l.limit = l.base
	l.unsent = append(l.unsent, l.base)
}

// left: SETTINGS that waited have been written, and are allowed from now on.
func (l *limits) left() {
	if len(l.unsent) > 0 {
		l.sent = append(l.sent, l.unsent...)
		l.unsent = l.unsent[:0]
		l.settle()
	}
}

// acked: the client has the oldest of the SETTINGS.
func (l *limits) acked() {
	if len(l.sent) > 0 {
		l.base = l.sent[0]
		l.sent = append(l.sent[:0], l.sent[1:]...)
		l.settle()
	}
}

func (l *limits) settle() {
	l.limit = l.base
	for _, n := range l.sent {
		l.limit = max(l.limit, n)
	}
}

// now is the limit that the client was told last, or is about to be told.
func (l *limits) now() int {
	if n := len(l.unsent); n > 0 {
		return l.unsent[n-1]
	}
	if n := len(l.sent); n > 0 {
		return l.sent[n-1]
	}
	return l.base
}

// maxUnacked is how many SETTINGS a client may leave unacknowledged.
const maxUnacked = 1000

// move tells the client another limit; c.mu is held.
func (c *h2conn) move(n int) {
	l := &c.answers.limits
	if n == l.now() || len(l.sent)+len(l.unsent) >= maxUnacked {
		return
	}
	c.out = appendSettings(c.out, []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: uint32(n)}}) //nolint:gosec // at most maxStreams
	l.unsent = append(l.unsent, n)
}

// follow moves the limit after an answer as APNs does: up on the first 200, to 1
// after too many refusals, back up on a 200. It comes before the answer.
func (c *h2conn) follow(rep *reply) {
	l := &c.answers.limits
	switch {
	case rep.status == 200:
		l.bad = 0
		if l.cold || l.dropped {
			l.cold, l.dropped, l.rejects = false, false, 0
			c.move(l.target)
		}
	case c.d.vendor == APNs && rep.status >= 400 && rep.status < 500 && rep.status != 410:
		l.rejects++
		if rep.reason == "BadDeviceToken" {
			l.bad++
		}
		if n := c.d.conduct.Load().RejectsToOne; n > 0 && l.rejects >= n && !l.cold && !l.dropped {
			l.dropped = true
			c.move(1)
		}
	}
}

// enough ends the connection after an answer that was one too many.
func (c *h2conn) enough(id uint32, rep *reply) {
	a, how := &c.answers, c.d.conduct.Load()
	switch {
	case a.goneAway:
	case rep.goAway:
		c.goAway(id, rep.debug)
	case how.BadTokens > 0 && a.bad >= how.BadTokens:
		c.goAway(c.lastID, "BadDeviceToken")
	}
}

// overrun is a stream beyond the limit. Those before it are answered; this one and,
// without OverrunReset, the later ones are not processed.
func (c *h2conn) overrun(id uint32) error {
	c.s.counts.vendors[c.d.vendor].overruns.Add(1)
	if !c.d.conduct.Load().OverrunReset {
		return connError{c.set.overrun, c.set.overrunMsg}
	}
	c.lastID = id
	c.decoding = nil
	c.out = appendReset(c.out, id, http2.ErrCodeRefusedStream)
	return nil
}
