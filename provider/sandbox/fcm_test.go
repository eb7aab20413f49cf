package sandbox_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"carillon/provider/sandbox"
)

type fcmError struct {
	Error struct {
		Code            int
		Status, Message string
		Details         []map[string]any
	}
}

func TestFCMRefusesWhatGoogleDoes(t *testing.T) {
	r := start(t, sandbox.Config{})
	send := "https://fcm.googleapis.com/v1/projects/" + r.Credentials().FCM.ProjectID + "/messages:send"
	tok, dev := r.fcmToken(), sandbox.NewAddress(sandbox.FCM, "x")
	msg := func(rest string) string { return `{"message":{"token":"` + dev + `"` + rest + `}}` }
	f := func(status int, wire, field, body string) {
		t.Helper()
		for _, c := range []struct{ proto int }{{1}, {2}} {
			client := r.client
			if c.proto == 1 {
				client = r.http1
			}
			a := r.post(client, send, []byte(body), "Authorization", tok, "Content-Type", "application/json")
			var e fcmError
			_ = json.Unmarshal([]byte(a.body), &e)
			if a.status != status || a.proto != c.proto || e.Error.Status != wire {
				t.Errorf("%.80s: want %d %s, got %d %s", body, status, wire, a.status, a.body)
			}
			if field != "" && !strings.Contains(a.body, field) {
				t.Errorf("%.80s: no %q in %s", body, field, a.body)
			}
		}
	}
	f(200, "", "projects/"+r.Credentials().FCM.ProjectID+"/messages/", msg(""))
	f(200, "", "fake_message_id", `{"validate_only":true,`+msg("")[1:])
	f(200, "", "", msg(`,"data":{"a":"b"},"android":{"ttl":"3.5s","priority":"HIGH","collapse_key":"c"},"fcmOptions":{}`))
	f(200, "", "", `{"message":{"fid":"`+dev[:22]+`"}}`)
	f(400, "INVALID_ARGUMENT", "Unknown name", msg(`,"colour":"red"`))
	f(400, "INVALID_ARGUMENT", "Invalid JSON", "{")
	f(400, "INVALID_ARGUMENT", "message", `{}`)
	f(400, "INVALID_ARGUMENT", "Exactly one", `{"message":{"data":{}}}`)
	f(400, "INVALID_ARGUMENT", "Exactly one", msg(`,"topic":"t"`))
	f(400, "INVALID_ARGUMENT", "message.data[n]", msg(`,"data":{"n":1}`))
	f(400, "INVALID_ARGUMENT", "google.x", msg(`,"data":{"google.x":"1"}`))
	f(400, "INVALID_ARGUMENT", "from", msg(`,"data":{"from":"1"}`))
	f(400, "INVALID_ARGUMENT", "android.ttl", msg(`,"android":{"ttl":60}`))
	f(400, "INVALID_ARGUMENT", "android.ttl", msg(`,"android":{"ttl":"1m"}`))
	f(400, "INVALID_ARGUMENT", "android.ttl", msg(`,"android":{"ttl":"2419201s"}`))
	f(400, "INVALID_ARGUMENT", "android.priority", msg(`,"android":{"priority":"LOUD"}`))
	f(400, "INVALID_ARGUMENT", "too big", msg(`,"data":{"a":"`+strings.Repeat("x", 4096)+`"}`))
	f(400, "INVALID_ARGUMENT", "valid FCM registration token", `{"message":{"token":"short"}}`)

	tok = ""
	f(401, "UNAUTHENTICATED", "CREDENTIALS_MISSING", msg(""))
	tok = "Bearer nonsense"
	f(401, "UNAUTHENTICATED", "ErrorInfo", msg(""))
	tok = r.wnsToken()
	f(401, "UNAUTHENTICATED", "", msg(""))
	tok = r.fcmToken()
	send = strings.Replace(send, "projects/", "projects/other-", 1)
	f(403, "PERMISSION_DENIED", "", msg(""))
	send = strings.Replace(send, "projects/other-", "projects/", 1)
	r.shift.Add(int64(time.Hour + time.Second))
	f(401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED", msg(""))
	tok = r.fcmToken()
	f(200, "", "", msg(""))
	r.RevokeTokens()
	f(401, "UNAUTHENTICATED", "", msg(""))
	send = strings.Replace(send, "/v1/", "/v2/", 1)
	f(404, "", "<html", msg(""))
}

func TestFCMTray(t *testing.T) {
	r := start(t, sandbox.Config{})
	send := "https://fcm.googleapis.com/v1/projects/" + r.Credentials().FCM.ProjectID + "/messages:send"
	tok, dev := r.fcmToken(), sandbox.NewAddress(sandbox.FCM, "x")
	push := func(rest string) {
		t.Helper()
		if a := r.post(r.client, send, []byte(`{"message":{"token":"`+dev+`",`+rest+`}}`), "Authorization", tok); a.status != 200 {
			t.Fatal(a)
		}
	}
	push(`"data":{"carillon_id":"n1"},"android":{"ttl":"60s","notification":{"title":"A","body":"a","tag":"t1","channelId":"g"}}`)
	push(`"notification":{"title":"B","body":"b"},"android":{"notification":{"tag":"t2"}}`)
	push(`"data":{"carillon_id":"n3","carillon_kind":"alert","title":"C","body":"c"}`)
	push(`"data":{"carillon_id":"n4","carillon_kind":"tap"}`)
	got := r.Tray(dev)
	if len(got) != 3 || got[0].Title != "A" || got[0].Key != "t1" || got[0].Group != "g" || got[1].Title != "B" || got[2].Key != "n3" {
		t.Fatalf("%+v", got)
	}
	push(`"data":{"carillon_kind":"clear","carillon_ids":"[\"n3\",\"x\"]"}`)
	push(`"data":{"carillon_kind":"clear","carillon_ids":"t2,x"}`)
	if got = r.Tray(dev); len(got) != 1 || got[0].NotificationID != "n1" {
		t.Fatalf("%+v", got)
	}
	r.shift.Add(int64(time.Minute))
	if got = r.Tray(dev); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
	var kinds []string
	for _, e := range r.Inbox(dev) {
		kinds = append(kinds, e.Kind)
	}
	if got := strings.Join(kinds, " "); got != "alert alert alert data data data" {
		t.Error(got)
	}
}
