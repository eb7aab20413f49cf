package sandbox_test

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/provider/sandbox"

	"github.com/golang-jwt/jwt/v5"
)

// Each request has two faults: the vendor names the one that it checks first.
func TestAPNsChecksInTheOrderOfPushysMock(t *testing.T) {
	r := start(t, sandbox.Config{})
	good := "/3/device/" + sandbox.NewAddress(sandbox.APNs, "x")
	r.apns(good, alert) // it belongs to com.example.app now
	long := strings.Repeat("x", 65)
	for _, c := range []struct {
		want string
		path string
		body string
		kv   []string
	}{
		{"BadMessageId", good, alert, []string{"apns-id", "x", "method", "PUT"}},
		{"MethodNotAllowed", good, alert, []string{"method", "PUT", "apns-topic", ""}},
		{"MissingTopic", good, alert, []string{"apns-topic", "", "apns-collapse-id", long}},
		{"BadCollapseId", good, alert, []string{"apns-collapse-id", long, "apns-priority", "3"}},
		{"BadPriority", good, alert, []string{"apns-priority", "3", "apns-push-type", "x"}},
		{"InvalidPushType", "/3/device/zz", alert, []string{"apns-push-type", "x"}},
		{"BadDeviceToken", "/3/device/zz", alert, []string{"authorization", ""}},
		{"Unregistered", "/3/device/" + sandbox.FaultyAddress(sandbox.APNs, "x", 410), alert, []string{"authorization", ""}},
		{"DeviceTokenNotForTopic", good, alert, []string{"apns-topic", "com.example.other", "authorization", ""}},
		{"MissingProviderToken", good, "", []string{"authorization", ""}},
		{"PayloadEmpty", good, "", nil},
		{"PayloadTooLarge", good, `{"aps":{},"x":"` + strings.Repeat("a", 4096) + `"}`, nil},
	} {
		if a := r.apns(c.path, c.body, c.kv...); !strings.Contains(a.body, `{"reason":"`+c.want+`"`) {
			t.Errorf("want %s, got %d %s", c.want, a.status, a.body)
		}
	}
}

func TestAPNsWatchesTheTokensOfAConnection(t *testing.T) {
	r := start(t, sandbox.Config{})
	dev := "/3/device/" + sandbox.NewAddress(sandbox.APNs, "x")
	fresh := func() {
		r.client.CloseIdleConnections()
		r.client = r.newClient(true)
	}
	f := func(status int, reason, token string, headers ...string) {
		t.Helper()
		a := r.apns(dev, alert, append(headers, "authorization", token)...)
		if a.status != status || reason != "" && a.body != `{"reason":"`+reason+`"}` {
			t.Errorf("want %d %s, got %d %s", status, reason, a.status, a.body)
		}
	}
	one, two := r.bearer(r.now()), r.bearer(r.now().Add(-time.Minute))
	f(200, "", one)
	r.shift.Add(int64(19 * time.Minute))
	f(429, "TooManyProviderTokenUpdates", two)
	f(429, "TooManyProviderTokenUpdates", one) // the connection stays spoilt
	r.shift.Add(int64(5 * time.Minute))
	f(429, "TooManyProviderTokenUpdates", one)
	fresh()
	f(200, "", one)
	r.shift.Add(int64(20 * time.Minute))
	f(200, "", r.bearer(r.now()))

	sign := func(k sandbox.APNsKey, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		key, err := jwt.ParseECPrivateKeyFromPEM(k.KeyPEM)
		if err != nil {
			t.Fatal(err)
		}
		return r.sign(jwt.SigningMethodES256, key, k.KeyID, jwt.MapClaims{"iss": k.TeamID, "iat": r.now().Unix()})
	}
	f(403, "UnrelatedKeyIdInToken", sign(r.IssueAPNsKey("", "")))
	f(403, "InvalidProviderToken", sign(r.IssueAPNsKey("OTHERTEAM1", "")))
	fresh()
	box := sign(r.IssueAPNsKey("", "sandbox"))
	f(403, "BadEnvironmentKeyIdInToken", box)
	f(403, "BadEnvironmentKeyInToken", box)
	prod, err := r.IssueAPNsKey("OTHERTEAM1", "production")
	tok := sign(prod, err)
	f(200, "", tok)
	r.RevokeAPNsKey(prod.KeyID)
	f(403, "InvalidProviderToken", tok)
	if _, err := r.IssueAPNsKey("", "moon"); err == nil {
		t.Error("an environment of its own")
	}
}

