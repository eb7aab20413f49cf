package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Act is something that a vendor does to its open connections, unasked.
type Act struct {
	// Vendor it applies to; empty: all push vendors.
	Vendor Vendor  `json:"vendor,omitempty"`
	Kind   ActKind `json:"kind"`
	// Streams is the new limit of a [Streams] act.
	Streams uint32 `json:"streams,omitempty"`
	// Reason is the debug text of a GOAWAY: {"reason":…}.
	Reason string `json:"reason,omitempty"`
	// After is real time until it happens; Every repeats it, Times times (0: until
	// [Server.StopActs]). Without After and Every it happens before Act returns.
	After time.Duration `json:"-"`
	Every time.Duration `json:"-"`
	Times int           `json:"times,omitempty"`
	// For is how long silence and stall last; 0: to the end of the connection.
	For time.Duration `json:"-"`
	// Share is the share of the connections that it meets; 0: all.
	Share float64 `json:"share,omitempty"`
}

// ActKind is what an [Act] does.
type ActKind string

// What a vendor can do to a connection. All but Close and Reset concern HTTP/2
// connections only.
const (
	// Streams moves the limit of concurrent streams, of the open connections and of
	// those made later. A higher limit holds at once, a lower one from the client's
	// SETTINGS acknowledgement on. An APNs connection without its first 200 stays
	// at its cold limit until then.
	Streams ActKind = "streams"
	// GoAway says GOAWAY NO_ERROR with the highest stream taken; what is open is
	// answered, then the connection closes. Later streams are not taken.
	GoAway ActKind = "goaway"
	// Close ends the TCP connection without a word: answers are lost.
	Close ActKind = "close"
	// Reset does it with a TCP RST.
	Reset ActKind = "reset"
	// Silence reads on but writes nothing, not even a PING's answer. What was asked
	// meanwhile is answered afterwards.
	Silence ActKind = "silence"
	// Stall does not read either: the client's writes block when buffers are full.
	Stall ActKind = "stall"
	// HalfClose closes the writing side and reads on.
	HalfClose ActKind = "halfclose"
)

type actSpans struct {
	After span `json:"after,omitempty"`
	Every span `json:"every,omitempty"`
	For   span `json:"for,omitempty"`
}

type plainAct Act

type jsonAct struct {
	*plainAct
	actSpans
}

// MarshalJSON writes the durations as text.
func (a Act) MarshalJSON() ([]byte, error) {
	p := plainAct(a)
	return json.Marshal(jsonAct{&p, actSpans{span(a.After), span(a.Every), span(a.For)}})
}

// UnmarshalJSON reads what MarshalJSON writes and refuses what cannot be done.
func (a *Act) UnmarshalJSON(b []byte) error {
	var p plainAct
	j := jsonAct{plainAct: &p}
	if err := decode(b, &j); err != nil {
		return err
	}
	p.After, p.Every, p.For = time.Duration(j.actSpans.After), time.Duration(j.actSpans.Every), time.Duration(j.actSpans.For)
	*a = Act(p)
	return a.check()
}

func (a Act) check() error {
	kinds := []ActKind{Streams, GoAway, Close, Reset, Silence, Stall, HalfClose}
	switch {
	case !slices.Contains(kinds, a.Kind):
		return fmt.Errorf("kind %q is none of %v", a.Kind, kinds)
	case a.Vendor != "" && !slices.Contains([]Vendor{APNs, FCM, WNS}, a.Vendor):
		return fmt.Errorf("vendor %q is none of apns, fcm, wns", a.Vendor)
	case a.Kind == Streams && (a.Streams < 1 || a.Streams > maxStreams):
		return fmt.Errorf("streams is from 1 to %d", maxStreams)
	case a.After < 0 || a.For < 0 || a.Times < 0:
		return errors.New("after, for and times cannot be negative")
	case a.Every != 0 && a.Every < time.Millisecond:
		return errors.New("every is at least 1ms")
	case a.Share < 0 || a.Share > 1:
		return errors.New("share is from 0 to 1")
	}
	return nil
}

