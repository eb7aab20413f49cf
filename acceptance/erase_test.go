//go:build acceptance

package acceptance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestEraseAndExport: one call gives out everything that is kept of a user, and
// one forgets it, wherever it stands: rows, what waits, and, also after a kill -9 in
// the middle, the bytes in every file of the store and the journal.
func TestEraseAndExport(t *testing.T) {
	dir := workDir(t)
	data, config := filepath.Join(dir, "data"), filepath.Join(dir, "carillon.yaml")
	if err := os.WriteFile(config, []byte("dispatch: {flushEvery: 20ms}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, data, "--config", config)
	const planted = "planted-Xq7Jm2VbT0kZr9"
	p, other := s.person(t, "forgotten"), s.person(t, "kept")
	phone := p.register(t, "ios", "")
	stays := other.register(t, "android", "")
	s.call(t, p.token, "PUT", "/api/v1/me/endpoints/"+planted+"-tablet", map[string]string{
		"host": host, "platform": "android", "address": address("android", planted), "appId": "com.example.demo",
	}).want(t, 200)
	shown := p.send(t, with(visual(planted+"-title", planted+"-body"), map[string]any{"note": planted + "-extra"}))
	p.send(t, with(raw(planted+"-raw"), map[string]any{"appNotificationId": planted + "-key"}))
	phone.rung(t, 2)
	fetch(t, s.http, s.ops+"/sandbox/faults", "", "POST", map[string]any{"vendor": "apns", "status": 503, "reason": "ServiceUnavailable"}).want(t, 200)
	p.send(t, visual(planted+"-retried", ""))
	p.send(t, with(visual(planted+"-later", ""), map[string]any{"deliverAt": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}))
	theirs := other.send(t, visual("stays", ""))
	stays.rung(t, 1)

	follow := strings.TrimPrefix(p.get(t, "/beta/me/notifications/delta").want(t, 200).str("@odata.deltaLink"), s.url)

	own := "/api/v1/users/" + p.id
	text := string(s.call(t, s.app, "GET", own+"/export", nil, positionHeader, p.position).want(t, 200).text)
	for _, want := range []string{"-title", "-body", "-extra", "-raw", "-key", "-retried", phone.address, `"outcome":"accepted"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the export lacks %s:\n%s", want, text)
		}
	}
	s.call(t, other.token, "GET", own+"/export", nil).refuses(t, 403)
	s.call(t, other.token, "DELETE", own, nil).refuses(t, 403)
	files := []string{filepath.Join(data, "store"), filepath.Join(data, "journal")}
	if !holds(t, files[0], planted) || !holds(t, files[1], planted) {
		t.Fatal("the text that is looked for is in no file: the test proves nothing")
	}

	begin := time.Now()
	r := s.call(t, s.app, "DELETE", own, nil).want(t, 202)
	if gone, err := time.Parse(time.RFC3339, r.str("journalGoneBy")); err != nil || gone.After(time.Now().Add(2*time.Minute)) {
		t.Errorf("the journal's copies: %s", r.text)
	}
	s.kill() // it goes on after the next start
	s = serve(t, data, "--config", config)
	p.s, other.s, stays.s = s, s, s
	until(t, startLimit, "no file holds it", func() bool { return !holds(t, files[0], planted) && !holds(t, files[1], planted) })
	t.Logf("no file held it %v after the call, a kill -9 and a start", time.Since(begin).Round(time.Millisecond))

	p.position = r.header.Get(positionHeader)
	if r := p.get(t, "/beta/me/notifications").want(t, 200); len(r.body["value"].([]any)) != 0 {
		t.Errorf("the history: %s", r.text)
	}
	r = p.get(t, follow)
	r.refuses(t, 410)
	again := p.get(t, strings.TrimPrefix(r.header.Get("Location"), s.url)).want(t, 200)
	if len(again.body["value"].([]any)) != 0 || again.str("@odata.deltaLink") == "" {
		t.Errorf("who follows begins anew: %s", again.text)
	}
	p.get(t, "/beta/me/notifications/"+shown).refuses(t, 404)
	s.call(t, p.token, "PATCH", "/beta/me/notifications/"+shown, map[string]any{"readState": true}, "X-UNS-ID", phone.subscription).refuses(t, 403)
	if r := s.call(t, p.token, "GET", "/api/v1/me/endpoints", nil).want(t, 200); strings.Contains(string(r.text), phone.installation) {
		t.Errorf("his endpoints: %s", r.text)
	}
	if text := string(s.call(t, s.app, "GET", own+"/export", nil).want(t, 200).text); text != "" {
		t.Errorf("the export: %s", text)
	}
	s.call(t, other.token, "GET", "/beta/me/notifications/"+theirs, nil).want(t, 200)
	fresh := p.register(t, "ios", "")
	id := p.send(t, visual("a new beginning", ""))
	if got := fresh.rung(t, 1); got.NotificationID != id {
		t.Errorf("after it %s rang, want %s", got.NotificationID, id)
	}
	until(t, ringLimit, "all of it is settled", func() bool { a := s.audit(t); return a.Unsettled == 0 && a.Due == 0 })
	if a := s.audit(t); !a.Closed {
		t.Errorf("the audit does not close: %+v", a)
	}
	s.stop(t)
}