func TestFCMQuotaIsWholeAgainEveryMinute(t *testing.T) {
	r := start(t, sandbox.Config{})
	r.conduct(sandbox.FCM, func(c *sandbox.Conduct) { c.QuotaPerMinute = 3 })
	send := "https://fcm.googleapis.com/v1/projects/" + r.Credentials().FCM.ProjectID + "/messages:send"
	tok, msg := r.fcmToken(), `{"message":{"token":"`+sandbox.NewAddress(sandbox.FCM, "x")+`"}}`
	f := func(status int, body string) answer {
		t.Helper()
		a := r.post(r.client, send, []byte(body), "Authorization", tok)
		if a.status != status {
			t.Errorf("want %d, got %d %s", status, a.status, a.body)
		}
		return a
	}
	f(200, msg)
	f(400, `{}`) // what is refused counts
	r.shift.Add(int64(50 * time.Second))
	f(200, msg)
	a := f(429, msg)
	if secs, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || secs < 1 || secs > 10 || !strings.Contains(a.body, "QuotaFailure") {
		t.Errorf("%+v", a)
	}
	f(400, `{}`) // its shape is judged before the quota
	r.shift.Add(int64(10 * time.Second))
	for range 3 { // whole again, and the 429 did not count
		f(200, msg)
	}
	f(429, msg)
}

func TestDeviceThrottles(t *testing.T) {
	r := start(t, sandbox.Config{})
	for _, v := range []sandbox.Vendor{sandbox.APNs, sandbox.FCM, sandbox.WNS} {
		r.conduct(v, func(c *sandbox.Conduct) { c.DevicePerMinute = 1 })
	}
	dev := "/3/device/" + sandbox.NewAddress(sandbox.APNs, "x")
	if a, b := r.apns(dev, alert), r.apns(dev, alert); a.status != 200 || b.status != 429 || b.body != `{"reason":"TooManyRequests"}` {
		t.Error(a, b)
	}
	win, tok := sandbox.NewAddress(sandbox.WNS, "x"), r.wnsToken()
	for _, want := range []string{"received", "channelthrottled"} {
		a := r.post(r.http1, win, []byte(toastXML), "Authorization", tok, "X-WNS-Type", "wns/toast", "Content-Type", "text/xml")
		if a.header.Get("X-WNS-NotificationStatus") != want {
			t.Error(a)
		}
	}
	if n := len(r.Tray(win)); n != 1 {
		t.Error(n)
	}
}

func TestAWNSChannelHasOneApp(t *testing.T) {
	r := start(t, sandbox.Config{})
	e := r.Credentials().Entra
	entra := r.accessToken(r.form("https://login.microsoftonline.com/"+e.TenantID+"/oauth2/v2.0/token", "grant_type", "client_credentials",
		"client_id", e.AppID, "client_secret", e.Secret, "scope", "https://wns.windows.com/.default"))
	dev := sandbox.NewAddress(sandbox.WNS, "x")
	for _, c := range []struct {
		status int
		token  string
	}{{200, entra}, {403, r.wnsToken()}, {200, entra}} {
		a := r.post(r.http1, dev, []byte(toastXML), "Authorization", c.token, "X-WNS-Type", "wns/toast", "Content-Type", "text/xml")
		if a.status != c.status || a.body != "" {
			t.Errorf("want %d, got %+v", c.status, a)
		}
	}
}

