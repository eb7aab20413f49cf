//go:build acceptance

package acceptance_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestState is what users do with what they got, and what their devices hear.
func TestState(t *testing.T) {
	s := serve(t, filepath.Join(workDir(t), "data"))
	for _, step := range []struct {
		name string
		play func(t *testing.T, s *site)
	}{
		{"asleep through five", asleep},
		{"a retry is suppressed", retrySuppressed},
		{"fifty in one call", fiftyInOneCall},
		{"fifty calls at once", fiftyAtOnce},
		{"everything before a position", everythingBefore},
		{"fields merge", fieldsMerge},
		{"deleted and recalled", deletedAndRecalled},
		{"replaced after it was dismissed", replacedAnew},
		{"snoozed is kept", snoozedKept},
		{"stateSync none", perDevice},
		{"If-Match", ifMatch},
		{"keyed, and named at once", keyedAtOnce},
	} {
		t.Run(step.name, func(t *testing.T) { step.play(t, s) })
	}
	s.stop(t)
}

// sends sends n notifications, which ring at the devices.
func (p *person) sends(t *testing.T, n int, devices ...*device) (ids []string) {
	t.Helper()
	for range n {
		ids = append(ids, p.send(t, visual("one of many", "")))
	}
	for _, d := range devices {
		d.rung(t, n)
	}
	return ids
}

// wakeUps counts the silent pushes, clears or taps, that a device got.
func (d *device) wakeUps(t *testing.T) (n int) {
	t.Helper()
	for _, p := range d.inbox(t) {
		if p.Mark == "clear" || p.Mark == "tap" {
			n++
		}
	}
	return n
}

// fiftyInOneCall: whatever one call names is one wake-up for each other device.
func fiftyInOneCall(t *testing.T, s *site) {
	p := s.person(t, "fifty")
	windows, ios, android := p.three(t, "")
	ids := p.sends(t, 50, windows, ios, android)
	s.call(t, p.token, "POST", "/api/v1/me/notifications/state", map[string]any{"ids": ids, "userActionState": "Dismissed"}, "X-UNS-ID", android.subscription).want(t, 202)
	windows.clear(t)
	ios.clear(t)
	p.fence(t, windows, ios, android)
	if got := [3]int{windows.wakeUps(t), ios.wakeUps(t), android.wakeUps(t)}; got != [3]int{1, 1, 0} {
		t.Errorf("wake-ups at windows, ios, android: %v, want one at each that did not act", got)
	}
}

// fiftyAtOnce: fifty calls within 200 ms are two wake-ups at most, the first and
// one for those that came after it.
func fiftyAtOnce(t *testing.T, s *site) {
	p := s.person(t, "busy")
	windows, ios, android := p.three(t, "")
	ids := p.sends(t, 50, windows, ios, android)
	w := &town{http: s.http, token: p.token}
	w.url.Store(&s.url)
	var calls sync.WaitGroup
	begin := time.Now()
	for _, id := range ids {
		calls.Go(func() {
			if r := w.try("PATCH", "/beta/me/notifications/"+id, map[string]any{"readState": true}, "X-UNS-ID", android.subscription); r.status != 200 && r.status != 202 {
				t.Errorf("%d %s", r.status, r.text)
			}
		})
	}
	calls.Wait()
	took := time.Since(begin)
	windows.clear(t)
	ios.clear(t)
	p.fence(t, windows, ios, android)
	most := 2
	if took > 200*time.Millisecond { // a busy machine: a window more for each that it took longer
		most += 1 + int((took-200*time.Millisecond)/(250*time.Millisecond))
	}
	t.Logf("50 calls took %v; wake-ups: windows %d, ios %d", took.Round(time.Millisecond), windows.wakeUps(t), ios.wakeUps(t))
	if windows.wakeUps(t) > most || ios.wakeUps(t) > most || android.wakeUps(t) != 0 {
		t.Errorf("want %d at most, and none at android, which has %d", most, android.wakeUps(t))
	}
}

// state is what a GET says of an item: read, action, whether it is there at all.
func (p *person) state(t *testing.T, id string) string {
	t.Helper()
	r := p.get(t, "/beta/me/notifications/"+id)
	if r.status == 404 {
		return "gone"
	}
	r.want(t, 200)
	if read, _ := at(r.body, "readState").(bool); read {
		return "read " + r.str("userActionState")
	}
	return "unread " + r.str("userActionState")
}

func (p *person) change(t *testing.T, id string, body map[string]any, headers ...string) *reply {
	t.Helper()
	r := p.s.call(t, p.token, "PATCH", "/beta/me/notifications/"+id, body, headers...)
	if position := r.header.Get(positionHeader); position != "" {
		p.position = position
	}
	return r
}

