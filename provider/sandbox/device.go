package sandbox

import (
	"bytes"
	"container/list"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Device is one address that got a push, or was told to be something.
type Device struct {
	Vendor  Vendor `json:"vendor"`
	Address string `json:"address"`
	// Received is the pushes that came to the vendor, Accepted those not refused,
	// Delivered those that the device got.
	Received  int       `json:"received"`
	Accepted  int       `json:"accepted"`
	Delivered int       `json:"delivered"`
	LastAt    time.Time `json:"lastAt,omitzero"`
	// Held is the pushes that the vendor keeps for it now.
	Held int `json:"held,omitempty"`
	// DeletedMessages is how often FCM dropped all that it kept, because it was
	// more than 100: the app's onDeletedMessages.
	DeletedMessages int `json:"deletedMessages,omitempty"`
	// Offline and Gone are what [Server.SetOffline] and [Server.SetGone] said.
	Offline bool `json:"offline,omitempty"`
	Gone    bool `json:"gone,omitempty"`
}

const (
	maxInboxBytes = 128 << 20 // of all inboxes together
	maxIDs        = 4 << 20   // notification ids remembered
)

// devices is every device's tray and inbox, bounded per device and in all.
type devices struct {
	keep  int
	rules func(Vendor) Conduct

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

	owner  string    // APNs' bundle, WNS' app: who sent the first accepted push
	since  time.Time // of Gone
	online time.Time // when it last came online
	held   []*heldPush
	woken  []time.Time // background pushes of the last hour
	burst  bucket      // of collapsible messages
	minute window      // of all pushes
}

type entry struct {
	of     *device
	r      Received
	fields []field
	body   []byte
}

func newDevices(keep int) *devices {
	return &devices{
		keep: keep, byKey: map[string]*device{}, all: list.New(), known: map[string]struct{}{},
		rules: func(Vendor) Conduct { return Conduct{} },
	}
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
		dev = d.add(r.vendor, m.address, m.display)
	}
	dev.Received++
	dev.LastAt = now
	e := &entry{of: dev, body: bytes.Clone(r.body), fields: slices.Clone(r.fields), r: Received{
		At: now, Vendor: r.vendor, Address: dev.Address, Kind: m.kind,
		NotificationID: m.mark.id, Seq: m.mark.seq, Version: m.mark.version, Mark: m.mark.kind,
		Status: rep.status, Reason: rep.reason, Unanswered: rep.drop || rep.hold, Problem: m.problem, Fate: Refused,
	}}
	d.append(dev, e)
	if !accepted {
		return
	}
	dev.Accepted++
	if dev.owner == "" {
		dev.owner = strings.Clone(m.owner)
	}
	if !m.mark.clears() { // it silences, it does not ring
		d.remember(m.mark.id)
	}
	if rep.reason != "" && r.vendor == WNS { // 200, but dropped or throttled
		e.r.Fate = Dropped
		return
	}
	d.arrive(dev, e, m, now)
}

func (d *devices) add(v Vendor, key, address string) *device {
	dev := &device{key: strings.Clone(key), tray: map[string]*Shown{}}
	dev.Vendor, dev.Address = v, strings.Clone(address)
	d.byKey[dev.key] = dev
	return dev
}

func (d *devices) append(dev *device, e *entry) {
	if len(dev.inbox) >= d.keep {
		d.drop(dev)
	}
	dev.inbox = append(dev.inbox, d.all.PushBack(e))
	for d.bytes += e.size(); d.bytes > maxInboxBytes; {
		oldest := d.all.Front().Value.(*entry).of //nolint:forcetypeassert // the list holds nothing else
		d.drop(oldest)
		if len(oldest.inbox) == 0 && oldest != dev && !oldest.told() {
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

// told: somebody said what the device is, which outlives its pushes.
func (dev *device) told() bool { return dev.Offline || dev.Gone || len(dev.held) > 0 }

func (d *devices) view(dev *device, now time.Time) Device {
	d.settle(dev, now)
	one := dev.Device
	one.Held = len(dev.held)
	return one
}

// state is what a vendor knows of a device before it answers.
type state struct {
	offline, gone bool
	since         time.Time
	owner         string
}

func (d *devices) state(key string) state {
	if d == nil {
		return state{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dev := d.byKey[key]
	if dev == nil {
		return state{}
	}
	return state{dev.Offline, dev.Gone, dev.since, dev.owner}
}

// Device tells of one address; ok is false when nothing is known of it.
func (s *Server) Device(address string) (dev Device, ok bool) {
	now := s.cfg.Now()
	s.devices.mu.Lock()
	defer s.devices.mu.Unlock()
	one := s.devices.byKey[deviceKey(address)]
	if one == nil {
		return Device{}, false
	}
	return s.devices.view(one, now), true
}

// Devices lists the addresses that got something, by vendor and address.
func (s *Server) Devices() []Device {
	now := s.cfg.Now()
	s.devices.mu.Lock()
	defer s.devices.mu.Unlock()
	out := make([]Device, 0, len(s.devices.byKey))
	for dev := range maps.Values(s.devices.byKey) {
		out = append(out, s.devices.view(dev, now))
	}
	slices.SortFunc(out, func(a, b Device) int {
		if c := strings.Compare(string(a.Vendor), string(b.Vendor)); c != 0 {
			return c
		}
		return strings.Compare(a.Address, b.Address)
	})
	return out
}
