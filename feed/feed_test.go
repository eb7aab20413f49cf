package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carillon"
	"carillon/feed"
	"carillon/internal/apitest"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

func TestMain(m *testing.M) {
	// fasthttp writes the Date header from a ticker of the whole process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// memory is a store of items in maps, newest last.
type memory struct {
	items          map[carillon.User][]*carillon.Item
	endpoints      map[carillon.User][]carillon.Endpoint
	late           *carillon.Item // appears when somebody waits for it
	lateUser       carillon.User
	broken, panics string // users at whom the walk over a host ends so
	waits          func(carillon.Position)
	sync           carillon.Sync
}

func (m *memory) Item(u carillon.User, created carillon.Seq) (*carillon.Item, error) {
	for _, it := range m.items[u] {
		if it.Created == created {
			return it, nil
		}
	}
	return nil, nil //nolint:nilnil // the store's own contract
}

func (m *memory) Find(u carillon.User, id carillon.ID) (carillon.Seq, bool, error) {
	for _, it := range m.items[u] {
		if it.ID == id {
			return it.Created, true, nil
		}
	}
	return 0, false, nil
}

func (m *memory) History(u carillon.User, from, to carillon.Seq, newestFirst bool, fn func(it *carillon.Item) bool) (rows int, err error) {
	all := slices.Clone(m.items[u])
	if newestFirst {
		slices.Reverse(all)
	}
	for _, it := range all {
		if it.Created < from || to != 0 && it.Created >= to {
			continue
		}
		rows++
		if !fn(it) {
			break
		}
	}
	return rows, nil
}

func (m *memory) Changes(carillon.User, carillon.FeedRange, func(at carillon.Place, it *carillon.Item) bool) (next carillon.Place, rows int, err error) {
	return next, 0, errors.ErrUnsupported // tests of the feed have the real store
}

func (m *memory) Progress(partition int32) (carillon.Progress, error) {
	return carillon.Progress{Partition: partition, Applied: carillon.MakeSeq(1, 1000)}, nil
}

func (m *memory) Erased(carillon.User) (carillon.Seq, error) { return 0, nil }

func (m *memory) Endpoints(dst []carillon.Endpoint, u carillon.User) ([]carillon.Endpoint, error) {
	return append(dst, m.endpoints[u]...), nil
}

func (m *memory) lane(carillon.Lane) (why string, until int64) { return "throttled", 1_795_000_900_000 }

func (m *memory) Sync(carillon.User) (carillon.Sync, error) { return m.sync, nil }

func (m *memory) Wait(_ context.Context, pos carillon.Position) error {
	if m.waits != nil {
		m.waits(pos)
	}
	if m.late != nil && m.late.Created == pos.Seq {
		m.items[m.lateUser] = append(m.items[m.lateUser], m.late)
	}
	return nil
}

type rig struct {
	t      testing.TB
	url    string
	store  *memory
	ids    *carillon.IDKey
	dev    *auth.DevIssuer
	subs   *auth.Subscriptions
	feed   *feed.Feed
	lookup *httpapi.Lookup

	served seen
}

var alice = carillon.User{Host: "app.example.com", ID: "dev.alice"}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOn(t, nil)
}

// newRigOn is newRig with a store; nil is the one in memory.
func newRigOn(t testing.TB, store feed.Store) *rig {
	t.Helper()
	return newRigAt(t, store, &carillon.Clock{})
}

