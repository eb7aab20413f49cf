//go:build acceptance

package acceptance_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestWalk is the whole walk of a notification in one process with nothing
// beside it.
func TestWalk(t *testing.T) { walk(t) }

// walk plays everything that one POST may mean against `carillon serve` with
// these arguments.
func walk(t *testing.T, args ...string) {
	data := filepath.Join(workDir(t), "data")
	s := serve(t, data, args...)
	for _, step := range []struct {
		name string
		play func(t *testing.T, s *site)
	}{
		{"shown on three devices", shownOnThree},
		{"raw content and its priority", rawPriority},
		{"visual with raw content", rawRidesAlong},
		{"platform targeting", platformTargeting},
		{"tapOnly carries no content", tapOnly},
		{"preference none", preferenceNone},
		{"no endpoint", noEndpoint},
		{"idempotency key", idempotencyKey},
		{"app notification id", appNotificationID},
		{"leaving", leaving},
		{"dismissed everywhere", dismissedEverywhere},
		{"validate only", validateOnly},
		{"subscription id", subscriptionID},
		{"servers name the user", serversNameUsers},
		{"wrong prefix", wrongPrefix},
		{"bad requests", badRequests},
		{"expiry", expiry}, // last: it moves the clock of the process
	} {
		t.Run(step.name, func(t *testing.T) { step.play(t, s) })
	}
	if !t.Failed() {
		t.Run("second start", func(t *testing.T) { secondStart(t, s, data, args) })
	}
}

// secondStart finds everything that the first accepted, and rings nobody for it.
func secondStart(t *testing.T, s *site, data string, args []string) {
	names := []string{"keyed", "replaced", "nobody", "targets", "quiet"}
	before := map[string][]string{}
	for _, name := range names {
		before[name] = history(t, s.person(t, name))
	}
	s.stop(t)
	s = serve(t, data, args...)
	after := map[string][]string{}
	for _, name := range names {
		after[name] = history(t, s.person(t, name))
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("history (-first start +second):\n%s", diff)
	}
	p := s.person(t, "keyed")
	p.fence(t, p.register(t, "android", ""))
	var received []string
	r := fetch(t, s.http, s.ops+"/sandbox/received", "", "GET", nil).want(t, 200)
	if err := json.Unmarshal(r.text, &received); err != nil || len(received) != 1 {
		t.Errorf("the second start rang for %v, want the fence only (%v)", received, err)
	}
	s.stop(t)
}

func shownOnThree(t *testing.T, s *site) {
	p := s.person(t, "three")
	windows, ios, android := p.three(t, "")
	expires := time.Now().Add(90 * time.Minute).UTC().Truncate(time.Second)
	r := p.post(t, with(visual("Tea & <toast>", "…is \"ready\"\nnow"), map[string]any{
		"groupName": "kitchen", "displayTimeToLive": "60", "priority": "Low",
		"expirationDateTime": expires.Format(time.RFC3339), "x-colour": map[string]any{"warm": true},
	})).want(t, 201)
	id := r.str("id")
	if got, want := r.header.Get("Location"), "/beta/me/notifications/"+id; got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
	for path, want := range map[string]any{
		"displayTimeToLive": 60.0, "groupName": "kitchen", "priority": "Low", "status": "Active", "readState": false,
		"payload/visualContent/title": "Tea & <toast>", "x-colour/warm": true,
	} {
		if got := at(r.body, strings.Split(path, "/")...); got != want {
			t.Errorf("the 201 says %s %v, want %v", path, got, want)
		}
	}

	onPhone := ios.rung(t, 1)
	headers(t, onPhone, map[string]string{
		"apns-topic": bundle, "apns-push-type": "alert", "apns-priority": "10",
		"apns-expiration": strconv.FormatInt(expires.Unix(), 10), "apns-collapse-id": id,
	})
	payload(t, onPhone, `{"aps": {"alert": {"title": "Tea & <toast>", "body": "…is \"ready\"\nnow"}, "sound": "default", "thread-id": "kitchen"},
		"carillon": {"id": "ID", "pos": "POS", "v": "POS", "k": "alert", "ttl": 60, "group": "kitchen"}}`, id)

	onAndroid := android.rung(t, 1)
	left := ttlOf(t, onAndroid)
	if left < 89*60 || left > 90*60 {
		t.Errorf("FCM's ttl is %d s, want what is left of 90 minutes", left)
	}
	payload(t, onAndroid, fmt.Sprintf(`{"message": {"token": %q,
		"data": {"carillon_id": "ID", "carillon_pos": "POS", "carillon_v": "POS", "carillon_kind": "alert", "carillon_ttl": "60", "carillon_group": "kitchen"},
		"android": {"priority": "HIGH", "ttl": "%ds", "notification": {"title": "Tea & <toast>", "body": "…is \"ready\"\nnow", "tag": "ID", "sound": "default"}}}}`,
		android.address, left), id)

	onPC := windows.rung(t, 1)
	headers(t, onPC, map[string]string{
		"x-wns-type": "wns/toast", "content-type": "text/xml", "x-wns-cache-policy": "cache", "x-wns-ttl": "60", "x-wns-priority": "1",
	})
	for _, want := range []string{
		"id=" + id, `tag=\"` + id + `\"`, `group=\"kitchen\"`, "<text>Tea &amp; &lt;toast&gt;</text>",
	} {
		if !strings.Contains(unescaped(onPC.Body), want) {
			t.Errorf("the toast lacks %s: %s", want, onPC.Body)
		}
	}
	for _, d := range []*device{windows, ios, android} {
		tray := d.tray(t)
		want := []shown{{NotificationID: id, Title: "Tea & <toast>", Body: "…is \"ready\"\nnow"}}
		for i := range tray {
			tray[i].Group = ""
		}
		if diff := cmp.Diff(want, tray); diff != "" {
			t.Errorf("%s shows (-want +got):\n%s", d.installation, diff)
		}
	}
	deliveredTo(t, s, p, id, "my-android alert accepted, my-ios alert accepted, my-windows alert accepted")
	got := p.get(t, r.header.Get("Location")).want(t, 200)
	if got.str("payload", "visualContent", "body") != "…is \"ready\"\nnow" || at(got.body, "x-colour", "warm") != true {
		t.Errorf("the Location gives something else: %s", got.text)
	}
	why := carillon(t, "why", "--ops", s.ops, "--user", host+"/"+p.id, "--notification", id)
	for _, want := range []string{"planned", "my-ios: accepted (200)", "my-android: accepted (200)", "my-windows: accepted (200)"} {
		if !strings.Contains(why, want) {
			t.Errorf("carillon why does not tell %q:\n%s", want, why)
		}
	}
}

