package sandbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/provider/sandbox"

	"github.com/google/go-cmp/cmp"
)

// fates lists notification id and fate of what came to the vendor.
func (r *rig) fates(address string) []string {
	r.t.Helper()
	var out []string
	for _, in := range r.Inbox(address) {
		out = append(out, in.NotificationID+" "+string(in.Fate))
	}
	return out
}

func (r *rig) arrived(address string, want ...string) {
	r.t.Helper()
	var got []string
	last := time.Time{}
	for i, in := range r.Arrivals(address) {
		if in.Order < i+1 || in.DeliveredAt.IsZero() || in.DeliveredAt.Before(last) {
			r.t.Errorf("order %d at %v", in.Order, in.DeliveredAt)
		}
		last = in.DeliveredAt
		got = append(got, in.NotificationID)
	}
	if d := cmp.Diff(want, got); d != "" {
		r.t.Errorf("arrivals %s", d)
	}
}

func (r *rig) ring(address, id string, headers ...string) {
	r.t.Helper()
	body := `{"aps":{"alert":{"title":"T"}},"carillon":{"id":"` + id + `","k":"alert"}}`
	if a := r.apns("/3/device/"+address, body, headers...); a.status != 200 {
		r.t.Fatal(a)
	}
}

func TestAPNsHoldsOnePush(t *testing.T) {
	r := start(t, sandbox.Config{})
	dev := sandbox.NewAddress(sandbox.APNs, "x")
	r.ring(dev, "n0")
	r.SetOffline(strings.ToUpper(dev), true)
	r.ring(dev, "n1", "apns-collapse-id", "c1")
	r.ring(dev, "n2", "apns-collapse-id", "c2")
	r.ring(dev, "once", "apns-expiration", "0")
	r.arrived(dev, "n0")
	if d, ok := r.Device(dev); !ok || !d.Offline || d.Held != 1 || d.Delivered != 1 || d.Accepted != 4 {
		t.Errorf("%+v", d)
	}
	r.shift.Add(int64(time.Hour))
	r.SetOffline(dev, false)
	r.arrived(dev, "n0", "n2")
	if d := cmp.Diff([]string{"n0 delivered", "n1 replaced", "n2 delivered", "once discarded"}, r.fates(dev)); d != "" {
		t.Error(d)
	}
	if tray := r.Tray(dev); len(tray) != 2 || tray[1].Key != "c2" || tray[1].ShownAt.Sub(tray[0].ShownAt) < time.Hour {
		t.Errorf("%+v", tray)
	}
	r.SetOffline(dev, true)
	r.ring(dev, "late")
	r.shift.Add(int64(31 * 24 * time.Hour))
	r.SetOffline(dev, false)
	r.arrived(dev, "n0", "n2")
	if f := r.fates(dev); f[len(f)-1] != "late expired" {
		t.Error(f)
	}
}

func TestBackgroundBudget(t *testing.T) {
	r := start(t, sandbox.Config{})
	dev := sandbox.NewAddress(sandbox.APNs, "x")
	r.ring(dev, "a", "apns-collapse-id", "a")
	wake := func(id, clears string) {
		t.Helper()
		a := r.apns("/3/device/"+dev, `{"aps":{"content-available":1},"carillon":{"id":"`+id+`","k":"clear","ids":["`+clears+`"]}}`,
			"apns-push-type", "background", "apns-priority", "5")
		if a.status != 200 {
			t.Fatal(a)
		}
	}
	for _, id := range []string{"w1", "w2", "w3", "w4", "w5"} {
		wake(id, "x")
	}
	wake("w6", "a")
	r.arrived(dev, "a", "w1", "w2", "w3")
	if len(r.Tray(dev)) != 1 {
		t.Error("cleared by a push that is held")
	}
	r.ring(dev, "b") // alerts are not held up
	r.shift.Add(int64(time.Hour))
	r.arrived(dev, "a", "w1", "w2", "w3", "b", "w6")
	if tray := r.Tray(dev); len(tray) != 1 || tray[0].NotificationID != "b" {
		t.Errorf("%+v", tray)
	}
	if in := r.Arrivals(dev); !cmp.Equal(in[5].Cleared, []string{"a"}) || in[5].DeliveredAt.Sub(in[1].DeliveredAt) != time.Hour {
		t.Errorf("%+v", in[5])
	}
	r.ring(dev, "c", "apns-collapse-id", "c")
	r.ring(dev, "c", "apns-collapse-id", "c")
	if in := r.Arrivals(dev); in[6].Replaced || !in[7].Replaced {
		t.Errorf("%+v", in[6:])
	}
	if d := cmp.Diff([]string{"a delivered", "w1 delivered", "w2 delivered", "w3 delivered", "w4 replaced", "w5 replaced", "w6 delivered", "b delivered", "c delivered", "c delivered"}, r.fates(dev)); d != "" {
		t.Error(d)
	}
}