func newRigAt(t testing.TB, store feed.Store, clock *carillon.Clock) *rig {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	master := auth.NewMaster([32]byte{1})
	apps, err := carillon.NewApps([]carillon.App{
		{Host: "app.example.com", Clients: []string{"one", "both"}, Identities: []carillon.Identity{{Platform: carillon.Web, AppID: "https://web.example.com"}}},
		{Host: "two.example.com", Clients: []string{"both"}, Identities: []carillon.Identity{{Platform: carillon.Web, AppID: "https://two.example.com/"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, ids: &carillon.IDKey{7}, subs: auth.NewSubscriptions(master)}
	r.store = &memory{items: map[carillon.User][]*carillon.Item{}, endpoints: map[carillon.User][]carillon.Endpoint{
		alice: {{ID: "phone", Platform: carillon.Polling, Incarnation: 5}},
	}}
	if store == nil {
		store = r.store
	}
	if r.dev, err = auth.NewDevIssuer(master, clock); err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.NewVerifier(auth.Config{}, clock, r.dev)
	if err != nil {
		t.Fatal(err)
	}
	r.lookup = httpapi.NewLookup(store, r.ids, r.store, 4, partitionOf)
	outcomes, _ := store.(feed.Outcomes)
	r.feed = feed.New(feed.Config{MaxUserStreams: 3}, feed.Deps{
		Apps: func() *carillon.Apps { return apps }, Store: store, Outcomes: outcomes, Directory: r.store, Lanes: r.store.lane, Served: &r.served, Tokens: tokens,
		Subscriptions: r.subs, IDs: r.ids, Key: &feed.Key{9}, Partitions: 4, Applied: r.store, Lookup: r.lookup, Clock: clock, Log: log,
	})
	s := httpapi.New(httpapi.Config{Listen: "127.0.0.1:0"}, log, clock)
	r.feed.Register(s.Router())
	s.Origins(apps.HasOrigin)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	r.url = s.URL()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// add puts a notification into the store and tells its id.
func (r *rig) add(u carillon.User, offset int64, title string, change func(*carillon.Item)) carillon.ID {
	n := carillon.Notification{
		Accepted: 1_795_000_000_000 + offset, Expires: 1_795_600_000_000, TTL: 60, Badge: -1, Priority: carillon.PriorityHigh,
		HasVisual: true, Title: title, HasRaw: true, Raw: "raw", Extra: []byte(`{"custom":true}`),
	}
	seq := carillon.MakeSeq(1, offset)
	it := &carillon.Item{
		Created: seq, Content: seq, Partition: 3, Accepted: n.Accepted, Journalled: n.Accepted + 2, Planned: n.Accepted + 5, Expires: n.Expires,
		Body: journal.AppendNotification(nil, &n),
	}
	if change != nil {
		change(it)
	}
	if r.store.late != it {
		r.store.items[u] = append(r.store.items[u], it)
	}
	if !it.ID.IsZero() {
		return it.ID
	}
	return r.ids.Positional(u.Hash(), carillon.Position{Partition: 3, Seq: seq})
}

func (r *rig) get(path string, who auth.DevClaims, headers ...string) (int, string, http.Header) {
	r.t.Helper()
	return r.call("GET", path, who, headers...)
}

// caller makes the same request again and again, on one connection.
func (r *rig) caller(method, path string, who auth.DevClaims) func() (int, []byte) {
	r.t.Helper()
	token, err := r.dev.Issue(who)
	if err != nil {
		r.t.Fatal(err)
	}
	tr := &http.Transport{}
	r.t.Cleanup(tr.CloseIdleConnections)
	return func() (int, []byte) {
		req, _ := http.NewRequestWithContext(r.t.Context(), method, r.url+path, nil)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := tr.RoundTrip(req)
		if err != nil {
			r.t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, b
	}
}

func (r *rig) call(method, path string, who auth.DevClaims, headers ...string) (int, string, http.Header) {
	r.t.Helper()
	token, err := r.dev.Issue(who)
	if err != nil {
		r.t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(r.t.Context(), method, r.url+path, nil)
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: apitest.Transport(r.t, tr), Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b), res.Header
}

var (
	user = auth.DevClaims{User: "alice", Client: "one"}
	app  = auth.DevClaims{Client: "one"}
)

func TestOne(t *testing.T) {
	r := newRig(t)
	plain := r.add(alice, 10, "plain", nil)
	keyed := r.add(alice, 11, "keyed", func(it *carillon.Item) {
		it.ID = r.ids.Derived(alice, 'a', "n-1")
		it.Content = carillon.MakeSeq(1, 99)
		it.State = carillon.State{Read: true, ReadSeq: carillon.MakeSeq(1, 100)}
	})
	for _, path := range []string{"/beta/me/notifications/", "/v1.0/me/notifications/", "/beta/users/dev.alice/notifications/"} {
		for _, id := range []carillon.ID{plain, keyed} {
			status, body, h := r.get(path+id.String(), user)
			var got struct {
				Context string `json:"@odata.context"`
				ETag    string `json:"@odata.etag"`
				ID      string `json:"id"`
				Host    string `json:"targetHostName"`
				TTL     int    `json:"displayTimeToLive"`
				Read    bool   `json:"readState"`
				Custom  bool   `json:"custom"`
				Status  string `json:"status"`
				Payload struct {
					Raw    string `json:"rawContent"`
					Visual struct {
						Title string `json:"title"`
					} `json:"visualContent"`
				} `json:"payload"`
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
				t.Fatal(path, status, err, body)
			}
			want := r.url + path[:5] + "/$metadata#users('dev.alice')/notifications/$entity"
			if got.Context != want || got.ID != id.String() || got.ETag == "" || got.ETag != h.Get("ETag") || got.Host != alice.Host ||
				got.TTL != 60 || !got.Custom || got.Payload.Raw != "raw" || got.Read != (id == keyed) || (got.Status == "Updated") != (id == keyed) {
				t.Errorf("%s: %s", path, body)
			}
		}
	}
}

func TestOneThatIsOnItsWay(t *testing.T) {
	r := newRig(t)
	r.store.lateUser = alice
	id := r.add(alice, 50, "late", func(it *carillon.Item) { r.store.late = it })
	if status, body, _ := r.get("/beta/me/notifications/"+id.String(), user); status != 200 || !strings.Contains(body, `"late"`) {
		t.Error(status, body)
	}
}

func partitionOf(u carillon.User) int32 { return journal.Partition(u.AppendKey(nil), 4) }

// A keyed one is waited for when this process journalled it, and no other id is.
func TestKeyedThatIsOnItsWay(t *testing.T) {
	r := newRig(t)
	r.store.lateUser = alice
	id := r.add(alice, 60, "late", func(it *carillon.Item) {
		it.ID = carillon.ID{1, 2, 3, 4, 5, 6, 0x87, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}
		r.store.late = it
	})
	path := "/beta/me/notifications/" + id.String()
	if status, body, _ := r.get(path, user); status != 404 {
		t.Error(status, body)
	}
	r.lookup.Journalled(alice.Hash(), carillon.Position{Partition: partitionOf(alice), Seq: r.store.late.Created})
	r.store.waits = func(carillon.Position) { t.Error("another user's unknown id was waited for") }
	if status, body, _ := r.get(strings.Replace(path, "/me/", "/users/dev.bob/", 1), app); status != 404 {
		t.Error(status, body)
	}
	r.store.waits = nil
	if status, body, _ := r.get(path, user); status != 200 || !strings.Contains(body, `"late"`) {
		t.Error(status, body)
	}
}

// A keyed id holds no position, and a list is of no one row: the reader brings
// the position of his write where another process took it.
func TestOwnWrite(t *testing.T) {
	for _, path := range []string{"/beta/me/notifications/01020304-0506-8708-890a-0b0c0d0e0f10", "/beta/me/notifications"} {
		r := newRig(t)
		r.add(alice, 7, "late", func(it *carillon.Item) {
			it.ID = carillon.ID{1, 2, 3, 4, 5, 6, 0x87, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}
		})
		r.store.late, r.store.lateUser = r.store.items[alice][0], alice
		r.store.items[alice] = nil
		if _, body, _ := r.get(path, user); strings.Contains(body, "late") {
			t.Fatalf("%s shows the row before it is written: %s", path, body)
		}
		token := httpapi.EncodePosition(carillon.Position{Partition: 3, Seq: carillon.MakeSeq(1, 7)})
		if status, body, _ := r.get(path, user, "ReadWriteConsistencyToken", token); status != 200 || !strings.Contains(body, "late") {
			t.Errorf("%s with the position of the write: %d %s", path, status, body)
		}
		if status, body, _ := r.get(path, user, "ReadWriteConsistencyToken", "nonsense"); status != 400 {
			t.Errorf("%s with a position that is none: %d %s", path, status, body)
		}
	}
}

func TestAccess(t *testing.T) {
	r := newRig(t)
	id := r.add(alice, 10, "hers", nil).String()
	gone := r.add(alice, 11, "deleted", func(it *carillon.Item) { it.State.Deleted = true }).String()
	bob := r.add(carillon.User{Host: alice.Host, ID: "dev.bob"}, 10, "his", nil).String()
	sub := auth.Subscription{User: alice, Installation: "phone", Incarnation: 5, Expires: 1 << 42}
	left, foreign, old := sub, sub, sub
	left.Incarnation, foreign.User.Host, old.Expires = 4, "two.example.com", 1000
	me, hers, list, deliveries := "/beta/me/notifications/"+id, "/beta/users/dev.alice/notifications/"+id, "/beta/me/notifications", "/api/v1/users/dev.alice/notifications/"+id+"/deliveries"
	for name, tt := range map[string]struct {
		path   string
		who    auth.DevClaims
		uns    string
		status int
		says   string
	}{
		"user":                       {me, user, "", 200, ""},
		"user by id":                 {hers, user, "", 200, ""},
		"another user":               {hers, auth.DevClaims{User: "bob", Client: "one"}, "", 403, "its own user"},
		"another's id as mine":       {"/beta/me/notifications/" + bob, user, "", 404, "no notification"},
		"app":                        {hers, app, "", 200, ""},
		"app on me":                  {me, app, "", 400, "X-UNS-ID"},
		"app on me, subscribed":      {me, app, r.subs.Seal(sub), 200, ""},
		"left":                       {me, app, r.subs.Seal(left), 403, "revoked"},
		"expired":                    {me, app, r.subs.Seal(old), 403, "expired"},
		"malformed":                  {me, app, "x", 403, "malformed"},
		"a host that is not the app": {me, app, r.subs.Seal(foreign), 403, "may not act"},
		"app without a host":         {hers, auth.DevClaims{Client: "nobody"}, "", 403, "may act for no host"},
		"user of such an app":        {me, auth.DevClaims{User: "alice", Client: "nobody"}, "", 403, "may act for no host"},
		"two hosts":                  {hers, auth.DevClaims{Client: "both"}, "", 400, "app.example.com, two.example.com"},
		"two hosts, one named":       {hers + "?host=APP.example.com", auth.DevClaims{Client: "both"}, "", 200, ""},
		"by the other name":          {hers + "?targetHostName=two.example.com", auth.DevClaims{Client: "both"}, "", 404, ""},
		"a host of another":          {hers + "?host=two.example.com", app, "", 403, "may not act for"},
		"admin only":                 {hers, auth.DevClaims{Admin: true}, "", 403, "needs the role"},
		"deleted":                    {"/beta/me/notifications/" + gone, user, "", 404, "deleted"},
		"never was":                  {"/beta/me/notifications/01234567-89ab-8def-8123-456789abcdef", user, "", 404, ""},
		"no id":                      {"/beta/me/notifications/x", user, "", 400, "UUID"},
		"bad user":                   {"/beta/users/a%20b/notifications/" + id, app, "", 400, "user id"},
		"nobody at all":              {"/beta/users/dev.nobody/notifications/" + id, app, "", 404, ""},
		"list":                       {list, user, "", 200, ""},
		"top":                        {list + "?$top=1001", user, "", 400, "$top"},
		"not a number":               {list + "?$top=x", user, "", 400, "$top"},
		"filter":                     {list + "?$filter=readState%20eq%20true", user, "", 200, ""},
		"no such option":             {list + "?$nope=1", user, "", 400, "$nope"},
		"deliveries":                 {deliveries, app, "", 200, ""},
		"deliveries are the app's":   {deliveries, user, "", 403, "not a user's"},
		"wrong prefix":               {"/beta/users/dev.alice/notifications/" + id + "/deliveries", app, "", 404, "/api/v1/users"},
	} {
		var headers []string
		if tt.uns != "" {
			headers = []string{"X-UNS-ID", tt.uns}
		}
		status, body, _ := r.get(tt.path, tt.who, headers...)
		if status != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	for _, bad := range []string{"", "Bearer", "Basic YTpi", "Bearer x.y.z"} {
		if status, body, h := r.get(me, user, "Authorization", bad); status != 401 || h.Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d %s", bad, status, body)
		}
	}
}

func TestList(t *testing.T) {
	r := newRig(t)
	for i := range int64(250) {
		r.add(alice, i, "n", func(it *carillon.Item) { it.State.Deleted = i%2 == 1 })
	}
	for query, want := range map[string]int{"": 100, "?$top=0": 0, "?$top=1": 1, "?$top=110": 110, "?%24top=1000": 125} {
		status, body, _ := r.get("/beta/me/notifications"+query, user)
		var got struct {
			Context string `json:"@odata.context"`
			Value   []struct {
				Created string `json:"creationDateTime"`
			} `json:"value"`
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
			t.Fatal(query, status, err, body)
		}
		if len(got.Value) != want || got.Context != r.url+"/beta/$metadata#users('dev.alice')/notifications" {
			t.Errorf("%q: %d of %d, %s", query, len(got.Value), want, got.Context)
		}
		for i := 1; i < len(got.Value); i++ {
			if got.Value[i].Created >= got.Value[i-1].Created {
				t.Fatalf("%q: not the newest first", query)
			}
		}
	}
	if _, body, _ := r.get("/beta/users/dev.carol/notifications", app); !strings.HasSuffix(body, `"value":[]}`) {
		t.Error(body)
	}
}

func TestDeliveries(t *testing.T) {
	r := newRig(t)
	id := r.add(alice, 10, "x", func(it *carillon.Item) {
		it.Deliveries = []carillon.Delivery{
			{
				Endpoint: "phone", Platform: carillon.IOS, Kind: carillon.KindAlert, Attempts: 2, Handed: it.Planned + 1, Answered: it.Planned + 9,
				Outcome: carillon.Outcome{Class: carillon.Gone, Reason: "Unregistered", Status: 410}, Opened: it.Planned + 3000,
			},
			{Endpoint: "pc", Platform: carillon.Windows, Kind: carillon.KindTap, Hint: carillon.HintParked, Parked: it.Planned + 1},
			{Endpoint: "tab", Platform: carillon.Android, Kind: carillon.KindAlert, Hint: carillon.HintDue, Due: it.Planned + 500},
		}
		it.State = carillon.State{Read: true, ReadSeq: carillon.MakeSeq(1, 20), Changed: it.Planned + 900}
	})
	r.store.sync.Endpoints = []carillon.EndpointSync{
		{Endpoint: "phone", Owed: carillon.MakeSeq(1, 20), Cleared: carillon.MakeSeq(1, 20), Acked: carillon.MakeSeq(1, 10), Told: carillon.Trail{{Seq: carillon.MakeSeq(1, 20), At: 1_795_000_004_000}}},
		{Endpoint: "pc", Owed: carillon.MakeSeq(1, 20), Cleared: carillon.MakeSeq(1, 19), Acked: carillon.MakeSeq(1, 9)},
		{Endpoint: "tab", Incarnation: 7, Owed: carillon.MakeSeq(1, 20), Acked: carillon.MakeSeq(1, 99)},
		{Endpoint: "watch", Incarnation: 7, Acked: carillon.MakeSeq(1, 30), Seen: carillon.Trail{{Seq: carillon.MakeSeq(1, 30), At: 1_795_000_006_000}}},
	}
	r.store.endpoints[alice] = []carillon.Endpoint{
		{ID: "pc", Platform: carillon.Windows, Expires: 1 << 50}, // as it was planned for
		{ID: "tab", Platform: carillon.Android, Expires: 1 << 50, Incarnation: carillon.MakeSeq(1, 12)},
		{ID: "watch", Platform: carillon.Polling, Expires: 1 << 50, Incarnation: 7},
		{ID: "mac", Platform: carillon.IOS, Expires: 1 << 50, Incarnation: 7, Push: carillon.NoPush},
	}
	const want = `{"id":"ID","targetHostName":"app.example.com","userId":"dev.alice","position":"AQADAAAQAAAAAAo",` +
		`"acceptedDateTime":"2026-11-18T11:06:40.010Z","journalledDateTime":"2026-11-18T11:06:40.012Z","plannedDateTime":"2026-11-18T11:06:40.015Z",` +
		`"expirationDateTime":"2026-11-25T09:46:40.000Z","readState":true,"userActionState":"NoInteraction",` +
		`"changedDateTime":"2026-11-18T11:06:40.915Z","deliveries":[` +
		`{"endpoint":"phone","platform":"ios","kind":"alert","outcome":"gone","terminal":true,"reason":"Unregistered","status":410,"attempts":2,` +
		`"handedDateTime":"2026-11-18T11:06:40.016Z","answeredDateTime":"2026-11-18T11:06:40.024Z","incarnation":"AQADAAAAAAAAAAA","parkedDateTime":null,"waits":null,` +
		`"fetched":true,"fetchedDateTime":"2026-11-18T11:06:43.015Z","openedDateTime":"2026-11-18T11:06:43.015Z","clear":"cleared","clearedDateTime":"2026-11-18T11:06:44.000Z"},` +
		`{"endpoint":"pc","platform":"windows","kind":"tap","outcome":"open","terminal":false,"reason":null,"status":null,"attempts":0,` +
		`"handedDateTime":null,"answeredDateTime":null,"incarnation":"AQADAAAAAAAAAAA","parkedDateTime":"2026-11-18T11:06:40.016Z","waits":"parked","vendor":"throttled","nextAttemptDateTime":"2026-11-18T11:21:40.000Z",` +
		`"fetched":false,"fetchedDateTime":null,"openedDateTime":null,"clear":"owed","clearedDateTime":null},` +
		`{"endpoint":"tab","platform":"android","kind":"alert","outcome":"open","terminal":false,"reason":null,"status":null,"attempts":0,` +
		`"handedDateTime":null,"answeredDateTime":null,"incarnation":"AQADAAAAAAAAAAA","parkedDateTime":null,"waits":"due","nextAttemptDateTime":"2026-11-18T11:06:40.515Z",` +
		`"fetched":false,"fetchedDateTime":null,"openedDateTime":null,"clear":null,"clearedDateTime":null}],"notPlanned":[` +
		`{"endpoint":"tab","platform":"android","reason":"registeredLater","fetched":false,"fetchedDateTime":null},` +
		`{"endpoint":"watch","platform":"polling","reason":"polling","fetched":true,"fetchedDateTime":"2026-11-18T11:06:46.000Z"},` +
		`{"endpoint":"mac","platform":"ios","reason":"noPush","fetched":false,"fetchedDateTime":null}]}`
	status, body, _ := r.get("/api/v1/users/dev.alice/notifications/"+id.String()+"/deliveries", app)
	if status != 200 || body != strings.Replace(want, "ID", id.String(), 1) {
		t.Errorf("%d\n%s\nwant\n%s", status, body, want)
	}
	none := r.add(alice, 11, "history", nil)
	if _, body, _ := r.get("/api/v1/users/dev.alice/notifications/"+none.String()+"/deliveries", app); !strings.Contains(body, "it is history") {
		t.Error(body)
	}
	if status, body, _ := r.get("/api/v1/users/dev.alice/notifications/7d6c42d3-0777-4923-9d2d-4580c2803df4/deliveries", app); status != 404 {
		t.Errorf("an unknown id: %d %s", status, body)
	}
	if status, body, _ := r.get("/api/v1/users/dev.bob/notifications/"+id.String()+"/deliveries", app); status != 404 {
		t.Errorf("another user's: %d %s", status, body)
	}
}
