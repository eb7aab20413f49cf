package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Conduct is how a vendor always is, whatever a script says. [VendorConduct] is the
// vendor's own; a rule that a vendor does not have does nothing there.
type Conduct struct {
	// ColdStreams is APNs' limit of concurrent streams until the connection's first
	// 200; 0: Streams from the start. Streams is the limit after that.
	ColdStreams uint32 `json:"coldStreams"`
	Streams     uint32 `json:"streams"`
	// OverrunReset answers a stream too many with RST_STREAM REFUSED_STREAM
	// instead of ending the connection with GOAWAY.
	OverrunReset bool `json:"overrunReset"`
	// SettingsDelay is real time before the first SETTINGS. What the client sends
	// before is judged after.
	SettingsDelay time.Duration `json:"-"`
	// RejectsToOne is how many 4xx other than 410 APNs answers on a connection
	// before its stream limit falls to 1; the next 200 restores it and the count
	// begins again. 0: never.
	RejectsToOne int `json:"rejectsToOne"`
	// BadTokens is how many BadDeviceToken in a row end an APNs connection. 0: none.
	BadTokens int `json:"badTokens"`
	// Idle is real time without a stream after which FCM says GOAWAY
	// session_timed_out. 0: never.
	Idle time.Duration `json:"-"`
	// PingStrikes is how many PINGs without a request in between FCM takes before
	// GOAWAY too_many_pings. 0: any.
	PingStrikes int `json:"pingStrikes"`
	// RequestsPerConnection closes a connection after so many: Connection: close,
	// or a GOAWAY that loses nothing. 0: never.
	RequestsPerConnection int `json:"requestsPerConnection"`
	// QuotaPerMinute is FCM's project quota: a bucket that is full again every
	// minute, which begins with the first message and not with the clock's minute.
	// 4xx count, 429 do not. 0: none.
	QuotaPerMinute int `json:"quotaPerMinute"`
	// DevicePerMinute is the same for one device: APNs' TooManyRequests, FCM's 429,
	// WNS' channelthrottled. 0: none, because no vendor but FCM (240) names one.
	DevicePerMinute int `json:"devicePerMinute"`
	// BackgroundPerHour is how many background pushes an hour reach an APNs device;
	// the newest of what is above waits. 0: all.
	BackgroundPerHour int `json:"backgroundPerHour"`
	// CollapsibleBurst is how many collapsible messages an FCM device gets at once,
	// one more every CollapsibleRefill; what is above waits. 0: all.
	CollapsibleBurst  int           `json:"collapsibleBurst"`
	CollapsibleRefill time.Duration `json:"-"`
	// Latency is how long answers take.
	Latency Latency `json:"latency"`
}

// VendorConduct is how a vendor behaves as far as that is known: Apple's "Sending
// notification requests" and what others saw on its wire (1 stream, then 1000),
// FCM's quota page, Google's front end (100 streams). In Fast mode a bench must not
// be bound by limits.
func VendorConduct(v Vendor, m Mode) Conduct {
	if m == Fast {
		return Conduct{Streams: 4096}
	}
	switch v {
	case APNs:
		return Conduct{ColdStreams: 1, Streams: 1000, RejectsToOne: 20, BadTokens: 100, BackgroundPerHour: 3}
	case FCM:
		return Conduct{
			Streams: 100, Idle: 4 * time.Minute, QuotaPerMinute: 600_000,
			CollapsibleBurst: 20, CollapsibleRefill: 3 * time.Minute,
		}
	default:
		return Conduct{Streams: 100}
	}
}

type conductSpans struct {
	SettingsDelay     span `json:"settingsDelay"`
	Idle              span `json:"idle"`
	CollapsibleRefill span `json:"collapsibleRefill"`
}

type plainConduct Conduct

// jsonConduct is Conduct as JSON has it.
type jsonConduct struct {
	*plainConduct
	conductSpans
}

// MarshalJSON writes the durations as text.
func (c Conduct) MarshalJSON() ([]byte, error) {
	p := plainConduct(c)
	return json.Marshal(jsonConduct{&p, conductSpans{span(c.SettingsDelay), span(c.Idle), span(c.CollapsibleRefill)}})
}

