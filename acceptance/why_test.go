//go:build acceptance

package acceptance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// end is one line of the stream of outcomes.
type end struct {
	ID, UserID, Endpoint, Kind, Outcome, Reason string
	Position                                    string
}

// outcomes reads the stream from a position to its present end, or to a limit,
// and the position behind that.
func (s *site) outcomes(t *testing.T, after, query string) (all []end, position string) {
	t.Helper()
	for text := range bytes.Lines(s.ndjson(t, "GET", "/api/v1/outcomes?after="+after+query, nil)) {
		var l end
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if position = l.Position; position == "" {
			all = append(all, l)
		}
	}
	return all, position
}

// fate is what the deliveries say of one endpoint.
func (s *site) fate(t *testing.T, user, id, endpoint string) any {
	t.Helper()
	r := s.call(t, s.app, "GET", "/api/v1/users/"+user+"/notifications/"+id+"/deliveries", nil).want(t, 200)
	for _, list := range []string{"deliveries", "notPlanned"} {
		of, _ := r.body[list].([]any)
		for _, d := range of {
			if at(d, "endpoint") == endpoint {
				return d
			}
		}
	}
	t.Fatalf("nothing is told of %s: %s", endpoint, r.text)
	return nil
}

// TestWhy: what became of a notification at endpoints of every fate, with times;
// and of all of them in the stream of outcomes, which goes on over a kill -9
// without a loss or a repeat.
func TestWhy(t *testing.T) {
	data := filepath.Join(workDir(t), "data")
	s := serve(t, data)
	t.Run("fates", func(t *testing.T) { everyFate(t, s) })
	t.Run("killed", func(sub *testing.T) { s = outcomesGoOn(sub, t, s, data) })
	if a := s.audit(t); !a.Closed {
		t.Errorf("the audit does not close: %+v", a)
	}
	s.stop(t)
}

// extra registers one more device of the person.
func (p *person) extra(t *testing.T, installation, platform, push string) *device {
	t.Helper()
	d := &device{s: p.s, installation: installation}
	body := map[string]string{"host": host, "platform": platform, "push": push}
	if platform != "polling" {
		d.address = address(platform, p.id+t.Name()+installation)
		body["address"], body["appId"] = d.address, bundle
	}
	d.subscription = p.s.call(t, p.token, "PUT", "/api/v1/me/endpoints/"+installation, body).want(t, 200).str("subscriptionId")
	return d
}

func (s *site) fault(t *testing.T, vendor, address string, status int, retryAfter string) {
	t.Helper()
	fetch(t, s.http, s.ops+"/sandbox/faults", "", "POST", map[string]any{"vendor": vendor, "address": address, "status": status, "retryAfter": retryAfter}).want(t, 200)
}

