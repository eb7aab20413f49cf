package sandbox_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"carillon/provider/sandbox"

	"github.com/google/go-cmp/cmp"
)

func TestScriptedAnswers(t *testing.T) {
	r := start(t, sandbox.Config{})
	since := time.UnixMilli(1_700_000_000_123)
	bad, good := sandbox.NewAddress(sandbox.APNs, "bad"), sandbox.NewAddress(sandbox.APNs, "good")
	r.Script(
		sandbox.Fault{Vendor: sandbox.APNs, Address: strings.ToUpper(bad), Status: 410, Since: since, Times: 2},
		sandbox.Fault{Address: bad, Status: 429, Reason: "TooManyRequests", RetryAfter: "3", Times: 1},
	)
	f := func(address string, status int, body string) {
		t.Helper()
		if a := r.apns("/3/device/"+address, alert); a.status != status || a.body != body {
			t.Errorf("want %d %s, got %+v", status, body, a)
		}
	}
	f(good, 200, "")
	f(bad, 410, `{"reason":"Unregistered","timestamp":1700000000123}`)
	f(bad, 410, `{"reason":"Unregistered","timestamp":1700000000123}`)
	f(bad, 429, `{"reason":"TooManyRequests"}`)
	f(bad, 200, "")
	if len(r.Faults()) != 0 || len(r.Tray(bad)) != 1 || len(r.Inbox(bad)) != 4 {
		t.Errorf("%v %v", r.Faults(), r.Inbox(bad))
	}
	if d := cmp.Diff(map[string]int64{"Unregistered": 2, "TooManyRequests": 1}, r.Counts().Vendors[sandbox.APNs].Rejected); d != "" {
		t.Error(d)
	}

	send := "https://fcm.googleapis.com/v1/projects/" + r.Credentials().FCM.ProjectID + "/messages:send"
	msg := []byte(`{"message":{"token":"` + sandbox.NewAddress(sandbox.FCM, "x") + `"}}`)
	tok := r.fcmToken()
	g := func(fault sandbox.Fault, want ...string) {
		t.Helper()
		fault.Vendor, fault.Times = sandbox.FCM, 1
		r.Script(fault)
		a := r.post(r.client, send, msg, "Authorization", tok)
		b, _ := json.Marshal(a.header)
		for _, w := range want {
			if a.status != fault.Status || !strings.Contains(a.body+string(b), w) {
				t.Errorf("%+v: no %q in %d %s %s", fault, w, a.status, a.body, b)
			}
		}
	}
	g(sandbox.Fault{Status: 404, Reason: "UNREGISTERED"}, `"errorCode": "UNREGISTERED"`, `"status": "NOT_FOUND"`, "FcmError")
	g(sandbox.Fault{Status: 404}, `"status": "NOT_FOUND"`)
	g(sandbox.Fault{Status: 429, Reason: "QUOTA_EXCEEDED", RetryAfter: "60"}, "QuotaFailure", `"Retry-After":["60"]`)
	g(sandbox.Fault{Status: 503, Reason: "UNAVAILABLE", RetryAfter: "+30s"}, " GMT")
	g(sandbox.Fault{Status: 502, Reason: "HTML"}, "<html", "text/html")
	g(sandbox.Fault{Status: 403, Reason: "SENDER_ID_MISMATCH"}, "SenderId mismatch")

	dev, wtok := sandbox.NewAddress(sandbox.WNS, "x"), r.wnsToken()
	h := func(fault sandbox.Fault, header, want string) {
		t.Helper()
		fault.Address, fault.Times = dev, 1
		r.Script(fault)
		a := r.post(r.http1, dev, []byte(toastXML), "Authorization", wtok, "X-WNS-Type", "wns/toast", "Content-Type", "text/xml")
		if a.status != fault.Status || a.header.Get(header) != want {
			t.Errorf("%+v", a)
		}
	}
	h(sandbox.Fault{Status: 200, Reason: "channelthrottled"}, "X-WNS-NotificationStatus", "channelthrottled")
	h(sandbox.Fault{Status: 406, RetryAfter: "30"}, "Retry-After", "30")
	h(sandbox.Fault{Status: 410, Reason: "Domain Blocked"}, "X-WNS-Error-Description", "Domain Blocked")
	if tray := r.Tray(dev); len(tray) != 0 {
		t.Errorf("%+v", tray)
	}
}

