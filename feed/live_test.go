package feed_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon"
	"carillon/internal/apitest"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

// tune is a live feed as a reader has it.
type tune struct {
	t    *testing.T
	res  *http.Response
	scan *bufio.Scanner
}

// event is one server-sent event.
type event struct{ name, id, data string }

// tune opens a live feed; headers are name, value pairs.
func (r *rig) tune(t *testing.T, path string, who *auth.DevClaims, headers ...string) *tune {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url+path, nil)
	if who != nil {
		token, err := r.dev.Issue(*who)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	res, err := apitest.Transport(t, tr).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	x := &tune{t: t, res: res, scan: bufio.NewScanner(res.Body)}
	x.scan.Buffer(nil, 1<<20)
	t.Cleanup(func() { _ = res.Body.Close() })
	return x
}

// next is the next block that says something: an event or a bare id.
func (x *tune) next() (e event) {
	x.t.Helper()
	for x.scan.Scan() {
		name, value, _ := strings.Cut(x.scan.Text(), ": ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if e.id != "" || e.name != "" {
				return e
			}
		}
	}
	x.t.Fatalf("the feed ended: %v", x.scan.Err())
	return e
}

// named skips bare ids.
func (x *tune) named(want, says string) event {
	x.t.Helper()
	for {
		e := x.next()
		if e.name == "" {
			continue
		}
		if e.name != want || !strings.Contains(e.data, says) || !json.Valid([]byte(e.data)) {
			x.t.Fatalf("%+v, want %s with %s", e, want, says)
		}
		return e
	}
}

const eventsPath = "/api/v1/me/feed/events"

// tapped sends, and tells the feed, as a shard does.
func (d *desk) tapped(do func()) {
	d.t.Helper()
	do()
	d.feed.Tap(alice.Hash(), carillon.Position{Partition: alicePartition(), Seq: carillon.MakeSeq(1, d.seq)})
}

func TestLive(t *testing.T) {
	d := newDesk(t)
	d.send("")
	x := d.tune(t, eventsPath, &user)
	if x.res.StatusCode != 200 || !strings.HasPrefix(x.res.Header.Get("Content-Type"), "text/event-stream") || x.res.Header.Get("request-id") == "" {
		t.Fatal(x.res.Status, x.res.Header)
	}
	begin := x.next()
	if begin.name != "" || begin.id == "" {
		t.Fatalf("%+v, want the position that it begins at", begin)
	}
	d.tapped(func() { d.send("") })
	second := x.named("changed", `"title":"n2"`)
	d.tapped(func() { d.read(1) })
	x.named("changed", `"readState":true`)
	d.tapped(func() { d.remove(2) })
	last := x.named("removed", `"@removed":{"reason":"deleted"}`)
	d.tapped(func() { d.send("") })
	x.named("changed", "n5")

	// Whoever comes back goes on behind what he had.
	for _, id := range []struct {
		id   string
		want []string
	}{
		{begin.id, []string{"changed n1", "removed ", "changed n5"}},
		{second.id, []string{"changed n1", "removed ", "changed n5"}},
		{last.id, []string{"changed n5"}},
	} {
		for _, how := range []func() *tune{
			func() *tune { return d.tune(t, eventsPath, &user, "Last-Event-ID", id.id) },
			func() *tune { return d.tune(t, eventsPath+"?lastEventId="+id.id, &user) },
		} {
			y := how()
			for _, w := range id.want {
				name, says, _ := strings.Cut(w, " ")
				y.named(name, says)
			}
			_ = y.res.Body.Close()
			d.gone(t, 1)
		}
	}
	// What an item at a mark resumes at begins the mark anew.
	d.tapped(d.readAll)
	x.named("changed", "n5")
}

// gone waits until so many live feeds are left.
func (d *desk) gone(t *testing.T, left int) {
	t.Helper()
	end := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for d.feed.Streams() != left {
		if time.Now().After(end) {
			t.Fatalf("%d live feeds are left, want %d", d.feed.Streams(), left)
		}
		<-tick.C
	}
}

