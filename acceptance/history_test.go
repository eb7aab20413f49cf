//go:build acceptance

package acceptance_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestHistoryAndFeed is everything that reads: lists, items, deltas, the live
// feed, batches, and how long things are kept.
func TestHistoryAndFeed(t *testing.T) {
	s := serve(t, filepath.Join(workDir(t), "data"))
	for _, step := range []struct {
		name string
		play func(t *testing.T, s *site)
	}{
		{"lists", lists},
		{"own writes are read", ownWrites},
		{"delta", deltas},
		{"live feed", liveFeed},
		{"batch", batches},
		{"twins and keys", twinsAndKeys},
		{"kept until it expires", keptUntil}, // last: it moves the clock
	} {
		t.Run(step.name, func(t *testing.T) { step.play(t, s) })
	}
	s.stop(t)
}

// page is what a list or delta answers.
type listPage struct {
	Value []struct {
		ID, UserActionState, GroupName string
		ReadState                      bool
		Payload                        struct{ VisualContent struct{ Title string } }
		Removed                        *struct{ Reason string } `json:"@removed"`
	}
	Count *int   `json:"@odata.count"`
	Next  string `json:"@odata.nextLink"`
	Delta string `json:"@odata.deltaLink"`
}

// titles are those of a page in its order; a removed one is its reason.
func (l *listPage) titles() string {
	var out []string
	for _, n := range l.Value {
		if n.Removed != nil {
			out = append(out, "-"+n.Removed.Reason)
			continue
		}
		out = append(out, n.Payload.VisualContent.Title)
	}
	return strings.Join(out, " ")
}

// read reads a page; link is a path or a link of another page.
func (p *person) read(t *testing.T, link string) *listPage {
	t.Helper()
	r := p.get(t, strings.TrimPrefix(link, p.s.url)).want(t, 200)
	var l listPage
	if err := json.Unmarshal(r.text, &l); err != nil {
		t.Fatal(err)
	}
	if l.Next != "" && l.Delta != "" {
		t.Errorf("a page has both links: %s", r.text)
	}
	return &l
}

// wrote sends notifications with these titles, in two groups by turns.
func (p *person) wrote(t *testing.T, titles ...string) (ids []string) {
	t.Helper()
	for i, title := range titles {
		ids = append(ids, p.send(t, with(visual(title, ""), map[string]any{"groupName": []string{"even", "odd"}[i%2]})))
	}
	return ids
}

const listPath = "/beta/me/notifications"

func query(options ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(options); i += 2 {
		v.Set(options[i], options[i+1])
	}
	return listPath + "?" + v.Encode()
}