func everyFate(t *testing.T, s *site) {
	_, start := s.outcomes(t, "latest", "")
	filler := s.person(t, "filler").register(t, "windows", "")
	p := s.person(t, "fates")
	windows, phone, robot := p.three(t, "") // parks, accepted and opened, suppressed
	pad := p.extra(t, "pad", "ios", "tapOnly")
	dead := p.extra(t, "dead", "android", "withPayload")
	p.extra(t, "watch", "polling", "withPayload")
	p.extra(t, "mute", "ios", "none")
	fetch(t, s.http, s.ops+"/sandbox/devices/"+url.PathEscape(dead.address), "", "PATCH", map[string]any{"gone": true}).want(t, 200)
	s.fault(t, "fcm", robot.address, 503, "3600")
	s.fault(t, "wns", filler.address, 406, "6") // shuts the way to Windows
	(&person{s: s, id: "dev.filler", token: s.person(t, "filler").token}).send(t, visual("Filler", ""))
	filler.rung(t, 1)
	fetch(t, s.http, s.ops+"/sandbox/faults", "", "DELETE", nil)
	s.fault(t, "fcm", robot.address, 503, "3600")

	id := p.send(t, visual("Dinner", "is ready"))
	until(t, ringLimit, "it is parked for Windows", func() bool {
		d := s.fate(t, p.id, id, windows.installation)
		return at(d, "waits") == "parked" && at(d, "vendor") == "throttled" && at(d, "parkedDateTime") != nil && at(d, "nextAttemptDateTime") != nil
	})
	whole := carillon(t, "why", "--ops", strings.TrimPrefix(s.ops, "http://"), "--user", host+"/"+p.id, "--notification", id)
	if !strings.Contains(whole, "its vendor is shut (throttled)") {
		t.Errorf("why does not say that it is parked:\n%s", whole)
	}
	late := p.extra(t, "late", "ios", "withPayload")

	// The pad gets a tap and follows the delta: its next link tells that the first page came.
	pad.rung(t, 1)
	r := s.call(t, p.token, "GET", "/beta/me/notifications/delta", nil, "X-UNS-ID", pad.subscription, positionHeader, p.position).want(t, 200)
	s.call(t, p.token, "GET", strings.TrimPrefix(r.str("@odata.deltaLink"), s.url), nil, "X-UNS-ID", pad.subscription).want(t, 200)
	phone.rung(t, 1)
	s.call(t, p.token, "POST", "/api/v1/me/feed/ack", map[string]any{"opened": []string{id}}, "X-UNS-ID", phone.subscription).want(t, 202)
	until(t, ringLimit, "the robot waits for its retry", func() bool { return at(s.fate(t, p.id, id, robot.installation), "waits") == "due" })
	until(t, ringLimit, "it is drained to Windows", func() bool { return at(s.fate(t, p.id, id, windows.installation), "outcome") == "accepted" })
	until(t, ringLimit, "the pad has fetched it", func() bool { return at(s.fate(t, p.id, id, pad.installation), "fetchedDateTime") != nil })
	p.dismiss(t, phone, id)
	until(t, ringLimit, "the others are cleared", func() bool {
		return at(s.fate(t, p.id, id, pad.installation), "clearedDateTime") != nil && at(s.fate(t, p.id, id, windows.installation), "clearedDateTime") != nil
	})

	for _, c := range []struct {
		d    *device
		want map[string]any
		set  []string
	}{
		{windows, map[string]any{"outcome": "accepted", "waits": nil, "clear": "cleared", "fetched": false}, []string{"parkedDateTime", "handedDateTime", "answeredDateTime", "clearedDateTime"}},
		{phone, map[string]any{"outcome": "accepted", "fetched": true, "clear": nil}, []string{"openedDateTime", "fetchedDateTime", "handedDateTime"}},
		{robot, map[string]any{"outcome": "suppressed", "reason": "dismissed", "terminal": true}, []string{"handedDateTime"}},
		{pad, map[string]any{"outcome": "accepted", "kind": "tap", "fetched": true, "openedDateTime": nil, "clear": "cleared"}, []string{"fetchedDateTime", "clearedDateTime"}},
		{dead, map[string]any{"outcome": "gone", "terminal": true}, []string{"answeredDateTime"}},
		{&device{installation: "watch"}, map[string]any{"reason": "polling"}, nil},
		{&device{installation: "mute"}, map[string]any{"reason": "noPush"}, nil},
		{late, map[string]any{"reason": "registeredLater"}, nil},
	} {
		d := s.fate(t, p.id, id, c.d.installation)
		for name, want := range c.want {
			if got := at(d, name); got != want {
				t.Errorf("%s: %s is %v, want %v: %v", c.d.installation, name, got, want, d)
			}
		}
		for _, name := range c.set {
			if when, _ := at(d, name).(string); when == "" {
				t.Errorf("%s: %s is not told: %v", c.d.installation, name, d)
			}
		}
	}
	s.told1(t, start, id, map[string]string{windows.installation: "accepted", phone.installation: "accepted", robot.installation: "suppressed", pad.installation: "accepted", "dead": "gone"})

	whole = carillon(t, "why", "--ops", strings.TrimPrefix(s.ops, "http://"), "--user", host+"/"+p.id, "--notification", id)
	for _, word := range []string{"parked", "suppressed", "fetched", "opened", "dismissed", "cleared", "gone", "no push reaches it"} {
		if !strings.Contains(whole, word) {
			t.Errorf("why does not tell %q:\n%s", word, whole)
		}
	}
	t.Logf("\n%s", whole)
	other := run(t, startLimit, binary, "why", "--ops", strings.TrimPrefix(s.ops, "http://"), "--user", host+"/"+p.id, "--notification", "0b7c0f0e-0000-8000-8000-000000000001")
	if other.code != 1 || !strings.Contains(other.stderr, "The user has ") {
		t.Errorf("of an unknown id: %d %s", other.code, other.stderr)
	}
}