// keyedAtOnce: whoever sends with a key and names the notification in his next
// call is not told that there is none, and an id that nobody sent is not waited for.
func keyedAtOnce(t *testing.T, s *site) {
	p := s.person(t, "keyed")
	own := "/beta/users/dev.keyed/notifications"
	for i := range 5 {
		for _, c := range []struct {
			method, path string
			body         any
			status       int
		}{
			{"GET", own + "/ID", nil, 200},
			{"GET", own + "(appNotificationId='KEY')", nil, 200},
			{"GET", "/api/v1/users/dev.keyed/notifications/ID/deliveries", nil, 200},
			{"PATCH", own + "/ID", map[string]any{"readState": true}, 200},
			{"DELETE", own + "/ID", nil, 204},
		} {
			key := fmt.Sprint(c.method, len(c.path), i)
			r := s.call(t, s.app, "POST", own, with(visual("keyed", ""), map[string]any{"appNotificationId": key})).want(t, 201)
			path := strings.NewReplacer("ID", r.str("id"), "KEY", key).Replace(c.path)
			if r := s.call(t, s.app, c.method, path, c.body); r.status != c.status {
				t.Errorf("%s %s: %d %s", c.method, c.path, r.status, r.text)
			}
		}
	}
	if status := p.get(t, "/beta/me/notifications(appNotificationId='nobody')").status; status != 404 {
		t.Errorf("a key that nobody sent: %d", status)
	}
}

// everythingBefore: one call reads all up to a position, nothing beyond, and the
// other devices are told once, to come and fetch.
func everythingBefore(t *testing.T, s *site) {
	p := s.person(t, "tidy")
	windows, ios, android := p.three(t, "")
	ids := p.sends(t, 3)
	before := p.position
	ids = append(ids, p.sends(t, 2)...)
	for _, d := range []*device{windows, ios, android} {
		d.rung(t, 5)
	}
	r := s.call(t, p.token, "POST", "/api/v1/me/notifications/state", map[string]any{"before": before, "readState": true}, "X-UNS-ID", android.subscription).want(t, 202)
	p.position = r.str("position")
	for i, id := range ids {
		want := "read NoInteraction"
		if i >= 3 {
			want = "unread NoInteraction"
		}
		if got := p.state(t, id); got != want {
			t.Errorf("number %d is %s, want %s", i, got, want)
		}
	}
	p.fence(t, windows, ios, android)
	if got := [3]int{windows.wakeUps(t), ios.wakeUps(t), android.wakeUps(t)}; got != [3]int{1, 1, 0} {
		t.Errorf("wake-ups at windows, ios, android: %v", got)
	}
}

// fieldsMerge: the last writer of a field wins, whoever wrote the other.
func fieldsMerge(t *testing.T, s *site) {
	p := s.person(t, "merger")
	_, ios, android := p.three(t, "")
	id := p.send(t, visual("two fields", ""))
	p.change(t, id, map[string]any{"readState": true}, "X-UNS-ID", ios.subscription).want(t, 200)
	p.change(t, id, map[string]any{"userActionState": "Activated"}, "X-UNS-ID", android.subscription).want(t, 200)
	if got := p.state(t, id); got != "read Activated" {
		t.Errorf("it is %s", got)
	}
	p.change(t, id, map[string]any{"readState": false}, "X-UNS-ID", android.subscription).want(t, 200)
	if got := p.state(t, id); got != "unread Activated" {
		t.Errorf("it is %s", got)
	}
	p.change(t, id, map[string]any{"readState": "maybe"}).refuses(t, 400, "readState")
	p.change(t, id, map[string]any{"groupName": "x"}).refuses(t, 400, "groupName")
}

// deletedAndRecalled: what its user deletes, or its sender calls back, is gone
// everywhere and stays gone.
func deletedAndRecalled(t *testing.T, s *site) {
	p := s.person(t, "deleter")
	windows, ios, android := p.three(t, "")
	ids := p.sends(t, 2, windows, ios, android)
	r := p.get(t, "/beta/me/notifications/delta").want(t, 200)
	s.call(t, p.token, "DELETE", "/beta/me/notifications/"+ids[0], nil, "X-UNS-ID", android.subscription).want(t, 204)
	p.position = s.call(t, s.app, "DELETE", "/beta/users/"+p.id+"/notifications/"+ids[1], nil).want(t, 204).header.Get(positionHeader)
	windows.clear(t)
	ios.clear(t)
	android.clear(t) // of the recall, and it names the other too
	for _, id := range ids {
		p.get(t, "/beta/me/notifications/"+id).refuses(t, 404)
		p.change(t, id, map[string]any{"readState": true}).refuses(t, 404)
	}
	if got := history(t, p); len(got) != 0 {
		t.Errorf("history has %v", got)
	}
	delta, ok := at(r.body, "@odata.deltaLink").(string)
	if !ok {
		t.Fatalf("no delta link: %s", r.text)
	}
	text := string(p.get(t, strings.TrimPrefix(delta, s.url)).want(t, 200).text)
	if strings.Count(text, `"@removed":{"reason":"deleted"}`) != 2 {
		t.Errorf("the delta does not tell of two removed: %s", text)
	}
}

