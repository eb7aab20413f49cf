package feed_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon"
	"carillon/internal/auth"
	"carillon/journal"
	"carillon/store/pebble"
)

// counting is the embedded store, which tells how many rows were read.
type counting struct {
	*pebble.Store

	mu         sync.Mutex
	rows, most int // in all, and the most of one call
}

func (c *counting) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows, c.most = c.rows+n, max(c.most, n)
}

func (c *counting) History(u carillon.User, from, to carillon.Seq, newestFirst bool, fn func(it *carillon.Item) bool) (int, error) {
	n, err := c.Store.History(u, from, to, newestFirst, fn)
	c.add(n)
	return n, err
}

func (c *counting) Changes(u carillon.User, r carillon.FeedRange, fn func(at carillon.Place, it *carillon.Item) bool) (carillon.Place, int, error) {
	next, n, err := c.Store.Changes(u, r, fn)
	c.add(n)
	return next, n, err
}

// newStore is an embedded store in a directory of the test.
func newStore(t testing.TB) *counting {
	t.Helper()
	return newStoreAt(t, &carillon.Clock{})
}

func newStoreAt(t testing.TB, clock *carillon.Clock) *counting {
	t.Helper()
	s, err := pebble.Open(pebble.Config{Dir: t.TempDir()}, clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &counting{Store: s}
}

// history writes n items of alice, the tenth of them in a group and read.
func history(t testing.TB, s *counting, n int64) {
	t.Helper()
	clock := &carillon.Clock{}
	now := clock.UnixMilli()
	rows := &carillon.Rows{Positions: []carillon.Progress{{Partition: journal.Partition(alice.AppendKey(nil), 4), Applied: carillon.MakeSeq(1, n+1)}}}
	for i := range n {
		note := carillon.Notification{
			Accepted: now + i, Expires: now + 3_600_000*(1+i%700), TTL: -1, Badge: -1,
			HasVisual: true, Title: fmt.Sprintf("title %d", i), Body: strings.Repeat("body ", 30),
		}
		seq := carillon.MakeSeq(1, i+1)
		it := &carillon.Item{
			Created: seq, Content: seq, Partition: journal.Partition(alice.AppendKey(nil), 4), Accepted: note.Accepted, Planned: note.Accepted + 1, Expires: note.Expires,
			Deliveries: []carillon.Delivery{{Endpoint: "phone", Platform: carillon.IOS, Kind: carillon.KindAlert, Attempts: 1, Outcome: carillon.Outcome{Class: carillon.Accepted, Status: 200}}},
		}
		if i%10 == 9 {
			note.Group = "tenth"
			it.State = carillon.State{Read: true, ReadSeq: seq}
		}
		it.Body = journal.AppendNotification(nil, &note)
		rows.Items = append(rows.Items, carillon.ItemRow{User: alice, Item: it})
	}
	if err := s.Write(rows, false); err != nil {
		t.Fatal(err)
	}
}

// listing is an answer of a list.
type listing struct {
	Next     string `json:"@odata.nextLink"`
	Count    *int   `json:"@odata.count"`
	Position string `json:"@carillon.position"`
	Value    []map[string]any
}

// page gets a list; path may be a link.
func (r *rig) page(path string, who auth.DevClaims, headers ...string) (l listing, h http.Header) {
	r.t.Helper()
	status, body, h := r.get(strings.TrimPrefix(path, r.url), who, headers...)
	if status != 200 || json.Unmarshal([]byte(body), &l) != nil {
		r.t.Fatal(path, status, body)
	}
	return l, h
}

// TestHistoryOf10000 pages through the largest history there is.
func TestHistoryOf10000(t *testing.T) {
	store := newStore(t)
	history(t, store, 10_000)
	r := newRigOn(t, store)
	all := func(query string, most int) (titles []string, pages int) {
		t.Helper()
		for path := "/beta/me/notifications?" + query; path != ""; pages++ {
			store.most = 0
			l, _ := r.page(path, user)
			if store.most > 2000 || len(l.Value) > most { // the last one tells that there is more
				t.Fatalf("%s: %d rows for %d entries", query, store.most, len(l.Value))
			}
			for _, v := range l.Value {
				title, _ := v["creationDateTime"].(string)
				titles = append(titles, title)
			}
			if path = l.Next; pages > 1000 {
				t.Fatal("no end")
			}
		}
		return titles, pages
	}
	ordered := func(times []string, down bool) bool {
		for i := 1; i < len(times); i++ {
			if times[i] == times[i-1] || (times[i] < times[i-1]) != down {
				return false
			}
		}
		return true
	}
	for _, c := range []struct {
		query       string
		most, items int
		down        bool
	}{
		{"", 100, 10_000, true},
		{"$top=1000", 1000, 10_000, true},
		{"$orderby=creationDateTime&$top=999", 999, 10_000, false},
		{"$orderby=creationDateTime%20desc&$filter=readState%20eq%20true", 100, 1000, true},
		{"$orderby=creationDateTime%20asc&$filter=groupName%20eq%20%27tenth%27&$select=id,creationDateTime", 100, 1000, false},
		{"$filter=userActionState%20eq%20%27Snoozed%27", 100, 0, true},
	} {
		times, pages := all(c.query, c.most)
		if len(times) != c.items || !ordered(times, c.down) {
			t.Errorf("%s: %d items in %d pages, want %d", c.query, len(times), pages, c.items)
		}
	}
	l, h := r.page("/beta/me/notifications?$count=true&$select=id&$filter="+url.QueryEscape("readState eq true"), user, "Prefer", "odata.maxpagesize=7")
	if l.Count == nil || *l.Count != 1000 || len(l.Value) != 7 || h.Get("Preference-Applied") != "odata.maxpagesize=7" || l.Position == "" {
		t.Errorf("%+v %v", l, h)
	}
	if v := l.Value[0]; len(v) != 2 || v["@odata.etag"] == nil {
		t.Errorf("selected: %v", v)
	}
	second, h := r.page(l.Next, user)
	if second.Count != nil || len(second.Value) != 7 || len(second.Value[0]) != 2 || h.Get("Preference-Applied") == "" {
		t.Errorf("the second page has other options: %+v", second)
	}
	if status, body, _ := r.get("/beta/me/notifications/$count?$filter="+url.QueryEscape("groupName eq 'tenth'"), user); status != 200 || body != "1000" {
		t.Error(status, body)
	}
}

// BenchmarkPage is a page of 100 in a history of 10,000: the mean, and the slowest
// of a hundred (p99-ms; the bar is 10).
func BenchmarkPage(b *testing.B) {
	store := newStore(b)
	history(b, store, 10_000)
	r := newRigOn(b, store)
	for name, query := range map[string]string{
		"newest":   "",
		"oldest":   "?$orderby=creationDateTime",
		"filtered": "?$filter=groupName%20eq%20%27tenth%27",
		"counted":  "?$count=true",
	} {
		b.Run(name, func(b *testing.B) {
			call := r.caller("GET", "/beta/me/notifications"+query, user)
			var took []time.Duration
			for b.Loop() {
				begin := time.Now()
				if status, _ := call(); status != 200 {
					b.Fatal(status)
				}
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
		})
	}
}

// BenchmarkDelta is a delta of a user with 10,000 notifications behind which so
// many of them changed.
func BenchmarkDelta(b *testing.B) {
	for _, changes := range []int64{1, 100, 1000} {
		b.Run(fmt.Sprint(changes), func(b *testing.B) {
			store := newStore(b)
			history(b, store, 10_000)
			r := newRigOn(b, store)
			var l round
			if _, body, _ := r.get(deltaPath+"?$deltatoken=latest&$top=1000", user); json.Unmarshal([]byte(body), &l) != nil {
				b.Fatal(body)
			}
			rows := &carillon.Rows{Positions: []carillon.Progress{{Partition: alicePartition(), Applied: carillon.MakeSeq(1, 20_000)}}}
			for n := range changes {
				it, err := store.Item(alice, carillon.MakeSeq(1, n*7919%10_000+1))
				if err != nil || it == nil {
					b.Fatal(it, err)
				}
				row := carillon.ItemRow{User: alice, Item: it, Moved: it.Expires, Was: it.Feed}
				it.Feed = carillon.MakeSeq(1, 10_002+n)
				it.State = carillon.State{Read: true, ReadSeq: it.Feed}
				rows.Items = append(rows.Items, row)
			}
			if err := store.Write(rows, false); err != nil {
				b.Fatal(err)
			}
			call := r.caller("GET", strings.TrimPrefix(l.Delta, r.url), user)
			store.rows = 0
			n := 0
			for b.Loop() {
				if status, body := call(); status != 200 {
					b.Fatal(status, string(body))
				}
				n++
			}
			b.ReportMetric(float64(store.rows)/float64(n), "rows/op")
		})
	}
}

func TestListOptions(t *testing.T) {
	r := newRig(t)
	for i := range int64(30) {
		r.add(alice, i, "n", nil)
	}
	r.add(carillon.User{Host: alice.Host, ID: "dev.bob"}, 1, "bobs", nil)
	const list = "/beta/me/notifications"
	l, _ := r.page(list+"?$top=10", user)
	if !strings.HasPrefix(l.Next, r.url+list+"?$skiptoken=") {
		t.Fatal(l.Next)
	}
	token := l.Next[strings.Index(l.Next, "=")+1:]
	for query, want := range map[string]string{
		"?$skiptoken=" + token:                        "200 ",
		"?$skiptoken=" + token[1:]:                    "400 $skiptoken",
		"?$skiptoken=":                                "400 $skiptoken",
		"?$skiptoken=x":                               "400 $skiptoken",
		"?$top=5&$skiptoken=" + token:                 "400 $top",
		"?$filter=readState%20eq%20true&$skiptoken=x": "400 $filter",
		"?$filter=nope":                               "400 $filter",
		"?$filter=contains(groupName,%27x%27)":        "501 $filter",
		"?$orderby=groupName":                         "501 $orderby",
		"?$orderby=creationDateTime%20up":             "400 $orderby",
		"?$orderby=creationDateTime,id":               "501 $orderby",
		"?$orderby=":                                  "501 $orderby",
		"?$select=a%20b":                              "400 $select",
		"?$count=1":                                   "400 $count",
		"?$top=-1":                                    "400 $top",
		"?$top=1&$top=2":                              "400 $top",
		"?$skip=1":                                    "501 $skip",
		"?$search=x":                                  "501 $search",
		"?$expand=x":                                  "501 $expand",
		"?$deltatoken=x":                              "501 $deltatoken",
		"?$nope=1":                                    "400 $nope",
		"?other=1":                                    "200 ",
		"/$count?$top=1":                              "501 $top",
	} {
		status, body, _ := r.get(list+query, user)
		var e struct{ Error struct{ Target string } }
		_ = json.Unmarshal([]byte(body), &e)
		if got := fmt.Sprintf("%d %s", status, e.Error.Target); got != want {
			t.Errorf("%s: %s, want %s: %s", query, got, want, body)
		}
	}
	if status, body, _ := r.get(list+"?$skiptoken="+token, auth.DevClaims{User: "bob", Client: "one"}); status != 400 || strings.Contains(body, "bobs") {
		t.Errorf("another's token: %d %s", status, body)
	}
	if status, body, _ := r.get("/beta/users/dev.alice/notifications?$skiptoken="+token, app); status != 200 {
		t.Errorf("the same user by another path: %d %s", status, body)
	}
	// A token whose app owns several hosts keeps the one that was named.
	l, _ = r.page("/beta/users/dev.alice/notifications?host=app.example.com&$top=3", auth.DevClaims{Client: "both"})
	if l, _ = r.page(l.Next, auth.DevClaims{Client: "both"}); len(l.Value) != 3 {
		t.Errorf("%+v", l)
	}
}

func TestOneIsKnown(t *testing.T) {
	r := newRig(t)
	const key = "it's a/key (n° 1)"
	id := r.add(alice, 10, "keyed", func(it *carillon.Item) { it.ID = r.ids.Derived(alice, 'a', key) }).String()
	quoted := url.PathEscape(strings.ReplaceAll(key, "'", "''"))
	for _, path := range []string{
		"/beta/me/notifications/" + id,
		"/beta/me/notifications('" + id + "')",
		"/beta/me/notifications(id='" + id + "')",
		"/beta/me/notifications(appNotificationId='" + quoted + "')",
		"/beta/me/notifications%28appNotificationId%3D%27" + strings.ReplaceAll(quoted, "'", "%27") + "%27%29",
		"/beta/users('dev.alice')/notifications(appNotificationId='" + quoted + "')",
		"/v1.0/users/dev.alice/notifications/" + id + "/",
	} {
		status, body, h := r.get(path, user)
		if status != 200 || !strings.Contains(body, id) {
			t.Fatal(path, status, body)
		}
		etag := h.Get("ETag")
		if !strings.HasPrefix(etag, `W/"`) {
			t.Errorf("the tag says that bytes are equal: %s", etag)
		}
		for match, want := range map[string]int{
			etag: 304, strings.TrimPrefix(etag, "W/"): 304, `"x", ` + etag: 304, "*": 304, `"x"`: 200, `W/"0"`: 200, "": 200,
		} {
			status, body, h := r.get(path, user, "If-None-Match", match)
			if status != want || (status == 304) != (body == "") || h.Get("ETag") != etag {
				t.Errorf("%s: %d %s", match, status, body)
			}
		}
	}
	status, body, _ := r.get("/beta/me/notifications/"+id+"?$select=readState", user)
	if status != 200 || strings.Contains(body, "payload") || !strings.Contains(body, `"readState":false`) || !strings.Contains(body, "@odata.context") {
		t.Error(status, body)
	}
	for path, want := range map[string]int{
		"/beta/me/notifications(appNotificationId='other')":  404,
		"/beta/me/notifications(appNotificationId='')":       400,
		"/beta/me/notifications(appNotificationId=x)":        400,
		"/beta/me/notifications(appNotificationId='a'b')":    400,
		"/beta/me/notifications(groupName='x')":              400,
		"/beta/me/notifications('x')":                        400,
		"/beta/me/notifications()/x":                         400,
		"/beta/me/notifications(":                            404,
		"/beta/me/(x)":                                       404,
		"/beta/me/notifications/" + id + "?$top=1":           501,
		"/beta/me/notifications/" + id + "?$expand=x":        501,
		"/beta/users('dev.bob')/notifications('" + id + "')": 403,
	} {
		if status, body, _ := r.get(path, user); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