func TestFCMStorage(t *testing.T) {
	r := start(t, sandbox.Config{Keep: 1000})
	dev, tok := sandbox.NewAddress(sandbox.FCM, "x"), r.fcmToken()
	send := "https://fcm.googleapis.com/v1/projects/" + r.Credentials().FCM.ProjectID + "/messages:send"
	push := func(target, id, android string) {
		t.Helper()
		body := `{"message":{` + target + `,"data":{"carillon_id":"` + id + `","carillon_kind":"alert","title":"T"},"android":{` + android + `}}}`
		if a := r.post(r.client, send, []byte(body), "Authorization", tok); a.status != 200 {
			t.Fatal(a)
		}
	}
	token, fid := `"token":"`+dev+`"`, `"fid":"`+dev[:22]+`"`
	r.SetOffline(dev, true)
	push(token, "now", `"ttl":"0s"`)
	push(token, "short", `"ttl":"60s"`)
	for i := range 5 {
		push(token, fmt.Sprintf("k%d", i), fmt.Sprintf(`"collapseKey":"c%d"`, i))
	}
	push(fid, "k2again", `"collapse_key":"c2"`) // the same device by its FID
	push(fid, "plain", ``)
	r.shift.Add(int64(2 * time.Minute))
	r.SetOffline(dev[:22], false)
	r.arrived(dev, "k1", "k3", "k4", "k2again", "plain")
	want := []string{
		"now discarded", "short expired", "k0 discarded", "k1 delivered", "k2 replaced", "k3 delivered",
		"k4 delivered", "k2again delivered", "plain delivered",
	}
	if d := cmp.Diff(want, r.fates(dev)); d != "" {
		t.Error(d)
	}
	r.SetOffline(dev, true)
	for i := range 101 {
		push(token, fmt.Sprintf("m%d", i), ``)
	}
	if d, _ := r.Device(dev); d.DeletedMessages != 1 || d.Held != 0 {
		t.Errorf("%+v", d)
	}

	dev = sandbox.NewAddress(sandbox.FCM, "y")
	for i := range 22 {
		push(`"token":"`+dev+`"`, fmt.Sprintf("b%d", i), fmt.Sprintf(`"collapseKey":"c%d"`, i))
	}
	if n := len(r.Arrivals(dev)); n != 20 {
		t.Errorf("%d of a burst", n)
	}
	r.shift.Add(int64(3 * time.Minute))
	if n := len(r.Arrivals(dev)); n != 21 {
		t.Errorf("%d after 3 minutes", n)
	}
	r.shift.Add(int64(3 * time.Minute))
	if in := r.Arrivals(dev); len(in) != 22 || in[21].NotificationID != "b21" || in[21].DeliveredAt.Sub(in[20].DeliveredAt).Round(time.Millisecond) != 3*time.Minute {
		t.Errorf("%d after 6 minutes", len(in))
	}
}

func TestWNSHoldsOneOfAKind(t *testing.T) {
	r := start(t, sandbox.Config{})
	dev, tok := sandbox.NewAddress(sandbox.WNS, "x"), r.wnsToken()
	push := func(id, kind, policy, status string) {
		t.Helper()
		body, ctype := strings.ReplaceAll(`<toast launch="carillon?id=ID"><text>T</text></toast>`, "ID", id), "text/xml"
		if kind == "wns/raw" {
			body, ctype = `{"carillon":{"id":"`+id+`"}}`, "application/octet-stream"
		}
		a := r.post(r.http1, dev, []byte(body), "Authorization", tok, "X-WNS-Type", kind, "Content-Type", ctype,
			"X-WNS-Cache-Policy", policy, "X-WNS-RequestForStatus", "true")
		if a.status != 200 || a.header.Get("X-WNS-Status") != status || a.header.Get("X-WNS-NotificationStatus") != status || a.body != "" ||
			a.header.Get("X-WNS-DeviceConnectionStatus") != "disconnected" {
			t.Errorf("%s: %+v", id, a)
		}
	}
	r.SetOffline(dev, true)
	push("t1", "wns/toast", "", "received")
	push("t2", "wns/toast", "cache", "received")
	push("t3", "wns/toast", "no-cache", "dropped")
	push("r1", "wns/raw", "", "dropped")
	push("r2", "wns/raw", "cache", "received")
	push("r3", "wns/raw", "cache", "received")
	r.SetOffline(dev, false)
	r.arrived(dev, "t2", "r3")
	want := []string{"t1 replaced", "t2 delivered", "t3 dropped", "r1 dropped", "r2 replaced", "r3 delivered"}
	if d := cmp.Diff(want, r.fates(dev)); d != "" {
		t.Error(d)
	}
}

