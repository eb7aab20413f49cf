package sandbox

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Received is one push that a device address got.
type Received struct {
	At      time.Time `json:"at"`
	Vendor  Vendor    `json:"vendor"`
	Address string    `json:"address"`
	// Headers are the request's, names in lower case, credentials left out.
	Headers map[string]string `json:"headers"`
	// Body is the request's: JSON as it came, anything else as a JSON string.
	Body json.RawMessage `json:"body"`
	// Kind is APNs' push type; alert or data for FCM; toast, tile, badge, raw for WNS.
	Kind string `json:"kind"`
	// NotificationID, Seq, Version and Mark are id, seq (or pos), v and k of the
	// sender's own data; empty when it sends none.
	NotificationID string `json:"notificationId"`
	Seq            string `json:"seq,omitempty"`
	Version        string `json:"version,omitempty"`
	Mark           string `json:"mark,omitempty"`
	// Status and Reason are the answer. Unanswered: it was cut or is held.
	Status     int    `json:"status"`
	Reason     string `json:"reason,omitempty"`
	Unanswered bool   `json:"unanswered,omitempty"`
	// Fate is what became of it: [Delivered] and so on.
	Fate Fate `json:"fate"`
	// DeliveredAt is when the device got it, and Order its place among all that it
	// got, from 1; zero while it has not.
	DeliveredAt time.Time `json:"deliveredAt,omitzero"`
	Order       int       `json:"order,omitempty"`
	// Replaced tells that it took the place of an entry of the tray, and Cleared the
	// keys of the entries that it removed.
	Replaced bool     `json:"replaced,omitempty"`
	Cleared  []string `json:"cleared,omitempty"`
	// Problem says why the device shows nothing although the vendor accepted.
	Problem string `json:"problem,omitempty"`
}

// Fate is what became of a push.
type Fate string

// The fates. Held may become any of the others but Refused.
const (
	Delivered Fate = "delivered" // the device got it
	Held      Fate = "held"      // the vendor keeps it: the device is offline, or its budget is spent
	Replaced  Fate = "replaced"  // a newer one took its place before the device got it
	Expired   Fate = "expired"   // its time was over before the device got it
	Discarded Fate = "discarded" // it could not be kept: one try, or too many of them
	Dropped   Fate = "dropped"   // WNS said 200, and dropped or channelthrottled
	Refused   Fate = "refused"   // answered with an error
)

// Arrivals is what the device itself got, in the order in which it got it, with
// times: of the last [Config.Keep] pushes to it. Never nil.
func (s *Server) Arrivals(address string) []Received {
	out := slices.DeleteFunc(s.Inbox(address), func(r Received) bool { return r.Order == 0 })
	slices.SortFunc(out, func(a, b Received) int { return a.Order - b.Order })
	return out
}

// Inbox is what came to the vendor for the address, in order: the last
// [Config.Keep] pushes, refused ones included. Never nil. In Fast mode it is empty.
func (s *Server) Inbox(address string) []Received {
	now := s.cfg.Now()
	d := s.devices
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []Received{}
	dev := d.byKey[deviceKey(address)]
	if dev == nil {
		return out
	}
	d.settle(dev, now)
	for _, el := range dev.inbox {
		e := el.Value.(*entry) //nolint:forcetypeassert // the list holds nothing else
		r := e.r
		r.Headers = make(map[string]string, len(e.fields))
		for _, f := range e.fields {
			r.Headers[f.name] = f.value
			if f.name == "authorization" {
				scheme, _, _ := strings.Cut(f.value, " ")
				r.Headers[f.name] = scheme + " …"
			}
		}
		r.Body = asJSON(e.body)
		out = append(out, r)
	}
	return out
}

// Received lists the ids of accepted notifications, each once, in order of first
// arrival: the first 4 Mi of them. Clears do not count. In Fast mode it is empty.
func (s *Server) Received() []string {
	s.devices.mu.Lock()
	defer s.devices.mu.Unlock()
	return slices.Clone(s.devices.ids)
}

func asJSON(body []byte) json.RawMessage {
	if json.Valid(body) {
		return body
	}
	b, err := json.Marshal(string(body))
	if err != nil {
		return json.RawMessage(`""`)
	}
	return b
}
