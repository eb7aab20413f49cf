package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carillon"
	"carillon/gateway"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// castTable applies what is put at once.
type castTable struct{ casts *gateway.Broadcasts }

func (l castTable) Put(_ context.Context, rows ...journal.Row) error {
	l.casts.Apply(rows)
	return nil
}

func newCastRig(t *testing.T) (r *rig, states map[string]carillon.Steering) {
	t.Helper()
	states = map[string]carillon.Steering{}
	casts := gateway.NewBroadcasts(func(_, id string, s carillon.Steering) { states[id] = s }, slog.New(slog.DiscardHandler))
	return newRigWith(t, gateway.Config{}, func(d *gateway.Deps) {
		d.Broadcasts, d.Table = casts, castTable{casts}
		d.BroadcastPace = func(string, string) carillon.BroadcastPace {
			return carillon.BroadcastPace{PerSecond: 4, Bound: "provider"}
		}
		d.Progress = func(int32) (carillon.Progress, error) { return carillon.Progress{}, nil }
		d.BroadcastCounts = func(string, string) (carillon.BroadcastCounts, error) {
			return carillon.BroadcastCounts{Notifications: 2, Planned: 3, Terminal: [carillon.Classes]int64{carillon.Accepted: 1}}, nil
		}
	}), states
}

func TestBroadcastDoor(t *testing.T) {
	r, states := newCastRig(t)
	tok := r.app()
	const note = `"notification":{"targetHostName":"app.example.com","payload":{"rawContent":"hello"}}`
	a := r.want(r.call("POST", "/api/v1/broadcasts", tok, `{"key":"spring","userIds":["dev.alice","dev.bob"],`+note+`}`), 202)
	id := a.str("id")
	if a.header.Get("Location") != "/api/v1/broadcasts/"+id || !strings.Contains(string(a.body), `"accepted":2,"whole":true`) || !strings.Contains(string(a.body), `"waiting":2`) {
		t.Errorf("%s", a.body)
	}
	first := r.journal.all()
	lines := "{\"key\":\"spring\"," + note + "}\n\"dev.bob\"\n\n{\"userId\":\"dev.alice\"}"
	if b := r.want(r.call("POST", "/api/v1/broadcasts", tok, lines, "Content-Type", "application/x-ndjson"), 202); b.str("id") != id {
		t.Errorf("posted again: %s", b.body)
	}
	again := r.journal.all()[len(first):]
	if len(first) != 2 || len(again) != 2 || first[0].key != again[1].key || first[0].rec.Notification.ID != again[1].rec.Notification.ID ||
		first[0].rec.Notification.Broadcast != id || first[0].rec.Notification.Expires != again[1].rec.Notification.Expires || first[0].rec.HasRID {
		t.Errorf("journalled %+v and %+v", first, again)
	}
	for _, tt := range []struct {
		body   string
		status int
		target string
		says   string
	}{
		{`{"key":"spring","userIds":[],` + strings.Replace(note, "hello", "bye", 1) + `}`, 422, "key", "another content"},
		{`{"userIds":["dev.alice",""],` + note + `}`, 400, "userId", "user 2"},
		{`{"users":[],` + note + `}`, 400, "", "no member"},
		{`{"userIds":["dev.alice"]}`, 400, "", "empty"},
		{`{"key":"lines",` + note + "}\n\"dev.alice\"", 400, "", "x-ndjson"},
		{`{"notification":{"targetHostName":"app.example.com","payload":{}}}`, 400, "notification.payload", "rawContent"},
		{`{"userIds":["dev.alice"],` + strings.Replace(note, "app.example", "foreign.example", 1) + `}`, 403, "notification.targetHostName", "may not act"},
	} {
		r.refused(r.call("POST", "/api/v1/broadcasts", tok, tt.body), tt.status, tt.target, tt.says)
	}
	r.refused(r.call("POST", "/api/v1/broadcasts", tok, lines+"\n17\n", "Content-Type", "application/x-ndjson"), 400, "userId", "line 5")
	r.refused(r.call("POST", "/api/v1/broadcasts", tok, lines+"\n{\"user\":\"dev.bob\"}\n", "Content-Type", "application/x-ndjson"), 400, "userId", "line 5")
	r.refused(r.call("POST", "/api/v1/broadcasts", tok, strings.Replace(lines, "}\n", "} x\n", 1), "Content-Type", "application/x-ndjson"), 400, "", "line of its own")
	r.refused(r.call("POST", "/api/v1/broadcasts?validateOnly=true", tok, lines, "Content-Type", "application/x-ndjson"), 400, "validateOnly", "would be sent")
	if a := r.want(r.call("POST", "/api/v1/broadcasts", tok, strings.Replace(lines, `"key":"spring",`, "", 1), "Content-Type", "application/x-ndjson", "Idempotency-Key", "spring"), 202); a.str("id") != id {
		t.Errorf("by its header: %s", a.body)
	}
	r.refused(r.call("POST", "/api/v1/broadcasts", tok, lines, "Content-Type", "application/x-ndjson", "Idempotency-Key", "other"), 400, "Idempotency-Key", "differs")
	path := "/api/v1/broadcasts/" + id
	if a := r.want(r.call("GET", path, tok, ""), 200); !strings.Contains(string(a.body), `"whole":true`) {
		t.Errorf("after repeats that brought nothing: %s", a.body)
	}
	r.refused(r.call("GET", path, r.token(auth.DevClaims{Client: "client-3"}), ""), 404, "id", "no broadcast")
	r.refused(r.call("PATCH", path, tok, `{"state":"gone"}`), 400, "state", "gone")
	for range 2 {
		if a := r.want(r.call("PATCH", path, tok, `{"state":"cancelled"}`), 200); a.str("state") != "cancelled" || states[id].State != carillon.BroadcastCancelled {
			t.Errorf("%s", a.body)
		}
	}
	r.refused(r.call("PATCH", path, tok, `{"state":"running"}`), 409, "state", "for good")
	r.refused(r.call("POST", "/api/v1/broadcasts", tok, lines, "Content-Type", "application/x-ndjson"), 409, "key", "cancelled")
}

