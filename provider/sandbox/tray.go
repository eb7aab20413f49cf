package sandbox

import (
	"bytes"
	"container/list"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Shown is one notification that a device would show now.
type Shown struct {
	// Key replaces: apns-collapse-id, else apns-id; FCM's tag, else the id in
	// its data; X-WNS-Tag, else the id in the toast's launch argument.
	Key string `json:"key"`
	// NotificationID is the sender's, from its own data; "" when it sends none.
	NotificationID string `json:"notificationId"`
	Title          string `json:"title"`
	Body           string `json:"body"`
	// Group is APNs' thread-id, FCM's channel, the toast's group.
	Group     string    `json:"group,omitempty"`
	ShownAt   time.Time `json:"shownAt"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// Replaced counts earlier contents of this entry.
	Replaced int `json:"replaced,omitempty"`
}

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
	// Problem says why the device shows nothing although the vendor accepted.
	Problem string `json:"problem,omitempty"`
}

// Device is one address that got a push.
type Device struct {
	Vendor   Vendor    `json:"vendor"`
	Address  string    `json:"address"`
	Received int       `json:"received"`
	Accepted int       `json:"accepted"`
	LastAt   time.Time `json:"lastAt"`
}

const (
	maxInboxBytes = 128 << 20 // of all inboxes together
	maxIDs        = 4 << 20   // notification ids remembered
)

// devices is every device's tray and inbox, bounded per device and in all.
type devices struct {
	keep int

	mu    sync.Mutex
	byKey map[string]*device
	all   *list.List // of *entry, oldest first
	bytes int
	ids   []string // accepted notification ids, in order of first arrival
	known map[string]struct{}
}

type device struct {
	Device
	key   string
	inbox []*list.Element
	tray  map[string]*Shown
	order []string // of tray keys
}

type entry struct {
	of     *device
	r      Received
	fields []field
	body   []byte
}

func newDevices(keep int) *devices {
	return &devices{keep: keep, byKey: map[string]*device{}, all: list.New(), known: map[string]struct{}{}}
}

func (e *entry) size() int {
	n := 400 + len(e.body)
	for _, f := range e.fields {
		n += 32 + len(f.value)
	}
	return n
}

// record is the arrival of a push at its device.
func (d *devices) record(r *request, m *message, rep *reply, now time.Time) {
	accepted := rep.status < 300
	d.mu.Lock()
	defer d.mu.Unlock()
	dev := d.byKey[m.address]
	if dev == nil {
		dev = &device{key: strings.Clone(m.address), tray: map[string]*Shown{}}
		dev.Vendor, dev.Address = r.vendor, strings.Clone(m.display)
		d.byKey[dev.key] = dev
	}
	dev.Received++
	dev.LastAt = now
	e := &entry{of: dev, body: bytes.Clone(r.body), fields: slices.Clone(r.fields), r: Received{
		At: now, Vendor: r.vendor, Address: dev.Address, Kind: m.kind,
		NotificationID: m.mark.id, Seq: m.mark.seq, Version: m.mark.version, Mark: m.mark.kind,
		Status: rep.status, Reason: rep.reason, Unanswered: rep.drop || rep.hold, Problem: m.problem,
	}}
	d.append(dev, e)
	if !accepted {
		return
	}
	dev.Accepted++
	if !m.mark.clears() { // it silences, it does not ring
		d.remember(m.mark.id)
	}
	if rep.reason != "" && r.vendor == WNS { // 200, but dropped or throttled
		return
	}
	dev.show(m, now, d.keep)
}

func (d *devices) append(dev *device, e *entry) {
	if len(dev.inbox) >= d.keep {
		d.drop(dev)
	}
	dev.inbox = append(dev.inbox, d.all.PushBack(e))
	for d.bytes += e.size(); d.bytes > maxInboxBytes; {
		oldest := d.all.Front().Value.(*entry).of //nolint:forcetypeassert // the list holds nothing else
		d.drop(oldest)
		if len(oldest.inbox) == 0 && oldest != dev {
			delete(d.byKey, oldest.key)
		}
	}
}

// drop removes a device's oldest inbox entry.
func (d *devices) drop(dev *device) {
	e := d.all.Remove(dev.inbox[0]).(*entry) //nolint:forcetypeassert // the list holds nothing else
	d.bytes -= e.size()
	dev.inbox[0] = nil
	dev.inbox = dev.inbox[1:]
}

func (d *devices) remember(id string) {
	if id == "" || len(d.ids) >= maxIDs {
		return
	}
	if _, ok := d.known[id]; !ok {
		d.known[id] = struct{}{}
		d.ids = append(d.ids, id)
	}
}

// show changes the tray as the device would.
func (dev *device) show(m *message, now time.Time, keep int) {
	if m.mark.clears() {
		dev.clear(m.mark.gone())
		return
	}
	if !m.shows || m.problem != "" {
		return
	}
	s := &Shown{
		Key: m.key, NotificationID: m.mark.id, Title: m.title, Body: m.body, Group: m.group,
		ShownAt: now, ExpiresAt: m.expires,
	}
	if old := dev.tray[m.key]; old != nil {
		s.Replaced = old.Replaced + 1
	} else {
		if len(dev.order) >= keep {
			delete(dev.tray, dev.order[0])
			dev.order = dev.order[1:]
		}
		dev.order = append(dev.order, m.key)
	}
	dev.tray[m.key] = s
}

// clear removes what the app's SDK would: ids name tray keys or notifications.
func (dev *device) clear(ids []string) {
	dev.order = slices.DeleteFunc(dev.order, func(key string) bool {
		gone := slices.Contains(ids, key) || slices.Contains(ids, dev.tray[key].NotificationID)
		if gone {
			delete(dev.tray, key)
		}
		return gone
	})
}

// Tray is what the device shows now, oldest entry first; a replacement keeps its
// place. Entries whose time to live has passed are gone. Never nil.
func (s *Server) Tray(address string) []Shown {
	now := s.cfg.Now()
	d := s.devices
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []Shown{}
	dev := d.byKey[deviceKey(address)]
	if dev == nil {
		return out
	}
	dev.order = slices.DeleteFunc(dev.order, func(key string) bool {
		e := dev.tray[key]
		if !e.ExpiresAt.IsZero() && !e.ExpiresAt.After(now) {
			delete(dev.tray, key)
			return true
		}
		out = append(out, *e)
		return false
	})
	return out
}

// Inbox is what the address got, in order: the last [Config.Keep] pushes,
// refused ones included. Never nil. In Fast mode it is empty.
func (s *Server) Inbox(address string) []Received {
	d := s.devices
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []Received{}
	dev := d.byKey[deviceKey(address)]
	if dev == nil {
		return out
	}
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

// Devices lists the addresses that got something, by vendor and address.
func (s *Server) Devices() []Device {
	s.devices.mu.Lock()
	defer s.devices.mu.Unlock()
	out := make([]Device, 0, len(s.devices.byKey))
	for dev := range maps.Values(s.devices.byKey) {
		out = append(out, dev.Device)
	}
	slices.SortFunc(out, func(a, b Device) int {
		if c := strings.Compare(string(a.Vendor), string(b.Vendor)); c != 0 {
			return c
		}
		return strings.Compare(a.Address, b.Address)
	})
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
