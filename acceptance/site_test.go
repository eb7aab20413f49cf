//go:build acceptance

package acceptance_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	host      = "demo.localhost"
	bundle    = "com.example.demo"
	aumid     = "Example.Demo_1!App"
	ringLimit = 20 * time.Second
)

// site is a running `carillon serve` with the sample app.
type site struct {
	*process

	url, ops, data string
	http           *http.Client
	app            string // token of the sample app
}

// serve starts the gateway on a data directory and waits until it is ready.
func serve(t *testing.T, data string, args ...string) *site {
	t.Helper()
	args = append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--json"}, args...)
	p := start(t, filepath.Clean(data)+".log", binary, args...)
	var at struct{ URL, Ops, Data string }
	p.announced(t, &at)
	s := &site{process: p, url: at.URL, ops: at.Ops, data: at.Data, http: client(t)}
	s.ready(t)
	s.app = strings.TrimSpace(carillon(t, "token", "--data", s.data, "--app", host))
	return s
}

// client is an HTTP client whose connections end with the test.
func client(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

func (s *site) ready(t *testing.T) {
	t.Helper()
	until(t, startLimit, s.ops+"/readyz answers 200; log "+s.log, func() bool {
		select {
		case <-s.ended:
			t.Fatalf("%s ended (%v):\n%s", s.name, s.err, s.tail())
		default:
		}
		res, err := s.http.Get(s.ops + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode == http.StatusOK
	})
}

// reply is an answer; body is nil unless it is a JSON object.
type reply struct {
	status int
	header http.Header
	text   []byte
	body   map[string]any
}

// at walks down the members of a JSON object; nil when there is none.
func at(v any, path ...string) any {
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

func (r *reply) str(path ...string) string {
	s, _ := at(r.body, path...).(string)
	return s
}

// call sends a request with body, if not nil, as JSON; headers are name, value.
func (s *site) call(t *testing.T, token, method, path string, body any, headers ...string) *reply {
	t.Helper()
	return fetch(t, s.http, s.url+path, token, method, body, headers...)
}

func fetch(t *testing.T, c *http.Client, target, token, method string, body any, headers ...string) *reply {
	t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, in)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r := &reply{status: res.StatusCode, header: res.Header}
	if r.text, err = io.ReadAll(res.Body); err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	if len(r.text) > 0 && r.text[0] == '{' && res.Header.Get("Content-Type") != "application/x-ndjson" {
		if err := json.Unmarshal(r.text, &r.body); err != nil {
			t.Fatalf("%s %s: %v\n%s", method, target, err, r.text)
		}
	}
	return r
}

// want ends the test when the status is another.
func (r *reply) want(t *testing.T, status int) *reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d\n%s", r.status, status, r.text)
	}
	return r
}

// refuses ends the test unless the answer is Graph's error form with this status
// and words in its message.
func (r *reply) refuses(t *testing.T, status int, words ...string) {
	t.Helper()
	r.want(t, status)
	message := r.str("error", "message")
	if r.str("error", "code") == "" || r.str("error", "innerError", "request-id") == "" {
		t.Errorf("not Graph's error form: %s", r.text)
	}
	for _, w := range words {
		if !strings.Contains(message+" "+r.str("error", "target"), w) {
			t.Errorf("the message %q does not say %q", message, w)
		}
	}
}

// person is a user of the sample app with his token, and the position of his
// last write, which his reads bring along.
type person struct {
	s                   *site
	id, token, position string
}

func (s *site) person(t *testing.T, name string) *person {
	t.Helper()
	token := carillon(t, "token", "--data", s.data, "--user", name)
	return &person{s: s, id: "dev." + name, token: strings.TrimSpace(token)}
}

// device is a registered endpoint of a sandbox device.
type device struct {
	s                                   *site
	installation, address, subscription string
}

// address makes a device address of the vendor's form.
func address(platform, seed string) string {
	sum := sha256.Sum256([]byte(platform + seed))
	text := base64.RawURLEncoding.EncodeToString(sum[:])
	switch platform {
	case "windows":
		return "https://wns2-sbx.notify.windows.com/?token=AwYAAAD%2b" + text + "%2f" + text + "%3d%3d"
	case "android":
		return "c" + text[:21] + ":APA91b" + text + text
	default:
		return hex.EncodeToString(sum[:])
	}
}

