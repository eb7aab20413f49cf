package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon"
	"carillon/internal/auth"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// call runs one command in this process.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, fault strings.Builder
	e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &fault}
	code = e.run(t.Context(), args)
	return code, out.String(), fault.String()
}

func TestExitCodes(t *testing.T) {
	f := func(want int, args ...string) {
		t.Helper()
		if code, out, fault := call(t, args...); code != want {
			t.Errorf("%q: exit code %d, want %d\n%s%s", args, code, want, out, fault)
		}
	}
	f(exitUsage)
	f(exitOK, "help")
	f(exitOK, "help", "config", "print")
	f(exitUsage, "help", "bell")
	f(exitUsage, "bell")
	f(exitUsage, "config")
	f(exitOK, "version", "--json")
	f(exitOK, "--version")
	f(exitUsage, "version", "--jsonn")
	f(exitUsage, "token")
	f(exitFailed, "token", "--admin", "--data", t.TempDir())
	f(exitFailed, "config", "print", "--config", "/nonexistent")
	f(exitOK, "sandbox", "clock", "--help")
}

// TestUserKeys: a user's id without its issuer's alias is no user's key, and is not
// asked about.
func TestUserKeys(t *testing.T) {
	for _, args := range [][]string{{"user", "erase", "alice"}, {"user", "export", "alice"}} {
		if code, _, fault := call(t, args...); code != exitUsage || !strings.Contains(fault, "did you mean dev.alice?") {
			t.Errorf("%q: exit code %d, %s", args, code, fault)
		}
	}
}

func TestEveryCommandIsDocumented(t *testing.T) {
	for _, c := range commands() {
		var help strings.Builder
		c.help(&help)
		if c.summary == "" || strings.HasSuffix(c.summary, ".") || len(c.examples) == 0 {
			t.Errorf("%s: a summary without full stop and an example are wanted", c.name)
		}
		for _, line := range c.examples {
			if !strings.Contains(line, "carillon ") && !strings.HasPrefix(line, "curl ") && !strings.HasPrefix(line, "make ") {
				t.Errorf("%s: example %q", c.name, line)
			}
		}
	}
}

func alice() (carillon.User, carillon.ID) {
	id, _ := carillon.ParseID("0b7c0f0e-0000-8000-8000-000000000001")
	return carillon.User{Host: "demo.localhost", ID: "dev.alice"}, id
}

func story() *carillon.Item {
	const at = 1_800_000_000_000
	return &carillon.Item{
		Created: carillon.MakeSeq(1, 41), Partition: 3,
		Accepted: at, Journalled: at + 1, Planned: at + 2, Expires: at + 3_600_000,
		Deliveries: []carillon.Delivery{
			{Endpoint: "phone", Platform: carillon.IOS, Kind: carillon.KindAlert, Attempts: 1, Handed: at + 3, Answered: at + 5, Outcome: carillon.Outcome{Class: carillon.Accepted, Status: 200}},
			{Endpoint: "tablet", Platform: carillon.Android, Kind: carillon.KindTap, Attempts: 2, Handed: at + 900, Outcome: carillon.Outcome{Class: carillon.Transient, Status: 503, Reason: "UNAVAILABLE"}},
		},
	}
}

func TestStoryIsReadable(t *testing.T) {
	u, id := alice()
	it := story()
	r := explain(u, id, &known{item: it}, it.Accepted+1000)
	var got strings.Builder
	r.write(&got)
	want := `notification 0b7c0f0e-0000-8000-8000-000000000001
  for demo.localhost/dev.alice, active, expires 2027-01-15T09:00:00Z
  accepted 2027-01-15T08:00:00Z, partition 3, position 1/41
       0 ms  accepted  
       1 ms  journalled
       2 ms  planned   
       3 ms  handed      ios      alert    phone
       5 ms  answered    ios      alert    phone: accepted (200)
     900 ms  handed      android  tap      tablet
     900 ms  waiting     android  tap      tablet: transient (503) UNAVAILABLE, attempt 2
  1 still open
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Error(d)
	}
	it.Deliveries = nil
	it.State.Read = true
	r = explain(u, id, &known{item: it}, it.Accepted)
	got.Reset()
	r.write(&got)
	if !strings.Contains(got.String(), "no endpoint was to ring") || !strings.Contains(got.String(), ", read, ") {
		t.Error(got.String())
	}
}

func TestWhyAsksTheOpsListener(t *testing.T) {
	u, id := alice()
	ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/why" || r.URL.Query().Get("user") != u.Key() {
			t.Errorf("asked %s", r.URL)
		}
		if r.URL.Query().Get("notification") != id.String() {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":{"code":"itemNotFound","message":"no such notification","target":"notification"}}`)
			return
		}
		_ = json.NewEncoder(w).Encode(explain(u, id, &known{item: story()}, 0))
	}))
	defer ops.Close()
	code, out, fault := call(t, "why", "--user", u.Key(), "--notification", id.String(), "--ops", ops.Listener.Addr().String())
	if code != exitOK || !strings.Contains(out, "phone: accepted (200)") {
		t.Errorf("%d %s %s", code, out, fault)
	}
	code, out, _ = call(t, "why", "--user", u.Key(), "--notification", id.String(), "--ops", ops.URL, "--json")
	var r report
	if err := json.Unmarshal([]byte(out), &r); code != exitOK || err != nil || r.Open != 1 || len(r.Steps) != 7 {
		t.Errorf("%d %v %s", code, err, out)
	}
	code, _, fault = call(t, "why", "--user", u.Key(), "--notification", "0b7c0f0e-0000-8000-8000-000000000002", "--ops", ops.URL)
	if code != exitFailed || fault != "carillon why: notification: no such notification\n" {
		t.Errorf("%d %q", code, fault)
	}
}