func TestLiveResync(t *testing.T) {
	d := newDesk(t)
	d.send("")
	for name, id := range map[string]carillon.Position{
		"of the future":  {Partition: alicePartition(), Seq: carillon.MakeSeq(1, 99)},
		"another epoch":  {Partition: alicePartition(), Seq: carillon.MakeSeq(3, 1)},
		"another's feed": {Partition: alicePartition() ^ 1, Seq: carillon.MakeSeq(1, 1)},
	} {
		x := d.tune(t, eventsPath, &user, "Last-Event-ID", httpapi.EncodePosition(id))
		if e := x.next(); e.name != "resync" || e.id == "" {
			t.Errorf("%s: %+v", name, e)
		}
		d.tapped(func() { d.send("") })
		x.named("changed", fmt.Sprint("n", d.seq))
		_ = x.res.Body.Close()
		d.gone(t, 0)
	}
	for path, want := range map[string]string{
		eventsPath + "?lastEventId=x":           "Last-Event-ID",
		eventsPath + "?$filter=x":               "$filter",
		"/api/v1/users/dev.bob/feed/events":     "own user",
		"/api/v1/users/dev.alice/feed/tickets?": "",
	} {
		method := "GET"
		if want == "" {
			method = "POST"
		}
		if status, body, _ := d.call(method, path, user); (status < 400) != (want == "") || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestLiveOfErased: who follows a user as he is erased, and who comes back after it
// with an id from before, is told that what he has is void; then it goes on.
func TestLiveOfErased(t *testing.T) {
	d := newDesk(t)
	x := d.tune(t, eventsPath, &user)
	x.next()
	d.tapped(func() { d.send("") })
	before := x.named("changed", "n1")
	d.tapped(d.erase)
	void := x.named("resync", "{}")
	d.tapped(func() { d.send("") })
	x.named("changed", "n3")

	y := d.tune(t, eventsPath, &user, "Last-Event-ID", before.id)
	if e := y.next(); e.name != "resync" || e.id == "" {
		t.Errorf("an id from before: %+v", e)
	}
	z := d.tune(t, eventsPath, &user, "Last-Event-ID", void.id)
	z.named("changed", "n3")
	d.tapped(func() { d.send("") })
	for _, l := range []*tune{x, y, z} {
		l.named("changed", "n4")
	}
}

// TestLiveBounds: a user has so many live feeds; one that hangs up makes room.
func TestLiveBounds(t *testing.T) {
	d := newDesk(t)
	var open []*tune
	for range 3 {
		x := d.tune(t, eventsPath, &user)
		x.next()
		open = append(open, x)
	}
	status, body, h := d.get(eventsPath, user)
	if status != 429 || h.Get("Retry-After") == "" {
		t.Fatal(status, body)
	}
	bob := auth.DevClaims{User: "bob", Client: "one"}
	d.tune(t, eventsPath, &bob).next()
	_ = open[1].res.Body.Close()
	d.gone(t, 3)
	d.tune(t, eventsPath, &user).next()
}

func TestTickets(t *testing.T) {
	d := newDesk(t)
	take := func() (ticket, link string) {
		t.Helper()
		status, body, _ := d.call("POST", "/api/v1/me/feed/tickets", user, "Origin", "https://web.example.com")
		var got struct{ Ticket, URL, ExpirationDateTime string }
		if status != 201 || json.Unmarshal([]byte(body), &got) != nil || got.ExpirationDateTime == "" {
			t.Fatal(status, body)
		}
		return got.Ticket, strings.TrimPrefix(got.URL, d.url)
	}
	_, link := take()
	x := d.tune(t, link, nil, "Origin", "https://web.example.com")
	if x.res.StatusCode != 200 || x.res.Header.Get("Access-Control-Allow-Origin") != "https://web.example.com" {
		t.Fatal(x.res.Status, x.res.Header)
	}
	x.next()
	d.tapped(func() { d.send("") })
	x.named("changed", "n1")
	refused := func(path, says string, headers ...string) {
		t.Helper()
		y := d.tune(t, path, nil, headers...)
		e := new(strings.Builder)
		for y.scan.Scan() {
			e.WriteString(y.scan.Text())
		}
		if y.res.StatusCode != 403 || !strings.Contains(e.String(), says) {
			t.Errorf("%s: %d %s, want %s", path, y.res.StatusCode, e, says)
		}
	}
	refused(link, "used")
	ticket, _ := take()
	refused("/api/v1/users/dev.bob/feed/events?ticket="+ticket, "another user")
	forged := ticket[:len(ticket)-2] + "AA"
	if forged == ticket {
		forged = ticket[:len(ticket)-2] + "BA"
	}
	refused("/api/v1/me/feed/events?ticket="+forged, "no ticket")
	_, link = take()
	refused(link, "may not call for this app", "Origin", "https://two.example.com")
	refused(link, "no app has registered", "Origin", "https://evil.example.com")
	_, link = take()
	d.clock.Move(61 * time.Second)
	refused(link, "expired")
	if _, list := take(); !strings.HasPrefix(list, eventsPath+"?ticket=") {
		t.Error(list)
	}
	if status, body, _ := d.get("/beta/me/notifications/delta?$deltatoken="+ticket, user); status != 400 {
		t.Error("a ticket is a token:", status, body)
	}
}

func TestOrigins(t *testing.T) {
	r := newRig(t)
	id := r.add(alice, 1, "x", nil).String()
	const web = "https://web.example.com"
	for name, c := range map[string]struct {
		method, origin string
		who            auth.DevClaims
		status         int
		allowed        bool
	}{
		"registered":           {"GET", web, user, 200, true},
		"in capitals":          {"GET", "HTTPS://WEB.example.com", user, 200, true},
		"no page":              {"GET", "", user, 200, false},
		"unregistered":         {"GET", "https://evil.example.com", user, 403, false},
		"null":                 {"GET", "null", user, 403, false},
		"a page of ours":       {"GET", r.url, user, 200, false},
		"another app's":        {"GET", "https://two.example.com", user, 403, true},
		"its own error":        {"DELETE", web, user, 0, true},
		"the app of the other": {"GET", "https://two.example.com", auth.DevClaims{User: "alice", Client: "both"}, 400, true},
	} {
		status, body, h := r.call(c.method, "/beta/me/notifications/"+id, c.who, "Origin", c.origin)
		got := h.Get("Access-Control-Allow-Origin")
		if c.status != 0 && status != c.status || (got == c.origin && got != "") != c.allowed || got == "*" || h.Get("Vary") != "Origin" {
			t.Errorf("%s: %d %q %s", name, status, got, body)
		}
	}
	preflight := func(origin string) (int, http.Header) {
		req, _ := http.NewRequestWithContext(t.Context(), "OPTIONS", r.url+"/api/v1/me/feed/tickets", nil)
		req.Header.Set("Origin", origin)
		req.Header.Set("Access-Control-Request-Method", "POST")
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode, res.Header
	}
	if status, h := preflight(web); status != 204 || h.Get("Access-Control-Allow-Origin") != web ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") {
		t.Error(status, h)
	}
	if status, h := preflight("https://evil.example.com"); status != 403 || h.Get("Access-Control-Allow-Origin") != "" {
		t.Error(status, h)
	}
}
