//go:build acceptance

package acceptance_test

import (
	"bytes"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// timed is a gateway whose clock the test moves.
type timed struct {
	*site

	t     *testing.T
	moved time.Duration
}

// pass moves the clock on.
func (w *timed) pass(d time.Duration) {
	w.t.Helper()
	w.move(w.t, "+"+d.String())
	w.moved += d
}

// in is a time of the gateway's clock.
func (w *timed) in(d time.Duration) string {
	return time.Now().Add(w.moved + d).UTC().Format(time.RFC3339)
}

// kinds are the kinds of push that a device got, in order.
func (d *device) kinds(t *testing.T) (kinds []string) {
	t.Helper()
	for _, p := range d.inbox(t) {
		kinds = append(kinds, p.Mark)
	}
	return kinds
}

// second registers one more device of a platform.
func (p *person) second(t *testing.T, platform string) *device {
	t.Helper()
	d := &device{s: p.s, installation: "other-" + platform, address: address(platform, p.id+t.Name()+"other")}
	d.subscription = p.s.call(t, p.token, "PUT", "/api/v1/me/endpoints/"+d.installation, map[string]string{
		"host": host, "platform": platform, "address": d.address, "appId": bundle,
	}).want(t, 200).str("subscriptionId")
	return d
}

// toasted is raw content whose toast follows after a minute.
func toasted(text string) map[string]any {
	return with(raw(text), map[string]any{"priority": "High", "fallbackPolicy": map[string]any{"endpointFallback": map[string]any{
		"platformTypes": []string{"iOS"}, "fallbackDelayInSeconds": 60, "visualContent": map[string]string{"title": "You have news", "body": text},
	}}})
}

// TestTime: fallback toasts and scheduled sends ring in their time, also after a
// kill -9, and not what was cancelled before.
func TestTime(t *testing.T) {
	data := filepath.Join(workDir(t), "data")
	w := &timed{site: serve(t, data), t: t}
	t.Run("fallback", w.fallback)
	t.Run("scheduled", w.scheduled)
	t.Run("provider token", w.slots)
	t.Run("killed", func(t *testing.T) { w.killed(t, data) })
	t.Run("expired", func(t *testing.T) { w.expired(t, data) })
	if a := w.audit(t); !a.Closed {
		t.Errorf("the audit does not close: %+v", a)
	}
	w.stop(t)
}

func (w *timed) fallback(t *testing.T) {
	p := w.person(t, "fallback")
	windows, phone, robot := p.three(t, "")
	pad := p.second(t, "ios")
	id := p.send(t, toasted("first"))
	for _, d := range []*device{windows, phone, robot, pad} {
		d.rung(t, 1)
	}
	w.call(t, p.token, "POST", "/api/v1/me/feed/ack", map[string]any{"position": p.position}, "X-UNS-ID", pad.subscription).want(t, 202)
	w.pass(61 * time.Second)
	if got := phone.rung(t, 2); got.NotificationID != id || len(phone.tray(t)) != 1 || phone.tray(t)[0].Title != "You have news" {
		t.Errorf("the toast: %+v, tray %+v", got, phone.tray(t))
	}
	p.dismiss(t, robot, id)
	phone.clear(t)        // the toast goes as any other
	w.pass(2 * time.Hour) // for iOS's background pushes, of which there are few an hour
	handled := p.send(t, toasted("second"))
	for _, d := range []*device{windows, phone, robot, pad} {
		until(t, ringLimit, d.installation+" rings again", func() bool { return slices.Contains(d.ids(t), handled) })
	}
	p.dismiss(t, robot, handled)
	w.pass(10 * time.Minute)
	p.fence(t, windows, phone, robot, pad)
	for d, toasts := range map[*device]int{windows: 0, phone: 1, robot: 0, pad: 0} {
		n := 0
		for _, in := range d.inbox(t) {
			if strings.Contains(string(in.Body), "You have news") && !strings.Contains(string(in.Body), "endpointFallback") {
				n++
			}
		}
		if n != toasts {
			t.Errorf("%s got %d toasts, want %d: %v", d.installation, n, toasts, d.kinds(t))
		}
	}
	r := w.call(t, w.app, "GET", "/api/v1/users/"+p.id+"/notifications/"+handled+"/deliveries", nil).want(t, 200)
	if n := strings.Count(string(r.text), `"kind":"fallback","outcome":"suppressed","terminal":true,"reason":"dismissed"`); n != 2 {
		t.Errorf("%d toasts ended as dismissed, want 2: %s", n, r.text)
	}
}

// has tells whether a list or a delta has an item.
func (r *reply) has(id string) bool {
	value, _ := r.body["value"].([]any)
	return slices.ContainsFunc(value, func(v any) bool { return at(v, "id") == id && at(v, "@removed") == nil })
}

func (w *timed) scheduled(t *testing.T) {
	p := w.person(t, "later")
	phone := p.register(t, "ios", "")
	follow := strings.TrimPrefix(p.get(t, "/beta/me/notifications/delta?$deltatoken=latest").want(t, 200).str("@odata.deltaLink"), w.url)
	id := p.send(t, with(visual("Meeting", ""), map[string]any{"deliverAt": w.in(10 * time.Minute)}))
	gone := p.send(t, with(visual("Cancelled", ""), map[string]any{"deliverAt": w.in(10 * time.Minute)}))
	for _, path := range []string{"/beta/me/notifications", follow} {
		if r := p.get(t, path).want(t, 200); r.has(id) {
			t.Errorf("%s shows what is not due: %s", path, r.text)
		}
	}
	if r := p.get(t, "/beta/me/notifications/"+id).want(t, 200); r.str("deliverAt") == "" {
		t.Errorf("its Location shows %s", r.text)
	}
	w.call(t, w.app, "DELETE", "/beta/users/"+p.id+"/notifications/"+gone, nil).want(t, 204)
	w.pass(9 * time.Minute)
	p.fence(t, phone)
	if n := len(phone.inbox(t)); n != 1 {
		t.Errorf("before its time: %d pushes", n)
	}
	w.pass(2 * time.Minute)
	if got := phone.rung(t, 2); got.NotificationID != id {
		t.Errorf("rang %s, want %s", got.NotificationID, id)
	}
	for _, path := range []string{"/beta/me/notifications", follow} {
		until(t, ringLimit, path+" shows it", func() bool { return p.get(t, path).want(t, 200).has(id) })
	}
	p.fence(t, phone)
	if n := len(phone.inbox(t)); n != 3 {
		t.Errorf("%d pushes, want one and two fences: %v", n, phone.ids(t))
	}
	w.active(t, p, id)
}

// active: what was scheduled and rang is as new as any, and not updated, until a
// scheduled version takes its place.
func (w *timed) active(t *testing.T, p *person, id string) {
	keyed := with(visual("Keyed", ""), map[string]any{"appNotificationId": "released", "deliverAt": w.in(time.Minute)})
	key := p.send(t, keyed)
	w.pass(2 * time.Minute)
	status := func(id, want string) {
		t.Helper()
		until(t, ringLimit, id+" is "+want, func() bool {
			r := p.get(t, "/beta/me/notifications?$filter="+url.QueryEscape("status eq '"+want+"'")).want(t, 200)
			return r.has(id) && p.get(t, "/beta/me/notifications/"+id).want(t, 200).str("status") == want
		})
	}
	status(id, "Active")
	status(key, "Active")
	keyed["deliverAt"] = w.in(time.Minute)
	p.send(t, keyed)
	w.pass(2 * time.Minute)
	status(key, "Updated")
}

// slots: APNs gets one provider token for all that is sent within half an hour, and
// never one that it would refuse: of more than an hour ago, or new on a connection
// that had another less than 20 minutes before.
func (w *timed) slots(t *testing.T) {
	const slot = 30 * time.Minute
	p := w.person(t, "tokens")
	phone := p.register(t, "ios", "")
	tokens := func() (n int64) {
		for _, u := range (&rotation{s: w.site}).uses(t) {
			n += u.Tokens
		}
		return n
	}
	now := time.Now().Add(w.moved)
	w.pass(now.Truncate(slot).Add(2*slot + time.Minute).Sub(now)) // a minute into a slot
	sent := 0
	last := tokens()
	for _, step := range []struct {
		after time.Duration
		fresh int64
	}{
		{0, 1},
		{0, 0},
		{5 * time.Minute, 0},
		{20 * time.Minute, 0}, // its last minutes
		{50 * time.Minute, 1}, // the next but one
		{5 * time.Minute, 0},
		{61 * time.Minute, 1},
		{0, 0},
	} {
		if step.after > 0 {
			w.pass(step.after)
		}
		p.send(t, visual("a push", ""))
		sent++
		phone.rung(t, sent)
		if n := tokens(); n != last+step.fresh {
			t.Errorf("push %d, %v later, came with %d new tokens, want %d", sent, step.after, n-last, step.fresh)
		}
		last = tokens()
	}
	for i, in := range phone.inbox(t) {
		if in.Status != 200 {
			t.Errorf("push %d was answered %d: %s", i+1, in.Status, in.whole)
		}
	}
}

func (w *timed) killed(t *testing.T, data string) {
	p := w.person(t, "killed")
	phone := p.register(t, "ios", "")
	id := p.send(t, toasted("for later"))
	phone.rung(t, 1)
	later := p.send(t, with(visual("Later", ""), map[string]any{"deliverAt": w.in(time.Minute)}))
	p.get(t, "/beta/me/notifications").want(t, 200) // both are applied
	moved := w.moved
	w.kill()
	*w = timed{site: serve(w.t, data), t: w.t}
	p.s, phone.s = w.site, w.site
	w.pass(moved + 2*time.Minute) // its clock begins anew
	p.token = strings.TrimSpace(carillon(t, "token", "--data", data, "--user", "killed", "--ops", strings.TrimPrefix(w.ops, "http://")))
	until(t, ringLimit, "both ring", func() bool {
		ids := phone.ids(t) // the sandbox begins anew too
		return slices.Contains(ids, id) && slices.Contains(ids, later)
	})
	p.fence(t, phone)
	if ids := phone.ids(t); len(ids) != 3 {
		t.Errorf("after the kill the phone got %v, want %s, %s and a fence", ids, id, later)
	}
}

// expired: after thirty days nothing is left of a notification: not in the list,
// by its id, in a delta, and, once what expires with it is dropped, in the store's
// files.
func (w *timed) expired(t *testing.T, data string) {
	const planted = "planted-gSe7Q0xYvR2mBnK4tL9cWd"
	p := w.person(t, "expired")
	phone := p.register(t, "ios", "")
	id := p.send(t, with(visual(planted, ""), map[string]any{"expirationDateTime": w.in(29 * 24 * time.Hour)}))
	phone.rung(t, 1)
	p.get(t, "/beta/me/notifications/"+id).want(t, 200)
	w.pass(30 * 24 * time.Hour)
	p.token = strings.TrimSpace(carillon(t, "token", "--data", data, "--user", "expired", "--ops", strings.TrimPrefix(w.ops, "http://")))
	p.get(t, "/beta/me/notifications/"+id).refuses(t, 404)
	for _, path := range []string{"/beta/me/notifications", "/beta/me/notifications/delta"} {
		if r := p.get(t, path).want(t, 200); r.has(id) {
			t.Errorf("%s shows what has expired", path)
		}
	}
	w.pass(8 * 24 * time.Hour)
	until(t, startLimit, "the store's files forget it", func() bool { return !holds(t, filepath.Join(data, "store"), planted) })
}

// holds tells whether a file below dir holds a text.
func holds(t *testing.T, dir, text string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) || err == nil && e.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		found = found || bytes.Contains(b, []byte(text))
		if errors.Is(err, os.ErrNotExist) { // dropped meanwhile
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
