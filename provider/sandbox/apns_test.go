package sandbox_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/provider/sandbox"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
)

const alert = `{"aps":{"alert":{"title":"T","body":"B"}}}`

func (r *rig) apns(address, body string, headers ...string) answer {
	r.t.Helper()
	h := map[string]string{
		"authorization": r.token(), "apns-topic": "com.example.app", "apns-push-type": "alert",
	}
	for i := 0; i < len(headers); i += 2 {
		h[headers[i]] = headers[i+1]
	}
	var list []string
	for k, v := range h {
		list = append(list, k, v)
	}
	return r.post(r.client, "https://api.push.apple.com"+address, []byte(body), list...)
}

func TestAPNsRefusesWhatAppleDoes(t *testing.T) {
	r := start(t, sandbox.Config{})
	dev := "/3/device/" + sandbox.NewAddress(sandbox.APNs, "x")
	f := func(status int, reason, path, body string, headers ...string) {
		t.Helper()
		a := r.apns(path, body, headers...)
		var o struct{ Reason string }
		_ = json.Unmarshal([]byte(a.body), &o)
		if a.status != status || o.Reason != reason {
			t.Errorf("want %d %s, got %d %s", status, reason, a.status, a.body)
		}
		if len(a.header.Get("apns-id")) != 36 {
			t.Errorf("%s: apns-id %q", reason, a.header.Get("apns-id"))
		}
	}
	f(200, "", dev, alert)
	f(200, "", dev, alert, "apns-id", "0c9f5b3a-0000-4000-8000-00000000000a", "apns-priority", "10", "apns-expiration", "0")
	f(400, "BadMessageId", dev, alert, "apns-id", "ZZ")
	f(400, "BadMessageId", dev, alert, "apns-id", "0C9F5B3A-0000-4000-8000-00000000000A")
	f(405, "MethodNotAllowed", dev, alert, "method", "PUT")
	f(400, "MissingTopic", dev, alert, "apns-topic", "")
	f(400, "BadTopic", dev, alert, "apns-topic", "no dots here")
	f(400, "BadTopic", dev, alert, "apns-push-type", "voip")
	f(200, "", dev, alert, "apns-push-type", "voip", "apns-topic", "com.example.app.voip")
	f(400, "InvalidPushType", dev, alert, "apns-push-type", "loud")
	f(400, "InvalidPushType", dev, alert, "apns-push-type", "")
	f(400, "BadPriority", dev, alert, "apns-priority", "7")
	f(400, "BadPriority", dev, `{"aps":{"content-available":1}}`, "apns-push-type", "background")
	f(400, "BadPriority", dev, `{"aps":{"content-available":1}}`, "apns-push-type", "background", "apns-priority", "10")
	f(200, "", dev, `{"aps":{"content-available":1}}`, "apns-push-type", "background", "apns-priority", "5")
	f(400, "BadCollapseId", dev, alert, "apns-collapse-id", strings.Repeat("é", 33))
	f(200, "", dev, alert, "apns-collapse-id", strings.Repeat("é", 32))
	f(400, "BadExpirationDate", dev, alert, "apns-expiration", "soon")
	f(404, "BadPath", "/4/device/aa", alert)
	f(400, "MissingDeviceToken", "/3/device/", alert)
	f(400, "BadDeviceToken", "/3/device/zz", alert)
	f(400, "BadDeviceToken", "/3/device/abcd", alert)
	f(400, "PayloadEmpty", dev, "")
	f(400, "PayloadEmpty", dev, "[1]")
	f(413, "PayloadTooLarge", dev, `{"aps":{},"x":"`+strings.Repeat("a", 4096)+`"}`)
	f(413, "PayloadTooLarge", dev, strings.Repeat("a", 200_000)) // more than a stream window
}