// told1 compares the stream with how a notification's deliveries ended.
func (s *site) told1(t *testing.T, start, id string, want map[string]string) {
	t.Helper()
	until(t, ringLimit, "the stream tells all ends", func() bool {
		got := map[string]string{}
		all, _ := s.outcomes(t, start, "")
		for _, e := range all {
			if e.ID != id {
				continue
			}
			if got[e.Endpoint] != "" {
				t.Fatalf("the end at %s is told twice: %+v", e.Endpoint, all)
			}
			got[e.Endpoint] = e.Outcome
		}
		return fmt.Sprint(got) == fmt.Sprint(want)
	})
	gone, _ := s.outcomes(t, start, "&class=Gone&host="+host)
	if len(gone) != 1 || gone[0].ID != id || gone[0].Endpoint != "dead" {
		t.Errorf("of class gone: %+v", gone)
	}
}

// outcomesGoOn reads the stream in small parts while the gateway is killed, and
// gives the one that runs then, for as long as whole does.
func outcomesGoOn(t, whole *testing.T, s *site, data string) *site {
	t.Helper()
	const users, rounds, lines = 5, 6, 50
	_, position := s.outcomes(t, "latest", "")
	for u := range users {
		p := s.person(t, fmt.Sprint("stream", u))
		p.register(t, "ios", "")
		p.register(t, "android", "")
	}
	sent, seen := map[string]bool{}, map[string]int{}
	read := func(most int) (n int) {
		var all []end
		all, position = s.outcomes(t, position, fmt.Sprint("&limit=", most))
		for _, e := range all {
			seen[e.ID+" "+e.Endpoint]++
		}
		return len(all)
	}
	for round := range rounds {
		var body bytes.Buffer
		for i := range lines {
			fmt.Fprintf(&body, `{"targetHostName":%q,"userId":"dev.stream%d","idempotencyKey":"r%d-%d","payload":{"visualContent":{"title":"x"}}}`+"\n", host, i%users, round, i)
		}
		for text := range bytes.Lines(s.ndjson(t, "POST", "/api/v1/notifications", body.Bytes())) {
			var l struct{ ID string }
			if err := json.Unmarshal(text, &l); err != nil {
				t.Fatal(err)
			}
			if l.ID != "" {
				sent[l.ID] = true
			}
		}
		read(17)
		if round == 2 || round == 4 {
			s.kill()
			s = serve(whole, data)
			read(11)
		}
	}
	if len(sent) != rounds*lines {
		t.Fatalf("%d of %d lines were accepted", len(sent), rounds*lines)
	}
	until(t, ringLimit, "every send has its lines", func() bool {
		for read(50) > 0 {
		}
		return len(seen) >= 2*len(sent)
	})
	for id := range sent {
		for _, endpoint := range []string{"my-ios", "my-android"} {
			if n := seen[id+" "+endpoint]; n != 1 {
				t.Errorf("%s at %s is told %d times", id, endpoint, n)
			}
		}
	}
	if again, _ := s.outcomes(t, position, ""); len(again) != 0 {
		t.Errorf("behind the end: %+v", again)
	}
	s.call(t, s.person(t, "stream0").token, "GET", "/api/v1/outcomes", nil).refuses(t, 403)
	return s
}

// ndjson makes a call of the sample app whose answer is lines.
func (s *site) ndjson(t *testing.T, method, path string, body []byte) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.app)
	req.Header.Set("Content-Type", "application/x-ndjson")
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res.StatusCode, err, out.String())
	}
	return out.Bytes()
}