func lists(t *testing.T, s *site) {
	p := s.person(t, "lister")
	ids := p.wrote(t, "a", "b", "c", "d", "e")
	p.change(t, ids[1], map[string]any{"readState": true}).want(t, 200)
	p.change(t, ids[2], map[string]any{"userActionState": "Dismissed"}).want(t, 200)
	begin := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for _, c := range []struct{ what, link, want string }{
		{"newest first", listPath, "e d c b a"},
		{"oldest first", query("$orderby", "creationDateTime asc"), "a b c d e"},
		{"read ones", query("$filter", "readState eq true"), "b"},
		{"an action", query("$filter", "userActionState eq 'Dismissed'"), "c"},
		{"a group and not read", query("$filter", "groupName eq 'odd' and readState eq false"), "d"},
		{"or", query("$filter", "readState eq true or userActionState ne 'NoInteraction'"), "c b"},
		{"by time", query("$filter", "creationDateTime gt "+begin+" and expirationDateTime ge "+begin), "e d c b a"},
		{"none", query("$filter", "creationDateTime lt "+begin), ""},
	} {
		if got := p.read(t, c.link).titles(); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	var pages []string
	for link := query("$top", "2", "$count", "true"); link != ""; {
		l := p.read(t, link)
		if len(pages) == 0 && (l.Count == nil || *l.Count != 5) {
			t.Errorf("the count is %v", l.Count)
		}
		pages, link = append(pages, l.titles()), l.Next
	}
	if d := cmp.Diff([]string{"e d", "c b", "a"}, pages); d != "" {
		t.Errorf("pages (-want +got):\n%s", d)
	}
	r := p.get(t, query("$select", "readState", "$top", "1")).want(t, 200)
	if strings.Contains(string(r.text), "groupName") || !strings.Contains(string(r.text), "readState") {
		t.Errorf("$select: %s", r.text)
	}
	if text := string(p.get(t, listPath+"/$count").want(t, 200).text); text != "5" {
		t.Errorf("$count is %s", text)
	}
	for _, bad := range []string{query("$filter", "title eq 'x'"), query("$top", "1001"), query("$skiptoken", "x")} {
		p.get(t, bad).refuses(t, 400)
	}
	p.get(t, query("$expand", "x")).refuses(t, 501)
	p.get(t, query("$orderby", "x")).refuses(t, 501, "creationDateTime")
	item := p.get(t, listPath+"/"+ids[0]).want(t, 200)
	if item.header.Get("ETag") == "" || item.str("@odata.etag") != "" && item.str("@odata.etag") != item.header.Get("ETag") {
		t.Errorf("ETag %q, %s", item.header.Get("ETag"), item.text)
	}
}

// ownWrites: a read with the position of a write never misses it.
func ownWrites(t *testing.T, s *site) {
	p := s.person(t, "writer")
	for i := range 40 {
		title := fmt.Sprint("number ", i)
		id := p.send(t, visual(title, ""))
		if got := p.read(t, query("$top", "1")).titles(); got != title {
			t.Fatalf("after %s the list begins with %q", title, got)
		}
		r := p.change(t, id, map[string]any{"readState": true})
		if got := p.state(t, id); got != "read NoInteraction" {
			t.Fatalf("after %d the item is %s", r.status, got)
		}
	}
	p.get(t, listPath).want(t, 200)
	s.call(t, p.token, "GET", listPath, nil, positionHeader, "nonsense").refuses(t, 400)
}

func deltas(t *testing.T, s *site) {
	p := s.person(t, "follower")
	ids := p.wrote(t, "a", "b", "c")
	var whole []string
	l := p.read(t, listPath+"/delta?$top=2")
	for ; ; l = p.read(t, l.Next) {
		if text := l.titles(); text != "" {
			whole = append(whole, text)
		}
		if l.Delta != "" {
			break
		}
	}
	if got := strings.Join(whole, " "); len(strings.Fields(got)) != 3 {
		t.Errorf("the whole is %v", whole)
	}
	latest := p.read(t, listPath+"/delta?$deltatoken=latest")
	if len(latest.Value) != 0 || latest.Delta == "" {
		t.Errorf("from now on begins with %+v", latest)
	}
	p.change(t, ids[1], map[string]any{"readState": true}).want(t, 200)
	p.position = s.call(t, p.token, "DELETE", listPath+"/"+ids[0], nil).want(t, 204).header.Get(positionHeader)
	p.wrote(t, "d")
	for name, link := range map[string]string{"since the whole": l.Delta, "since latest": latest.Delta} {
		var got []string
		for link != "" {
			l := p.read(t, link)
			got, link = append(got, strings.Fields(l.titles())...), l.Next
		}
		if strings.Join(got, " ") != "b -deleted d" {
			t.Errorf("%s: %q", name, got)
		}
	}
	other := s.person(t, "follower-two")
	other.get(t, strings.TrimPrefix(latest.Delta, s.url)).refuses(t, 400, "deltatoken")
}

// events follows a live feed.
type events struct {
	t    *testing.T
	scan *bufio.Scanner
	last string // the id of the last event
}

func (s *site) events(t *testing.T, link, token string, headers ...string) *events {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", link, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the live feed answers %d", res.StatusCode)
	}
	return &events{t: t, scan: bufio.NewScanner(res.Body)}
}