func TestAPNsChecksTheProviderToken(t *testing.T) {
	r := start(t, sandbox.Config{})
	c := r.Credentials().APNs
	key, err := jwt.ParseECPrivateKeyFromPEM(c.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dev := "/3/device/" + sandbox.NewAddress(sandbox.APNs, "x")
	claims := func() jwt.MapClaims { return jwt.MapClaims{"iss": c.TeamID, "iat": r.now().Unix()} }
	f := func(reason, token string) {
		t.Helper()
		r.client.CloseIdleConnections()
		r.client = r.newClient(true) // an expired token wedges its connection
		a := r.apns(dev, alert, "authorization", token)
		if reason == "" && a.status != 200 || reason != "" && (a.status != 403 || a.body != `{"reason":"`+reason+`"}`) {
			t.Errorf("want %q, got %d %s", reason, a.status, a.body)
		}
	}
	f("", r.token())
	f("", r.bearer(r.now().Add(-59*time.Minute)))
	f("", r.bearer(r.now().Add(50*time.Minute)))
	f("ExpiredProviderToken", r.bearer(r.now().Add(-61*time.Minute)))
	f("InvalidProviderToken", r.bearer(r.now().Add(62*time.Minute)))
	f("MissingProviderToken", "")
	f("InvalidProviderToken", "bearer x.y.z")
	f("InvalidProviderToken", "basic abc")
	f("InvalidProviderToken", r.sign(jwt.SigningMethodES256, other, c.KeyID, claims()))
	f("InvalidProviderToken", r.sign(jwt.SigningMethodES256, key, "ABCDEFGHIJ", claims()))
	f("InvalidProviderToken", r.sign(jwt.SigningMethodHS256, []byte("k"), c.KeyID, claims()))
	f("InvalidProviderToken", r.sign(jwt.SigningMethodES256, key, c.KeyID, jwt.MapClaims{"iss": "OTHERTEAM1", "iat": r.now().Unix()}))
	f("InvalidProviderToken", r.sign(jwt.SigningMethodES256, key, c.KeyID, jwt.MapClaims{"iss": c.TeamID}))

	good := r.token()
	f("", good)
	r.shift.Add(int64(61 * time.Minute)) // the cached verification does not outlive the token
	f("ExpiredProviderToken", good)
	if a := r.apns(dev, alert); !strings.Contains(a.body, "ExpiredProviderToken") {
		t.Errorf("the connection is not wedged: %+v", a)
	}
	f("", r.token()) // a new connection works
}

func TestAPNsTray(t *testing.T) {
	r := start(t, sandbox.Config{Keep: 3})
	address := sandbox.NewAddress(sandbox.APNs, "x")
	dev := "/3/device/" + address
	titles := func(want ...string) {
		t.Helper()
		var got []string
		for _, s := range r.Tray(strings.ToUpper(address)) {
			got = append(got, s.Title)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("tray %s", d)
		}
	}
	push := func(title, collapse string, headers ...string) {
		t.Helper()
		body := `{"aps":{"alert":{"title":"` + title + `"}},"carillon":{"id":"n-` + collapse + `","pos":"1","v":"2","k":"alert"}}`
		if a := r.apns(dev, body, append(headers, "apns-collapse-id", collapse)...); a.status != 200 {
			t.Fatal(a)
		}
	}
	push("one", "a")
	push("two", "b")
	push("one again", "a")
	titles("one again", "two")
	push("soon gone", "c", "apns-expiration", strconv.FormatInt(r.now().Add(time.Minute).Unix(), 10))
	titles("one again", "two", "soon gone")
	r.shift.Add(int64(2 * time.Minute))
	titles("one again", "two")
	push("too late", "d", "apns-expiration", strconv.FormatInt(r.now().Add(-time.Minute).Unix(), 10))
	titles("one again", "two")
	if got := r.Inbox(address)[2]; got.Problem == "" || got.NotificationID != "n-d" || got.Version != "2" || got.Kind != "alert" || got.Status != 200 {
		t.Errorf("%+v", got)
	}

	silent := []string{"apns-push-type", "background", "apns-priority", "5"}
	r.apns(dev, `{"aps":{"content-available":1},"carillon":{"k":"clear","ids":["n-a"]}}`, silent...)
	titles("two")
	r.apns(dev, `{"aps":{"content-available":1},"carillon":{"k":"tap"}}`, silent...)
	titles("two")
	r.apns(dev, `{"aps":{"content-available":1},"carillon":{"id":"n-b","k":"clear"}}`, silent...)
	titles()
	if d := cmp.Diff([]string{"n-a", "n-b", "n-c", "n-d"}, r.Received()); d != "" {
		t.Error(d)
	}

	inbox := r.Inbox(address)
	if len(inbox) != 3 { // bounded by Keep: the last three
		t.Fatalf("%d entries", len(inbox))
	}
	if got := inbox[0]; got.Kind != "background" || got.Mark != "clear" || got.Headers["authorization"] != "bearer …" {
		t.Errorf("%+v", got)
	}
	if d := r.Devices(); len(d) != 1 || d[0].Address != address || d[0].Received != 8 {
		t.Errorf("%+v", d)
	}
}
