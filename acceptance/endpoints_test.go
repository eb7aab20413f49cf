//go:build acceptance

package acceptance_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEndpoints is a user's devices from the first registration to the last day.
func TestEndpoints(t *testing.T) {
	s := serve(t, filepath.Join(workDir(t), "data"))
	for _, step := range []struct {
		name string
		play func(t *testing.T, s *site)
	}{
		{"renewed, with a new token", renewed},
		{"ten a platform", tenAPlatform},
		{"changes hands and comes back", changesHands},
		{"kinds and preferences", kindsOfEndpoints},
		{"for servers, in and out", servedEndpoints},
		{"refused", refusedEndpoints},
		{"expiry", endpointExpiry}, // last: it moves the clock
	} {
		t.Run(step.name, func(t *testing.T) { step.play(t, s) })
	}
	s.stop(t)
}

// enlist registers an endpoint; more are members of the body.
func (p *person) enlist(t *testing.T, installation, platform, address string, more map[string]any) *reply {
	t.Helper()
	return p.s.call(t, p.token, "PUT", "/api/v1/me/endpoints/"+installation, with(map[string]any{"host": host, "platform": platform, "address": address}, more))
}

// installations are the user's endpoints, in order of their names.
func (p *person) installations(t *testing.T, token string) (ids []string) {
	t.Helper()
	r := p.s.call(t, token, "GET", "/api/v1/users/"+p.id+"/endpoints", nil).want(t, 200)
	var list struct{ Value []struct{ ID string } }
	if err := json.Unmarshal(r.text, &list); err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Value {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

// renewed: the same call again prolongs, and takes the token that the vendor gave
// anew; the subscription id that the app's server has stays good.
func renewed(t *testing.T, s *site) {
	p := s.person(t, "renewer")
	ios := p.register(t, "ios", "")
	carillon(t, "sandbox", "clock", "--ops", s.ops, "+1m")
	again := p.enlist(t, ios.installation, "ios", address("ios", "the new token"), map[string]any{"appId": bundle}).want(t, 200)
	first, err := time.Parse(time.RFC3339, again.str("expirationDateTime"))
	if left := time.Until(first); err != nil || left < 30*24*time.Hour || left > 30*24*time.Hour+2*time.Minute {
		t.Errorf("it expires %s: in %v (%v), want in 30 days of the moved clock", again.str("expirationDateTime"), left, err)
	}
	s.call(t, s.app, "POST", "/beta/me/notifications", visual("by the old id", ""), "X-UNS-ID", ios.subscription).want(t, 201)
	renewed := &device{s: s, installation: ios.installation, address: address("ios", "the new token")}
	renewed.rung(t, 1)
	if n := len(ios.inbox(t)); n != 0 {
		t.Errorf("the old token got %d pushes", n)
	}
	if got := p.installations(t, p.token); len(got) != 1 {
		t.Errorf("endpoints: %v", got)
	}
}

// tenAPlatform: an eleventh takes the place of the one that was renewed longest
// ago; another platform's are counted by themselves.
func tenAPlatform(t *testing.T, s *site) {
	p := s.person(t, "collector")
	for i := range 10 {
		p.enlist(t, fmt.Sprintf("i%02d", i), "ios", address("ios", fmt.Sprint(p.id, i)), map[string]any{"appId": bundle}).want(t, 200)
	}
	p.enlist(t, "pc", "windows", address("windows", p.id), map[string]any{"appId": aumid}).want(t, 200)
	p.enlist(t, "i00", "ios", address("ios", p.id+"0"), map[string]any{"appId": bundle}).want(t, 200)
	p.enlist(t, "i10", "ios", address("ios", p.id+"10"), map[string]any{"appId": bundle}).want(t, 200)
	want := "i00, i02, i03, i04, i05, i06, i07, i08, i09, i10, pc"
	until(t, ringLimit, "the oldest gives way", func() bool { return strings.Join(p.installations(t, p.token), ", ") == want })
	p.send(t, visual("to ten", ""))
	(&device{s: s, installation: "i10", address: address("ios", p.id+"10")}).rung(t, 1)
	if n := len((&device{s: s, address: address("ios", p.id+"1")}).inbox(t)); n != 0 {
		t.Errorf("the one that gave way got %d pushes", n)
	}
}

// changesHands: a phone rings for whoever registered it last, A, B and A again,
// and the subscription id of who lost it is refused.
func changesHands(t *testing.T, s *site) {
	a, b := s.person(t, "hand-a"), s.person(t, "hand-b")
	phone := &device{s: s, installation: "phone", address: address("android", "from hand to hand")}
	var subscription string
	rings := 0
	for turn, who := range []*person{a, b, a, b, a} {
		other := b
		if who == b {
			other = a
		}
		r := who.enlist(t, "phone", "android", phone.address, map[string]any{"appId": bundle}).want(t, 200)
		until(t, ringLimit, "the other has it no more", func() bool { return len(other.installations(t, other.token)) == 0 })
		if turn > 0 {
			s.call(t, s.app, "POST", "/beta/me/notifications", visual("by a revoked id", ""), "X-UNS-ID", subscription).refuses(t, 403, "revoked")
		}
		subscription = r.str("subscriptionId")
		other.send(t, visual("not here", ""))
		id := who.send(t, visual("here", ""))
		rings++
		if got := phone.rung(t, rings); got.NotificationID != id {
			t.Fatalf("turn %d: the phone rang for another: %s", turn, got.whole)
		}
	}
	a.fence(t, phone)
	if n := len(phone.inbox(t)); n != rings+1 {
		t.Errorf("the phone rang %d times, want %d", n, rings+1)
	}
}

// kindsOfEndpoints: one that polls has no address and gets no push, and reads all
// the same; preferences are given back, and can be changed.
func kindsOfEndpoints(t *testing.T, s *site) {
	p := s.person(t, "poller")
	r := s.call(t, p.token, "PUT", "/api/v1/me/endpoints/cli", map[string]any{"host": host, "platform": "polling"}).want(t, 200)
	sub := r.str("subscriptionId")
	id := s.call(t, s.app, "POST", "/beta/me/notifications", visual("read it", ""), "X-UNS-ID", sub).want(t, 201).str("id")
	s.call(t, s.app, "GET", "/beta/me/notifications/"+id, nil, "X-UNS-ID", sub).want(t, 200)
	ios := p.register(t, "ios", "tapOnly")
	p.send(t, visual("secret", ""))
	if got := ios.rung(t, 1); got.Mark != "tap" {
		t.Errorf("tapOnly got %s", got.whole)
	}
	for _, push := range []string{"none", "withPayload"} {
		p.register(t, "ios", push)
		if text := string(p.get(t, "/api/v1/me/endpoints").want(t, 200).text); !strings.Contains(text, `"push":"`+push+`"`) {
			t.Errorf("the preference %s is not given back: %s", push, text)
		}
	}
	p.fence(t, ios)
	if n := len(ios.inbox(t)); n != 2 {
		t.Errorf("the phone got %d pushes, want the tap and the fence", n)
	}
}

// servedEndpoints: a server brings endpoints and takes them along.
func servedEndpoints(t *testing.T, s *site) {
	var lines []string
	for i := range 3 {
		lines = append(lines, fmt.Sprintf(`{"userId":"dev.served-%d","installationId":"phone","platform":"ios","address":%q,"appId":%q}`, i, address("ios", fmt.Sprint("served", i)), bundle))
	}
	file := filepath.Join(workDir(t), "in.ndjson")
	writeLines(t, file, append(lines, `{"userId":"dev.served-3","installationId":"phone","platform":"vax","address":"x"}`))
	r := run(t, startLimit, binary, "endpoint", "import", "--url", s.url, "--data", s.data, "--app", host, file)
	if r.code == 0 || !strings.Contains(r.stdout+r.stderr, "vax") {
		t.Errorf("importing a line that is wrong: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	until(t, ringLimit, "the good lines are in the export", func() bool {
		carillon(t, "endpoint", "export", "--url", s.url, "--data", s.data, "--app", host, file)
		text, err := os.ReadFile(file)
		return err == nil && strings.Count(string(text), `"dev.served-`) == 3 && strings.Contains(string(text), address("ios", "served2"))
	})
	s.call(t, s.app, "POST", "/beta/users/dev.served-1/notifications", visual("served", "")).want(t, 201)
	(&device{s: s, installation: "phone", address: address("ios", "served1")}).rung(t, 1)
}

func refusedEndpoints(t *testing.T, s *site) {
	p := s.person(t, "wrong")
	for name, c := range map[string]struct {
		platform, address string
		words             string
	}{
		"a WNS address elsewhere": {"windows", "https://wns.evil.example/?token=x", "notify.windows.com"},
		"a WNS address by http":   {"windows", "http://wns2-sbx.notify.windows.com/?token=x", "https"},
		"no hex":                  {"ios", "not a token", "address"},
		"no address":              {"android", "", "address"},
		"no platform":             {"vax", "x", "platform"},
	} {
		t.Run(name, func(t *testing.T) { p.enlist(t, "x", c.platform, c.address, nil).refuses(t, 400, c.words) })
	}
	if got := p.installations(t, p.token); len(got) != 0 {
		t.Errorf("endpoints: %v", got)
	}
}

// endpointExpiry: thirty days after its last renewal an endpoint is not there any
// more, and its subscription id is refused.
func endpointExpiry(t *testing.T, s *site) {
	p := s.person(t, "gone")
	ios, android := p.register(t, "ios", ""), p.register(t, "android", "")
	carillon(t, "sandbox", "clock", "--ops", s.ops, "+20d")
	token := func(who ...string) string {
		return strings.TrimSpace(carillon(t, append([]string{"token", "--data", s.data, "--ops", strings.TrimPrefix(s.ops, "http://")}, who...)...))
	}
	p.token = token("--user", "gone")
	p.register(t, "android", "") // renewed
	carillon(t, "sandbox", "clock", "--ops", s.ops, "+11d")
	p.token, s.app = token("--user", "gone"), token("--app", host)
	until(t, ringLimit, "one is left", func() bool { return strings.Join(p.installations(t, p.token), " ") == "my-android" })
	s.call(t, s.app, "POST", "/beta/me/notifications", visual("too late", ""), "X-UNS-ID", ios.subscription).refuses(t, 403, "expired")
	p.fence(t, android)
	if n := len(ios.inbox(t)); n != 0 {
		t.Errorf("the expired one got %d pushes", n)
	}
}

func writeLines(t *testing.T, file string, lines []string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}
