package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carillon/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// against makes a client of a server that answers so.
func against(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	hc := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(hc.CloseIdleConnections)
	c, err := client.New(s.URL, client.Options{
		Token: func(context.Context) (string, error) { return "t", nil }, HTTP: hc, Backoff: time.Millisecond, BulkLines: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func note() *client.Notification {
	return &client.Notification{TargetHostName: "a.localhost", Payload: client.Payload{RawContent: "x"}}
}

// A send whose answer is lost is repeated under the same key.
func TestSendIsRepeatedUnderItsKey(t *testing.T) {
	var keys []string
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t" || r.URL.EscapedPath() != "/beta/users/ex.a%2Fb/notifications" {
			t.Errorf("asked for %s as %q", r.URL.EscapedPath(), r.Header.Get("Authorization"))
		}
		switch keys = append(keys, r.Header.Get("Idempotency-Key")); len(keys) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			w.WriteHeader(http.StatusConflict) // the first is under way
		default:
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"id":"n","groupName":null,"lastModifiedDateTime":null,"readState":false,"userActionState":"NoInteraction","status":"Active"}`)
		}
	})
	it, err := c.Sender().Send(t.Context(), client.To{UserID: "ex.a/b"}, note(), "")
	if err != nil || it.ID != "n" || client.Decide(it) != client.Show {
		t.Fatalf("%+v, %v", it, err)
	}
	if len(keys) != 4 || keys[0] == "" || slices.ContainsFunc(keys, func(k string) bool { return k != keys[0] }) {
		t.Errorf("keys %q", keys)
	}
}

// A refusal comes back typed, at once.
func TestRefusal(t *testing.T) {
	calls := 0
	c := against(t, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.Header().Set("Retry-After", "3600") // longer than anybody waits
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":{"code":"activityLimitReached","message":"slow down","target":"x","innerError":{"request-id":"r"}}}`)
	})
	_, err := c.Device(client.DeviceOptions{}).Get(t.Context(), "n")
	e, ok := err.(*client.Error) //nolint:errorlint // it comes unwrapped
	want := client.Error{Code: "activityLimitReached", Status: 429, Target: "x", Message: "slow down", RetryAfter: time.Hour, RequestID: "r"}
	if !ok || *e != want || calls != 1 {
		t.Errorf("%#v after %d calls", err, calls)
	}
}

// A deletion whose answer is lost finds nothing the second time.
func TestDeleteRepeated(t *testing.T) {
	calls := 0
	c := against(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 1 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusNotFound)
	})
	if err := c.Sender().Recall(t.Context(), "h", "u", "n"); err != nil {
		t.Error(err)
	}
	if err := c.Sender().Recall(t.Context(), "h", "u", "n"); err == nil {
		t.Error("what never was is no success at the first attempt")
	}
}

// Bulk: a cut answer and a line that fails for now lose and double nothing, a
// bad line fails alone, and results come in order.
func TestBulk(t *testing.T) {
	var mu sync.Mutex
	taken, calls := map[string]int{}, 0
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		calls++
		var out strings.Builder
		n := 0
		for line := range strings.Lines(string(body)) {
			n++
			var l struct {
				UserID string `json:"userId"`
				Key    string `json:"idempotencyKey"`
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil || l.Key == "" {
				t.Errorf("%q: %v", line, err)
			}
			switch {
			case l.UserID == "bad":
				fmt.Fprintf(&out, `{"error":{"code":"invalidRequest","message":"no","line":%d}}`+"\n", n)
			case calls == 1 && n == 3:
				fmt.Fprintf(&out, `{"error":{"code":"serviceNotAvailable","message":"later","line":%d}}`+"\n", n)
			default:
				if _, ok := taken[l.Key]; !ok {
					taken[l.Key] = len(taken)
				}
				fmt.Fprintf(&out, `{"id":"id-%d"}`+"\n", taken[l.Key])
			}
		}
		if calls == 3 { // taken, and cut within the answer
			w.Header().Set("Content-Length", "100000")
			_, _ = io.WriteString(w, out.String())
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, out.String()+`{"summary":{}}`+"\n")
	})
	lines := func(yield func(client.Line) bool) {
		for i := range 25 {
			user := "u"
			if i == 13 {
				user = "bad"
			}
			if !yield(client.Line{To: client.To{UserID: user}, Notification: *note()}) {
				return
			}
		}
	}
	ids, n := map[string]bool{}, 0
	for r := range c.Sender().Bulk(t.Context(), lines) {
		if r.Line != n || (r.Err != nil) != (n == 13) {
			t.Errorf("result %d: %+v", n, r)
		}
		n++
		ids[r.ID] = true
	}
	if n != 25 || len(ids) != 25 || len(taken) != 24 {
		t.Errorf("%d results, %d ids, %d taken", n, len(ids), len(taken))
	}
}