func TestDevicesThatAreGone(t *testing.T) {
	r := start(t, sandbox.Config{})
	ios, droid, win := sandbox.NewAddress(sandbox.APNs, "x"), sandbox.NewAddress(sandbox.FCM, "x"), sandbox.NewAddress(sandbox.WNS, "x")
	since := time.UnixMilli(1_700_000_000_123)
	push := func(v sandbox.Vendor) answer {
		t.Helper()
		switch v {
		case sandbox.APNs:
			return r.apns("/3/device/"+ios, alert)
		case sandbox.FCM:
			send := "https://fcm.googleapis.com/v1/projects/" + r.Credentials().FCM.ProjectID + "/messages:send"
			return r.post(r.client, send, []byte(`{"message":{"token":"`+droid+`"}}`), "Authorization", r.fcmToken())
		default:
			return r.post(r.http1, win, []byte(toastXML), "Authorization", r.wnsToken(), "X-WNS-Type", "wns/toast", "Content-Type", "text/xml")
		}
	}
	f := func(v sandbox.Vendor, address string, status int, body string) {
		t.Helper()
		r.SetGone(address, since)
		if a := push(v); a.status != status || !strings.Contains(a.body, body) {
			t.Errorf("%s: %+v", v, a)
		}
		r.SetGone(address, time.Time{})
		if a := push(v); a.status != 200 {
			t.Errorf("%s: %+v", v, a)
		}
	}
	f(sandbox.APNs, ios, 410, `{"reason":"Unregistered","timestamp":1700000000123}`)
	f(sandbox.FCM, droid, 404, `"errorCode": "UNREGISTERED"`)
	f(sandbox.WNS, win, 410, "")
}

func TestAddressesThatChooseTheirAnswer(t *testing.T) {
	r := start(t, sandbox.Config{})
	send := "https://fcm.googleapis.com/v1/projects/" + r.Credentials().FCM.ProjectID + "/messages:send"
	tok, wtok := r.fcmToken(), r.wnsToken()
	f := func(v sandbox.Vendor, status int, want string) {
		t.Helper()
		dev := sandbox.FaultyAddress(v, "x", status)
		if dev == sandbox.FaultyAddress(v, "y", status) {
			t.Error("the seed says nothing")
		}
		var a answer
		switch v {
		case sandbox.APNs:
			a = r.apns("/3/device/"+dev, alert)
		case sandbox.FCM:
			a = r.post(r.client, send, []byte(`{"message":{"token":"`+dev+`"}}`), "Authorization", tok)
		default:
			a = r.post(r.http1, dev, []byte(toastXML), "Authorization", wtok, "X-WNS-Type", "wns/toast", "Content-Type", "text/xml")
		}
		if a.status != status || !strings.Contains(a.body+a.header.Get("X-WNS-Error-Description"), want) {
			t.Errorf("%s %d: %+v", v, status, a)
		}
	}
	f(sandbox.APNs, 400, "BadDeviceToken")
	f(sandbox.APNs, 410, "Unregistered")
	f(sandbox.APNs, 429, "TooManyRequests")
	f(sandbox.APNs, 500, "InternalServerError")
	f(sandbox.APNs, 503, "ServiceUnavailable")
	f(sandbox.FCM, 400, `"errorCode": "INVALID_ARGUMENT"`)
	f(sandbox.FCM, 403, `"errorCode": "SENDER_ID_MISMATCH"`)
	f(sandbox.FCM, 404, `"errorCode": "UNREGISTERED"`)
	f(sandbox.FCM, 429, `"errorCode": "QUOTA_EXCEEDED"`)
	f(sandbox.FCM, 502, "<html")
	f(sandbox.FCM, 503, `"errorCode": "UNAVAILABLE"`)
	f(sandbox.WNS, 404, "Not Found")
	f(sandbox.WNS, 406, "Not Acceptable")
	f(sandbox.WNS, 410, "Gone")
	f(sandbox.WNS, 503, "Service Unavailable")
	if a := sandbox.FaultyAddress("pigeon", "x", 410); a != "" {
		t.Error(a)
	}
}