// next is the next event: what it is, and its title or reason.
func (e *events) next() string {
	e.t.Helper()
	name, data := "", ""
	for e.scan.Scan() {
		field, value, _ := strings.Cut(e.scan.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "id":
			e.last = value
		case "data":
			data = value
		case "":
			if name == "" {
				continue
			}
			var n struct {
				UserActionState string
				Payload         struct{ VisualContent struct{ Title string } }
			}
			if err := json.Unmarshal([]byte(data), &n); err != nil {
				e.t.Fatalf("%q: %v", data, err)
			}
			return strings.TrimSpace(name + " " + n.Payload.VisualContent.Title + " " + n.UserActionState)
		}
	}
	e.t.Fatalf("the live feed ended: %v", e.scan.Err())
	return ""
}

// liveFeed: what happens comes at once; who was away goes on where he was, and a
// ticket lets in once, without a token.
func liveFeed(t *testing.T, s *site) {
	p := s.person(t, "listener")
	const path = "/api/v1/me/feed/events"
	live := s.events(t, s.url+path, p.token)
	id := p.wrote(t, "dinner")[0]
	if got := live.next(); got != "changed dinner NoInteraction" {
		t.Errorf("first %q", got)
	}
	seen := live.last
	p.change(t, id, map[string]any{"userActionState": "Dismissed"}).want(t, 200)
	if got := live.next(); got != "changed dinner Dismissed" {
		t.Errorf("then %q", got)
	}
	p.wrote(t, "missed")
	s.call(t, p.token, "DELETE", listPath+"/"+id, nil).want(t, 204)
	again := s.events(t, s.url+path, p.token, "Last-Event-ID", seen)
	for _, want := range []string{"changed missed NoInteraction", "removed"} {
		if got := again.next(); got != want {
			t.Errorf("after coming back %q, want %q", got, want)
		}
	}
	r := s.call(t, p.token, "POST", "/api/v1/me/feed/tickets", nil).want(t, 201)
	link := r.str("url")
	by := s.events(t, link, "")
	p.wrote(t, "by ticket")
	if got := by.next(); got != "changed by ticket NoInteraction" {
		t.Errorf("by ticket %q", got)
	}
	fetch(t, s.http, link, "", "GET", nil).refuses(t, 403, "used")
}

