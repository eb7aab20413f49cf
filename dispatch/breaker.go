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
	shutMost          = 60_000
	shutForCredential = 30_000
	probeTimeout      = 20_000 // a probe that was never answered is made again
)

// breaker decides whether a lane hands off. It is pure: what happened and the
// present time (milliseconds) come in, so it can be played through in tests.
//
// Open, it counts answers that speak against the way out; enough of them in a
// row shut it for a time. After that time one delivery may try (a probe): an
// answer that speaks for the way out opens it, one against it shuts it for
// longer. Only the lane waits: the deliveries that are parked keep their place.
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
	if !b.shut || now < b.until || b.probing && now < b.probed+probeTimeout {
		return false
	}
	b.probing, b.probed = true, now
	return true
}

// unprobe gives a turn back that was not used.
func (b *breaker) unprobe() { b.probing = false }

// answer takes in what became of an attempt to an endpoint; jitter in [0, 1).
// It tells whether the breaker changed.
func (b *breaker) answer(o carillon.Outcome, endpoint string, now int64, jitter float64) bool {
	switch o.Class {
	case carillon.ThrottledSender:
		b.close(shutThrottled, now, max(o.After.Milliseconds(), shutFirst), jitter)
		return true
	case carillon.WrongCredential:
		if endpoint != b.endpoint {
			b.strikes++
		}
		b.endpoint = endpoint
		if b.probing || b.strikes >= credentialStrikes {
			b.close(shutCredential, now, shutForCredential, jitter)
			return true
		}
		return false
	case carillon.Transient, carillon.Unknown:
		b.strikes++
		if b.probing || b.strikes >= failingStrikes {
			b.close(shutFailing, now, max(shutFirst<<min(b.shuts, 6), o.After.Milliseconds()), jitter)
			return true
		}
		return false
	case carillon.Open, carillon.Suppressed, carillon.Expired, carillon.Unconfirmed:
		return false // says nothing about the vendor
	case carillon.ThrottledEndpoint, carillon.Accepted, carillon.Gone, carillon.Dropped, carillon.Rejected:
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
