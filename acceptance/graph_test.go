//go:build acceptance

package acceptance_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const npmLimit = 3 * time.Minute

// TestGraphClient is Microsoft's JavaScript client sending what Microsoft's page
// documents, over TLS, as an app that knows a subscription id and as a user.
func TestGraphClient(t *testing.T) {
	project := graphProject(t)
	dir := workDir(t)
	certs := filepath.Join(dir, "certs")
	carillon(t, "dev-cert", "--dir", certs)
	ca := filepath.Join(certs, "ca.pem")
	s := serve(t, filepath.Join(dir, "data"), "--tls-cert", filepath.Join(certs, "cert.pem"), "--tls-key", filepath.Join(certs, "key.pem"))
	if !strings.HasPrefix(s.url, "https://") {
		t.Fatalf("announced %s, want https", s.url)
	}
	s.http = trusting(t, ca)
	p := s.person(t, "grace")
	windows, ios, android := p.three(t, "")

	expires := time.Now().AddDate(0, 0, 7).UTC().Truncate(time.Second)
	body := func(key string) string {
		b, err := json.Marshal(map[string]any{
			"targetHostName": host, "appNotificationId": key, "expirationDateTime": expires.Format("2006-01-02T15:04:05.000Z"),
			"payload":      map[string]any{"visualContent": map[string]any{"title": "Hello", "body": "World"}},
			"targetPolicy": map[string]any{"platformTypes": []string{"windows", "ios", "android"}},
			"priority":     "High", "groupName": "G", "displayTimeToLive": "60",
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for i, c := range []struct{ name, token, uns string }{
		{"app token with X-UNS-ID", s.app, ios.subscription},
		{"user token", p.token, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := graphSends(t, project, ca, s.url, c.token, c.uns, body(c.name))
			if seen.Status != 201 || !strings.HasPrefix(seen.Headers["location"], "/beta/me/notifications/") ||
				seen.Headers["request-id"] == "" || seen.Headers["odata-version"] != "4.0" {
				t.Errorf("the answer: %d %v", seen.Status, seen.Headers)
			}
			id, _ := at(seen.Body, "id").(string)
			for what, got := range map[string]map[string]any{"201": seen.Body, "GET": seen.Read} {
				if got["id"] != id || at(got, "payload", "visualContent", "title") != "Hello" || got["priority"] != "High" ||
					got["displayTimeToLive"] != 60.0 || got["groupName"] != "G" || got["expirationDateTime"] == "" {
					t.Errorf("the %s says %v", what, got)
				}
			}
			if list, _ := at(seen.List, "value").([]any); len(list) != i+1 || at(list[0], "id") != id {
				t.Errorf("the list is %v, want %d with %s first", seen.List, i+1, id)
			}
			if e := seen.Error; !e.Graph || e.StatusCode != 400 || e.Code != "invalidRequest" || e.RequestID == "" || !strings.Contains(e.Message, "rawContent") {
				t.Errorf("the client understood the refusal as %+v", e)
			}
			for _, d := range []*device{windows, ios, android} {
				if got := d.rung(t, i+1); got.NotificationID != id {
					t.Errorf("%s rang for %s, want %s", d.installation, got.NotificationID, id)
				}
			}
		})
	}
	t.Run("history", func(t *testing.T) { graphReads(t, project, ca, s) })
	s.stop(t)
}

// graphReads is the same client reading what it wrote, for a user of its own.
func graphReads(t *testing.T, project, ca string, s *site) {
	t.Helper()
	const want = `{"batch":[201,201,201,201,201,400,424],"count":5,"firstPage":2,"paged":["t5","t4","t3","t2","t1"],` +
		`"filtered":["t1","t3","t5"],"selected":["@odata.etag","groupName","id","readState"],"whole":["t1","t2","t3","t4","t5"],` +
		`"patch":200,"keyed":"t2","delete":204,"after":["t1*","-deleted"],"rest":[],` +
		`"errors":["true 400 invalidRequest","true 501 notSupported","true 404 itemNotFound"]}`
	if got := graphRuns(t, project, "feed.mjs", ca, s.url, s.person(t, "gerda").token, "CARILLON_HOST="+host); strings.TrimSpace(got) != want {
		t.Errorf("the client saw\n%s, want\n%s", got, want)
	}
}

// graphSeen is what send.mjs prints.
type graphSeen struct {
	Status           int
	Headers          map[string]string
	Body, Read, List map[string]any
	Error            struct {
		Graph      bool
		StatusCode int
		Code       string
		Message    string
		RequestID  string
	}
}

func graphSends(t *testing.T, project, ca, url, token, uns, body string) *graphSeen {
	t.Helper()
	out := graphRuns(t, project, "send.mjs", ca, url, token, "CARILLON_UNS="+uns, "CARILLON_BODY="+body)
	var seen graphSeen
	if err := json.Unmarshal([]byte(out), &seen); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return &seen
}

// graphRuns runs a script of the project and gives what it printed.
func graphRuns(t *testing.T, project, script, ca, url, token string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Dir = project
	// The certificate names localhost, and the client wants a host name.
	url = strings.Replace(url, "127.0.0.1", "localhost", 1)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca, "NO_PROXY=*", "CARILLON_URL="+url, "CARILLON_TOKEN="+token)
	cmd.Env = append(cmd.Env, env...)
	r := finish(t, cmd)
	if r.code != 0 {
		t.Fatalf("node: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// graphProject installs the client as its lock file says, once for each lock.
func graphProject(t *testing.T) string {
	t.Helper()
	needs(t, "node", "npm")
	dir := filepath.Join(caches, "graph")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	installed := filepath.Join(dir, "installed.json") // the lock that node_modules was made from
	for _, name := range []string{"package.json", "package-lock.json", "send.mjs", "feed.mjs"} {
		text, err := os.ReadFile(filepath.Join("graph", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := os.ReadFile("graph/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if had, err := os.ReadFile(installed); err == nil && bytes.Equal(had, lock) {
		return dir
	}
	r := run(t, npmLimit, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", dir)
	if r.code != 0 {
		t.Fatalf("npm ci: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if err := os.WriteFile(installed, lock, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// trusting is an HTTP client that trusts this CA only.
func trusting(t *testing.T, ca string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", ca)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}