// register puts an endpoint, named after its platform.
func (p *person) register(t *testing.T, platform, push string) *device {
	t.Helper()
	d := &device{s: p.s, installation: "my-" + platform, address: address(platform, p.id+t.Name())}
	app := bundle
	if platform == "windows" {
		app = aumid
	}
	body := map[string]string{"host": host, "platform": platform, "address": d.address, "appId": app}
	if push != "" {
		body["push"] = push
	}
	r := p.s.call(t, p.token, "PUT", "/api/v1/me/endpoints/"+d.installation, body).want(t, 200)
	d.subscription = r.str("subscriptionId")
	if d.subscription == "" || r.str("id") != d.installation || r.str("expirationDateTime") == "" {
		t.Errorf("the registration's answer lacks something: %s", r.text)
	}
	return d
}

// three registers a device of each platform.
func (p *person) three(t *testing.T, push string) (windows, ios, android *device) {
	t.Helper()
	return p.register(t, "windows", push), p.register(t, "ios", push), p.register(t, "android", push)
}

// push is one entry of a device's inbox.
type push struct {
	Kind, Mark     string
	NotificationID string
	Version        string
	Status         int
	Headers        map[string]string
	Body           json.RawMessage

	whole string // the entry as it came
}

// inbox is everything that the device got.
func (d *device) inbox(t *testing.T) []push {
	t.Helper()
	r := fetch(t, d.s.http, d.s.ops+"/sandbox/devices/"+url.PathEscape(d.address)+"/inbox", "", "GET", nil).want(t, 200)
	var entries []json.RawMessage
	if err := json.Unmarshal(r.text, &entries); err != nil {
		t.Fatal(err)
	}
	out := make([]push, len(entries))
	for i, e := range entries {
		if err := json.Unmarshal(e, &out[i]); err != nil {
			t.Fatal(err)
		}
		out[i].whole = string(e)
	}
	return out
}

// shown is one entry of a device's tray.
type shown struct {
	NotificationID, Title, Body, Group string
	Replaced                           int
}

func (d *device) tray(t *testing.T) []shown {
	t.Helper()
	r := fetch(t, d.s.http, d.s.ops+"/sandbox/devices/"+url.PathEscape(d.address)+"/tray", "", "GET", nil).want(t, 200)
	var out []shown
	if err := json.Unmarshal(r.text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// ids lists the notifications in the inbox, in order, repeats included.
func (d *device) ids(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, p := range d.inbox(t) {
		out = append(out, p.NotificationID)
	}
	return out
}

// rung waits for the device's n-th push and gives it.
func (d *device) rung(t *testing.T, n int) push {
	t.Helper()
	var got push
	until(t, ringLimit, d.installation+" rings", func() bool {
		in := d.inbox(t)
		if len(in) < n {
			return false
		}
		got = in[n-1]
		return true
	})
	return got
}

// send posts a notification for the user by his own token; its id.
func (p *person) send(t *testing.T, body map[string]any, headers ...string) string {
	t.Helper()
	return p.post(t, body, headers...).want(t, 201).str("id")
}

func (p *person) post(t *testing.T, body map[string]any, headers ...string) *reply {
	t.Helper()
	r := p.s.call(t, p.token, "POST", "/beta/me/notifications", body, headers...)
	if position := r.header.Get(positionHeader); position != "" {
		p.position = position
	}
	return r
}

// positionHeader tells where a write stands; a read that brings it sees the write.
const positionHeader = "ReadWriteConsistencyToken"

// get reads what the user wrote before.
func (p *person) get(t *testing.T, path string) *reply {
	t.Helper()
	if p.position == "" {
		return p.s.call(t, p.token, "GET", path, nil)
	}
	return p.s.call(t, p.token, "GET", path, nil, positionHeader, p.position)
}

// fence sends one more notification and waits until every device has it. As the
// pushes of one endpoint keep their order, whatever was to ring before has rung.
func (p *person) fence(t *testing.T, devices ...*device) {
	t.Helper()
	id := p.send(t, visual("fence", ""))
	for _, d := range devices {
		until(t, ringLimit, d.installation+" gets the fence "+id, func() bool {
			in := d.inbox(t)
			return len(in) > 0 && in[len(in)-1].NotificationID == id
		})
	}
}

// visual is a notification that is shown.
func visual(title, body string) map[string]any {
	v := map[string]any{"title": title}
	if body != "" {
		v["body"] = body
	}
	return map[string]any{"targetHostName": host, "payload": map[string]any{"visualContent": v}}
}

// raw is a notification for the app's code.
func raw(text string) map[string]any {
	return map[string]any{"targetHostName": host, "payload": map[string]any{"rawContent": text}}
}

// with adds members to a notification.
func with(n, members map[string]any) map[string]any {
	maps.Copy(n, members)
	return n
}

func sorted(items []string) string {
	return strings.Join(slices.Sorted(slices.Values(items)), ", ")
}