// batches: up to 20 calls in one, some of which wait for others.
func batches(t *testing.T, s *site) {
	p := s.person(t, "batcher")
	call := func(id, method, path string, body any, after ...string) map[string]any {
		c := map[string]any{"id": id, "method": method, "url": path}
		if body != nil {
			c["body"], c["headers"] = body, map[string]string{"Content-Type": "application/json"}
		}
		if after != nil {
			c["dependsOn"] = after
		}
		return c
	}
	post := func(calls ...map[string]any) *reply {
		return s.call(t, p.token, "POST", "/beta/$batch", map[string]any{"requests": calls})
	}
	r := post(
		call("1", "POST", "/me/notifications", visual("one", "")),
		call("2", "POST", "/me/notifications", visual("two", ""), "1"),
		call("bad", "POST", "/me/notifications", map[string]any{}, "2"),
		call("after", "GET", "/me/notifications", nil, "bad"),
		call("list", "GET", "/me/notifications", nil, "2"),
	).want(t, 200)
	var all struct {
		Responses []struct {
			ID     string
			Status int
			Body   listPage
		}
	}
	if err := json.Unmarshal(r.text, &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, one := range all.Responses {
		got[one.ID] = one.Status
		if one.ID == "list" && one.Body.titles() != "two one" {
			t.Errorf("what waited for two reads %q", one.Body.titles())
		}
	}
	if d := cmp.Diff(map[string]int{"1": 201, "2": 201, "bad": 400, "after": 424, "list": 200}, got); d != "" {
		t.Errorf("statuses (-want +got):\n%s", d)
	}
	many := make([]map[string]any, 21)
	for i := range many {
		many[i] = call(fmt.Sprint(i), "GET", "/me/notifications", nil)
	}
	post(many...).refuses(t, 400, "20")
	post(call("1", "GET", "/me/notifications", nil), call("1", "GET", "/me/notifications", nil)).refuses(t, 400, "id")
}

// twinsAndKeys: every call on /me is also there on the user's own path, and a
// notification has the name that its sender gave it.
func twinsAndKeys(t *testing.T, s *site) {
	p := s.person(t, "twin")
	id := p.send(t, with(visual("keyed", ""), map[string]any{"appNotificationId": "it's"}))
	own := "/beta/users/" + p.id + "/notifications"
	for _, path := range []string{"", "/" + id, "/delta", "/$count", "(appNotificationId='it''s')"} {
		mine, twin, byApp := p.get(t, listPath+path).want(t, 200), p.get(t, own+path).want(t, 200), s.call(t, s.app, "GET", own+path, nil).want(t, 200)
		for who, r := range map[string]*reply{"his own path": twin, "the app's": byApp} {
			strip := func(r *reply) any {
				delete(r.body, "@odata.deltaLink") // of its own path and time
				delete(r.body, "@odata.context")
				return r.body
			}
			if d := cmp.Diff(strip(mine), strip(r)); d != "" {
				t.Errorf("%s on %s (-me +):\n%s", path, who, d)
			}
		}
	}
	s.call(t, p.token, "PATCH", own+"/"+id, map[string]any{"readState": true}).want(t, 200)
	s.call(t, p.token, "POST", "/api/v1/users/"+p.id+"/notifications/state", map[string]any{"ids": []string{id}, "readState": false}).want(t, 202)
	p.get(t, listPath+"(appNotificationId='other')").refuses(t, 404)
}

// keptUntil: a read or dismissed notification stays until its own day, 30 days at
// most; then it is gone from list, item, delta and disk, and a delta link that is
// older than what is kept begins anew.
func keptUntil(t *testing.T, s *site) {
	p := s.person(t, "keeper")
	in := func(d time.Duration) map[string]any {
		return map[string]any{"expirationDateTime": time.Now().Add(d).UTC().Format(time.RFC3339)}
	}
	const word, day = "plantedonthisdisk0123456789", 24 * time.Hour
	short := p.send(t, with(visual("short", word), in(2*day)))
	long := p.send(t, with(visual("long", ""), in(29*day)))
	p.change(t, short, map[string]any{"readState": true}).want(t, 200)
	p.change(t, long, map[string]any{"userActionState": "Dismissed"}).want(t, 200)
	p.post(t, with(visual("too long", ""), in(31*day))).refuses(t, 400, "expirationDateTime", "30 days")
	delta := p.read(t, listPath+"/delta").Delta
	if !s.stores(word) {
		t.Error("no file has the planted word: looking for it later would prove nothing")
	}
	later := func(by string) {
		s.move(t, by)
		p.token = strings.TrimSpace(carillon(t, "token", "--data", s.data, "--ops", strings.TrimPrefix(s.ops, "http://"), "--user", "keeper"))
	}
	later("+1d")
	if got := p.read(t, listPath).titles(); got != "long short" {
		t.Errorf("after a day: %q", got)
	}
	later("+2d")
	if got := p.read(t, listPath).titles(); got != "long" {
		t.Errorf("after three days: %q", got)
	}
	p.get(t, listPath+"/"+short).refuses(t, 404)
	if got := p.read(t, listPath+"/delta").titles(); got != "long" {
		t.Errorf("a delta after three days: %q", got)
	}
	later("+27d")
	if got := p.read(t, listPath).titles(); got != "" {
		t.Errorf("after thirty days: %q", got)
	}
	later("+10d")
	r := p.get(t, strings.TrimPrefix(delta, s.url))
	r.refuses(t, 410)
	if at := r.header.Get("Location"); at == "" {
		t.Error("a 410 without a Location")
	} else if l := p.read(t, at); l.Delta == "" {
		t.Errorf("the Location leads to %+v", l)
	}
	until(t, time.Minute, "what expired is in no file", func() bool { return !s.stores(word) })
}

// stores tells whether a file of the store has a word.
func (s *site) stores(word string) (found bool) {
	_ = filepath.WalkDir(filepath.Join(s.data, "store"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			text, _ := os.ReadFile(path)
			found = found || strings.Contains(string(text), word)
		}
		return nil
	})
	return found
}
