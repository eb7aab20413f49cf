package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
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
	// RetryAfter is sent as it stands, seconds or an HTTP date; "+30s" is sent as
	// the HTTP date of 30 seconds later on the sandbox's clock.
	RetryAfter string `json:"retryAfter,omitempty"`
	// Since is the timestamp of an APNs 410; zero: now.
	Since time.Time `json:"since,omitzero"`
	// Delay is real time before the answer.
	Delay time.Duration `json:"-"`
	// Hold gives no answer until [Server.Unscript].
	Hold bool `json:"hold,omitempty"`
	// Times is how often it applies; 0: until [Server.Unscript].
	Times int `json:"times,omitempty"`
	// Rate is the share of the requests that it meets, by chance; 0: all.
	Rate float64 `json:"rate,omitempty"`
	// Share is the share of the devices that it meets, always the same ones for
	// the same [Config.Seed]; 0: all.
	Share float64 `json:"share,omitempty"`
	// After, For and Every are a window on the sandbox's clock, counted from when
	// it is scripted: it begins After, lasts For (0: for good), and comes again
	// Every so often. Once over, and without Every, it is forgotten.
	After time.Duration `json:"-"`
	For   time.Duration `json:"-"`
	Every time.Duration `json:"-"`
	// Disconnect cuts the connection instead of answering: the push was taken
	// (Status 0 or 200) but nobody learns it.
	Disconnect bool `json:"disconnect,omitempty"`
	// GoAway answers, then sends GOAWAY with this stream as the last one, and
	// closes when what is open is answered. Reason, with Status 0, is its debug
	// text {"reason":…}. With Disconnect the GOAWAY excludes this stream, which
	// is not taken: safe to send again. On HTTP/1.1: Connection: close.
	GoAway bool `json:"goAway,omitempty"`
	// Reset answers RST_STREAM REFUSED_STREAM: not taken, safe to send again. On
	// HTTP/1.1 the connection is cut.
	Reset bool `json:"reset,omitempty"`
}

type faultSpans struct {
	Delay span `json:"delay,omitempty"`
	After span `json:"after,omitempty"`
	For   span `json:"for,omitempty"`
	Every span `json:"every,omitempty"`
}

type plainFault Fault

type jsonFault struct {
	*plainFault
	faultSpans
}

// MarshalJSON writes the durations as text.
func (f Fault) MarshalJSON() ([]byte, error) {
	p := plainFault(f)
	return json.Marshal(jsonFault{&p, faultSpans{span(f.Delay), span(f.After), span(f.For), span(f.Every)}})
}

// UnmarshalJSON reads what MarshalJSON writes, and refuses what no vendor does.
func (f *Fault) UnmarshalJSON(b []byte) error {
	var p plainFault
	j := jsonFault{plainFault: &p}
	if err := decode(b, &j); err != nil {
		return err
	}
	p.Delay, p.After = time.Duration(j.faultSpans.Delay), time.Duration(j.faultSpans.After)
	p.For, p.Every = time.Duration(j.faultSpans.For), time.Duration(j.faultSpans.Every)
	*f = Fault(p)
	return f.check()
}

func (f Fault) check() error {
	switch {
	case f.Vendor != "" && !slices.Contains([]Vendor{APNs, FCM, WNS, Token}, f.Vendor):
		return fmt.Errorf("vendor %q is none of apns, fcm, wns, token", f.Vendor)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d is not from 200 to 599", f.Status)
	case f.Rate < 0 || f.Rate > 1:
		return errors.New("rate is a share of the requests, from 0 to 1")
	case f.Share < 0 || f.Share > 1:
		return errors.New("share is a share of the devices, from 0 to 1")
	case f.Delay < 0 || f.After < 0 || f.For < 0 || f.Every < 0 || f.Times < 0:
		return errors.New("delay, after, for, every and times cannot be negative")
	case f.Every > 0 && (f.For == 0 || f.For > f.Every):
		return errors.New("every needs a for that is not longer")
	}
	return nil
}

// apply turns an accepted request into what the fault wants.
func (f Fault) apply(v vendor, r *request, rep reply, now time.Time) reply {
	if f.Status != 0 {
		f.RetryAfter = f.retryAfter(now)
		rep = v.scripted(r, &f, now)
	}
	rep.delay, rep.hold = f.Delay, f.Hold
	rep.goAway = f.GoAway
	rep.reset = f.Reset
	rep.refused = f.Reset || f.GoAway && f.Disconnect
	rep.drop = f.Disconnect && !f.GoAway
	if rep.goAway && f.Status == 0 {
		rep.debug = f.Reason
	}
	return rep
}

// retryAfter is the header's value.
func (f Fault) retryAfter(now time.Time) string {
	if later, ok := strings.CutPrefix(f.RetryAfter, "+"); ok {
		if d, err := time.ParseDuration(later); err == nil {
			return now.Add(d).UTC().Format(http.TimeFormat)
		}
	}
	return f.RetryAfter
}

// script is the list of faults in force, first match first.
type script struct {
	active atomic.Bool // read on the fast path

	mu       sync.Mutex
	faults   []scripted
	released chan struct{} // closed by clear: held HTTP/1.1 answers go
}

type scripted struct {
	Fault
	key  string // of the address
	from time.Time
}

// open tells whether the window is open; over: it will never be again.
func (f *scripted) open(now time.Time) (open, over bool) {
	t := now.Sub(f.from) - f.After
	switch {
	case t < 0:
		return false, false
	case f.For == 0:
		return true, false
	case f.Every > 0:
		return t%f.Every < f.For, false
	}
	return t < f.For, t >= f.For
}

// Script adds faults; earlier ones match first.
func (s *Server) Script(faults ...Fault) {
	c, now := &s.script, s.cfg.Now()
	c.mu.Lock()
	for _, f := range faults {
		one := scripted{Fault: f, from: now}
		if f.Address != "" {
			one.key = deviceKey(f.Address)
		}
		c.faults = append(c.faults, one)
	}
	c.active.Store(len(c.faults) > 0)
	c.mu.Unlock()
	s.watch()
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
	s.watch()
	for _, h := range s.h2conns("") {
		h.releaseHeld()
	}
}

// Faults lists what is scripted and neither used up nor over.
func (s *Server) Faults() []Fault {
	c, now := &s.script, s.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []Fault{}
	for i := range c.faults {
		if _, over := c.faults[i].open(now); !over {
			out = append(out, c.faults[i].Fault)
		}
	}
	return out
}

// held is the channel that closes when held answers go.
func (c *script) held() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.released
}

// take uses up the first fault that fits.
func (s *Server) take(v Vendor, key string, now time.Time) (Fault, bool) {
	c := &s.script
	if !c.active.Load() {
		return Fault{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i < len(c.faults); i++ {
		f := &c.faults[i]
		open, over := f.open(now)
		if over {
			c.drop(i)
			i--
			continue
		}
		if !open || f.Vendor != v && (f.Vendor != "" || v == Token) || f.key != "" && f.key != key ||
			f.Share > 0 && s.rnd.lot(key) >= f.Share || f.Rate > 0 && s.chance() >= f.Rate {
			continue
		}
		hit := f.Fault
		if f.Times == 1 {
			c.drop(i)
		} else if f.Times > 1 {
			f.Times--
		}
		return hit, true
	}
	return Fault{}, false
}

func (c *script) drop(i int) {
	c.faults = slices.Delete(c.faults, i, i+1)
	c.active.Store(len(c.faults) > 0)
}
