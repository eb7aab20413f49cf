//go:build acceptance

package acceptance_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The app that Pushy's server knows.
const (
	appleKey  = "ABCDEFGHIJ"
	appleTeam = "KLMNOPQRST"
	otherTeam = "OTHERTEAM1"
)

// TestPushy sends to Pushy's MockApnsServer: APNs as people wrote it who know
// nothing of us, on its own TLS and HTTP/2, with its own check of requests and
// provider tokens. What is right is accepted, and whatever it refuses lands in
// the right class.
func TestPushy(t *testing.T) {
	a := pushyServer(t, appleTeam)
	t.Run("accepts", a.accepts)
	t.Run("refuses", a.refuses)
	t.Run("rejects", a.rejects)
	a.s.stop(t)
}

// TestPushyWrongTeam: a provider token of another team, which its own check finds.
func TestPushyWrongTeam(t *testing.T) {
	a := pushyServer(t, otherTeam)
	d := a.device(t, "good", bundle, "")
	got := a.answered(t, d, d.p.send(t, visual("x", "")))
	got.is(t, "wrongCredential", "InvalidProviderToken", 403)
	a.s.stop(t)
}

// apple is a gateway whose iOS pushes go to Pushy's server.
type apple struct {
	s    *site
	mock *process
}

// pushyReasons are all rejections that Pushy's server knows, and what becomes
// of them; reason is its own constant, "" word is the reason as it is sent.
func pushyReasons() []struct {
	constant, word, class string
	status                int
} {
	const rejected, gone, wrong, transient = "rejected", "gone", "wrongCredential", "transient"
	return []struct {
		constant, word, class string
		status                int
	}{
		{"BAD_COLLAPSE_ID", "BadCollapseId", rejected, 400},
		{"BAD_DEVICE_TOKEN", "BadDeviceToken", gone, 400},
		{"BAD_EXPIRATION_DATE", "BadExpirationDate", rejected, 400},
		{"BAD_MESSAGE_ID", "BadMessageId", rejected, 400},
		{"BAD_PRIORITY", "BadPriority", rejected, 400},
		{"BAD_TOPIC", "BadTopic", rejected, 400},
		{"DEVICE_TOKEN_NOT_FOR_TOPIC", "DeviceTokenNotForTopic", rejected, 400},
		{"DUPLICATE_HEADERS", "DuplicateHeaders", rejected, 400},
		{"IDLE_TIMEOUT", "IdleTimeout", transient, 400},
		{"INVALID_PUSH_TYPE", "InvalidPushType", rejected, 400},
		{"MISSING_DEVICE_TOKEN", "MissingDeviceToken", rejected, 400},
		{"MISSING_TOPIC", "MissingTopic", rejected, 400},
		{"PAYLOAD_EMPTY", "PayloadEmpty", rejected, 400},
		{"TOPIC_DISALLOWED", "TopicDisallowed", wrong, 400},
		{"BAD_CERTIFICATE", "BadCertificate", wrong, 403},
		{"BAD_CERTIFICATE_ENVIRONMENT", "BadCertificateEnvironment", wrong, 403},
		{"FORBIDDEN", "Forbidden", wrong, 403},
		{"INVALID_PROVIDER_TOKEN", "InvalidProviderToken", wrong, 403},
		{"MISSING_PROVIDER_TOKEN", "MissingProviderToken", wrong, 403},
		{"BAD_PATH", "BadPath", rejected, 404},
		{"METHOD_NOT_ALLOWED", "MethodNotAllowed", rejected, 405},
		{"UNREGISTERED", "Unregistered", gone, 410},
		{"PAYLOAD_TOO_LARGE", "PayloadTooLarge", rejected, 413},
		{"TOO_MANY_REQUESTS", "TooManyRequests", "throttledEndpoint", 429},
		{"INTERNAL_SERVER_ERROR", "InternalServerError", transient, 500},
		{"SERVICE_UNAVAILABLE", "ServiceUnavailable", transient, 503},
		{"SHUTDOWN", "Shutdown", transient, 503},
		// These two have the connection closed, and the second rests the lane.
		{"EXPIRED_PROVIDER_TOKEN", "ExpiredProviderToken", transient, 403}, // the key is known to be good
		{"TOO_MANY_PROVIDER_TOKEN_UPDATES", "TooManyProviderTokenUpdates", "throttledSender", 429},
	}
}

