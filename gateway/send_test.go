package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/gateway"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

const (
	mine   = "/beta/me/notifications"
	theirs = "/beta/users/dev.alice/notifications"
)

func visual(rest string) string {
	return `{"targetHostName":"` + host + `","payload":{"visualContent":{"title":"Hello","body":"World"}}` + rest + `}`
}

func TestSendIsJournalledAndEchoed(t *testing.T) {
	r := newRig(t, gateway.Config{})
	body := visual(`,"appNotificationId":"n-1","targetPolicy":{"platformTypes":["windows","ios"]},"priority":"High","groupName":"G","displayTimeToLive":"60","colour":"red","stateSync":"none"`)
	a := r.want(r.call("POST", theirs, r.app(), body, "client-request-id", "trace-1"), 201)
	rec := r.journal.last(t)
	if rec.key != host+"/dev.alice" || rec.rec.Kind != journal.KindNotification || !rec.rec.HasRID || rec.rec.BodyHash == [16]byte{} {
		t.Errorf("record %+v", rec)
	}
	n := &rec.rec.Notification
	u := carillon.User{Host: host, ID: "dev.alice"}
	if want := r.ids.Derived(u, 'a', "n-1"); n.ID != want || a.str("id") != want.String() {
		t.Errorf("id %s, answer %s, want %s", n.ID, a.str("id"), want)
	}
	if n.Expires-n.Accepted != carillon.DefaultLife.Milliseconds() || rec.rec.At != n.Accepted {
		t.Errorf("times: at %d accepted %d expires %d", rec.rec.At, n.Accepted, n.Expires)
	}
	got := a.object()
	for _, volatile := range []string{"id", "expirationDateTime", "creationDateTime", "@odata.etag"} {
		if got[volatile] == nil {
			t.Errorf("no %s", volatile)
		}
		delete(got, volatile)
	}
	want := map[string]any{
		"@odata.context": r.url + "/beta/$metadata#users('dev.alice')/notifications/$entity",
		"targetHostName": host, "appNotificationId": "n-1", "priority": "High", "groupName": "G", "displayTimeToLive": 60.0,
		"lastModifiedDateTime": nil, "readState": false, "userActionState": "NoInteraction", "status": "Active", "colour": "red", "stateSync": "none",
		"targetPolicy": map[string]any{"platformTypes": []any{"Windows", "iOS"}},
		"payload":      map[string]any{"visualContent": map[string]any{"title": "Hello", "body": "World"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if loc := a.header.Get("Location"); loc != theirs+"/"+a.str("id") {
		t.Errorf("Location %q", loc)
	}
	pos, err := httpapi.DecodePosition(a.header.Get("ReadWriteConsistencyToken"))
	if err != nil || pos != rec.at {
		t.Errorf("position %v %v, want %v", pos, err, rec.at)
	}
	if a.header.Get("client-request-id") != "trace-1" || a.header.Get("request-id") == "" {
		t.Errorf("headers %v", a.header)
	}
}

func TestSendPathsAndPositionalIDs(t *testing.T) {
	r := newRig(t, gateway.Config{})
	u := carillon.User{Host: host, ID: "dev.alice"}
	f := func(path, token, location string) {
		t.Helper()
		a := r.want(r.call("POST", path, token, visual("")), 201)
		rec := r.journal.last(t)
		if rec.rec.HasRID || !rec.rec.Notification.ID.IsZero() || rec.rec.BodyHash != [16]byte{} {
			t.Errorf("%s: an unkeyed record carries %+v", path, rec.rec)
		}
		id, err := carillon.ParseID(a.str("id"))
		if err != nil {
			t.Fatal(err)
		}
		if pos, ok := r.ids.Position(u.Hash(), id); !ok || pos != rec.at {
			t.Errorf("%s: id says %v %v, want %v", path, pos, ok, rec.at)
		}
		if loc := a.header.Get("Location"); loc != location+"/"+id.String() {
			t.Errorf("%s: Location %q", path, loc)
		}
	}
	f("/beta/me/notifications", r.alice(), "/beta/me/notifications")
	f("/beta/me/notifications/", r.alice(), "/beta/me/notifications")
	f("/v1.0/me/notifications/", r.alice(), "/v1.0/me/notifications")
	f("/beta/users/dev.alice/notifications", r.app(), "/beta/users/dev.alice/notifications")
	f("/v1.0/users/dev%2Ealice/notifications/", r.app(), "/v1.0/users/dev.alice/notifications")
	f("/beta/users/dev.alice/notifications", r.alice(), "/beta/users/dev.alice/notifications")

	two := r.token(auth.DevClaims{Client: "client-2"})
	a := r.want(r.call("POST", theirs, two, visual("")), 201)
	if loc := a.header.Get("Location"); !strings.HasSuffix(loc, "?host="+host) {
		t.Errorf("Location for a client of several hosts: %q", loc)
	}
}

func TestSendWhoMay(t *testing.T) {
	r := newRig(t, gateway.Config{})
	f := func(a *answer, status int, target, says string) {
		t.Helper()
		r.refused(a, status, target, says)
	}
	f(r.call("POST", theirs, "", visual("")), 401, "Authorization", "token")
	f(r.call("POST", theirs, "rubbish", visual("")), 401, "Authorization", "")
	f(r.call("POST", "/beta/users/dev.bob/notifications", r.alice(), visual("")), 403, "userId", "own user")
	f(r.call("POST", mine, r.app(), visual("")), 400, "X-UNS-ID", "X-UNS-ID")
	f(r.call("POST", theirs, r.token(auth.DevClaims{Client: "client-3"}), visual("")), 403, "targetHostName", "may not act for host")
	f(r.call("POST", mine, r.token(auth.DevClaims{User: "alice", Client: "client-3"}), visual("")), 403, "targetHostName", "may not act for host")
	f(r.call("POST", theirs, r.token(auth.DevClaims{Admin: true}), visual("")), 403, "targetHostName", "may not act")
	f(r.call("POST", theirs, r.app(), strings.Replace(visual(""), host, "nobody.example.com", 1)), 403, "targetHostName", "may not act for host")
	f(r.call("POST", "/beta/users/a%2Fb/notifications", r.app(), visual("")), 400, "userId", "")
	if got := r.journal.all(); len(got) != 0 {
		t.Errorf("%d records of refused sends", len(got))
	}
}

func TestSendHeadersAndBodies(t *testing.T) {
	r := newRig(t, gateway.Config{})
	f := func(a *answer, status int, target, says string) {
		t.Helper()
		r.refused(a, status, target, says)
	}
	tok := r.app()
	f(r.call("POST", theirs, tok, visual(""), "If-Modified-Since", "x"), 400, "If-Modified-Since", "not supported")
	f(r.call("POST", theirs, tok, visual(""), "If-Range", "x"), 400, "If-Range", "not supported")
	f(r.call("POST", theirs, tok, visual(""), "Content-Type", "text/plain"), 415, "Content-Type", "application/json")
	f(r.call("POST", theirs, tok, visual(""), "Content-Encoding", "br"), 415, "Content-Encoding", "")
	f(r.call("POST", theirs, tok, "["+visual("")+"]"), 400, "", "array")
	f(r.call("POST", theirs, tok, visual(`,"priority":"x"`)), 400, "priority", "None, High, Low")
	f(r.call("POST", theirs, tok, visual(`,"deliverAt":"tomorrow"`)), 400, "deliverAt", "RFC 3339")
	f(r.call("POST", theirs, tok, visual(`,"deliverAt":"2999-12-01T00:00:00Z"`)), 400, "deliverAt", "after expirationDateTime")
	f(r.call("POST", theirs, tok, visual(`,"x":"`+strings.Repeat("x", 64<<10)+`"`)), 413, "", "65536")
	f(r.call("POST", theirs, tok, visual(""), "Idempotency-Key", strings.Repeat("k", 257)), 400, "Idempotency-Key", "256")
	f(r.call("POST", theirs+"?validateOnly=yes", tok, visual("")), 400, "validateOnly", "true")
	f(r.call("POST", theirs+"?ValidateOnly=true", tok, visual("")), 400, "ValidateOnly", "validateOnly")
	f(r.call("PUT", theirs, tok, visual("")), 405, "", "POST")
	r.want(r.call("POST", theirs, tok, visual(""), "Content-Type", "application/json; charset=utf-8"), 201)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(visual("")))
	_ = z.Close()
	r.want(r.call("POST", theirs, tok, zipped.String(), "Content-Encoding", "gzip"), 201)
}

func TestSubscriptionIDs(t *testing.T) {
	r := newRig(t, gateway.Config{})
	put := func(user string) string {
		t.Helper()
		return r.want(r.call("PUT", "/api/v1/users/"+user+"/endpoints/pc", r.app(), `{"platform":"polling"}`), 200).str("subscriptionId")
	}
	alice, bob := put("dev.alice"), put("dev.bob")
	a := r.want(r.call("POST", mine, r.app(), visual(""), "X-UNS-ID", alice), 201)
	if r.journal.last(t).key != host+"/dev.alice" || !strings.HasPrefix(a.header.Get("Location"), mine+"/") {
		t.Errorf("key %q location %q", r.journal.last(t).key, a.header.Get("Location"))
	}
	r.want(r.call("POST", mine, r.alice(), visual(""), "X-UNS-ID", alice), 201)
	r.refused(r.call("POST", mine, r.alice(), visual(""), "X-UNS-ID", bob), 403, "X-UNS-ID", "malformed")
	r.refused(r.call("POST", mine, r.app(), visual(""), "X-UNS-ID", "rubbish"), 403, "X-UNS-ID", "malformed")
	two := r.token(auth.DevClaims{Client: "client-2"})
	r.refused(r.call("POST", mine, two, strings.Replace(visual(""), host, "other.example.com", 1), "X-UNS-ID", alice), 403, "X-UNS-ID", "malformed")

	// A stranger who never existed and an endpoint that left look alike.
	never := r.subs.Seal(auth.Subscription{User: carillon.User{Host: host, ID: "dev.nobody"}, Installation: "pc", Incarnation: 1, Expires: r.clock.UnixMilli() + 1e6})
	r.want(r.call("DELETE", "/api/v1/users/dev.alice/endpoints/pc", r.app(), ""), 204)
	r.refused(r.call("POST", mine, r.app(), visual(""), "X-UNS-ID", alice), 403, "X-UNS-ID", "revoked")
	r.refused(r.call("POST", mine, r.app(), visual(""), "X-UNS-ID", never), 403, "X-UNS-ID", "revoked")
	again := put("dev.alice")
	r.refused(r.call("POST", mine, r.app(), visual(""), "X-UNS-ID", alice), 403, "X-UNS-ID", "revoked")
	r.want(r.call("POST", mine, r.app(), visual(""), "X-UNS-ID", again), 201)

	r.clock.Move(carillon.EndpointLife + time.Second)
	r.refused(r.call("POST", mine, r.app(), visual(""), "X-UNS-ID", again), 403, "X-UNS-ID", "expired")
}

func TestIdempotency(t *testing.T) {
	r := newRig(t, gateway.Config{})
	tok := r.app()
	send := func(body, key string) *answer {
		t.Helper()
		return r.call("POST", theirs, tok, body, "Idempotency-Key", key)
	}
	first := r.want(send(visual(""), "k1"), 201)
	count := len(r.journal.all())
	rec := r.journal.last(t)
	if !rec.rec.HasRID || rec.rec.Notification.ID.IsZero() || first.str("id") != rec.rec.Notification.ID.String() {
		t.Errorf("record %+v", rec.rec)
	}
	same := func(a *answer) {
		t.Helper()
		r.want(a, 201)
		if a.str("id") != first.str("id") || a.header.Get("ReadWriteConsistencyToken") != first.header.Get("ReadWriteConsistencyToken") ||
			a.str("creationDateTime") != first.str("creationDateTime") || a.str("expirationDateTime") != first.str("expirationDateTime") {
			t.Errorf("a repeat differs: %s, first %s", a.body, first.body)
		}
		if n := len(r.journal.all()); n != count {
			t.Errorf("%d records, want %d", n, count)
		}
	}
	same(send(visual(""), "k1"))
	// The same content written another way.
	same(send(`{"payload": {"visualContent":{"body":"W\u006frld","title":"Hello"}}, "targetHostName":"APP.example.com"}`, "k1"))
	r.refused(send(visual(`,"groupName":"G"`), "k1"), 422, "Idempotency-Key", "another body")
	if a := r.want(send(visual(""), "k2"), 201); a.str("id") == first.str("id") {
		t.Error("two keys, one id")
	}
	if a := r.want(r.call("POST", "/beta/users/dev.bob/notifications", tok, visual(""), "Idempotency-Key", "k1"), 201); a.str("id") == first.str("id") {
		t.Error("two users, one id")
	}
	if a := r.want(send(visual(`,"appNotificationId":"k1"`), "k3"), 201); a.str("id") == first.str("id") {
		t.Error("a key of another origin gives the same id")
	}

	// appNotificationId alone: the same id, another request, always appended.
	x := r.want(r.call("POST", theirs, tok, visual(`,"appNotificationId":"n"`)), 201)
	one := r.journal.last(t).rec.RID
	y := r.want(r.call("POST", theirs, tok, visual(`,"appNotificationId":"n"`)), 201)
	if two := r.journal.last(t).rec.RID; x.str("id") != y.str("id") || one == two {
		t.Errorf("ids %s %s, requests %x %x", x.str("id"), y.str("id"), one, two)
	}
	r.clock.Move(carillon.IdempotencyFor + time.Minute)
	tok = r.app()
	count = len(r.journal.all())
	r.want(send(visual(`,"groupName":"G"`), "k1"), 201)
	if n := len(r.journal.all()); n != count+1 {
		t.Error("a key is remembered for more than a day")
	}
}

// TestIdempotencyWhileRowsLag repeats before the store knows of the first.
func TestIdempotencyWhileRowsLag(t *testing.T) {
	r := newRig(t, gateway.Config{RecentKeys: 2})
	tok := r.app()
	r.journal.set(func(j *fakeJournal) { j.lag = true })
	first := r.want(r.call("POST", theirs, tok, visual(""), "Idempotency-Key", "k"), 201)
	second := r.want(r.call("POST", theirs, tok, visual(""), "Idempotency-Key", "k"), 201)
	if first.str("id") != second.str("id") || len(r.journal.all()) != 1 {
		t.Errorf("ids %s %s, %d records", first.str("id"), second.str("id"), len(r.journal.all()))
	}
	r.refused(r.call("POST", theirs, tok, visual(`,"groupName":"G"`), "Idempotency-Key", "k"), 422, "Idempotency-Key", "another body")
	for _, k := range []string{"a", "b"} { // push it out
		r.want(r.call("POST", theirs, tok, visual(""), "Idempotency-Key", k), 201)
	}
	r.want(r.call("POST", theirs, tok, visual(""), "Idempotency-Key", "k"), 201)
	if n := len(r.journal.all()); n != 4 {
		t.Errorf("%d records, want 4: what is forgotten here is left to the shard", n)
	}
}

func TestConflictWhileInProgress(t *testing.T) {
	r := newRig(t, gateway.Config{})
	tok := r.app()
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	r.journal.set(func(j *fakeJournal) { j.hold, j.held = hold, held })
	first := make(chan *answer, 1)
	go func() { first <- r.call("POST", theirs, tok, visual(""), "Idempotency-Key", "k") }()
	r.await(held, first)
	a := r.call("POST", theirs, tok, visual(""), "Idempotency-Key", "k")
	r.refused(a, 409, "Idempotency-Key", "in progress")
	if a.header.Get("Retry-After") == "" {
		t.Error("409 without Retry-After")
	}
	close(hold)
	if a := <-first; a.status != 201 {
		t.Errorf("the first got %d", a.status)
	}
	r.journal.set(func(j *fakeJournal) { j.hold = nil })
	r.want(r.call("POST", theirs, tok, visual(""), "Idempotency-Key", "k"), 201)
	if n := len(r.journal.all()); n != 1 {
		t.Errorf("%d records", n)
	}
}

func TestJournalFaults(t *testing.T) {
	r := newRig(t, gateway.Config{AppendTimeout: 20 * time.Millisecond})
	tok := r.app()
	down := &carillon.Error{Code: carillon.CodeUnavailable, Message: "no broker", RetryAfter: 2 * time.Second}
	r.journal.set(func(j *fakeJournal) { j.fail = down })
	a := r.call("POST", theirs, tok, visual(""), "Idempotency-Key", "k")
	r.refused(a, 503, "", "no broker")
	if a.header.Get("Retry-After") != "2" || a.header.Get("Location") != "" {
		t.Errorf("headers %v", a.header)
	}
	// The key is free again.
	r.journal.set(func(j *fakeJournal) { j.fail = nil })
	r.want(r.call("POST", theirs, tok, visual(""), "Idempotency-Key", "k"), 201)

	r.journal.set(func(j *fakeJournal) { j.hold, j.held = make(chan struct{}), make(chan struct{}, 1) })
	a = r.call("POST", theirs, tok, visual(""))
	r.refused(a, 503, "", "unknown")
	if _, _, m := a.fault(); !strings.Contains(m, "Idempotency-Key") || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %q", a.status, m)
	}
	r.journal.set(func(j *fakeJournal) { j.hold = nil })
	r.store.fail = errors.New("disk")
	r.refused(r.call("POST", theirs, tok, visual(""), "Idempotency-Key", "z"), 503, "", "store")
	r.want(r.call("POST", theirs, tok, visual("")), 201)
}

func TestValidateOnly(t *testing.T) {
	r := newRig(t, gateway.Config{})
	tok := r.app()
	for id, body := range map[string]string{
		"phone":  `{"platform":"ios","address":"aabb"}`,
		"tablet": `{"platform":"ios","address":"aabbcc","push":"tapOnly"}`,
		"pc":     `{"platform":"windows","address":"https://a.notify.windows.com/?token=x"}`,
		"quiet":  `{"platform":"android","address":"tok","appId":"com.example.one","push":"none"}`,
		"poll":   `{"platform":"polling"}`,
	} {
		r.want(r.call("PUT", "/api/v1/users/dev.alice/endpoints/"+id, tok, body), 200)
	}
	count := len(r.journal.all())
	f := func(body, want string, headers ...string) {
		t.Helper()
		a := r.want(r.call("POST", theirs+"?validateOnly=true", tok, body, headers...), 200)
		if got := string(a.body); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	f(visual(""), `{"valid":true,"endpoints":{"windows":{"alert":1},"ios":{"alert":1,"tap":1}},"taps":[{"platform":"ios","reason":"tapOnly","count":1}],"suppressed":[{"platform":"android","reason":"noPush","count":1},{"platform":"polling","reason":"noPushChannel","count":1}]}`)
	f(visual(`,"targetPolicy":{"platformTypes":["windows"]}`), `{"valid":true,"endpoints":{"windows":{"alert":1}},"taps":[],"suppressed":[{"platform":"ios","reason":"platformNotTargeted","count":2},{"platform":"android","reason":"platformNotTargeted","count":1},{"platform":"polling","reason":"platformNotTargeted","count":1}]}`)
	if n := len(r.journal.all()); n != count {
		t.Errorf("%d records were appended", n-count)
	}
	r.want(r.call("POST", theirs, tok, visual(""), "Idempotency-Key", "k"), 201)
	a := r.want(r.call("POST", theirs+"?validateOnly=true", tok, visual(""), "Idempotency-Key", "k"), 200)
	if !bytes.Contains(a.body, []byte(`"endpoints":{},"taps":[],"suppressed":[{"platform":"windows","reason":"duplicate","count":1},{"platform":"ios","reason":"duplicate","count":2}`)) {
		t.Errorf("a repeat: %s", a.body)
	}
	r.refused(r.call("POST", theirs+"?validateOnly=true", tok, visual(`,"priority":9`)), 400, "priority", "")
	r.refused(r.call("POST", theirs+"?validateOnly=true", tok, visual(`,"groupName":"x"`), "Idempotency-Key", "k"), 422, "Idempotency-Key", "")
}

func TestSendsAtOnce(t *testing.T) {
	r := newRig(t, gateway.Config{})
	tok := r.app()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			for range 25 {
				req, _ := http.NewRequestWithContext(ctx, "POST", r.url+theirs, strings.NewReader(visual(`,"colour":"a\u0062c"`)))
				req.Header.Set("Authorization", "Bearer "+tok)
				res, err := r.http.Do(req)
				if err != nil {
					done <- err
					return
				}
				_ = res.Body.Close()
				if res.StatusCode != 201 {
					done <- errors.New(res.Status)
					return
				}
			}
			done <- nil
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, a := range r.journal.all() {
		if n := a.rec.Notification; n.Title != "Hello" || n.Body != "World" || string(n.Extra) != `{"colour":"a\u0062c"}` {
			t.Fatalf("record %+v", n)
		}
	}
}
