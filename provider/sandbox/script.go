package sandbox

import (
	"sync"
	"sync/atomic"
	"time"
)

// Fault is one scripted misbehaviour. It applies only to requests that are valid
// otherwise: a script never hides a client's mistake. The fields combine.
type Fault struct {
	// Vendor it applies to; empty: all push vendors. Token: the token endpoints.
	Vendor Vendor `json:"vendor,omitempty"`
	// Address is the one device it applies to; empty: all.
	Address string `json:"address,omitempty"`
	// Status is the HTTP status answered; 0: what the vendor would answer anyway.
	Status int `json:"status,omitempty"`
	// Reason is the vendor's word: APNs' "reason", FCM's errorCode ("HTML" for a
	// page instead of JSON, "" for an error without details), WNS'
	// X-WNS-NotificationStatus when Status is 200, else X-WNS-Error-Description;
	// a token endpoint's "error".
	Reason string `json:"reason,omitempty"`
	// RetryAfter is sent as it stands: seconds or an HTTP date.
	RetryAfter string `json:"retryAfter,omitempty"`
	// Since is the timestamp of an APNs 410; zero: now.
	Since time.Time `json:"since,omitzero"`
	// Delay is real time before the answer, in nanoseconds.
	Delay time.Duration `json:"delay,omitempty"`
	// Hold gives no answer until [Server.Unscript].
	Hold bool `json:"hold,omitempty"`
	// Times is how often it applies; 0: until [Server.Unscript].
	Times int `json:"times,omitempty"`
	// Disconnect cuts the connection instead of answering: the push was taken
	// (Status 0 or 200) but nobody learns it.
	Disconnect bool `json:"disconnect,omitempty"`
	// GoAway answers, then sends GOAWAY with this stream as the last one, and
	// closes when what is open is answered. Reason, with Status 0, is its debug
	// text {"reason":…}. With Disconnect the GOAWAY excludes this stream, which
	// is not taken: safe to send again. On HTTP/1.1: Connection: close.
	GoAway bool `json:"goAway,omitempty"`
}

// apply turns an accepted request into what the fault wants.
func (f *Fault) apply(v vendor, r *request, rep reply, now time.Time) reply {
	if f.Status != 0 {
		auth := rep.authenticated
		rep = v.scripted(r, f, now)
		rep.authenticated = auth
	}
	rep.delay, rep.hold = f.Delay, f.Hold
	rep.goAway = f.GoAway
	rep.refused = f.GoAway && f.Disconnect
	rep.drop = f.Disconnect && !f.GoAway
	if rep.goAway && f.Status == 0 {
		rep.debug = f.Reason
	}
	return rep
}

// script is the list of faults in force, first match first.
type script struct {
	active atomic.Bool // read on the fast path

	mu       sync.Mutex
	faults   []Fault
	released chan struct{} // closed by clear: held HTTP/1.1 answers go
}

// Script adds faults; earlier ones match first.
func (s *Server) Script(faults ...Fault) {
	c := &s.script
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range faults {
		f.Address = deviceKey(f.Address)
		c.faults = append(c.faults, f)
	}
	c.active.Store(len(c.faults) > 0)
}

// Unscript removes every fault and answers what was held.
func (s *Server) Unscript() {
	c := &s.script
	c.mu.Lock()
	c.faults = nil
	c.active.Store(false)
	close(c.released)
	c.released = make(chan struct{})
	c.mu.Unlock()
	for _, h := range s.h2conns() {
		h.releaseHeld()
	}
}

// Faults lists what is scripted and not used up.
func (s *Server) Faults() []Fault {
	s.script.mu.Lock()
	defer s.script.mu.Unlock()
	return append([]Fault{}, s.script.faults...)
}

// take uses up the first fault that fits; the channel closes when its hold ends.
func (c *script) take(v Vendor, address string) (Fault, <-chan struct{}, bool) {
	if !c.active.Load() {
		return Fault{}, nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.faults {
		f := &c.faults[i]
		if f.Vendor != v && (f.Vendor != "" || v == Token) || f.Address != "" && f.Address != address {
			continue
		}
		hit := *f
		if f.Times == 1 {
			c.faults = append(c.faults[:i], c.faults[i+1:]...)
			c.active.Store(len(c.faults) > 0)
		} else if f.Times > 1 {
			f.Times--
		}
		return hit, c.released, true
	}
	return Fault{}, nil, false
}
