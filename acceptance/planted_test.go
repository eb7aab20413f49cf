//go:build acceptance

package acceptance_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// planted is what must not leak, by what it is. Each is distinctive, so that a
// search finds it wherever it comes out.
type planted map[string]string

// leaks names what of it stands in text, also in part: the first 24 bytes will do.
func (p planted) leaks(text []byte) (found []string) {
	for what, secret := range p {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), strings.ToUpper(secret)} {
			if len(form) > 24 {
				form = form[:24]
			}
			if bytes.Contains(text, []byte(form)) {
				found = append(found, what)
				break
			}
		}
	}
	return found
}

// check reports what leaks into text.
func (p planted) check(t *testing.T, where string, text []byte) {
	t.Helper()
	if found := p.leaks(text); len(found) > 0 {
		t.Errorf("%s holds the planted %s", where, strings.Join(found, ", "))
	}
}

// TestPlanted plants secrets and content wherever a gateway takes some, drives
// every fault that it can reach, and searches logs at debug, errors, metrics,
// ops pages and the printed configuration for them.
func TestPlanted(t *testing.T) {
	dir := workDir(t)
	plant := planted{
		"WNS secret": "plantedwnssecret0123456789abcdef", "secret of the environment": "plantedenvsecret0123456789abcdef", "secret in a file": "plantedfilesecret0123456789abcde",
	}
	for name, text := range map[string]string{
		"wns.secret":    plant["secret in a file"],
		"carillon.yaml": "apps:\n  - host: " + host + "\n    clients: [demo-client]\n    identities:\n      - {platform: ios, appId: " + bundle + "}\n      - {platform: android, appId: " + bundle + "}\n      - {platform: windows, appId: \"" + aumid + "\"}\n    credentials:\n      - {platform: windows, packageSid: s-1-15-2-1, secret: " + plant["WNS secret"] + ", sandbox: true}\n",
		"print.yaml": "apps:\n  - host: a.localhost\n    clients: [a]\n    credentials:\n      - {platform: windows, packageSid: s-1, secret: " + plant["WNS secret"] + "}\n" +
			"  - host: b.localhost\n    clients: [b]\n    credentials:\n      - {platform: windows, packageSid: s-1, secretEnv: PLANTED_ENV}\n" +
			"  - host: c.localhost\n    clients: [c]\n    credentials:\n      - {platform: windows, packageSid: s-1, secretFile: wns.secret}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("config print", func(t *testing.T) { printsNoSecret(t, dir, plant) })

	s := serve(t, filepath.Join(dir, "data"), "--config", filepath.Join(dir, "carillon.yaml"), "-v")
	plantAll(t, s, plant)
	s.stop(t)
	log, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(log, []byte("DEBUG")) {
		t.Error("the log is not at debug: this test would see little")
	}
	plant.check(t, "the log "+s.log, log)
	if t.Failed() {
		for line := range strings.SplitSeq(string(log), "\n") {
			if found := plant.leaks([]byte(line)); len(found) > 0 {
				t.Logf("%v: %.400s", found, line)
			}
		}
	}
}

// printsNoSecret also tries values that are wrong, so that faults quote them.
func printsNoSecret(t *testing.T, dir string, plant planted) {
	t.Setenv("PLANTED_ENV", plant["secret of the environment"])
	for _, args := range [][]string{
		{"--config", filepath.Join(dir, "print.yaml")},
		{"--config", filepath.Join(dir, "print.yaml"), "--json"},
		{"--config", filepath.Join(dir, "print.yaml"), "--set", "dispatch.shards=none"},
		{"--config", filepath.Join(dir, "carillon.yaml"), "--set", "apps=" + plant["WNS secret"]},
		{"--config", filepath.Join(dir, "wns.secret")},
	} {
		r := run(t, startLimit, binary, append([]string{"config", "print"}, args...)...)
		if len(args) < 4 && args[1] != filepath.Join(dir, "wns.secret") && (r.code != 0 || !strings.Contains(r.stdout, "(secret)")) {
			t.Errorf("%v: %d %s", args, r.code, r.stderr)
		}
		plant.check(t, fmt.Sprint("config print ", args[2:]), []byte(r.stdout+r.stderr))
	}
}

// plantAll sends content, tokens and addresses down every way, good and bad.
func plantAll(t *testing.T, s *site, plant planted) {
	p := s.person(t, "planteduser0123456789abcdef0123")
	plant["user"] = p.id
	plant["user's token"], plant["app's token"] = p.token[len(p.token)-40:], s.app[len(s.app)-40:]
	devices := map[string]*device{}
	for _, platform := range []string{"windows", "ios", "android"} {
		devices[platform] = p.register(t, platform, "")
	}
	// What the vendors' own hosts are is no secret; what follows is.
	_, plant["WNS address"], _ = strings.Cut(devices["windows"].address, "token=")
	plant["APNs address"], plant["FCM address"] = devices["ios"].address, devices["android"].address
	plant["subscription id"] = devices["ios"].subscription
	var content []string
	for _, what := range []string{"title", "body", "raw content", "group", "key", "member", "option", "idempotency key"} {
		plant[what] = "planted" + strings.ReplaceAll(what, " ", "") + "0123456789abcdefghij"
		content = append(content, plant[what])
	}
	n := with(visual(plant["title"], plant["body"]), map[string]any{
		"groupName": plant["group"], "appNotificationId": plant["key"], "own": plant["member"], "platformOptions": map[string]any{"data": map[string]any{"x": plant["option"]}},
	})
	n["payload"].(map[string]any)["rawContent"] = plant["raw content"]
	post := func(body any, headers ...string) *reply {
		return s.call(t, p.token, "POST", "/beta/me/notifications", body, headers...)
	}

	id := post(n).want(t, 201).str("id")
	post(raw(plant["raw content"]), "Idempotency-Key", plant["idempotency key"]).want(t, 201)
	devices["ios"].rung(t, 2)
	devices["android"].rung(t, 2)
	plantVendorFaults(t, s, p, n, devices)
	for _, r := range refused(t, s, p, n, plant) {
		if r.status < 400 {
			t.Errorf("not refused: %d %.300s", r.status, r.text)
		}
		plant.check(t, fmt.Sprintf("an answer of %d (%s)", r.status, r.str("error", "message")), r.text)
		for name, values := range r.header {
			plant.check(t, "the header "+name, []byte(strings.Join(values, " ")))
		}
	}
	for _, path := range []string{
		"/metrics", "/livez", "/readyz", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/debug/pprof/heap?debug=1", "/audit", "/sandbox/counts",
		"/why?user=" + host + "/" + "dev.nobody&notification=" + id, "/nowhere",
	} {
		plant.check(t, path, fetch(t, s.http, s.ops+path, "", "GET", nil).text)
	}
	// What belongs to the caller is his: the sender reads where it went, not what.
	deliveries := s.call(t, s.app, "GET", "/api/v1/users/"+p.id+"/notifications/"+id+"/deliveries", nil).want(t, 200).text
	for _, c := range append(content, plant["APNs address"], plant["FCM address"], plant["WNS address"]) {
		if bytes.Contains(deliveries, []byte(c)) {
			t.Errorf("deliveries tell %s: %s", c, deliveries)
		}
	}
}

// plantVendorFaults makes each vendor answer in every way that is not
// acceptance, while the Windows credential is wrong all the time.
func plantVendorFaults(t *testing.T, s *site, p *person, n map[string]any, devices map[string]*device) {
	t.Helper()
	faults := s.ops + "/sandbox/faults"
	delete(n, "appNotificationId")
	fetch(t, s.http, faults, "", "POST", map[string]any{"vendor": "fcm", "address": devices["android"].address, "status": 404, "reason": "UNREGISTERED", "times": 1}).want(t, 200)
	p.send(t, n)
	until(t, ringLimit, "the endpoint that is gone left", func() bool {
		return !strings.Contains(string(s.call(t, p.token, "GET", "/api/v1/me/endpoints", nil).want(t, 200).text), "my-android")
	})
	for _, f := range []map[string]any{
		// The last of each vendor closes its lane for a while.
		{"vendor": "apns", "status": 400, "reason": "PayloadEmpty"},
		{"vendor": "apns", "goAway": true},
		{"vendor": "apns", "reset": true},
		{"vendor": "apns", "disconnect": true},
		{"vendor": "apns", "status": 403, "reason": "InvalidProviderToken"},
		{"vendor": "fcm", "status": 400, "reason": "INVALID_ARGUMENT"},
		{"vendor": "fcm", "disconnect": true},
		{"vendor": "fcm", "status": 502, "reason": "HTML"},
	} {
		p.register(t, "android", "") // some faults let it leave
		f["times"] = 1
		fetch(t, s.http, faults, "", "POST", f).want(t, 200)
		p.send(t, n)
		until(t, ringLimit, fmt.Sprint("the vendor met ", f), func() bool {
			left := strings.TrimSpace(string(fetch(t, s.http, faults, "", "GET", nil).want(t, 200).text))
			return left == "[]" || left == "null"
		})
	}
}

// refused are the answers to requests that must be refused, each with content,
// a token or an address in the part at fault or beside it.
func refused(t *testing.T, s *site, p *person, n map[string]any, plant planted) (out []*reply) {
	t.Helper()
	ask := func(token, method, path string, body any, headers ...string) {
		out = append(out, s.call(t, token, method, path, body, headers...))
	}
	copied := func(more map[string]any) map[string]any {
		c := map[string]any{}
		maps.Copy(c, n)
		return with(c, more)
	}
	const me = "/beta/me/notifications"
	for _, more := range []map[string]any{
		{"expirationDateTime": "2020-01-01T00:00:00Z"},
		{"priority": "Urgent"},
		{"targetHostName": "other.example"},
		{"displayTimeToLive": "x"},
		{"stateSync": "x"},
		{"payload": map[string]any{"visualContent": map[string]any{"title": strings.Repeat(plant["title"], 10)}}},
		{"payload": map[string]any{"visualContent": map[string]any{"title": plant["title"], "body": strings.Repeat(plant["body"], 100)}}},
		{"payload": map[string]any{"rawContent": strings.Repeat(plant["raw content"], 200)}},
		{"payload": map[string]any{"visualContent": map[string]any{"body": plant["body"]}}},
		{"payload": map[string]any{"rawContent": 1, "x": plant["raw content"]}},
		{"groupName": strings.Repeat(plant["group"], 20)},
		{"appNotificationId": strings.Repeat(plant["key"], 20)},
		{"own": strings.Repeat(plant["member"], 500)},
		{"platformOptions": map[string]any{"apns": map[string]any{"aps": plant["option"]}}},
		{"platformOptions": map[string]any{"link": "javascript:" + plant["option"]}},
		{"payload": plant["raw content"]},
		{"payload": []string{plant["raw content"]}},
	} {
		ask(p.token, "POST", me, copied(more))
	}
	ask(p.token, "POST", me, []any{n})
	ask(p.token, "POST", me, copied(nil), "Idempotency-Key", plant["idempotency key"])
	ask(p.token, "POST", me, copied(nil), "Idempotency-Key", strings.Repeat(plant["idempotency key"], 20))
	ask(s.app, "POST", me, copied(nil), "X-UNS-ID", plant["subscription id"]+"x")
	ask(s.app, "POST", me, copied(map[string]any{"targetHostName": "other.example"}), "X-UNS-ID", plant["subscription id"])
	ask(p.token+"x", "POST", me, n)
	ask(plant["user's token"], "POST", me, n)
	ask("", "POST", me, n, "Authorization", "Basic "+plant["user's token"])
	ask(s.app, "GET", "/beta/users/"+p.id+"/nowhere", nil)
	ask(p.token, "POST", "/api/v1/me/notifications", n)
	ask(p.token, "PUT", "/api/v1/me/endpoints/pc", map[string]string{"host": host, "platform": "windows", "address": "https://evil.example/?" + plant["WNS address"], "appId": aumid})
	ask(p.token, "PUT", "/api/v1/me/endpoints/pc", map[string]string{"host": host, "platform": "ios", "address": plant["FCM address"], "appId": bundle})
	ask(p.token, "PUT", "/api/v1/me/endpoints/pc", map[string]string{"host": host, "platform": "vax", "address": plant["FCM address"]})
	text, _ := json.Marshal(n)
	for encoding, body := range map[string][]byte{"gzip": text, "deflate": text, "br": text} {
		out = append(out, packed(t, s, p.token, me, encoding, body))
	}
	out = append(out, packed(t, s, p.token, me, "identity", text[:len(text)-20]))
	out = append(out, packed(t, s, s.app, "/api/v1/notifications", "gzip", text))
	return append(out, broken(t, s, p, string(text))...)
}

// broken are the answers to what is no HTTP at all, with a token in the part at
// fault.
func broken(t *testing.T, s *site, p *person, body string) (out []*reply) {
	t.Helper()
	bearer := "Authorization: Bearer " + p.token
	head := "POST /beta/me/notifications HTTP/1.1\r\nHost: a\r\n"
	for _, sent := range []string{
		head + bearer + "\x01\r\n\r\n", head + bearer + "\r\n folded\r\n\r\n", head + bearer + "\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n",
		"POST /" + p.token + " HTTP/3.0\r\nHost: a\r\n\r\n", p.token + " / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", head + strings.Replace(bearer, ":", " :", 1) + "\r\n\r\n",
		"POST http://" + p.token[:200] + "/ HTTP/1.1\r\nHost: a\r\n\r\n", head + "Content-Length: " + p.token + "\r\n\r\n", head + "Transfer-Encoding: " + p.token + "\r\n\r\n",
		head + bearer + "\r\nTransfer-Encoding: chunked\r\n\r\n" + body, head + bearer + "\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n" + body,
		"GET /%zz" + p.token + " HTTP/1.1\r\nHost: " + p.token[:100] + " x\r\n\r\n",
	} {
		c := s.dial(t)
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(c)
		status := 0
		if _, err := fmt.Sscanf(string(text), "HTTP/1.1 %d", &status); err != nil {
			t.Errorf("%.60q: no answer: %q", sent, text)
			continue
		}
		out = append(out, &reply{status: status, header: http.Header{}, text: text})
	}
	// One that is cut in the middle of its body.
	c := s.dial(t)
	_, _ = fmt.Fprintf(c, "%s%s\r\nContent-Length: %d\r\n\r\n%s", head, bearer, len(body)+100, body)
	_ = c.Close()
	return out
}