func TestScriptsByChanceAndByTime(t *testing.T) {
	r := start(t, sandbox.Config{Seed: 7})
	hit := func(address string) bool {
		t.Helper()
		return r.apns("/3/device/"+address, alert).status != 200
	}
	r.Script(sandbox.Fault{Share: 0.25, Status: 410})
	dead := 0
	for i := range 400 {
		dev := sandbox.NewAddress(sandbox.APNs, strconv.Itoa(i))
		if one := hit(dev); one {
			dead++
			if !hit(dev) {
				t.Error("it came back to life")
			}
		}
	}
	if dead < 70 || dead > 130 {
		t.Errorf("%d of 400 are dead", dead)
	}
	r.Unscript()
	r.Script(sandbox.Fault{Rate: 0.5, Status: 503})
	n, dev := 0, sandbox.NewAddress(sandbox.APNs, "x")
	for range 200 {
		if hit(dev) {
			n++
		}
	}
	if n < 70 || n > 130 {
		t.Errorf("%d of 200 are hit", n)
	}
	r.Unscript()

	r.Script(sandbox.Fault{Status: 503, After: time.Minute, For: time.Minute}, sandbox.Fault{Status: 500, For: time.Minute, Every: time.Hour, After: time.Hour})
	var got []bool
	for range 4 {
		got = append(got, hit(dev))
		r.shift.Add(int64(50 * time.Second))
	}
	if want := []bool{false, false, true, false}; !slices.Equal(got, want) { // at 0, 50, 100 and 150 s
		t.Errorf("%v", got)
	}
	if len(r.Faults()) != 1 {
		t.Errorf("what is over is not forgotten: %+v", r.Faults())
	}
	r.shift.Add(int64(time.Hour - 200*time.Second))
	for i, want := range []bool{true, false, true} {
		if hit(dev) != want {
			t.Error(i)
		}
		r.shift.Add(int64(30 * time.Minute))
	}
}

func TestPublishedLatency(t *testing.T) {
	r := start(t, sandbox.Config{Seed: 3})
	if err := r.PatchConduct([]byte(`{"fcm":{"latency":"published","quotaPerMinute":5},"apns":{"latency":"1ms"}}`)); err != nil {
		t.Fatal(err)
	}
	c := r.Conduct(sandbox.FCM)
	if l := c.Latency; l != sandbox.PublishedLatency(sandbox.FCM) || l.Median != 90*time.Millisecond || l.P99 != 540*time.Millisecond || l.OnTheHour != 2 ||
		c.QuotaPerMinute != 5 || c.Streams != 100 {
		t.Errorf("%+v", c)
	}
	begin := time.Now()
	r.ring(sandbox.NewAddress(sandbox.APNs, "x"), "n")
	if d := time.Since(begin); d < time.Millisecond {
		t.Error(d)
	}
	for _, bad := range []string{
		`{"apns":{"streams":0}}`, `{"apns":{"colour":1}}`, `{"pigeon":{}}`, `[]`, `{"apns":{"idle":"x"}}`, `{"fcm":{"idle":-1}}`,
		`{"apns":{"latency":{"tail":2}}}`, `{"apns":{"latency":"soon"}}`, `{"apns":1}`, `{"fcm":{"collapsibleRefill":"0s"}}`, `{"apns":{}} x`,
	} {
		if err := r.PatchConduct([]byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	if got := r.Conduct(sandbox.FCM); got != c {
		t.Errorf("a bad patch changed something: %+v", got)
	}
}

func TestLatencyHasTheShapeThatWasAskedFor(t *testing.T) {
	sample := sandbox.Sampler(sandbox.PublishedLatency(sandbox.FCM), 1)
	quarter, hour := time.Unix(900, 0).UTC(), time.Unix(3600, 0).UTC()
	var all []float64
	tail, never, n := 0, 0, 200_000
	for range n {
		d, none := sample(quarter)
		switch {
		case none:
			never++
		case d >= time.Second && d <= 3*time.Second:
			tail++
			fallthrough
		default:
			all = append(all, d.Seconds())
		}
	}
	slices.Sort(all)
	near := func(what string, got, want, by float64) {
		t.Helper()
		if math.Abs(got-want) > by*want {
			t.Errorf("%s %g, want %g", what, got, want)
		}
	}
	near("median", all[len(all)/2], 0.090, 0.05)
	near("p99", all[len(all)*99/100], 0.540, 0.1)
	near("never", float64(never)/float64(n), 0.0001, 0.9)
	if tail < n/1000 { // some of the curve is there too
		t.Error(tail)
	}
	all = all[:0]
	for range 20_000 {
		d, _ := sample(hour)
		all = append(all, d.Seconds())
	}
	slices.Sort(all)
	near("median on the hour", all[len(all)/2], 0.180, 0.1)
}
