//go:build acceptance

package acceptance_test

import (
	"strings"
	"testing"
	"time"
)

func validateOnly(t *testing.T, s *site) {
	p := s.person(t, "careful")
	windows, ios, _ := p.three(t, "")
	s.call(t, p.token, "PUT", "/api/v1/me/endpoints/"+windows.installation, map[string]string{
		"host": host, "platform": "windows", "address": windows.address, "push": "none",
	}).want(t, 200)
	r := s.call(t, p.token, "POST", "/beta/me/notifications?validateOnly=true", visual("dry", "")).want(t, 200)
	for platform, want := range map[string]any{"ios": 1.0, "android": 1.0, "windows": nil} {
		if got := at(r.body, "endpoints", platform, "alert"); got != want {
			t.Errorf("%s would ring %v, want %v: %s", platform, got, want, r.text)
		}
	}
	s.call(t, p.token, "POST", "/beta/me/notifications?validateOnly=true", visual("", "")).refuses(t, 400, "title")
	// What is too large for a vendor would go out as a tap, and does.
	large := visual("dry", strings.Repeat("b", 2000))
	large["payload"].(map[string]any)["rawContent"] = strings.Repeat("r", 4096)
	r = s.call(t, p.token, "POST", "/beta/me/notifications?validateOnly=true", large).want(t, 200)
	if want := `"endpoints":{"ios":{"tap":1},"android":{"tap":1}},"taps":[{"platform":"ios","reason":"tooLarge","count":1},{"platform":"android","reason":"tooLarge","count":1}],` +
		`"suppressed":[{"platform":"windows","reason":"noPush","count":1}]`; !strings.Contains(string(r.text), want) {
		t.Errorf("plan %s, want %s", r.text, want)
	}
	p.fence(t, ios)
	if n := len(ios.inbox(t)); n != 1 || len(history(t, p)) != 1 {
		t.Errorf("a dry run rang or is history: %d pushes, history %v", n, history(t, p))
	}
	p.send(t, large)
	if got := ios.rung(t, 2); !strings.Contains(unwrapped(got.Body), `"k":"tap"`) || strings.Contains(got.whole, "rrr") {
		t.Errorf("what is too large rang as %s", got.whole)
	}
}

func subscriptionID(t *testing.T, s *site) {
	p := s.person(t, "subscriber")
	ios := p.register(t, "ios", "")
	mine := func(headers ...string) *reply {
		return s.call(t, s.app, "POST", "/beta/me/notifications/", visual("by the app", ""), headers...)
	}
	r := mine("X-UNS-ID", ios.subscription).want(t, 201)
	if got := ios.rung(t, 1); got.NotificationID != r.str("id") {
		t.Errorf("the phone rang for %s, want %s", got.NotificationID, r.str("id"))
	}
	s.call(t, s.app, "GET", r.header.Get("Location"), nil, "X-UNS-ID", ios.subscription).want(t, 200)
	mine().refuses(t, 400, "X-UNS-ID")
	mine("X-UNS-ID", "nonsense").refuses(t, 403, "malformed")
	mine("X-UNS-ID", ios.subscription[:len(ios.subscription)-2]+"xx").refuses(t, 403, "malformed")
	s.call(t, p.token, "DELETE", "/api/v1/me/endpoints/"+ios.installation, nil).want(t, 204)
	mine("X-UNS-ID", ios.subscription).refuses(t, 403, "revoked")
	again := p.register(t, "ios", "")
	mine("X-UNS-ID", ios.subscription).refuses(t, 403, "revoked")
	mine("X-UNS-ID", again.subscription).want(t, 201)
}

func serversNameUsers(t *testing.T, s *site) {
	p := s.person(t, "named")
	put := s.call(t, s.app, "PUT", "/api/v1/users/"+p.id+"/endpoints/phone", map[string]string{
		"platform": "ios", "address": address("ios", "by the server"), "appId": bundle,
	}).want(t, 200)
	phone := &device{s: s, installation: "phone", address: address("ios", "by the server"), subscription: put.str("subscriptionId")}
	r := s.call(t, s.app, "POST", "/beta/users/"+p.id+"/notifications", visual("server", "")).want(t, 201)
	if got, want := r.header.Get("Location"), "/beta/users/"+p.id+"/notifications/"+r.str("id"); got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
	s.call(t, s.app, "GET", r.header.Get("Location"), nil).want(t, 200)
	phone.rung(t, 1)
	other := s.person(t, "stranger")
	s.call(t, other.token, "POST", "/beta/users/"+p.id+"/notifications", visual("x", "")).refuses(t, 403)
	s.call(t, other.token, "GET", "/beta/users/"+p.id+"/notifications", nil).refuses(t, 403)
	s.call(t, other.token, "GET", "/beta/me/notifications/"+r.str("id"), nil).refuses(t, 404)
	s.call(t, s.app, "DELETE", "/api/v1/users/"+p.id+"/endpoints/phone", nil).want(t, 204)
}

func wrongPrefix(t *testing.T, s *site) {
	p := s.person(t, "lost")
	for _, c := range []struct{ method, path, right string }{
		{"POST", "/api/v1/me/notifications", "/beta/me/notifications"},
		{"GET", "/me/notifications", "/beta/me/notifications"},
		{"GET", "/beta/me/endpoints", "/api/v1/me/endpoints"},
	} {
		s.call(t, p.token, c.method, c.path, nil).refuses(t, 404, c.right)
	}
	s.call(t, p.token, "POST", "/v1.0/me/notifications", visual("both prefixes", "")).want(t, 201)
	s.call(t, p.token, "DELETE", "/beta/me/notifications", nil).refuses(t, 405)
}

func badRequests(t *testing.T, s *site) {
	p := s.person(t, "clumsy")
	s.call(t, "", "POST", "/beta/me/notifications", visual("x", "")).refuses(t, 401)
	s.call(t, "not.a.token", "POST", "/beta/me/notifications", visual("x", "")).refuses(t, 401)
	s.call(t, p.token, "POST", "/beta/me/notifications", []any{visual("x", "")}).refuses(t, 400)
	p.post(t, with(visual("x", ""), map[string]any{"targetHostName": "other.example"})).refuses(t, 403, "other.example")
	p.post(t, with(visual("x", ""), map[string]any{"expirationDateTime": "2020-01-01T00:00:00Z"})).refuses(t, 400, "expirationDateTime")
	p.post(t, with(visual("x", ""), map[string]any{"expirationDateTime": time.Now().AddDate(0, 0, 32).Format(time.RFC3339)})).refuses(t, 400, "expirationDateTime", "30 days")
	p.post(t, with(visual("x", ""), map[string]any{"priority": "Urgent"})).refuses(t, 400, "priority")
	p.post(t, raw(strings.Repeat("x", 4<<10+1))).refuses(t, 400, "payload.rawContent", "4096")
	p.post(t, raw(strings.Repeat("x", 65<<10))).refuses(t, 413)
	p.post(t, visual("x", ""), "If-Modified-Since", time.Now().UTC().Format(time.RFC1123)).refuses(t, 400, "If-Modified-Since")
	if got := history(t, p); len(got) != 0 {
		t.Errorf("what was refused is history: %v", got)
	}
}