func rawPriority(t *testing.T, s *site) {
	p := s.person(t, "raw")
	windows, ios, android := p.three(t, "")
	high := p.send(t, with(raw("high"), map[string]any{"priority": "High"}))
	low := p.send(t, with(raw("low"), map[string]any{"priority": "low"}))
	for i, want := range []struct{ id, raw, fcm, wns string }{{high, "high", "HIGH", "1"}, {low, "low", "NORMAL", "3"}} {
		got := ios.rung(t, i+1)
		headers(t, got, map[string]string{"apns-push-type": "background", "apns-priority": "5", "apns-topic": bundle})
		payload(t, got, `{"aps": {"content-available": 1}, "carillon": {"id": "ID", "pos": "POS", "v": "POS", "k": "data", "raw": "`+want.raw+`"}}`, want.id)
		got = windows.rung(t, i+1)
		headers(t, got, map[string]string{"x-wns-type": "wns/raw", "content-type": "application/octet-stream", "x-wns-priority": want.wns})
		payload(t, got, `{"carillon": {"id": "ID", "pos": "POS", "v": "POS", "k": "data", "raw": "`+want.raw+`"}}`, want.id)
		got = android.rung(t, i+1)
		payload(t, got, fmt.Sprintf(`{"message": {"token": %q, "data": {"carillon_id": "ID", "carillon_pos": "POS", "carillon_v": "POS", "carillon_kind": "data", "carillon_raw": %q},
			"android": {"priority": %q, "ttl": "%ds"}}}`, android.address, want.raw, want.fcm, ttlOf(t, got)), want.id)
	}
	for _, d := range []*device{windows, ios, android} {
		if tray := d.tray(t); len(tray) != 0 {
			t.Errorf("%s shows raw content: %+v", d.installation, tray)
		}
	}
}

func rawRidesAlong(t *testing.T, s *site) {
	p := s.person(t, "both")
	windows, ios, android := p.three(t, "")
	n := visual("Both", "")
	at(n, "payload").(map[string]any)["rawContent"] = `{"a":"b&c"}`
	id := p.send(t, n)
	for d, want := range map[*device]string{
		windows: "raw=%7B%22a%22%3A%22b%26c%22%7D", ios: `"raw":"{\"a\":\"b\u0026c\"}"`, android: `"carillon_raw":"{\"a\":\"b\u0026c\"}"`,
	} {
		got := d.rung(t, 1) // the inbox writes & as \u0026, as Go does
		if got.Mark != "alert" || got.NotificationID != id || !strings.Contains(string(got.Body), want) {
			t.Errorf("%s got %s, want an alert with %s", d.installation, got.whole, want)
		}
	}
}

