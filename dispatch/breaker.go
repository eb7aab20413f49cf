package dispatch

import "carillon"

// Why a lane is closed, as metrics and /lanes show it.
const (
	shutCredential = "credential" // the vendor does not accept ours
	shutThrottled  = "throttled"  // the vendor asked us to wait
	shutFailing    = "failing"    // the vendor or the way to it fails
	shutStalled    = "stalled"    // nothing is taken any more
)

const (
	credentialStrikes = 3   // different endpoints in a row
	failingStrikes    = 32  // answers in a row
	slowAfter         = 500 // milliseconds at the head of the queue, beside other lanes
	stallAfter        = 2_000
	shutFirst         = 1_000 // milliseconds, doubled at each failed probe
	shutLast          = 5_000 // and no more then: a probe is one push, and all that is parked waits for it
	shutMost          = 60_000
	shutForCredential = 30_000
	probeTimeout      = 5_000 // another one may go beside a probe that is not answered
)

// breaker decides whether a lane hands off. It is pure: what happened and the
// present time (milliseconds) come in, so it can be played through in tests.
//
// Open, it counts answers that speak against the way out; enough of them in a
// row shut it for a time. After that time one delivery may try (a probe): an
// answer that speaks for the way out opens it, one against it shuts it for
// longer. Answers to what was handed off before it shut prolong nothing: they come
// in dozens, and say what is known. But a good one opens it, unless the vendor asked
// for a wait. Only the lane waits: the deliveries that are parked keep their place.
type breaker struct {
	shut    bool
	why     string
	until   int64 // a probe may go then
	probing bool
	probed  int64 // when the last probe was let through

	strikes  int    // answers against the way out, in a row
	endpoint string // of the last one
	shuts    int    // in a row without an answer for it
}

// closed tells whether deliveries shall be parked.
func (b *breaker) closed() bool { return b.shut }

// probe tells whether one delivery may try the way out now, and takes the turn.
func (b *breaker) probe(now int64) bool {
	if !b.shut || now < b.next() {
		return false
	}
	b.probing, b.probed = true, now
	return true
}

// unprobe gives a turn back that was not used.
func (b *breaker) unprobe() { b.probing = false }

// next is when a probe may go; 0 while the breaker is open.
func (b *breaker) next() int64 {
	switch {
	case !b.shut:
		return 0
	case b.probing:
		return max(b.until, b.probed+probeTimeout)
	}
	return b.until
}

// answer takes in what became of an attempt to an endpoint, which may have been
// a probe; jitter in [0, 1). It tells whether the breaker changed.
func (b *breaker) answer(o carillon.Outcome, endpoint string, probe bool, now int64, jitter float64) bool {
	late := b.shut && !probe // handed off before it shut
	switch o.Class {
	case carillon.ThrottledSender:
		if wait := max(o.After.Milliseconds(), shutFirst); !late || now+wait > b.until {
			b.close(shutThrottled, now, wait, jitter)
			return true
		}
		return false
	case carillon.WrongCredential:
		if late {
			return false
		}
		if endpoint != b.endpoint {
			b.strikes++
		}
		b.endpoint = endpoint
		if b.shut || b.strikes >= credentialStrikes {
			b.close(shutCredential, now, shutForCredential, jitter)
			return true
		}
		return false
	case carillon.Transient, carillon.Unknown:
		if late {
			return false
		}
		b.strikes++
		if b.shut || b.strikes >= failingStrikes {
			b.close(shutFailing, now, max(min(shutFirst<<min(b.shuts, 6), int64(shutLast)), o.After.Milliseconds()), jitter)
			return true
		}
		return false
	case carillon.Open, carillon.Suppressed, carillon.Expired, carillon.Unconfirmed:
		return false // says nothing about the vendor
	case carillon.ThrottledEndpoint, carillon.Accepted, carillon.Gone, carillon.Dropped, carillon.Rejected:
	}
	if late && b.why == shutThrottled {
		return false
	}
	was := b.shut
	*b = breaker{}
	return was
}

// stalled takes in that the oldest queued delivery has waited for so long
// (milliseconds) without being taken.
func (b *breaker) stalled(waited, now int64, jitter float64) bool {
	if b.shut || waited < stallAfter {
		return false
	}
	b.close(shutStalled, now, shutFirst, jitter)
	return true
}

func (b *breaker) close(why string, now, wait int64, jitter float64) {
	if why != shutThrottled { // the vendor's own wait is kept
		wait = min(wait, shutMost)
	}
	b.shut, b.why, b.probing, b.strikes, b.endpoint = true, why, false, 0, ""
	b.shuts++
	b.until = now + wait + int64(jitter*float64(wait)/4)
}