// memory is a Store.
type memory map[string][]byte

func (m memory) Load(_ context.Context, key string) ([]byte, error) { return m[key], nil }
func (m memory) Save(_ context.Context, key string, v []byte) error { m[key] = v; return nil }

// feed answers two pages, then what came since, of which one was there already.
func feed(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		entry := func(id, etag string, read bool) string {
			return fmt.Sprintf(`{"id":%q,"@odata.etag":"W/\"%s\"","readState":%v,"userActionState":"NoInteraction","status":"Active","payload":{}}`, id, etag, read)
		}
		q := r.URL.Query()
		switch {
		case q.Get("$skiptoken") == "2":
			_, _ = io.WriteString(w, `{"@carillon.position":"p1","value":[`+entry("c", "3", true)+`],"@odata.deltaLink":"http://elsewhere/beta/me/notifications/delta?$deltatoken=3"}`)
		case q.Get("$deltatoken") == "3":
			_, _ = io.WriteString(w, `{"@carillon.position":"p2","value":[`+entry("c", "3", true)+`,{"id":"a","@removed":{"reason":"deleted"}}],"@odata.deltaLink":"/x?$deltatoken=4"}`)
		case q.Get("$deltatoken") == "4":
			_, _ = io.WriteString(w, `{"@carillon.position":"p2","value":[],"@odata.deltaLink":"/x?$deltatoken=4"}`)
		case q.Get("$deltatoken") == "old":
			w.WriteHeader(http.StatusGone)
		case q.Get("host") == "a.localhost":
			_, _ = io.WriteString(w, `{"@carillon.position":"p0","value":[`+entry("a", "1", false)+","+entry("b", "2", false)+`],"@odata.nextLink":"http://elsewhere/beta/me/notifications/delta?$skiptoken=2"}`)
		default:
			t.Errorf("asked for %s", r.URL)
		}
	}
}

func told(changes []client.Change) string {
	var s []string
	for _, c := range changes {
		s = append(s, fmt.Sprintf("%d%s", c.Kind, c.ID))
	}
	return strings.Join(s, " ")
}

// A reader that is saved between the changes of a page goes on with the next.
func TestReader(t *testing.T) {
	d := against(t, feed(t)).Device(client.DeviceOptions{Host: "a.localhost"})
	r := d.Reader(client.ReaderOptions{})
	var got []string
	for range 6 {
		batch, err := r.ReadBatch(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, told(batch))
		if r, err = d.ReaderWithState(r.State()); err != nil {
			t.Fatal(err)
		}
	}
	if s := strings.Join(got, "|"); s != "0a|0b|0c|0c|1a|" || r.Position() != "p2" {
		t.Errorf("%s, at %q", s, r.Position())
	}
	for want, o := range map[string]client.ReaderOptions{
		"0a 0b": {ReadState: client.UnreadOnly}, "0c": {ReadState: client.ReadOnly}, "1a": {Status: client.DeletedOnly},
		"": {Status: client.ActiveOnly, UserAction: client.Dismissed},
	} {
		batch, err := d.Reader(o).ReadBatch(t.Context(), 10)
		if want == "1a" { // nothing deleted is told at first
			want = ""
		}
		if err != nil || told(batch) != want {
			t.Errorf("%+v: %q, %v", o, told(batch), err)
		}
	}
	r, _ = d.ReaderWithState(`{"Query":"$deltatoken=old"}`)
	if _, err := r.ReadBatch(t.Context(), 1); !client.Expired(err) {
		t.Errorf("an old place: %v", err)
	}
	if batch, err := r.ReadBatch(t.Context(), 10); err != nil || told(batch) != "0a 0b" {
		t.Errorf("after that: %q, %v", told(batch), err)
	}
}