// pushyServer starts both.
func pushyServer(t *testing.T, team string) *apple {
	t.Helper()
	needs(t, "java", "javac", "mvn")
	classes := pushyClasses(t)
	dir := workDir(t)
	carillon(t, "dev-cert", "--dir", dir)
	file := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, text []byte) {
		if err := os.WriteFile(file(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	private, public := appleKeys(t)
	write("key.p8", private)
	write("key.pub", public)
	write("script", pushyScript(t))
	_, port, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	a := &apple{mock: start(t, file("pushy.log"), "java", "-Xmx128m", "-XX:TieredStopAtLevel=1",
		"-cp", classes+string(os.PathListSeparator)+filepath.Join(classes, "*"), "MockApns",
		port, file("cert.pem"), file("key.pem"), file("key.pub"), appleKey, appleTeam, file("script"))}
	t.Cleanup(a.mock.kill)
	var at struct{ Port int }
	a.mock.announced(t, &at)
	write("carillon.yaml", fmt.Appendf(nil, `
sandbox: {off: true}
provider: {apns: {baseURL: "https://127.0.0.1:%s", caFile: %q}}
apps:
  - host: %s
    clients: [demo-client]
    identities: [{platform: ios, appId: %s}]
    credentials: [{platform: ios, file: %q, keyId: %s, teamId: %s, sandbox: true}]
`, port, file("ca.pem"), host, bundle, file("key.p8"), appleKey, team))
	a.s = serve(t, file("data"), "--config", file("carillon.yaml"))
	return a
}

// pushyClasses fetches Pushy from Maven Central and compiles the server, once
// for each state of both.
func pushyClasses(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(caches, "pushy")
	var want []byte
	for _, name := range []string{"pushy/pom.xml", "pushy/MockApns.java"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, text...)
	}
	made := filepath.Join(dir, "made-from")
	if had, err := os.ReadFile(made); err == nil && bytes.Equal(had, want) {
		return dir
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	r := run(t, kafkaFetch, "mvn", "-B", "-q", "-f", "pushy/pom.xml", "dependency:copy-dependencies", "-DoutputDirectory="+dir)
	if r.code != 0 {
		t.Fatalf("fetching Pushy from Maven Central: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := run(t, kafkaStart, "javac", "-d", dir, "-cp", filepath.Join(dir, "*"), "pushy/MockApns.java"); r.code != 0 {
		t.Fatalf("compiling MockApns.java: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if err := os.WriteFile(made, want, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// appleKeys makes a key as Apple's developer pages give it out, and its public
// half.
func appleKeys(t *testing.T) (private, public []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub})
}

// pushyScript says which device tokens Pushy's server knows, and how.
func pushyScript(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, topic := range []string{bundle, bundle + ".voip", bundle + ".push-type.liveactivity"} {
		fmt.Fprintf(&b, "key %s\ntopic %s %s\n", topic, topic, address("ios", topic))
	}
	known := []string{"good", "tap", "old", "new"}
	for _, r := range pushyReasons() {
		known = append(known, r.constant)
		fmt.Fprintf(&b, "reject %s %s\n", address("ios", r.constant), r.constant)
	}
	for _, seed := range known {
		fmt.Fprintf(&b, "topic %s %s\n", bundle, address("ios", seed))
	}
	now := time.Now()
	fmt.Fprintf(&b, "gone %s %d\n", address("ios", "old"), now.Add(time.Hour).UnixMilli())  // after its registration
	fmt.Fprintf(&b, "gone %s %d\n", address("ios", "new"), now.Add(-time.Hour).UnixMilli()) // registered again since
	return b.Bytes()
}

// appleDevice is the one device of a person of its own.
type appleDevice struct {
	p       *person
	address string
}

// device registers a device token under an appId.
func (a *apple) device(t *testing.T, seed, appID, push string) *appleDevice {
	t.Helper()
	d := &appleDevice{p: a.s.person(t, strings.ToLower(strings.ReplaceAll(seed+"-"+push, "_", "-"))), address: address("ios", seed)}
	d.register(t, appID, push)
	return d
}

func (d *appleDevice) register(t *testing.T, appID, push string) {
	t.Helper()
	body := map[string]string{"host": host, "platform": "ios", "address": d.address, "appId": appID, "environment": "production"}
	if push != "" {
		body["push"] = push
	}
	d.p.s.call(t, d.p.token, "PUT", "/api/v1/me/endpoints/phone", body).want(t, 200)
}

// answer is what a device's only delivery came to.
type answer struct {
	class, reason, kind string
	status              float64
}

func (g answer) is(t *testing.T, class, reason string, status float64) {
	t.Helper()
	if want := (answer{class, reason, g.kind, status}); g != want {
		t.Errorf("got %+v, want %+v", g, want)
	}
}

// answered waits until the server answered the delivery of a notification.
func (a *apple) answered(t *testing.T, d *appleDevice, id string) answer {
	t.Helper()
	var got answer
	until(t, ringLimit, "an answer to "+id+"; log "+a.mock.log, func() bool {
		r := a.s.call(t, a.s.app, "GET", "/api/v1/users/"+d.p.id+"/notifications/"+id+"/deliveries", nil)
		list, _ := at(r.body, "deliveries").([]any)
		if r.status != 200 || len(list) != 1 || at(list[0], "answeredDateTime") == nil {
			return false
		}
		got.class, _ = at(list[0], "outcome").(string)
		got.reason, _ = at(list[0], "reason").(string)
		got.kind, _ = at(list[0], "kind").(string)
		got.status, _ = at(list[0], "status").(float64)
		return true
	})
	return got
}

// line is what Pushy's server saw of a device token's last push.
func (a *apple) line(t *testing.T, d *appleDevice) string {
	t.Helper()
	b, err := os.ReadFile(a.mock.log)
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "/3/device/"+d.address+" ") {
			last = line
		}
	}
	return last
}

// accepts: every kind of push, to topics of three push types.
func (a *apple) accepts(t *testing.T) {
	styled := with(visual("Tea", "is ready"), map[string]any{"platformOptions": map[string]any{
		"apns": map[string]any{"sound": "bell.caf", "interruption-level": "time-sensitive", "relevance-score": 0.5, "ttl": 60},
		"data": map[string]any{"pot": 7}, "link": "https://example.com/tea",
	}})
	large := raw(strings.Repeat("x", 4000))
	call := with(visual("Ann calls", ""), map[string]any{"platformOptions": map[string]any{"apns": map[string]any{"push-type": "voip", "ttl": 30}}})
	activity := with(raw("x"), map[string]any{"platformOptions": map[string]any{"apns": map[string]any{
		"push-type": "liveactivity", "event": "update", "content-state": map[string]any{"score": "1:0"}, "priority": 5,
	}}})
	for _, c := range []struct {
		seed, appID, push string
		n                 map[string]any
		kind              string
		saw               []string
	}{
		{"good", bundle, "", styled, "alert", []string{"type=alert", "topic=" + bundle + " ", "priority=10", "collapse=ID", `"interruption-level":"time-sensitive"`}},
		{"good", bundle, "", raw("hello"), "data", []string{"type=background", "priority=5", "collapse=null", `"raw":"hello"`}},
		{"good", bundle, "", large, "tap", []string{"type=background", `"k":"tap"`}}, // 4096 bytes are not enough for it
		{"tap", bundle, "tapOnly", visual("secret", ""), "tap", []string{"type=background", "priority=5", `"k":"tap"`}},
		{bundle + ".voip", bundle + ".voip", "", call, "alert", []string{"type=voip", "topic=" + bundle + ".voip ", "priority=10", "collapse=null"}},
		{bundle + ".push-type.liveactivity", bundle + ".push-type.liveactivity", "", activity, "data", []string{"type=liveactivity", "priority=5", `"event":"update"`}},
	} {
		d := a.device(t, c.seed, c.appID, c.push)
		id := d.p.send(t, c.n)
		got := a.answered(t, d, id)
		got.is(t, "accepted", "", 200)
		if got.kind != c.kind {
			t.Errorf("%s: sent as %s, want %s", c.seed, got.kind, c.kind)
		}
		line := a.line(t, d)
		for _, want := range append(c.saw, "accepted ", id) {
			if want = strings.Replace(want, "=ID", "="+id, 1); !strings.Contains(line, want) {
				t.Errorf("%s: no %q in what Pushy saw: %s", c.seed, want, line)
			}
		}
	}
	d := a.device(t, bundle+".voip", bundle+".voip", "")
	a.answered(t, d, d.p.send(t, visual("news", ""))).is(t, "suppressed", "pushType", 0) // it is no call
}

// refuses: what Pushy's own validation finds wrong.
func (a *apple) refuses(t *testing.T) {
	stranger := a.device(t, "nobody's", bundle, "")
	a.answered(t, stranger, stranger.p.send(t, visual("x", ""))).is(t, "rejected", "DeviceTokenNotForTopic", 400)

	short := a.device(t, "good", bundle, "tapOnly")
	short.address = "c0ffee"
	short.register(t, bundle, "")
	a.answered(t, short, short.p.send(t, visual("x", ""))).is(t, "gone", "BadDeviceToken", 400)
	a.left(t, short, true)

	for seed, leaves := range map[string]bool{"old": true, "new": false} {
		d := a.device(t, seed, bundle, "")
		a.answered(t, d, d.p.send(t, visual("x", ""))).is(t, "gone", "Unregistered", 410)
		a.left(t, d, leaves)
	}
}

// left waits for the endpoint to leave. One that shall stay is still pushed to
// by later notifications.
func (a *apple) left(t *testing.T, d *appleDevice, leaves bool) {
	t.Helper()
	count := func() int {
		list, _ := at(d.p.s.call(t, d.p.token, "GET", "/api/v1/me/endpoints", nil).want(t, 200).body, "value").([]any)
		return len(list)
	}
	if leaves {
		until(t, ringLimit, "the endpoint leaves", func() bool { return count() == 0 })
		return
	}
	for range 2 {
		a.answered(t, d, d.p.send(t, raw("again"))).is(t, "gone", "Unregistered", 410)
	}
	if n := count(); n != 1 {
		t.Errorf("%d endpoints, want the one that was registered after Apple's date", n)
	}
}

// rejects: each reason that Pushy's server knows, with its own status. A good
// push before it has the lane's breaker forget. None comes after the last reason:
// that rests the lane, and the retries of the others are its probes.
func (a *apple) rejects(t *testing.T) {
	good := a.device(t, "good", bundle, "")
	for _, r := range pushyReasons() {
		a.answered(t, good, good.p.send(t, visual("good", ""))).is(t, "accepted", "", 200)
		d := a.device(t, r.constant, bundle, "")
		a.answered(t, d, d.p.send(t, visual(r.word, ""))).is(t, r.class, r.word, float64(r.status))
	}
	t.Logf("%d reasons", len(pushyReasons()))
}
