package sandbox_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"carillon/provider/sandbox"

	"github.com/google/go-cmp/cmp"
)

func TestTheSameIdentityNextTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sandbox")
	open := func() (*sandbox.Server, map[string]string) {
		t.Helper()
		s, err := sandbox.New(sandbox.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			info, err := e.Info()
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", e.Name(), info.Mode(), err)
			}
			b, _ := os.ReadFile(filepath.Join(dir, e.Name()))
			files[e.Name()] = string(b)
		}
		return s, files
	}
	one, before := open()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	two, after := open()
	delete(before, "service-account.json") // its token_uri follows the port
	delete(after, "service-account.json")
	if d := cmp.Diff(before, after); d != "" {
		t.Error(d)
	}
	c1, c2 := one.Credentials(), two.Credentials()
	c1.FCM.TokenURI, c2.FCM.TokenURI, c1.FCM.JSON, c2.FCM.JSON = "", "", nil, nil
	if d := cmp.Diff(c1, c2); d != "" {
		t.Error(d)
	}
	for _, path := range []string{c1.APNs.KeyFile, c1.FCM.File, c1.WNS.SecretFile, c1.Entra.SecretFile, one.CAFile()} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"ca.pem", "ca-key.pem", "credentials.json", "service-account.json", filepath.Base(c1.APNs.KeyFile)} {
		path := filepath.Join(dir, name)
		old, _ := os.ReadFile(path)
		if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sandbox.New(sandbox.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "delete the folder") {
			t.Errorf("%s torn: %v", name, err)
		}
		_ = os.WriteFile(path, old, 0o600)
	}
}

func TestOnlyLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "10.1.2.3:0", "example.com:1", "nonsense"} {
		s, err := sandbox.New(sandbox.Config{FCMAddr: addr})
		if err == nil || !strings.Contains(err.Error(), "FCMAddr") {
			t.Errorf("%s: %v", addr, err)
		}
		if s != nil {
			t.Errorf("%s: a server", addr)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, v := range []sandbox.Vendor{sandbox.APNs, sandbox.FCM, sandbox.WNS} {
		a, b := sandbox.NewAddress(v, "1"), sandbox.NewAddress(v, "2")
		if a == b || a != sandbox.NewAddress(v, "1") {
			t.Errorf("%s %s", a, b)
		}
	}
	if a := sandbox.NewAddress(sandbox.WNS, "x"); !strings.HasPrefix(a, "https://wns2-sbx.notify.windows.com/?token=") ||
		!strings.Contains(a, "%2f") || !strings.Contains(a, "%2b") {
		t.Error(a)
	}
	if a := sandbox.NewAddress(sandbox.APNs, "x"); len(a) != 64 {
		t.Error(a)
	}
	if a := sandbox.NewAddress("pigeon", "x"); a != "" {
		t.Error(a)
	}
}

func TestWhatIsServedAsJSON(t *testing.T) {
	r := start(t, sandbox.Config{})
	f := func(v any, want ...string) {
		t.Helper()
		b, err := json.Marshal(v)
		for _, w := range want {
			if err != nil || !strings.Contains(string(b), w) {
				t.Errorf("%v: no %s in %s", err, w, b)
			}
		}
	}
	dev := sandbox.NewAddress(sandbox.APNs, "x")
	f(r.Tray(dev), `[]`)
	f(r.Inbox(dev), `[]`)
	f(r.Devices(), `[]`)
	f(r.Faults(), `[]`)
	r.apns("/3/device/"+dev, alert, "apns-collapse-id", "k")
	f(r.Tray(dev), `"key":"k"`, `"title":"T"`, `"notificationId":""`, `"shownAt":"20`)
	f(r.Inbox(dev), `"vendor":"apns"`, `"body":{"aps":`, `"headers":{`, `"status":200`, `"kind":"alert"`)
	f(r.Counts(), `"accepted":1`, `"vendors":{"apns":{`)
	f(r.Credentials(), `"keyId"`, `"packageSid":"ms-app://s-1-15-2-`)
	b, _ := json.Marshal(r.Credentials())
	if c := r.Credentials(); strings.Contains(string(b), c.WNS.Secret) || strings.Contains(string(b), "PRIVATE KEY") {
		t.Error("secrets in the JSON")
	}
	f(sandbox.Fault{Vendor: sandbox.APNs, Status: 500}, `{"vendor":"apns","status":500}`)
}

func TestFastModeCountsAndAudits(t *testing.T) {
	r := start(t, sandbox.Config{Mode: sandbox.Fast, Audit: true})
	fcmBody := func(dev, id, ttl string) []byte {
		return []byte(`{"message":{"token":"` + dev + `","android":{"ttl":"` + ttl + `"},"data":{"carillon_id":"` + id + `"}}}`)
	}
	const send = "https://fcm.googleapis.com/v1/projects/p/messages:send"
	for _, c := range []struct{ dev, id, ttl string }{{"d1", "n1", "1s"}, {"d1", "n2", "1s"}, {"d2", "n1", "1s"}, {"d1", "n1", "2s"}} {
		if a := r.post(r.client, send, fcmBody(c.dev, c.id, c.ttl)); a.status != 200 {
			t.Fatal(a)
		}
	}
	var wg sync.WaitGroup
	for i := range 20 { // 10 distinct, by APNs id
		id := "0c9f5b3a-0000-4000-8000-00000000000" + string(rune('0'+i%10))
		wg.Go(func() {
			if a := r.post(r.client, "https://api.push.apple.com/3/device/"+strings.Repeat("ab", 32), []byte(alert), "apns-id", id); a.status != 200 {
				t.Error(a)
			}
		})
	}
	wg.Wait()
	for range 2 {
		a := r.post(r.http1, sandbox.NewAddress(sandbox.WNS, "x"), []byte(toastXML))
		if a.status != 200 || a.header.Get("X-WNS-Status") != "received" {
			t.Fatal(a)
		}
	}
	if a := r.post(r.client, sandbox.NewAddress(sandbox.WNS, "y"), []byte(toastXML)); a.header.Get("X-WNS-Status") != "received" || a.proto != 2 {
		t.Fatal(a)
	}
	got := r.Counts()
	f, a, w := got.Vendors[sandbox.FCM], got.Vendors[sandbox.APNs], got.Vendors[sandbox.WNS]
	if f.Accepted != 4 || f.Devices != 2 || f.Duplicates != 1 || a.Accepted != 20 || a.Devices != 1 || a.Duplicates != 10 ||
		w.Accepted != 3 || w.Devices != 2 || w.Duplicates != 1 || got.Requests != 27 {
		t.Errorf("%+v", got)
	}
	r.Script(sandbox.Fault{Vendor: sandbox.APNs, Status: 503, Times: 1}) // faults work in Fast mode too
	if a := r.apns("/3/device/"+strings.Repeat("ab", 32), alert); a.status != 503 || !strings.Contains(a.body, "ServiceUnavailable") {
		t.Errorf("%+v", a)
	}
}