// acts is what is to be done, by time.
type acts struct {
	wake chan struct{}

	mu   sync.Mutex
	plan []planned
}

type planned struct {
	Act
	at time.Time
}

// Act does or plans acts; planned ones happen while the server runs.
func (s *Server) Act(list ...Act) error {
	for i := range list {
		if err := list[i].check(); err != nil {
			return fmt.Errorf("sandbox: act %d: %w", i+1, err)
		}
	}
	now := realNow()
	for _, a := range list {
		if a.After == 0 && a.Every == 0 {
			s.perform(&a)
			continue
		}
		if a.After == 0 {
			a.After = a.Every
		}
		s.acts.add(planned{a, now.Add(a.After)})
	}
	return nil
}

// Acts lists what is planned, the next first.
func (s *Server) Acts() []Act {
	s.acts.mu.Lock()
	defer s.acts.mu.Unlock()
	out := make([]Act, 0, len(s.acts.plan))
	for _, p := range s.acts.plan {
		out = append(out, p.Act)
	}
	return out
}

// StopActs forgets what is planned and ends every silence and stall.
func (s *Server) StopActs() {
	s.acts.mu.Lock()
	s.acts.plan = nil
	s.acts.mu.Unlock()
	for _, h := range s.h2conns("") {
		h.mute(false, 0, false)
	}
}

func (a *acts) add(p planned) {
	a.mu.Lock()
	i, _ := slices.BinarySearchFunc(a.plan, p.at, func(q planned, at time.Time) int {
		if q.at.After(at) {
			return 1
		}
		return -1
	})
	a.plan = slices.Insert(a.plan, i, p)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// due takes the acts whose time has come; wait is the time to the next.
func (a *acts) due(now time.Time) (list []Act, wait time.Duration) {
	a.mu.Lock()
	var again []planned
	for len(a.plan) > 0 && !a.plan[0].at.After(now) {
		p := a.plan[0]
		a.plan = slices.Delete(a.plan, 0, 1)
		list = append(list, p.Act)
		if p.Every > 0 && p.Times != 1 {
			p.Times = max(0, p.Times-1)
			p.at = p.at.Add(p.Every)
			if p.at.Before(now) {
				p.at = now.Add(p.Every)
			}
			again = append(again, p)
		}
	}
	a.mu.Unlock()
	for _, p := range again {
		a.add(p)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.plan) == 0 {
		return list, time.Hour
	}
	return list, max(0, a.plan[0].at.Sub(now))
}

// run performs what is planned until ctx ends.
func (a *acts) run(ctx context.Context, perform func(*Act)) {
	timer := time.NewTimer(time.Hour) //nolint:forbidigo // acts are real time
	defer timer.Stop()
	for {
		list, wait := a.due(realNow())
		for i := range list {
			perform(&list[i])
		}
		if len(list) > 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-a.wake:
		case <-ctx.Done():
			return
		}
	}
}

// perform does it now.
func (s *Server) perform(a *Act) {
	for _, d := range s.doors {
		if d.rules == nil || a.Vendor != "" && a.Vendor != d.vendor {
			continue
		}
		if a.Kind == Streams {
			d.limit(a.Streams)
		}
		for _, h := range s.h2conns(d.vendor) {
			if s.meets(a) {
				h.act(a)
			}
		}
		if a.Kind != Close && a.Kind != Reset {
			continue
		}
		for _, nc := range s.http1conns(d.vendor) {
			if s.meets(a) {
				cut(nc, a.Kind == Reset)
			}
		}
	}
}

func (s *Server) meets(a *Act) bool { return a.Share == 0 || s.chance() < a.Share }

// limit is the stream limit of the connections to come.
func (d *door) limit(streams uint32) {
	for {
		was := d.conduct.Load()
		c := *was
		c.Streams = streams
		if d.conduct.CompareAndSwap(was, &c) {
			return
		}
	}
}