func TestHeldAndDelayedAnswers(t *testing.T) {
	r := start(t, sandbox.Config{})
	held, slow := sandbox.NewAddress(sandbox.APNs, "3"), sandbox.NewAddress(sandbox.APNs, "5")
	r.Script(sandbox.Fault{Address: held, Hold: true}, sandbox.Fault{Address: slow, Delay: 20 * time.Millisecond})
	f := r.frames(r.Addrs().APNs)
	f.push(r, 1, alert)
	f.send()
	f.until("headers", 1)
	for _, id := range []uint32{3, 5, 7} {
		f.push(r, id, alert)
	}
	f.send()
	same(t, f.until("headers", 2), "headers 7 200 end=true\nheaders 5 200 end=true")
	if in := r.Inbox(held); len(in) != 1 || !in[0].Unanswered {
		t.Errorf("%+v", in)
	}
	r.Unscript()
	same(t, f.until("headers", 1), "headers 3 200 end=true")

	r.Script(sandbox.Fault{Address: held, Hold: true})
	f.push(r, 11, alert) // another address
	f.send()
	f.until("headers", 1)

	dev, tok := sandbox.NewAddress(sandbox.WNS, "x"), r.wnsToken() // the same over HTTP/1.1
	r.Script(sandbox.Fault{Address: dev, Hold: true})
	done := make(chan answer, 1)
	go func() {
		a, _ := r.try(r.http1, dev, []byte(toastXML), "Authorization", tok, "X-WNS-Type", "wns/toast", "Content-Type", "text/xml")
		done <- a
	}()
	eventually(t, "held", func() bool { return len(r.Inbox(dev)) == 1 })
	r.Unscript()
	if a := <-done; a.status != 200 {
		t.Errorf("%+v", a)
	}
}

func TestCutConnections(t *testing.T) {
	r := start(t, sandbox.Config{})
	third := sandbox.NewAddress(sandbox.APNs, "3")
	warm := func() *frames {
		f := r.frames(r.Addrs().APNs)
		f.push(r, 1, alert)
		f.send()
		f.until("headers", 1)
		return f
	}
	three := func(f *frames) string {
		for _, id := range []uint32{3, 5, 7} {
			f.push(r, id, alert)
		}
		f.send()
		return f.until("end", 1)
	}
	accepted := func() int64 { return r.Counts().Accepted }

	r.Script(sandbox.Fault{Address: third, Disconnect: true, Times: 1}) // taken, nobody learns it
	f := warm()
	before := accepted()
	three(f)
	if accepted() == before || len(r.Tray(third)) != 1 || !r.Inbox(third)[0].Unanswered {
		t.Errorf("not taken: %+v", r.Inbox(third))
	}
	r.Script(sandbox.Fault{Address: third, GoAway: true, Reason: "Shutdown", Times: 1})
	f = warm()
	before = accepted()
	same(t, three(f), "headers 3 200 end=true\ngoaway last=3 NO_ERROR \"{\\\"reason\\\":\\\"Shutdown\\\"}\"\nend")
	if n := accepted() - before; n != 1 {
		t.Errorf("%d accepted", n)
	}
	r.Script(sandbox.Fault{Address: third, GoAway: true, Disconnect: true, Times: 1}) // safe to send again
	f = warm()
	before = accepted()
	same(t, three(f), "goaway last=1 NO_ERROR \"\"\nend")
	if n := accepted() - before; n != 0 {
		t.Errorf("%d accepted", n)
	}

	dev, tok := sandbox.NewAddress(sandbox.WNS, "x"), r.wnsToken()
	r.Script(sandbox.Fault{Address: dev, Disconnect: true, Times: 1})
	if a, err := r.try(r.http1, dev, []byte(toastXML), "Authorization", tok, "X-WNS-Type", "wns/toast", "Content-Type", "text/xml"); err == nil {
		t.Errorf("%+v", a)
	}
	if len(r.Tray(dev)) != 1 {
		t.Error("not taken")
	}
}

func TestStopSaysGoAway(t *testing.T) {
	var f *frames
	t.Run("a server that holds an answer", func(t *testing.T) {
		r := start(t, sandbox.Config{})
		f = r.frames(r.Addrs().APNs)
		f.push(r, 1, alert)
		f.send()
		f.until("headers", 1)
		r.Script(sandbox.Fault{Hold: true})
		f.push(r, 3, alert)
		f.send()
		eventually(t, "held", func() bool { return len(r.Inbox(sandbox.NewAddress(sandbox.APNs, "3"))) == 1 })
		f.keep = true
	})
	f.t = t
	same(t, f.until("end", 1), "goaway last=3 NO_ERROR \"\"\nend")
	_ = f.nc.Close()
}
