//go:build acceptance

package acceptance_test

import (
	"net/url"
	"strings"
	"testing"
)

// dismiss says on one device that a notification is done with.
func (p *person) dismiss(t *testing.T, on *device, id string) {
	t.Helper()
	r := p.s.call(t, p.token, "PATCH", "/beta/me/notifications/"+id, map[string]any{"userActionState": "Dismissed"}, "X-UNS-ID", on.subscription).want(t, 200)
	if r.str("userActionState") != "Dismissed" || r.header.Get(positionHeader) == "" {
		t.Errorf("the dismissal's answer lacks something: %s", r.text)
	}
}

// clear waits until the device shows nothing.
func (d *device) clear(t *testing.T) {
	t.Helper()
	until(t, ringLimit, d.installation+" shows nothing", func() bool { return len(d.tray(t)) == 0 })
}

// clears counts the clears in the inbox.
func (d *device) clears(t *testing.T) (n int) {
	t.Helper()
	for _, p := range d.inbox(t) {
		if p.Mark == "clear" {
			n++
		}
	}
	return n
}

func (d *device) offline(t *testing.T, off bool) {
	t.Helper()
	fetch(t, d.s.http, d.s.ops+"/sandbox/devices/"+url.PathEscape(d.address), "", "PATCH", map[string]any{"offline": off}).want(t, 200)
}

// dismissedEverywhere: what is dismissed on the Android device leaves the other
// trays, with one push each, and the Android device hears nothing of it.
func dismissedEverywhere(t *testing.T, s *site) {
	p := s.person(t, "once")
	windows, ios, android := p.three(t, "")
	id := p.send(t, visual("Dinner", "is ready"))
	for _, d := range []*device{windows, ios, android} {
		d.rung(t, 1)
	}
	p.dismiss(t, android, id)
	windows.clear(t)
	ios.clear(t)
	p.fence(t, windows, ios, android)
	if n := [3]int{windows.clears(t), ios.clears(t), android.clears(t)}; n != [3]int{1, 1, 0} {
		t.Errorf("clears at windows, ios, android: %v", n)
	}
	if tray := android.tray(t); len(tray) != 2 || tray[0].NotificationID != id {
		t.Errorf("the acting device's tray is its app's: %v", tray)
	}
}

// asleep: a device that sleeps through five sends and five dismissals shows
// nothing when it wakes.
func asleep(t *testing.T, s *site) {
	p := s.person(t, "sleeper")
	windows, ios, android := p.three(t, "")
	for _, d := range []*device{windows, ios} {
		d.offline(t, true)
	}
	var ids []string
	for range 5 {
		ids = append(ids, p.send(t, visual("Five", "of these")))
	}
	for _, d := range []*device{windows, ios, android} {
		d.rung(t, 5)
	}
	for _, id := range ids {
		p.dismiss(t, android, id)
	}
	until(t, ringLimit, "the last dismissal is told", func() bool { return windows.clears(t) > 1 && ios.clears(t) > 1 })
	for _, d := range []*device{windows, ios} {
		d.offline(t, false)
		d.clear(t)
	}
}

// retrySuppressed: a push that waits for its next try is not tried again once it is
// dismissed; another, that nobody dismissed, is, at the same time.
func retrySuppressed(t *testing.T, s *site) {
	p := s.person(t, "retried")
	ios, android := p.register(t, "ios", ""), p.register(t, "android", "")
	fetch(t, s.http, s.ops+"/sandbox/faults", "", "POST", map[string]any{"vendor": "fcm", "address": android.address, "status": 503, "retryAfter": "60"}).want(t, 200)
	id := p.send(t, visual("Not", "twice"))
	stays := p.send(t, visual("Again", ""))
	ios.rung(t, 2)
	android.rung(t, 2) // refused
	p.dismiss(t, ios, id)
	fetch(t, s.http, s.ops+"/sandbox/faults", "", "DELETE", nil).want(t, 200)
	s.move(t, "+2m")
	android.rung(t, 3)
	until(t, ringLimit, "its retry is suppressed", func() bool {
		r := s.call(t, s.app, "GET", "/api/v1/users/"+p.id+"/notifications/"+id+"/deliveries", nil).want(t, 200)
		return strings.Contains(string(r.text), `"dismissed"`)
	})
	p.fence(t, android)
	tried := map[string]int{}
	for _, in := range android.inbox(t) {
		if in.Mark != "clear" {
			tried[in.NotificationID]++
		}
	}
	if tray := android.tray(t); tried[id] != 1 || tried[stays] != 2 || len(tray) != 2 || tray[0].NotificationID != stays {
		t.Errorf("the dismissed one was tried %d times, the other %d; shown: %+v", tried[id], tried[stays], tray)
	}
}
