package sandbox_test

import (
	"strings"
	"testing"

	"carillon/provider/sandbox"
)

const toastXML = `<toast launch="carillon?id=n1&amp;seq=7&amp;k=alert"><visual><binding template="ToastGeneric"><text>T &amp; T</text><text>B</text><text>C</text></binding></visual></toast>`

func TestWNSRefusesWhatMicrosoftDoes(t *testing.T) {
	r := start(t, sandbox.Config{})
	dev, tok := sandbox.NewAddress(sandbox.WNS, "x"), r.wnsToken()
	f := func(status int, address, body string, headers ...string) {
		t.Helper()
		h := map[string]string{"Authorization": tok, "X-WNS-Type": "wns/toast", "Content-Type": "text/xml"}
		for i := 0; i < len(headers); i += 2 {
			h[headers[i]] = headers[i+1]
		}
		var list []string
		for k, v := range h {
			list = append(list, k, v)
		}
		a := r.post(r.http1, address, []byte(body), list...)
		if a.status != status || a.body != "" || a.header.Get("X-WNS-Msg-ID") == "" || a.header.Get("MS-CV") == "" {
			t.Errorf("%v: want %d, got %+v", headers, status, a)
		}
		if ok := status == 200; ok != (a.header.Get("X-WNS-Status") == "received") || ok == (a.header.Get("X-WNS-Error-Description") != "") {
			t.Errorf("%v: %+v", headers, a)
		}
	}
	f(200, dev, toastXML)
	f(200, dev, toastXML, "X-WNS-TTL", "60", "X-WNS-Cache-Policy", "no-cache", "X-WNS-PRIORITY", "1", "X-WNS-Tag", "abc", "Content-Type", "text/xml; charset=utf-8")
	f(200, dev, "\x00\xff", "X-WNS-Type", "wns/raw", "Content-Type", "application/octet-stream")
	f(200, dev, "not xml") // dropped on the client only
	f(405, dev, toastXML, "method", "PUT")
	f(400, dev, toastXML, "chunked", "yes")
	f(400, dev, toastXML, "X-WNS-Type", "")
	f(400, dev, toastXML, "X-WNS-Type", "wns/song")
	f(400, dev, toastXML, "X-WNS-Type", "wns/raw")
	f(400, dev, toastXML, "Content-Type", "application/json")
	f(400, dev, toastXML, "X-WNS-Cache-Policy", "maybe")
	f(400, dev, toastXML, "X-WNS-TTL", "-1")
	f(400, dev, toastXML, "X-WNS-PRIORITY", "9")
	f(400, dev, toastXML, "X-WNS-Tag", strings.Repeat("x", 17))
	f(401, dev, toastXML, "Authorization", "")
	f(401, dev, toastXML, "Authorization", r.fcmToken())
	f(400, dev, "")
	f(413, dev, strings.Repeat("x", 5001))
	f(404, "https://wns2-sbx.notify.windows.com/", toastXML)
	f(404, strings.Replace(dev, "%2f", "/", 1), toastXML)
	f(404, strings.Replace(dev, "%2b", "%2B", 1), toastXML)

	tray := r.Tray(dev)
	if len(tray) != 2 || tray[0].Title != "T & T" || tray[0].Body != "B\nC" || tray[0].Key != "n1" || tray[1].Key != "abc" {
		t.Errorf("%+v", tray)
	}
	inbox := r.Inbox(dev)
	if e := inbox[2]; e.Kind != "raw" || string(e.Body) != `"\u0000\ufffd"` {
		t.Errorf("%+v %s", e, e.Body)
	}
	if e := inbox[3]; !strings.Contains(e.Problem, "toast") || e.NotificationID != "" {
		t.Errorf("%+v", e)
	}
}

func TestWNSRawClearsAndStaysOutOfTheTray(t *testing.T) {
	for _, http1Only := range []bool{false, true} {
		r := start(t, sandbox.Config{WNSHTTP1Only: http1Only})
		dev, tok := sandbox.NewAddress(sandbox.WNS, "x"), r.wnsToken()
		push := func(kind, ctype, body string) {
			t.Helper()
			a := r.post(r.client, dev, []byte(body), "Authorization", tok, "X-WNS-Type", kind, "Content-Type", ctype)
			if want := map[bool]int{true: 1, false: 2}[http1Only]; a.status != 200 || a.proto != want {
				t.Fatalf("%+v", a)
			}
		}
		push("wns/toast", "text/xml", toastXML)
		push("wns/raw", "application/octet-stream", `{"carillon":{"id":"n2","k":"data"}}`)
		if tray := r.Tray(dev); len(tray) != 1 || tray[0].NotificationID != "n1" {
			t.Errorf("%+v", tray)
		}
		push("wns/raw", "application/octet-stream", `{"carillon":{"k":"clear","ids":["n1"]}}`)
		if tray := r.Tray(dev); len(tray) != 0 {
			t.Errorf("%+v", tray)
		}
		if got := strings.Join(r.Received(), " "); got != "n1 n2" {
			t.Error(got)
		}
	}
}