// shelf is a store with one item.
type shelf struct {
	derived carillon.ID
	item    *carillon.Item
}

func (s shelf) Find(_ carillon.User, id carillon.ID) (carillon.Seq, bool, error) {
	return s.item.Created, id == s.derived, nil
}

func (s shelf) Item(_ carillon.User, created carillon.Seq) (*carillon.Item, error) {
	if created != s.item.Created {
		return nil, nil
	}
	return s.item, nil
}

func (s shelf) Items(carillon.User, carillon.Seq, int) ([]*carillon.Item, error) {
	return []*carillon.Item{s.item}, nil
}

func (shelf) Endpoints(dst []carillon.Endpoint, _ carillon.User) ([]carillon.Endpoint, error) {
	return dst, nil
}

func (shelf) Sync(carillon.User) (carillon.Sync, error) { return carillon.Sync{}, nil }

// TestWholeStory: what every kind of endpoint did, in order of time.
func TestWholeStory(t *testing.T) {
	u, id := alice()
	const at = 1_800_000_000_000
	seq := func(n int64) carillon.Seq { return carillon.MakeSeq(1, n) }
	it := &carillon.Item{
		Created: seq(41), Content: seq(41), Partition: 3, Accepted: at, Journalled: at + 1, Planned: at + 2, Expires: at + 3_600_000,
		State: carillon.State{Action: carillon.Dismissed, ActionSeq: seq(50), Changed: at + 9000},
		Deliveries: []carillon.Delivery{
			{
				Endpoint: "phone", Platform: carillon.IOS, Kind: carillon.KindAlert, Attempts: 1, Parked: at + 3, Handed: at + 5000, Answered: at + 5020,
				Opened: at + 8900, Outcome: carillon.Outcome{Class: carillon.Accepted, Status: 200},
			},
			{Endpoint: "pc", Platform: carillon.Windows, Kind: carillon.KindAlert, Outcome: carillon.Outcome{Class: carillon.Suppressed, Reason: "dismissed"}},
			{Endpoint: "tab", Platform: carillon.Android, Kind: carillon.KindTap, Hint: carillon.HintParked, Parked: at + 4},
		},
	}
	k := &known{
		item:      it,
		endpoints: []carillon.Endpoint{{ID: "watch", Platform: carillon.Polling, Expires: at * 2}, {ID: "new", Platform: carillon.IOS, Expires: at * 2, Incarnation: seq(60)}},
		sync: carillon.Sync{Endpoints: []carillon.EndpointSync{{
			Endpoint: "phone", Owed: seq(50), Cleared: seq(50), Acked: seq(45),
			Seen: carillon.Trail{{Seq: seq(45), At: at + 7000}}, Told: carillon.Trail{{Seq: seq(50), At: at + 9100}},
		}}},
		lanes: func(l carillon.Lane) (string, int64) {
			if l.Platform == carillon.Android {
				return "throttled", at + 60_000
			}
			return "", 0
		},
	}
	r := explain(u, id, k, at+10_000)
	var got strings.Builder
	r.write(&got)
	want := `notification 0b7c0f0e-0000-8000-8000-000000000001
  for demo.localhost/dev.alice, dismissed, expires 2027-01-15T09:00:00Z
  accepted 2027-01-15T08:00:00Z, partition 3, position 1/41
       0 ms  accepted  
       1 ms  journalled
       2 ms  planned   
       3 ms  parked      ios      alert    phone
       4 ms  parked      android  tap      tab
       4 ms  waiting     android  tap      tab: open, parked: its vendor is shut (throttled), next attempt 2027-01-15T08:01:00Z
    5000 ms  handed      ios      alert    phone
    5020 ms  answered    ios      alert    phone: accepted (200)
    7000 ms  fetched     ios      alert    phone
    8900 ms  opened      ios      alert    phone
    9000 ms  dismissed 
    9000 ms  suppressed  windows  alert    pc: suppressed dismissed
    9100 ms  cleared     ios      alert    phone
  1 still open
  not to ring: polling  watch: no push reaches it; it comes and fetches
  not to ring: ios      new: it registered later, and finds it in the history
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Error(d)
	}
}

func TestFindItemByEitherKindOfID(t *testing.T) {
	u, _ := alice()
	ids := &carillon.IDKey{1}
	s := shelf{item: story()}
	s.derived = ids.Derived(u, 'k', "key")
	positional := ids.Positional(u.Hash(), carillon.Position{Partition: s.item.Partition, Seq: s.item.Created})
	for _, id := range []carillon.ID{s.derived, positional} {
		if it, err := findKnown(s, ids, u, id); err != nil || it.item != s.item {
			t.Errorf("%s: %v, %v", id, it, err)
		}
	}
	for _, id := range []carillon.ID{ids.Derived(u, 'k', "other"), ids.Positional(u.Hash(), carillon.Position{Partition: 3, Seq: 7})} {
		if it, err := findKnown(s, ids, u, id); it != nil || carillon.AsError(err).Code != carillon.CodeNotFound {
			t.Errorf("%s: %v, %v", id, it, err)
		}
	}
}

func TestClockMoves(t *testing.T) {
	ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var move clockMove
		if err := json.NewDecoder(r.Body).Decode(&move); err != nil || move.By != "+31d" || r.Method != http.MethodPost || r.URL.Path != "/sandbox/clock" {
			t.Errorf("%s %s %+v %v", r.Method, r.URL, move, err)
		}
		_ = json.NewEncoder(w).Encode(clockAnswer{Now: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)})
	}))
	defer ops.Close()
	if code, out, fault := call(t, "sandbox", "clock", "+31d", "--ops", ops.URL); code != exitOK || out != "it is now 2027-01-01T00:00:00Z\n" {
		t.Errorf("%d %q %q", code, out, fault)
	}
}

// TestTokenFollowsTheProcess: after the sandbox clock was moved a new token is
// good at the process, and another installation's clock moves nobody's.
func TestTokenFollowsTheProcess(t *testing.T) {
	data := t.TempDir()
	master, err := auth.LoadMaster(filepath.Join(data, masterFile), true)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := auth.NewDevIssuer(master, &carillon.Clock{})
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(31 * 24 * time.Hour)
	key := issuer.KeyID()
	ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/sandbox/clock" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		_ = json.NewEncoder(w).Encode(clockAnswer{Now: later, Key: key})
	}))
	defer ops.Close()
	code, out, fault := call(t, "token", "--user", "alice", "--data", data, "--ops", ops.URL, "--json")
	var got struct{ ExpiresDateTime time.Time }
	if err := json.Unmarshal([]byte(out), &got); code != exitOK || err != nil || got.ExpiresDateTime.Before(later.Add(auth.DevLife-time.Minute)) {
		t.Errorf("%d %s %s: %v", code, out, fault, err)
	}
	key = "another"
	if code, _, fault := call(t, "token", "--user", "alice", "--data", data, "--ops", ops.URL); code != exitFailed || !strings.Contains(fault, "another master key") {
		t.Errorf("%d %s", code, fault)
	}
}

func TestDevCertServesLocalhost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	if code, _, fault := call(t, "dev-cert", "--dir", dir); code != exitOK {
		t.Fatal(fault)
	}
	if info, err := os.Stat(filepath.Join(dir, "key.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key.pem: %v, %v", info, err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "example.com", Roots: pool}); err == nil {
		t.Error("good for example.com")
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	res, err := client.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
}

// line is closed when a line with want was written.
type line struct {
	strings.Builder
	want string
	seen chan struct{}
}

func (l *line) Write(p []byte) (int, error) {
	n, err := l.Builder.Write(p)
	if l.want != "" && strings.Contains(l.String(), l.want) {
		close(l.seen)
		l.want = ""
	}
	return n, err
}

func TestSandboxRunsUntilItIsEnded(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent()) // fasthttp keeps a clock once a server ran
	ctx, cancel := context.WithCancel(t.Context())
	out := &line{want: "ready", seen: make(chan struct{})}
	var fault strings.Builder
	e := &env{stdout: out, stderr: &fault}
	done := make(chan int)
	go func() { done <- e.run(ctx, []string{"sandbox", "--dir", t.TempDir()}) }()
	select {
	case <-out.seen:
	case code := <-done:
		t.Fatalf("ended with %d: %s", code, fault.String())
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d: %s", code, fault.String())
	}
	for _, want := range []string{"strict sandbox", "apns   127.0.0.1:", "ca.pem"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}