func platformTargeting(t *testing.T, s *site) {
	p := s.person(t, "targets")
	windows, ios, android := p.three(t, "")
	only := func(platforms ...string) map[string]any {
		return with(visual("aimed", ""), map[string]any{"targetPolicy": map[string]any{"platformTypes": platforms}})
	}
	a := p.send(t, only("Android"))
	wi := p.send(t, only("windows", "IOS"))
	web := p.send(t, only("WebPush"))
	p.fence(t, windows, ios, android)
	for d, want := range map[*device][]string{windows: {wi}, ios: {wi}, android: {a}} {
		got := d.ids(t)
		if diff := cmp.Diff(want, got[:len(got)-1]); diff != "" {
			t.Errorf("%s rang for (-want +got):\n%s", d.installation, diff)
		}
	}
	deliveredTo(t, s, p, web, "")
	p.post(t, only("Toaster")).refuses(t, 400, "platformTypes", "Toaster")
}

// tapOnly plants a word in everything that a sender may write. Not one byte of
// it may reach a device that wants to fetch for itself.
func tapOnly(t *testing.T, s *site) {
	const secret = "xylophonequartz"
	p := s.person(t, "discreet")
	windows, ios, android := p.three(t, "tapOnly")
	n := with(visual(secret, secret), map[string]any{
		"appNotificationId": secret, "groupName": secret, "x-" + secret: secret,
		"platformOptions": map[string]any{
			"data": map[string]any{secret: secret}, "link": "https://" + secret + ".example/" + secret,
		},
		"fallbackPolicy": map[string]any{"endpointFallback": map[string]any{
			"platformTypes": []string{"iOS"}, "fallbackDelayInSeconds": 60, "visualContent": map[string]any{"title": secret},
		}},
	})
	at(n, "payload").(map[string]any)["rawContent"] = secret
	id := p.send(t, n)
	rawID := p.send(t, raw(secret))
	for _, d := range []*device{windows, ios, android} {
		d.rung(t, 2)
		in := d.inbox(t)
		if diff := cmp.Diff([]string{id, rawID}, d.ids(t)); diff != "" {
			t.Errorf("%s was tapped for (-want +got):\n%s", d.installation, diff)
		}
		for _, got := range in {
			if got.Mark != "tap" {
				t.Errorf("%s got %q, want a tap", d.installation, got.Mark)
			}
			for i := 0; i+4 <= len(secret); i++ { // nor a part of it
				if strings.Contains(strings.ToLower(got.whole), secret[i:i+4]) {
					t.Fatalf("%s got content: %s", d.installation, got.whole)
				}
			}
		}
		if tray := d.tray(t); len(tray) != 0 {
			t.Errorf("%s shows a tap: %+v", d.installation, tray)
		}
	}
	headers(t, ios.inbox(t)[0], map[string]string{"apns-push-type": "background", "apns-priority": "5", "apns-topic": bundle})
	headers(t, windows.inbox(t)[0], map[string]string{"x-wns-type": "wns/raw"})
	// The device comes and fetches.
	r := p.get(t, "/beta/me/notifications/"+id).want(t, 200)
	if r.str("payload", "rawContent") != secret || r.str("payload", "visualContent", "title") != secret {
		t.Errorf("what the tap leads to lacks the content: %s", r.text)
	}
}

func preferenceNone(t *testing.T, s *site) {
	p := s.person(t, "quiet")
	silent := p.register(t, "ios", "none")
	loud := p.register(t, "android", "withPayload")
	id := p.send(t, visual("psst", ""))
	p.fence(t, loud)
	if got := silent.inbox(t); len(got) != 0 {
		t.Errorf("an endpoint that wants no push got %d", len(got))
	}
	deliveredTo(t, s, p, id, "my-android alert accepted")
	var list struct {
		Value []struct{ ID, Push string }
	}
	r := p.get(t, "/api/v1/me/endpoints").want(t, 200)
	if err := json.Unmarshal(r.text, &list); err != nil || len(list.Value) != 2 {
		t.Errorf("endpoints: %v %s", err, r.text)
	}
}

