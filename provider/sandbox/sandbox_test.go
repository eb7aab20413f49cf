package sandbox_test

import (
	"strings"
	"testing"

	"carillon/provider/sandbox"
)

func TestOnePushOfEachVendorIsShown(t *testing.T) {
	r := start(t, sandbox.Config{})
	ios, droid, win := sandbox.NewAddress(sandbox.APNs, "a"), sandbox.NewAddress(sandbox.FCM, "a"), sandbox.NewAddress(sandbox.WNS, "a")
	for range 3 {
		a := r.post(r.client, "https://api.push.apple.com/3/device/"+ios,
			[]byte(`{"aps":{"alert":{"title":"T","body":"B"},"thread-id":"g"},"carillon":{"id":"n1","seq":"7","k":"alert"}}`),
			"authorization", r.token(), "apns-topic", "com.example.app", "apns-push-type", "alert", "apns-collapse-id", "n1")
		if a.status != 200 || a.proto != 2 || len(a.header.Get("apns-id")) != 36 {
			t.Fatalf("APNs: %+v", a)
		}
	}
	a := r.post(r.client, "https://fcm.googleapis.com/v1/projects/"+r.Credentials().FCM.ProjectID+"/messages:send",
		[]byte(`{"message":{"token":"`+droid+`","data":{"carillon_id":"n1","carillon_seq":"7","carillon_kind":"alert","title":"T","body":"B"},"android":{"ttl":"60s"}}}`),
		"Authorization", r.fcmToken())
	if a.status != 200 || a.proto != 2 || !strings.Contains(a.body, "/messages/") {
		t.Fatalf("FCM: %+v", a)
	}
	a = r.post(r.http1, win, []byte(`<toast launch="carillon?id=n1&amp;seq=7"><visual><binding template="ToastGeneric"><text>T</text><text>B</text></binding></visual></toast>`),
		"Authorization", r.wnsToken(), "X-WNS-Type", "wns/toast", "Content-Type", "text/xml", "X-WNS-RequestForStatus", "true")
	if a.status != 200 || a.proto != 1 || a.header.Get("X-WNS-Status") != "received" || a.header.Get("X-WNS-DeviceConnectionStatus") != "connected" {
		t.Fatalf("WNS: %+v", a)
	}
	for _, addr := range []string{ios, droid, win} {
		tray := r.Tray(addr)
		if len(tray) != 1 || tray[0].NotificationID != "n1" || tray[0].Title != "T" || tray[0].Body != "B" || tray[0].Key != "n1" {
			t.Errorf("tray of %s: %+v", addr, tray)
		}
	}
	if got := r.Received(); len(got) != 1 || got[0] != "n1" {
		t.Errorf("ids %v", got)
	}
	c := r.Counts()
	if c.Accepted != 5 || c.Devices != 3 || c.Duplicates != 2 || c.Rejected != 0 {
		t.Errorf("%+v", c)
	}
}
