//go:build acceptance

package acceptance_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestOnboarding brings an app in while the gateway runs: its host is proven, a
// client may send for it, its credential is checked, sealed and changed, and a
// second start finds all of it. Administrators alone may, and what they did is
// written down.
func TestOnboarding(t *testing.T) {
	dir := workDir(t)
	var document atomic.Value // what the app's host shows
	document.Store("")
	hosts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := document.Load().(string); text != "" && r.URL.Path == "/news.example.com" {
			fmt.Fprint(w, text)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(hosts.Close)
	config := filepath.Join(dir, "carillon.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "gateway: {proof: {resolver: '127.0.0.1:9', wellKnown: '%s/{host}'}}\n", hosts.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	s := serve(t, data, "--config", config)
	admin := strings.TrimSpace(carillon(t, "token", "--data", data, "--admin"))
	path := "/api/v1/apps/news.example.com"

	s.call(t, s.app, "PUT", path, nil).refuses(t, 403, "Carillon.Admin")
	r := s.call(t, admin, "PUT", path, nil).want(t, 201)
	if r.body["verified"] != false || r.str("proof", "txt", "name") != "_carillon.news.example.com" {
		t.Errorf("an unproven host: %s", r.text)
	}
	s.call(t, admin, "PUT", path+"/clients", map[string]any{"clients": []string{"news-server"}}).want(t, 200)
	server := strings.TrimSpace(carillon(t, "token", "--data", data, "--client", "news-server"))
	note := map[string]any{"targetHostName": "news.example.com", "payload": map[string]any{"visualContent": map[string]string{"title": "hello"}}}
	send := func() *reply {
		return s.call(t, server, "POST", "/beta/users/dev.ann/notifications", note)
	}
	send().refuses(t, 403, "news.example.com") // nobody sends for a host that is not proven

	proof, err := json.Marshal(at(r.body, "proof", "wellKnown", "body"))
	if err != nil {
		t.Fatal(err)
	}
	document.Store(string(proof))
	if r := s.call(t, admin, "PUT", path, nil).want(t, 200); r.body["verified"] != true {
		t.Errorf("the proof is not found: %s", r.text)
	}
	send().want(t, 201)

	register := func() *device {
		d := &device{s: s, installation: "phone", address: address("ios", t.Name())}
		s.call(t, server, "PUT", "/api/v1/users/dev.ann/endpoints/phone", map[string]string{
			"host": "news.example.com", "platform": "ios", "address": d.address, "appId": bundle,
		}).want(t, 200)
		return d
	}
	phone := register()
	id := send().want(t, 201).str("id")
	until(t, ringLimit, "a push without a credential is refused", func() bool {
		r := s.call(t, server, "GET", "/api/v1/users/dev.ann/notifications/"+id+"/deliveries", nil)
		return strings.Contains(string(r.text), "noCredential")
	})

	var box struct{ APNsKeyID, APNsTeamID string }
	b, err := os.ReadFile(filepath.Join(data, "sandbox", "credentials.json"))
	if err != nil || json.Unmarshal(b, &box) != nil {
		t.Fatal("the sandbox's credentials:", err)
	}
	files, _ := filepath.Glob(filepath.Join(data, "sandbox", "*"+box.APNsKeyID+"*.p8"))
	if len(files) != 1 {
		t.Fatalf("the sandbox's APNs key: %v", files)
	}
	key, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	cred := map[string]any{"key": string(key), "keyId": box.APNsKeyID, "teamId": box.APNsTeamID}
	s.call(t, admin, "PUT", path+"/credentials/ios", cred).refuses(t, 409, "sandbox")
	cred["sandbox"] = true
	cred["key"] = "nonsense"
	s.call(t, admin, "PUT", path+"/credentials/ios", cred).refuses(t, 400, "PEM")
	cred["key"] = string(key)
	s.call(t, admin, "PUT", path+"/credentials/ios", cred).want(t, 200)
	s.call(t, admin, "PUT", path+"/identities", map[string]any{"identities": []map[string]string{{"platform": "ios", "appId": bundle}}}).want(t, 200)

	send().want(t, 201)
	phone.rung(t, 1)
	// The same app once more, after another start: its rows are in the journal.
	s.stop(t)
	s = serve(t, data, "--config", config)
	phone.s = s
	send().want(t, 201)
	phone.rung(t, 1)
	// And of a backup, of the running process and of the stopped one.
	for i, how := range [][]string{{"--ops", strings.TrimPrefix(s.ops, "http://")}, {"--data", data}} {
		if i == 1 {
			s.stop(t)
		}
		to := filepath.Join(dir, fmt.Sprint("backup-", i))
		carillon(t, append([]string{"backup", "--to", to}, how...)...)
		copied := filepath.Join(dir, fmt.Sprint("restored-", i))
		carillon(t, "restore", "--from", to, "--data", copied)
		r := serve(t, copied, "--config", config)
		again := r.call(t, admin, "GET", path, nil).want(t, 200)
		if again.body["verified"] != true || !strings.Contains(string(again.text), "fingerprint") {
			t.Errorf("restored from a backup: %s", again.text)
		}
		r.stop(t)
	}
	s = serve(t, data, "--config", config)
	phone.s = s
	shown := s.call(t, admin, "GET", path, nil).want(t, 200)
	if strings.Contains(string(shown.text), "PRIVATE") || shown.str("source") != "api" {
		t.Errorf("shown: %s", shown.text)
	}
	s.call(t, admin, "DELETE", path, nil).want(t, 204)
	send().refuses(t, 403, "news.example.com")
	s.stop(t)
	log, err := os.ReadFile(filepath.Join(data, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, act := range []string{`"act":"app.put"`, `"act":"app.credential.put"`, `"result":"accessDenied"`, `"act":"app.delete"`} {
		if !strings.Contains(string(log), act) {
			t.Errorf("the audit log has no %s:\n%s", act, log)
		}
	}
	grep(t, data, strings.Split(strings.TrimSpace(string(key)), "\n")[1], "sandbox")
}

// grep fails when a file below dir, but for one subdirectory, holds a text.
func grep(t *testing.T, dir, text, but string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			if e != nil && e.IsDir() && e.Name() == but {
				return filepath.SkipDir
			}
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), text) {
			t.Errorf("%s holds a planted secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