func noEndpoint(t *testing.T, s *site) {
	p := s.person(t, "nobody")
	r := p.post(t, visual("for later", "kept")).want(t, 201)
	got := p.get(t, r.header.Get("Location")).want(t, 200)
	if got.str("payload", "visualContent", "title") != "for later" {
		t.Errorf("history lacks it: %s", got.text)
	}
	if diff := cmp.Diff([]string{r.str("id")}, history(t, p)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	deliveredTo(t, s, p, r.str("id"), "")
	// A device that comes later finds it; it does not ring for what is old.
	later := p.register(t, "ios", "")
	p.fence(t, later)
	if n := len(later.inbox(t)); n != 1 {
		t.Errorf("the new device rang %d times, want once, for the fence", n)
	}
}

func idempotencyKey(t *testing.T, s *site) {
	p := s.person(t, "keyed")
	windows, ios, android := p.three(t, "")
	first := p.post(t, visual("once", ""), "Idempotency-Key", "k-1").want(t, 201)
	for range 3 {
		again := p.post(t, visual("once", ""), "Idempotency-Key", "k-1").want(t, 201)
		if again.str("id") != first.str("id") {
			t.Errorf("a repeat has id %s, the first %s", again.str("id"), first.str("id"))
		}
	}
	p.post(t, visual("another", ""), "Idempotency-Key", "k-1").refuses(t, 422, "another body")
	other := p.send(t, visual("once", ""), "Idempotency-Key", "k-2")
	if other == first.str("id") {
		t.Error("another key has the same id")
	}
	p.fence(t, windows, ios, android)
	for _, d := range []*device{windows, ios, android} {
		got := d.ids(t)
		if diff := cmp.Diff([]string{first.str("id"), other}, got[:len(got)-1]); diff != "" {
			t.Errorf("%s rang for (-want +got):\n%s", d.installation, diff)
		}
	}
	// Nor when the same is repeated after all was applied.
	p.post(t, visual("once", ""), "Idempotency-Key", "k-1").want(t, 201)
	p.fence(t, ios)
	if n := len(ios.inbox(t)); n != 4 {
		t.Errorf("the phone rang %d times, want 4", n)
	}
}

func appNotificationID(t *testing.T, s *site) {
	p := s.person(t, "replaced")
	windows, ios, android := p.three(t, "")
	named := func(title string) map[string]any {
		return with(visual(title, ""), map[string]any{"appNotificationId": "score"})
	}
	id := p.send(t, named("1:0"))
	for _, d := range []*device{windows, ios, android} {
		d.rung(t, 1)
	}
	if again := p.send(t, named("2:0")); again != id {
		t.Errorf("the same appNotificationId has another id: %s, %s", id, again)
	}
	for _, d := range []*device{windows, ios, android} {
		first, second := d.rung(t, 1), d.rung(t, 2)
		if second.NotificationID != id || first.Version == second.Version {
			t.Errorf("%s: %s then %s", d.installation, first.whole, second.whole)
		}
		if diff := cmp.Diff([]shown{{NotificationID: id, Title: "2:0", Replaced: 1}}, d.tray(t)); diff != "" {
			t.Errorf("%s shows (-want +got):\n%s", d.installation, diff)
		}
	}
	if diff := cmp.Diff([]string{id}, history(t, p)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	r := p.get(t, "/beta/me/notifications/"+id).want(t, 200)
	if r.str("payload", "visualContent", "title") != "2:0" || r.str("appNotificationId") != "score" {
		t.Errorf("the item has the old content: %s", r.text)
	}
}

func leaving(t *testing.T, s *site) {
	p := s.person(t, "leaver")
	_, ios, android := p.three(t, "")
	s.call(t, p.token, "DELETE", "/api/v1/me/endpoints/"+ios.installation, nil).want(t, 204)
	s.call(t, p.token, "DELETE", "/api/v1/me/endpoints/"+ios.installation, nil).want(t, 204)
	p.send(t, visual("without the phone", ""))
	p.fence(t, android)
	if got := ios.inbox(t); len(got) != 0 {
		t.Errorf("an endpoint that left got %d pushes", len(got))
	}
	// It may come back, and rings again.
	ios = p.register(t, "ios", "")
	p.fence(t, ios)
}

// expiry holds the answers of APNs, so that a second notification waits in
// memory, and lets its life end meanwhile.
func expiry(t *testing.T, s *site) {
	p := s.person(t, "late")
	ios := p.register(t, "ios", "")
	android := p.register(t, "android", "")
	hour := map[string]any{"expirationDateTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
	faults := s.ops + "/sandbox/faults"
	fetch(t, s.http, faults, "", "POST", map[string]any{"vendor": "apns", "address": ios.address, "hold": true}).want(t, 200)
	held := p.send(t, visual("held", ""))
	ios.rung(t, 1)
	late := p.send(t, with(visual("too late", ""), hour))
	android.rung(t, 2)
	if n := len(android.tray(t)); n != 2 {
		t.Errorf("the tablet shows %d, want 2", n)
	}

	carillon(t, "sandbox", "clock", "--ops", s.ops, "+2h")
	fetch(t, s.http, faults, "", "DELETE", nil).want(t, 200)
	p.fence(t, ios, android)
	for _, id := range ios.ids(t) {
		if id == late {
			t.Error("the phone rang for what had expired")
		}
	}
	if got := history(t, p); len(got) != 2 || got[1] != held {
		t.Errorf("history is %v, want the fence and %s (not %s)", got, held, late)
	}
	p.get(t, "/beta/me/notifications/"+late).refuses(t, 404)
	for _, entry := range android.tray(t) {
		if entry.NotificationID == late {
			t.Error("the tablet still shows what has expired")
		}
	}
}