// Pushes of every platform, as the providers' goldens have them, are known; each
// only once, and a clear fetches.
func TestProcessPush(t *testing.T) {
	for _, vendor := range []string{"apns", "fcm", "wns"} {
		for _, kind := range []string{"alert", "data", "fallback", "tap", "clears"} {
			b, err := os.ReadFile(filepath.Join("..", "provider", vendor, "testdata", kind+".golden"))
			if err != nil {
				t.Fatal(err)
			}
			_, body, _ := strings.Cut(string(b), "\n\n")
			if vendor == "fcm" {
				var m struct {
					Message json.RawMessage `json:"message"`
				}
				if err := json.Unmarshal([]byte(body), &m); err != nil {
					t.Fatal(err)
				}
				body = string(m.Message)
			}
			store := memory{}
			c := against(t, feed(t))
			d := c.Device(client.DeviceOptions{Host: "a.localhost", Store: store})
			ours, changes, err := d.ProcessPush(t.Context(), []byte(body))
			want := "001020304-0506-8708-990a-0b0c0d0e0f10"
			if kind == "tap" || kind == "clears" {
				want = "0a 0b 0c 1a" // to the end, and c once
			}
			if kind == "data" && (len(changes) != 1 || changes[0].Item.Payload.RawContent != "42") {
				t.Errorf("%s %s: %+v", vendor, kind, changes)
			}
			if !ours || err != nil || told(changes) != want {
				t.Errorf("%s %s: %v, %q, %v", vendor, kind, ours, told(changes), err)
			}
			again := c.Device(client.DeviceOptions{Host: "a.localhost", Store: store}) // after a restart
			if ours, changes, err = again.ProcessPush(t.Context(), []byte(body)); !ours || err != nil || len(changes) != 0 {
				t.Errorf("%s %s once more: %v, %q, %v", vendor, kind, ours, told(changes), err)
			}
		}
	}
	d := against(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }).Device(client.DeviceOptions{})
	for _, foreign := range []string{"", "{}", "[1]", `{"aps":{}}`, `{"data":{"a":"b"}}`, "<toast/>", "<", "action=1", "carillon?id=x"} {
		if ours, changes, err := d.ProcessPush(t.Context(), []byte(foreign)); ours || changes != nil || err != nil {
			t.Errorf("%q: %v %v %v", foreign, ours, changes, err)
		}
	}
	_, changes, err := d.ProcessPush(t.Context(), []byte(`{"carillon":{"id":"a","pos":"1","v":"2","k":"clear","ids":["a","b"]}}`))
	if err == nil || told(changes) != "2a 2b" {
		t.Errorf("a clear without the feed: %q, %v", told(changes), err)
	}
}

// A live feed that breaks goes on behind its last event.
func TestLive(t *testing.T) {
	var ids []string
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		ids = append(ids, r.Header.Get("Last-Event-ID"))
		switch len(ids) {
		case 1:
			_, _ = io.WriteString(w, "retry: 2000\n\nid: p1\n\nevent: removed\nid: p2\ndata: {\"id\":\"a\",\"@removed\":{}}\n\nevent: removed\nid: p3\nda")
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			_, _ = io.WriteString(w, ":\n\nevent: resync\ndata: {}\nid: p9\n\n")
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	var got []string
	for e, err := range c.Device(client.DeviceOptions{Host: "h"}).Live(t.Context(), "") {
		got = append(got, fmt.Sprintf("%s %v %s %v", e.ID, e.Resync, e.Change.ID, err != nil))
	}
	want := []string{"p2 false a false", "p9 true  false", " false  true"}
	if !slices.Equal(got, want) || strings.Join(ids, ",") != ",p2,p2,p9" {
		t.Errorf("%q, resumed at %q", got, ids)
	}
}

func TestDecide(t *testing.T) {
	for _, x := range []struct {
		it   client.Item
		want client.Decision
	}{
		{client.Item{Status: "Active"}, client.Show},
		{client.Item{Status: "Updated", UserActionState: client.NoInteraction}, client.Show},
		{client.Item{Status: "Active", ReadState: true}, client.Remove},
		{client.Item{Status: "Active", UserActionState: client.Snoozed}, client.Remove},
		{client.Item{Status: "Deleted"}, client.Remove},
	} {
		if got := client.Decide(&x.it); got != x.want {
			t.Errorf("%+v: %v", x.it, got)
		}
	}
}

// Every symbol in the table of the package's comment is there.
func TestTable(t *testing.T) {
	symbols, table := map[string]bool{}, ""
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		table += f.Doc.Text()
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv != nil {
					recv := n.Recv.List[0].Type
					if star, ok := recv.(*ast.StarExpr); ok {
						recv = star.X
					}
					symbols[recv.(*ast.Ident).Name+"."+n.Name.Name] = true
				}
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok {
					for _, field := range s.Fields.List {
						for _, id := range field.Names {
							symbols[n.Name.Name+"."+id.Name] = true
							if n.Name.Name == "Notification" { // Item embeds it
								symbols["Item."+id.Name] = true
							}
						}
					}
				}
			}
			return true
		})
	}
	rows := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "\t") {
			continue
		}
		rows++
		if w := strings.Fields(line); len(w) != 2 || !symbols[w[1]] {
			t.Errorf("no symbol for %q", strings.TrimSpace(line))
		}
	}
	if rows != 53 { // a row that is lost would be no missing symbol
		t.Errorf("the table has %d rows, it had 53", rows)
	}
}
