package sandbox

import (
	"slices"
	"time"
)

// heldPush is a push that a vendor keeps: its device is offline, or a budget is
// spent.
type heldPush struct {
	e     *entry
	m     message
	slot  string    // a newer one of the same slot takes its place; "": its own
	since time.Time // when it came
	until time.Time // end of its time to live; zero: none
}

const (
	maxStored   = 100                 // FCM messages without a collapse key
	maxCollapse = 4                   // FCM collapse keys
	apnsStored  = 30 * 24 * time.Hour // "Viewing the status…": at most 30 days
	fcmStored   = 28 * 24 * time.Hour // the default of android.ttl
)

// arrive is an accepted push: the device gets it, or the vendor keeps it.
func (d *devices) arrive(dev *device, e *entry, m *message, now time.Time) {
	how := d.rules(dev.Vendor)
	d.release(dev, now, &how)
	switch {
	case !m.expires.IsZero() && !m.expires.After(now):
		e.r.Fate = Expired
	case dev.Offline && m.once:
		e.r.Fate = Discarded
	case dev.Offline:
		dev.hold(e, m, m.slot, now)
	case dev.allowed(m, &how, now).After(now):
		dev.hold(e, m, m.slot+" budget", now)
	default:
		d.deliver(dev, e, m, &how, now)
	}
}

func (d *devices) deliver(dev *device, e *entry, m *message, how *Conduct, at time.Time) {
	dev.Delivered++
	e.r.Fate, e.r.DeliveredAt, e.r.Order = Delivered, at, dev.Delivered
	switch {
	case dev.Vendor == APNs && m.kind == "background" && how.BackgroundPerHour > 0:
		dev.woken = append(dev.woken, at)
		if n := len(dev.woken) - how.BackgroundPerHour; n > 0 {
			dev.woken = dev.woken[n:]
		}
	case dev.Vendor == FCM && m.slot != "" && how.CollapsibleBurst > 0:
		dev.burst.take(how.CollapsibleBurst, how.CollapsibleRefill, at)
	}
	dev.show(&e.r, m, at, d.keep)
}

// allowed is when the device's budgets let such a push through; zero: at once.
func (dev *device) allowed(m *message, how *Conduct, now time.Time) time.Time {
	switch {
	case dev.Vendor == APNs && m.kind == "background" && how.BackgroundPerHour > 0:
		if n := len(dev.woken) - how.BackgroundPerHour; n >= 0 {
			return dev.woken[n].Add(time.Hour)
		}
	case dev.Vendor == FCM && m.slot != "" && how.CollapsibleBurst > 0:
		return dev.burst.next(how.CollapsibleBurst, how.CollapsibleRefill, now)
	}
	return time.Time{}
}

// hold keeps a push as the vendor does: APNs one of a bundle, WNS one of a kind,
// FCM four collapse keys and a hundred others, or none of the others.
func (dev *device) hold(e *entry, m *message, slot string, now time.Time) {
	h := &heldPush{e: e, m: *m, slot: slot, since: now, until: m.expires}
	switch {
	case dev.Vendor == APNs && (h.until.IsZero() || h.until.After(now.Add(apnsStored))):
		h.until = now.Add(apnsStored)
	case dev.Vendor == FCM && h.until.IsZero():
		h.until = now.Add(fcmStored)
	}
	e.r.Fate = Held
	if dev.Vendor == FCM && m.slot == "" {
		h.slot = ""
		others := func(o *heldPush) bool { return o.slot == "" }
		if dev.count(others) >= maxStored {
			e.r.Fate = Discarded
			dev.discard(others, Discarded)
			dev.DeletedMessages++
			return
		}
	} else {
		dev.discard(func(o *heldPush) bool { return o.slot == h.slot }, Replaced)
		keyed := func(o *heldPush) bool { return o.slot != "" }
		if dev.Vendor == FCM && dev.count(keyed) >= maxCollapse {
			i := slices.IndexFunc(dev.held, keyed)
			dev.held[i].e.r.Fate = Discarded
			dev.held = slices.Delete(dev.held, i, i+1)
		}
	}
	dev.held = append(dev.held, h)
}

func (dev *device) count(which func(*heldPush) bool) int {
	n := 0
	for _, h := range dev.held {
		if which(h) {
			n++
		}
	}
	return n
}

func (dev *device) discard(which func(*heldPush) bool, fate Fate) {
	dev.held = slices.DeleteFunc(dev.held, func(h *heldPush) bool {
		if which(h) {
			h.e.r.Fate = fate
			return true
		}
		return false
	})
}

// settle brings a device up to now: what is due by then has arrived.
func (d *devices) settle(dev *device, now time.Time) {
	if len(dev.held) > 0 {
		how := d.rules(dev.Vendor)
		d.release(dev, now, &how)
	}
}

func (d *devices) release(dev *device, now time.Time, how *Conduct) {
	waiting := dev.held[:0]
	for _, h := range dev.held {
		at := dev.allowed(&h.m, how, h.since)
		for _, t := range []time.Time{h.since, dev.online} {
			if t.After(at) {
				at = t
			}
		}
		switch {
		case !dev.Offline && !at.After(now) && (h.until.IsZero() || at.Before(h.until)):
			d.deliver(dev, h.e, &h.m, how, at)
		case !h.until.IsZero() && !h.until.After(now):
			h.e.r.Fate = Expired
		default:
			waiting = append(waiting, h)
		}
	}
	clear(dev.held[len(waiting):])
	dev.held = waiting
}

// SetOffline switches a device off or on, also one that has not got a push yet.
// What comes meanwhile is kept as the vendor keeps it, and arrives in its order
// when the device is on again.
func (s *Server) SetOffline(address string, offline bool) {
	s.tell(address, func(dev *device, now time.Time) {
		if dev.Offline && !offline {
			dev.online = now
		}
		dev.Offline = offline
	})
}

// SetGone makes the address dead: APNs answers 410 with since as its timestamp
// (milliseconds), FCM UNREGISTERED, WNS 410. A zero since brings it back to life.
func (s *Server) SetGone(address string, since time.Time) {
	s.tell(address, func(dev *device, _ time.Time) { dev.Gone, dev.since = !since.IsZero(), since })
}

func (s *Server) tell(address string, change func(*device, time.Time)) {
	now := s.cfg.Now()
	d, key := s.devices, deviceKey(address)
	d.mu.Lock()
	defer d.mu.Unlock()
	dev := d.byKey[key]
	if dev == nil {
		dev = d.add(vendorOf(address), key, address)
	}
	d.settle(dev, now)
	change(dev, now)
	d.settle(dev, now)
	if !dev.told() && len(dev.inbox) == 0 {
		delete(d.byKey, key)
	}
}

// within counts a push against its device's minute.
func (d *devices) within(v Vendor, key string, n int, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	dev := d.byKey[key]
	if dev == nil {
		dev = d.add(v, key, key)
	}
	ok, _ := dev.minute.take(n, now)
	return ok
}