// A broadcast is paused, paced, let go on and recalled by its app, each as often as
// it is said; cancelled is for good.
func TestBroadcastSteered(t *testing.T) {
	r, states := newCastRig(t)
	tok := r.app()
	const body = `{"key":"spring","userIds":["dev.alice"],"notification":{"targetHostName":"app.example.com","payload":{"rawContent":"hello"}}}`
	id := r.want(r.call("POST", "/api/v1/broadcasts", tok, body), 202).str("id")
	path := "/api/v1/broadcasts/" + id
	for _, tt := range []struct {
		body, state, says string
		to                carillon.Steering
	}{
		{`{"state":"paused"}`, "paused", `"boundBy":"paused"`, carillon.Steering{State: carillon.BroadcastPaused}},
		{`{"state":"paused","maxPerSecond":50}`, "paused", `"maxPerSecond":50`, carillon.Steering{State: carillon.BroadcastPaused, MaxPerSecond: 50}},
		{`{"state":"running"}`, "running", `"boundBy":"provider"`, carillon.Steering{MaxPerSecond: 50}},
		{`{"maxPerSecond":50.0}`, "running", `"maxPerSecond":50`, carillon.Steering{MaxPerSecond: 50}},
		{`{"maxPerSecond":null}`, "running", `"ratePerSecond":4,"etaDateTime":`, carillon.Steering{}},
		{`{"recall":true}`, "cancelled", `"recall":{"state":"running"`, carillon.Steering{State: carillon.BroadcastCancelled, Recalled: true}},
		{`{"state":"cancelled","recall":true}`, "cancelled", `"recall":{"state":"running"`, carillon.Steering{State: carillon.BroadcastCancelled, Recalled: true}},
	} {
		a := r.want(r.call("PATCH", path, tok, tt.body), 200)
		if a.str("state") != tt.state || states[id] != tt.to || !strings.Contains(string(a.body), tt.says) {
			t.Errorf("%s: %+v, %s", tt.body, states[id], a.body)
		}
	}
	for body, tt := range map[string]struct {
		status int
		target string
	}{
		`{}`:                                {400, ""},
		`{"state":"running"}`:               {409, "state"},
		`{"state":"running","recall":true}`: {400, "state"},
		`{"maxPerSecond":5}`:                {409, "maxPerSecond"},
		`{"state":"stopped"}`:               {400, "state"},
	} {
		r.refused(r.call("PATCH", path, tok, body), tt.status, tt.target, "")
	}
	other := "/api/v1/broadcasts/" + r.want(r.call("POST", "/api/v1/broadcasts", tok, strings.Replace(body, "spring", "summer", 1)), 202).str("id")
	for _, body := range []string{`{"maxPerSecond":0}`, `{"maxPerSecond":1.5}`, `{"maxPerSecond":"fast"}`, `{"maxPerSecond":1000001}`} {
		r.refused(r.call("PATCH", other, tok, body), 400, "maxPerSecond", "from 1 to")
	}
}

// The list has an app's own broadcasts, the newest first, page by page.
func TestBroadcastList(t *testing.T) {
	r, _ := newCastRig(t)
	tok := r.app()
	want := map[string]bool{}
	for i := range 5 {
		body := fmt.Sprintf(`{"key":"k%d","userIds":["dev.alice"],"notification":{"targetHostName":"app.example.com","payload":{"rawContent":"hello"}}}`, i)
		want[r.want(r.call("POST", "/api/v1/broadcasts", tok, body), 202).str("id")] = true
	}
	pages, next := 0, "/api/v1/broadcasts?host=app.example.com&$top=2"
	for ; next != ""; pages++ {
		var page struct {
			Next  string `json:"@odata.nextLink"`
			Value []struct{ ID string }
		}
		a := r.want(r.call("GET", next, tok, ""), 200)
		if err := json.Unmarshal(a.body, &page); err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Value {
			if !want[v.ID] {
				t.Errorf("%s is twice or foreign", v.ID)
			}
			delete(want, v.ID)
		}
		_, next, _ = strings.Cut(page.Next, "/api/v1")
		if next != "" {
			next = "/api/v1" + next
		}
	}
	if len(want) != 0 || pages != 3 {
		t.Errorf("%d were left out, in %d pages", len(want), pages)
	}
	r.refused(r.call("GET", "/api/v1/broadcasts?host=app.example.com&$top=0", tok, ""), 400, "$top", "1 to 100")
	r.refused(r.call("GET", "/api/v1/broadcasts?host=app.example.com&$skiptoken=x", tok, ""), 400, "$skiptoken", "nextLink")
	r.refused(r.call("GET", "/api/v1/broadcasts?host=foreign.example.com", tok, ""), 403, "host", "may not act")
}

