package sandbox

import (
	"slices"
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

// show changes the tray as the device would; r says what became of the tray.
func (dev *device) show(r *Received, m *message, now time.Time, keep int) {
	if m.mark.clears() {
		r.Cleared = dev.clear(m.mark.gone())
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
		r.Replaced = true
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
func (dev *device) clear(ids []string) (cleared []string) {
	dev.order = slices.DeleteFunc(dev.order, func(key string) bool {
		gone := slices.Contains(ids, key) || slices.Contains(ids, dev.tray[key].NotificationID)
		if gone {
			delete(dev.tray, key)
			cleared = append(cleared, key)
		}
		return gone
	})
	return cleared
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
	d.settle(dev, now)
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