// UnmarshalJSON changes what is named and leaves the rest.
func (c *Conduct) UnmarshalJSON(b []byte) error {
	p := plainConduct(*c)
	j := jsonConduct{&p, conductSpans{span(c.SettingsDelay), span(c.Idle), span(c.CollapsibleRefill)}}
	if err := decode(b, &j); err != nil {
		return err
	}
	p.SettingsDelay, p.Idle = time.Duration(j.conductSpans.SettingsDelay), time.Duration(j.conductSpans.Idle)
	p.CollapsibleRefill = time.Duration(j.conductSpans.CollapsibleRefill)
	*c = Conduct(p)
	return c.check()
}

func (c Conduct) check() error {
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"settingsDelay", int64(c.SettingsDelay)},
		{"rejectsToOne", int64(c.RejectsToOne)},
		{"badTokens", int64(c.BadTokens)},
		{"idle", int64(c.Idle)},
		{"pingStrikes", int64(c.PingStrikes)},
		{"requestsPerConnection", int64(c.RequestsPerConnection)},
		{"quotaPerMinute", int64(c.QuotaPerMinute)},
		{"devicePerMinute", int64(c.DevicePerMinute)},
		{"backgroundPerHour", int64(c.BackgroundPerHour)},
		{"collapsibleBurst", int64(c.CollapsibleBurst)},
		{"collapsibleRefill", int64(c.CollapsibleRefill)},
	} {
		if n.value < 0 {
			return fmt.Errorf("%s cannot be negative", n.name)
		}
	}
	switch {
	case c.Streams < 1 || c.Streams > maxStreams:
		return fmt.Errorf("streams is from 1 to %d", maxStreams)
	case c.ColdStreams > maxStreams:
		return fmt.Errorf("coldStreams is at most %d", maxStreams)
	case c.CollapsibleBurst > 0 && c.CollapsibleRefill == 0:
		return errors.New("collapsibleBurst needs a collapsibleRefill")
	}
	return c.Latency.check()
}

// maxStreams bounds what a connection may hold.
const maxStreams = 100_000

// Conduct is how the vendor is now.
func (s *Server) Conduct(v Vendor) Conduct {
	d := s.door(v)
	if d == nil {
		return Conduct{}
	}
	return *d.conduct.Load()
}

// SetConduct changes how the vendor is from now on. The rules of a connection's
// streams and SETTINGS hold for connections made from now on; an [Act] changes the
// open ones too.
func (s *Server) SetConduct(v Vendor, c Conduct) error {
	d := s.door(v)
	if d == nil {
		return fmt.Errorf("there is no vendor %q: apns, fcm, wns or token", v)
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("%s: %w", v, err)
	}
	d.conduct.Store(&c)
	s.watch()
	return nil
}

// PatchConduct changes what a JSON object names, by vendor: {"fcm":{"latency":
// "published","quotaPerMinute":100}}. All of it, or nothing when anything is wrong.
func (s *Server) PatchConduct(b []byte) error {
	var all map[Vendor]json.RawMessage
	if err := decode(b, &all); err != nil {
		return err
	}
	changed := map[Vendor]Conduct{}
	for _, v := range slices.Sorted(maps.Keys(all)) {
		if s.door(v) == nil {
			return fmt.Errorf("there is no vendor %q: apns, fcm, wns or token", v)
		}
		c, raw := s.Conduct(v), all[v]
		var named map[string]json.RawMessage
		if err := json.Unmarshal(raw, &named); err != nil {
			return fmt.Errorf("%s: an object is wanted: %w", v, err)
		}
		if string(named["latency"]) == `"published"` {
			delete(named, "latency")
			c.Latency = PublishedLatency(v)
			raw, _ = json.Marshal(named) //nolint:errchkjson // parsed a moment ago
		}
		if err := json.Unmarshal(raw, &c); err != nil {
			return fmt.Errorf("%s: %s", v, strings.TrimPrefix(err.Error(), "json: "))
		}
		changed[v] = c
	}
	for v, c := range changed {
		if err := s.SetConduct(v, c); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) door(v Vendor) *door {
	for _, d := range s.doors {
		if d.vendor == v {
			return d
		}
	}
	return nil
}