// replacedAnew: a new content under an old key begins anew, and is shown again
// also where its former content was dismissed.
func replacedAnew(t *testing.T, s *site) {
	p := s.person(t, "anew")
	windows, ios, android := p.three(t, "")
	n := func(title string) map[string]any {
		return with(visual(title, ""), map[string]any{"appNotificationId": "key"})
	}
	id := p.send(t, n("first"))
	for _, d := range []*device{windows, ios, android} {
		d.rung(t, 1)
	}
	p.get(t, "/beta/me/notifications/"+id).want(t, 200) // of a key nobody knows before it is applied
	p.dismiss(t, android, id)
	windows.clear(t)
	ios.clear(t)
	p.send(t, n("second"))
	for _, d := range []*device{windows, ios} {
		until(t, ringLimit, d.installation+" shows the second", func() bool {
			return cmp.Equal(d.tray(t), []shown{{NotificationID: id, Title: "second"}})
		})
	}
	if got := p.state(t, id); got != "unread NoInteraction" {
		t.Errorf("it is %s", got)
	}
}

// snoozedKept: who snoozes is not done with it.
func snoozedKept(t *testing.T, s *site) {
	p := s.person(t, "snoozer")
	windows, ios, android := p.three(t, "")
	id := p.sends(t, 1, windows, ios, android)[0]
	p.change(t, id, map[string]any{"userActionState": "Snoozed"}, "X-UNS-ID", android.subscription).want(t, 200)
	p.fence(t, windows, ios, android)
	for _, d := range []*device{windows, ios} {
		if tray := d.tray(t); len(tray) != 2 || tray[0].NotificationID != id {
			t.Errorf("%s shows %+v", d.installation, tray)
		}
	}
	if got := p.state(t, id); got != "unread Snoozed" {
		t.Errorf("it is %s", got)
	}
}

// perDevice: with stateSync none a dismissal stays where it happened; a deletion
// does not.
func perDevice(t *testing.T, s *site) {
	p := s.person(t, "local")
	windows, ios, android := p.three(t, "")
	id := p.send(t, with(visual("on each", ""), map[string]any{"stateSync": "none"}))
	for _, d := range []*device{windows, ios, android} {
		d.rung(t, 1)
	}
	p.dismiss(t, android, id)
	p.fence(t, windows, ios, android)
	for _, d := range []*device{windows, ios} {
		if n := d.wakeUps(t); n != 0 || d.tray(t)[0].NotificationID != id {
			t.Errorf("%s got %d wake-ups and shows %+v", d.installation, n, d.tray(t))
		}
	}
	s.call(t, p.token, "DELETE", "/beta/me/notifications/"+id, nil).want(t, 204)
	for _, d := range []*device{windows, ios, android} {
		until(t, ringLimit, d.installation+" takes it off", func() bool {
			tray := d.tray(t)
			return len(tray) == 1 && tray[0].NotificationID != id
		})
	}
}

// ifMatch: of two who read the same version one changes it.
func ifMatch(t *testing.T, s *site) {
	p := s.person(t, "careful-two")
	id := p.send(t, visual("versions", ""))
	tag := p.get(t, "/beta/me/notifications/"+id).want(t, 200).header.Get("ETag")
	r := p.change(t, id, map[string]any{"readState": true}, "If-Match", tag).want(t, 200)
	if next := r.header.Get("ETag"); next == "" || next == tag {
		t.Errorf("ETag %q after %q", next, tag)
	}
	p.change(t, id, map[string]any{"userActionState": "Dismissed"}, "If-Match", tag).refuses(t, 412, "If-Match")
	if got := p.state(t, id); got != "read NoInteraction" {
		t.Errorf("it is %s", got)
	}
	p.change(t, id, map[string]any{"userActionState": "Dismissed"}, "If-Match", "*").want(t, 200)
	s.call(t, p.token, "DELETE", "/beta/me/notifications/"+id, nil, "If-Match", tag).refuses(t, 412)
	s.call(t, p.token, "DELETE", "/beta/me/notifications/"+id, nil, "If-Match", p.get(t, "/beta/me/notifications/"+id).header.Get("ETag")).want(t, 204)
}
