package gateway_test

import (
	"strings"
	"testing"
	"time"

	"carillon"
	"carillon/gateway"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

const endpoints = "/api/v1/me/endpoints"

func TestEndpointLife(t *testing.T) {
	r := newRig(t, gateway.Config{})
	tok := r.alice()
	a := r.want(r.call("PUT", endpoints+"/phone", tok, `{"host":"`+host+`","platform":"ios","address":"AABB","appId":"com.example.app","locale":"de-DE","push":"tapOnly","newer":{"x":1}}`), 200)
	rec := r.journal.last(t)
	e := &rec.rec.Endpoint
	if rec.key != host+"/dev.alice" || e.ID != "phone" || e.Address != "AABB" || e.Push != carillon.TapOnly || e.Platform != carillon.IOS ||
		e.Expires-rec.rec.At != carillon.EndpointLife.Milliseconds() || e.Registered != rec.rec.At {
		t.Errorf("record %+v", rec)
	}
	if pos, err := httpapi.DecodePosition(a.str("position")); err != nil || pos != rec.at || a.header.Get("ReadWriteConsistencyToken") != a.str("position") {
		t.Errorf("position %v %v", pos, err)
	}
	sub, err := r.subs.Open(a.str("subscriptionId"), r.clock.UnixMilli())
	if err != nil || sub.User.Key() != host+"/dev.alice" || sub.Installation != "phone" || sub.Incarnation != rec.at.Seq {
		t.Errorf("subscription %+v %v", sub, err)
	}

	// A rotated address is the same registration; its old subscription id lasts.
	b := r.want(r.call("PUT", endpoints+"/phone", tok, `{"platform":"ios","address":"CCDD"}`), 200)
	sub2, err := r.subs.Open(b.str("subscriptionId"), r.clock.UnixMilli())
	if err != nil || sub2.Incarnation != sub.Incarnation || r.journal.last(t).rec.Endpoint.AppID != "com.example.app" {
		t.Errorf("after rotation %+v %v, app id %q", sub2, err, r.journal.last(t).rec.Endpoint.AppID)
	}
	list := string(r.want(r.call("GET", endpoints, tok, ""), 200).body)
	if !strings.Contains(list, `{"id":"phone","host":"`+host+`","platform":"ios","address":"CCDD","appId":"com.example.app","push":"withPayload","expirationDateTime":"`) {
		t.Errorf("list %s", list)
	}
	d := r.want(r.call("DELETE", endpoints+"/phone", tok, ""), 204)
	if d.header.Get("ReadWriteConsistencyToken") == "" || r.journal.last(t).rec.Leave.Installation != "phone" {
		t.Errorf("leave %+v", r.journal.last(t).rec.Leave)
	}
	r.want(r.call("DELETE", endpoints+"/phone", tok, ""), 204)
	if list := r.want(r.call("GET", endpoints, tok, "", "ReadWriteConsistencyToken", d.header.Get("ReadWriteConsistencyToken")), 200).body; string(list) != `{"value":[]}` {
		t.Errorf("list %s", list)
	}
	c := r.want(r.call("PUT", endpoints+"/phone", tok, `{"platform":"ios","address":"CCDD"}`), 200)
	if sub3, err := r.subs.Open(c.str("subscriptionId"), r.clock.UnixMilli()); err != nil || sub3.Incarnation == sub.Incarnation {
		t.Errorf("who left and came back is the same: %+v %v", sub3, err)
	}
}

func TestEndpointRefusals(t *testing.T) {
	r := newRig(t, gateway.Config{})
	tok := r.alice()
	f := func(body string, status int, target, says string) {
		t.Helper()
		r.refused(r.call("PUT", endpoints+"/phone", tok, body), status, target, says)
	}
	f(`[]`, 400, "", "object")
	f(`{"platform":"ios"`, 400, "", "not valid JSON")
	f("{\"platform\":\"\xff\"}", 400, "", "UTF-8")
	f(`{}`, 400, "platform", "windows, ios, android, web, polling")
	f(`{"platform":"tv"}`, 400, "platform", "windows, ios, android, web, polling")
	f(`{"platform":1}`, 400, "platform", "string")
	f(`{"platform":"ios","platform":"ios"}`, 400, "platform", "twice")
	f(`{"platform":"polling","push":"loud"}`, 400, "push", "withPayload, tapOnly, none")
	f(`{"platform":"polling","environment":"test"}`, 400, "environment", "production or sandbox")
	f(`{"platform":"ios","address":"xyz"}`, 400, "address", "hexadecimal")
	f(`{"platform":"ios","address":"aabb","appId":"com.other"}`, 400, "appId", "com.example.app")
	f(`{"platform":"android","address":"t"}`, 400, "appId", "com.example.one, com.example.two")
	f(`{"platform":"windows","address":"https://evil.example.com/"}`, 400, "address", "notify.windows.com")
	f(`{"host":"foreign.example.com","platform":"polling"}`, 403, "host", "may not act for")
	f(`{"host":"`+strings.Repeat("h", 20<<10)+`"}`, 413, "", "16384")
	r.refused(r.call("PUT", endpoints+"/a%20b", tok, `{"platform":"polling"}`), 400, "installationId", "printable")
	r.refused(r.call("DELETE", endpoints+"/a%20b", tok, ""), 400, "installationId", "printable")
	r.refused(r.call("PUT", endpoints+"/a", "", `{"platform":"polling"}`), 401, "Authorization", "token")
	r.refused(r.call("PUT", endpoints+"/a", r.app(), `{"platform":"polling"}`), 403, "Authorization", "/users/{id}")
	r.refused(r.call("GET", "/api/v1/users/dev.bob/endpoints", tok, ""), 403, "userId", "own user")
	r.want(r.call("GET", "/api/v1/users/dev.alice/endpoints", tok, ""), 200)
	r.refused(r.call("GET", endpoints, tok, "", "ReadWriteConsistencyToken", "x"), 400, "position", "")
	two := r.token(auth.DevClaims{User: "alice", Client: "client-2"})
	r.refused(r.call("GET", endpoints, two, ""), 400, "host", "app.example.com, other.example.com")
	r.want(r.call("GET", endpoints+"?host=OTHER.example.com", two, ""), 200)
	r.want(r.call("GET", endpoints+"?targetHostName="+host, two, ""), 200)
	none := r.token(auth.DevClaims{User: "alice", Client: "client-9"})
	r.refused(r.call("GET", endpoints, none, ""), 403, "host", "any host")
	r.refused(r.call("GET", "/beta/me/endpoints", tok, ""), 404, "", "/api/v1")
	if n := len(r.journal.all()); n != 0 {
		t.Errorf("%d records of refused calls", n)
	}
}

// TestEndpointNotApplied registers while the rows lag: it is durable, but has no
// subscription id yet, so the device is told to ask again.
func TestEndpointNotApplied(t *testing.T) {
	r := newRig(t, gateway.Config{})
	r.journal.set(func(j *fakeJournal) { j.lag = true })
	appended := make(chan struct{})
	r.journal.set(func(j *fakeJournal) { j.each = func(*journal.Entry) { close(appended) } })
	done := make(chan *answer, 1)
	tok := r.alice()
	go func() { done <- r.call("PUT", endpoints+"/phone", tok, `{"platform":"polling"}`) }()
	<-appended
	var a *answer
	for a == nil { // the waiter sits on the clock: move it until it gives up
		select {
		case a = <-done:
		default:
			r.clock.Move(500 * time.Millisecond)
		}
	}
	if a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
}
