package carillon

import "time"

// Class is the closed set of what can become of a delivery. Values are pinned:
// they stand in rows.
type Class uint8

// The open classes come first, then the terminal ones. Open is the zero value:
// no attempt has been answered.
const (
	Open              Class = iota
	WrongCredential         // the vendor does not accept our credential
	ThrottledEndpoint       // too much for this device
	ThrottledSender         // too much from this app
	Transient               // the vendor's or the connection's passing trouble
	Unknown                 // written, but no answer came

	Accepted    // the vendor took it: no proof that it was shown
	Suppressed  // not sent on purpose: read, dismissed, deleted, replaced, duplicate
	Expired     // its time passed before it could be handed off
	Gone        // the address does not exist any more
	Dropped     // the vendor took it and threw it away
	Rejected    // the vendor refused this push for good
	Unconfirmed // attempts ended without an answer

	// Classes is the number of classes.
	Classes = int(Unconfirmed) + 1
)

// String is the API field and metric label.
func (c Class) String() string {
	switch c {
	case WrongCredential:
		return "wrongCredential"
	case ThrottledEndpoint:
		return "throttledEndpoint"
	case ThrottledSender:
		return "throttledSender"
	case Transient:
		return "transient"
	case Unknown:
		return "unknown"
	case Accepted:
		return "accepted"
	case Suppressed:
		return "suppressed"
	case Expired:
		return "expired"
	case Gone:
		return "gone"
	case Dropped:
		return "dropped"
	case Rejected:
		return "rejected"
	case Unconfirmed:
		return "unconfirmed"
	case Open:
	}
	return "open"
}

// Terminal tells whether nothing more will happen to the delivery.
func (c Class) Terminal() bool { return c >= Accepted }

// Outcome is a vendor's answer, or ours, to one attempt: a value, not an error.
type Outcome struct {
	Class Class
	// Reason is the vendor's own word ("BadDeviceToken"), or ours
	// ("replaced"). It should be one of few constant strings.
	Reason string
	// Status is the HTTP status, 0 when there was no answer.
	Status uint16
	// After is how long the vendor asks to wait; 0 when it does not say.
	After time.Duration
	// Since, for Gone, is since when the address is invalid, in milliseconds
	// since 1970; 0 when the vendor does not say.
	Since int64
	// Unsent tells that the attempt never reached the vendor, so that it may be
	// repeated at once and does not count.
	Unsent bool
}

// Verdict is what follows from an outcome.
type Verdict struct {
	// Final is terminal, or Open when another attempt is due at Retry.
	Final Outcome
	// Retry is when the next attempt is due, milliseconds since 1970.
	Retry int64
}

const (
	// MaxAttempts bounds the attempts of one delivery, as Unknown ones count.
	MaxAttempts = 10

	backoffFirst   = 500 * time.Millisecond
	backoffMost    = 5 * time.Minute
	throttleMost   = time.Hour
	credentialWait = 30 * time.Second
)

// Judge decides what follows from the outcome of an attempt (counted from 1) at
// now, for a delivery that expires at expires (both milliseconds since 1970).
// Jitter in [0, 1) spreads retries. It is pure: the same arguments give the
// same verdict, and with attempts or time running out it always ends.
func Judge(o Outcome, attempt uint8, now, expires int64, jitter float64) Verdict {
	if o.Class.Terminal() {
		return Verdict{Final: o}
	}
	if attempt >= MaxAttempts && !o.Unsent {
		return Verdict{Final: exhausted(o)}
	}
	at := now + wait(o, attempt, jitter).Milliseconds()
	if at >= expires {
		return Verdict{Final: late(o)}
	}
	return Verdict{Retry: at}
}

// exhausted ends a delivery whose attempts are used up.
func exhausted(o Outcome) Outcome {
	if o.Class == Unknown {
		return Outcome{Class: Unconfirmed, Reason: o.Reason, Status: o.Status}
	}
	return Outcome{Class: Rejected, Reason: o.Reason, Status: o.Status}
}

// late ends a delivery whose next attempt would come after its expiry. One that
// was written and never answered may have rung.
func late(o Outcome) Outcome {
	if o.Class == Unknown {
		return Outcome{Class: Unconfirmed, Reason: o.Reason, Status: o.Status}
	}
	return Outcome{Class: Expired, Reason: o.Reason, Status: o.Status}
}

func wait(o Outcome, attempt uint8, jitter float64) time.Duration {
	base := backoffFirst << min(attempt, 12)
	switch o.Class {
	case WrongCredential:
		base = max(credentialWait, base)
	case ThrottledEndpoint, ThrottledSender, Transient, Unknown, Open,
		Accepted, Suppressed, Expired, Gone, Dropped, Rejected, Unconfirmed:
	}
	base = min(base, backoffMost)
	switch after := min(o.After, throttleMost); {
	case o.Unsent && after > 0:
		base = max(after, time.Millisecond)
	case o.Unsent:
		base = backoffFirst
	case after > base: // a shorter one, or a date that a clock has passed, must not use the attempts up
		base = after
	}
	return base + time.Duration(jitter*float64(base)/4)
}