// What is refused before any user is journalled leaves nothing behind that counts.
func TestBroadcastRefusedLeavesNothing(t *testing.T) {
	r, states := newCastRig(t)
	for range 3 {
		r.refused(r.call("POST", "/api/v1/broadcasts", r.app(), `{"userIds":["dev.alice",""],"notification":{"targetHostName":"app.example.com","payload":{"rawContent":"hello"}}}`), 400, "userId", "user 2")
	}
	if n := len(r.journal.all()); n != 0 || len(states) != 0 {
		t.Errorf("%d records, %d broadcasts", n, len(states))
	}
}

// A large broadcast is journalled no faster than it settles, and stops when it is
// cancelled meanwhile: its sender waits, and not who sends beside.
func TestBroadcastKeepsBack(t *testing.T) {
	var settled, looks atomic.Uint64
	casts := gateway.NewBroadcasts(func(string, string, carillon.Steering) {}, slog.New(slog.DiscardHandler))
	r := newRigWith(t, gateway.Config{}, func(d *gateway.Deps) {
		d.Broadcasts, d.Table = casts, castTable{casts}
		d.BroadcastPace = func(string, string) carillon.BroadcastPace { return carillon.BroadcastPace{} }
		d.BroadcastCounts = func(string, string) (carillon.BroadcastCounts, error) { return carillon.BroadcastCounts{}, nil }
		d.Progress = func(p int32) (carillon.Progress, error) {
			looks.Add(1)
			return carillon.Progress{Partition: p, Settled: carillon.Seq(settled.Load())}, nil
		}
	})
	tok := r.app()
	post := func(key string) chan *answer {
		var body strings.Builder
		fmt.Fprintf(&body, `{"key":%q,"notification":{"targetHostName":"app.example.com","payload":{"rawContent":"hello"}}}`, key)
		for i := range 20_000 {
			fmt.Fprintf(&body, "\n\"dev.u%d\"", i)
		}
		done := make(chan *answer, 1)
		go func() {
			done <- r.call("POST", "/api/v1/broadcasts", tok, body.String(), "Content-Type", "application/x-ndjson")
		}()
		return done
	}
	waits := func(n int) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); len(r.journal.all()) < n; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%d are journalled, want %d", len(r.journal.all()), n)
			}
		}
	}
	first := post("first")
	waits(8192)
	for from := looks.Load(); looks.Load() < from+10; runtime.Gosched() { // it looks for what it waits for
	}
	if n := len(r.journal.all()); n != 8192 {
		t.Errorf("%d are journalled while none is settled, want two appends", n)
	}
	settled.Store(1 << 62)
	if a := <-first; a.status != 202 || len(r.journal.all()) != 20_000 {
		t.Errorf("%d of 20000: %s", len(r.journal.all()), a.body)
	}
	settled.Store(0)
	second := post("second")
	waits(28_192)
	for _, row := range casts.Rows() {
		if strings.Contains(string(row), `"second"`) {
			var b struct{ ID string }
			_ = json.Unmarshal(row, &b)
			r.want(r.call("PATCH", "/api/v1/broadcasts/"+b.ID, tok, `{"state":"cancelled"}`), 200)
		}
	}
	r.refused(<-second, 409, "key", "cancelled while")
}

// A body that stalls is answered 408, also when a part of it is journalled.
func TestBroadcastStalls(t *testing.T) {
	casts := gateway.NewBroadcasts(func(string, string, carillon.Steering) {}, slog.New(slog.DiscardHandler))
	r := newRigBehind(t, gateway.Config{}, httpapi.Config{ReadTimeout: 200 * time.Millisecond}, func(d *gateway.Deps) { d.Broadcasts, d.Table = casts, castTable{casts} })
	body, feed := io.Pipe()
	go func() {
		_, _ = io.WriteString(feed, `{"notification":{"targetHostName":"`+host+`","payload":{"visualContent":{"title":"x"}}}}`+"\n"+strings.Repeat("\"dev.a\"\n", 5000))
	}()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/api/v1/broadcasts", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.app())
	req.Header.Set("Content-Type", "application/x-ndjson")
	res, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	_ = feed.Close()
	if res.StatusCode != 408 {
		t.Errorf("%d %s", res.StatusCode, b)
	}
}
