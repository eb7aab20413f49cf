package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Latency is how long a vendor takes to answer: lognormal, with a tail. The zero
// value answers at once. The time is real time.
type Latency struct {
	// Median and P99 shape the curve; P99 0: everything takes Median.
	Median, P99 time.Duration
	// Tail is the share of the answers that take 1 to 3 s, evenly.
	Tail float64 `json:"tail,omitempty"`
	// Never is the share that is not answered until [Server.Unscript].
	Never float64 `json:"never,omitempty"`
	// OnTheHour multiplies the time in the first two minutes of each hour of the
	// sandbox's clock, when FCM has its busiest time; 0 and 1: it does not.
	OnTheHour float64 `json:"onTheHour,omitempty"`
}

// PublishedLatency is a vendor's latency as far as anybody has published one: the
// medians are 40 ms for APNs, 90 ms for FCM and 120 ms for WNS, p99 six times
// that, 0.1 % take 1 to 3 s, 0.01 % are never answered, and FCM is twice as slow
// on the hour. No vendor gives a guarantee: they are for rehearsals.
func PublishedLatency(v Vendor) Latency {
	l := Latency{Tail: 0.001, Never: 0.0001}
	switch v {
	case APNs:
		l.Median = 40 * time.Millisecond
	case FCM:
		l.Median, l.OnTheHour = 90*time.Millisecond, 2
	case WNS:
		l.Median = 120 * time.Millisecond
	case Token:
		return Latency{Median: 90 * time.Millisecond, P99: 540 * time.Millisecond}
	default:
		return Latency{}
	}
	l.P99 = 6 * l.Median
	return l
}

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

// sample is one answer's delay; never: there is none.
func (l Latency) sample(rnd *rand.Rand, now time.Time) (delay time.Duration, never bool) {
	if l == (Latency{}) {
		return 0, false
	}
	switch u := rnd.Float64(); {
	case u < l.Never:
		return 0, true
	case u < l.Never+l.Tail:
		return time.Second + time.Duration(rnd.Float64()*float64(2*time.Second)), false
	}
	d := float64(l.Median)
	if l.P99 > l.Median && l.Median > 0 {
		d *= math.Exp(math.Log(float64(l.P99)/d) / z99 * rnd.NormFloat64())
	}
	if l.OnTheHour > 0 && now.Minute() < 2 {
		d *= l.OnTheHour
	}
	return time.Duration(d), false
}

func (l Latency) check() error {
	switch {
	case l.Median < 0 || l.P99 < 0 || l.OnTheHour < 0:
		return errors.New("latency: median, p99 and onTheHour cannot be negative")
	case l.Tail < 0 || l.Never < 0 || l.Tail+l.Never > 1:
		return errors.New("latency: tail and never are shares, from 0 to 1 together")
	}
	return nil
}

// plainLatency is Latency as JSON has it.
type plainLatency struct {
	Median    span    `json:"median,omitempty"`
	P99       span    `json:"p99,omitempty"`
	Tail      float64 `json:"tail,omitempty"`
	Never     float64 `json:"never,omitempty"`
	OnTheHour float64 `json:"onTheHour,omitempty"`
}

// MarshalJSON writes the durations as text.
func (l Latency) MarshalJSON() ([]byte, error) {
	return json.Marshal(plainLatency{span(l.Median), span(l.P99), l.Tail, l.Never, l.OnTheHour})
}

// UnmarshalJSON reads an object, whose names not given keep their values, or "off",
// or a single duration that every answer takes.
func (l *Latency) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		if string(b) == `"off"` {
			*l = Latency{}
			return nil
		}
		var d span
		if err := d.UnmarshalJSON(b); err != nil {
			return fmt.Errorf(`latency is "off", "published", a duration or an object: %w`, err)
		}
		*l = Latency{Median: time.Duration(d)}
		return nil
	}
	p := plainLatency{span(l.Median), span(l.P99), l.Tail, l.Never, l.OnTheHour}
	if err := decode(b, &p); err != nil {
		return err
	}
	*l = Latency{time.Duration(p.Median), time.Duration(p.P99), p.Tail, p.Never, p.OnTheHour}
	return nil
}
