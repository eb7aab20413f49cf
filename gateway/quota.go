package gateway

import (
	"sync"
	"time"

	"carillon"
)

// allowance is a token bucket that may be overdrawn: whoever finds something in it
// is let through with all that he brings, and who comes after waits until it is
// paid back. So a bulk request of any size passes, and in the long run no more
// than the rate does. It is pure: the present time comes in.
type allowance struct {
	level float64 // tokens; below 0 while overdrawn
	at    int64   // when that was, milliseconds since 1970; 0: never used, full
}

// refill brings the level up to now; rate is tokens a millisecond, most is what a
// full bucket holds.
func (a *allowance) refill(rate, most float64, now int64) {
	if a.at == 0 {
		a.level = most
	} else if now > a.at {
		a.level = min(most, a.level+rate*float64(now-a.at))
	}
	a.at = max(a.at, now)
}

// wait is how long until the bucket, refilled, has a whole token.
func (a *allowance) wait(rate float64) time.Duration {
	if a.level >= 1 {
		return 0
	}
	return time.Duration((1 - a.level) / rate * float64(time.Millisecond))
}

// spent is what one app used of its quota.
type spent struct {
	second, day allowance
}

// take asks for n notifications at now (milliseconds since 1970) under a quota,
// of which this gateway has one part in share. When there is nothing left nothing
// is taken, and wait is how long until there is.
func (u *spent) take(q carillon.Quota, share, n int, now int64) (wait time.Duration) {
	type limit struct {
		a          *allowance
		rate, most float64
	}
	var limits [2]limit
	set := limits[:0]
	if q.PerSecond > 0 {
		most := max(float64(q.PerSecond)/float64(share), 1)
		set = append(set, limit{&u.second, most / 1000, most})
	}
	if q.PerDay > 0 {
		most := max(float64(q.PerDay)/float64(share), 1)
		set = append(set, limit{&u.day, most / (24 * time.Hour.Seconds() * 1000), most})
	}
	for _, l := range set {
		l.a.refill(l.rate, l.most, now)
		wait = max(wait, l.a.wait(l.rate))
	}
	if wait == 0 {
		for _, l := range set {
			l.a.level -= float64(n)
		}
	}
	return wait
}

// quotas hold every app to its quota: one lock a request of an app that has one,
// whatever it brings.
type quotas struct {
	mu   sync.Mutex
	used map[string]*spent // by host
	// gateways is how many there are: each has its part of a quota.
	gateways func() int
}

func newQuotas(gateways func() int) *quotas {
	if gateways == nil {
		gateways = func() int { return 1 }
	}
	return &quotas{used: map[string]*spent{}, gateways: gateways}
}

// take lets n notifications of an app through, or tells in how long some may go.
func (q *quotas) take(app *carillon.App, n int, now int64) (wait time.Duration) {
	if app.Quota == (carillon.Quota{}) || n == 0 {
		return 0
	}
	share := max(q.gateways(), 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.used[app.Host]
	if u == nil { // of onboarded apps only, so there are few
		u = &spent{}
		q.used[app.Host] = u
	}
	return u.take(app.Quota, share, n, now)
}

// charge refuses a send of an app that has used its quota up.
func (g *Gateway) charge(host string, n int, now int64) error {
	app, ok := g.deps.Apps().Host(host)
	if !ok {
		return nil // gone since it was admitted: the shards know
	}
	wait := g.quotas.take(app, n, now)
	if wait == 0 {
		return nil
	}
	g.metrics.overQuota.Add(n)
	err := carillon.Errorf(carillon.CodeThrottled, "targetHostName", "%s has used its quota of %s up: nothing was taken, send it again after the time that Retry-After says", host, app.Quota)
	err.RetryAfter = (wait + time.Second - 1).Truncate(time.Second)
	return err
}

// chargeLines is charge for the good lines of a bulk request, whose hosts are
// counted. It is all or nothing, and before anything is journalled.
func (g *Gateway) chargeLines(b *bulk) error {
	for i := range b.hosts {
		if err := g.charge(b.hosts[i].host, b.hosts[i].good, b.now); err != nil {
			return err
		}
	}
	return nil
}

// hostLines counts a bulk request's good lines for one host.
type hostLines struct {
	host string
	good int
}

// countHost notes that the lines that follow are for this host.
func (b *bulk) countHost(host string) {
	for i := range b.hosts {
		if b.hosts[i].host == host {
			b.at = i
			return
		}
	}
	b.at = len(b.hosts)
	b.hosts = append(b.hosts, hostLines{host: host})
}
