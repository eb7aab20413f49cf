package feed_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"carillon"
	"carillon/internal/auth"
)

func (m *memory) EachEndpoint(host, after string, fn func(u carillon.User, eps []carillon.Endpoint) bool) error {
	var ids []string
	for u := range m.endpoints {
		if u.Host == host && u.ID > after {
			ids = append(ids, u.ID)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		u := carillon.User{Host: host, ID: id}
		if id == m.broken {
			return errors.New("a torn block")
		}
		if id == m.panics {
			panic("a mistake")
		}
		if !fn(u, m.endpoints[u]) {
			return nil
		}
	}
	return nil
}

func TestExport(t *testing.T) {
	r := newRig(t)
	bob := carillon.User{Host: "two.example.com", ID: "dev.bob"}
	r.store.endpoints[alice] = []carillon.Endpoint{{
		ID: "phone", Platform: carillon.IOS, Address: "c0ffee", AppID: "com.example", Environment: "sandbox", Locale: "de-CH",
		Push: carillon.TapOnly, Expires: 1_795_600_000_123, Registered: 1_795_000_000_456,
	}}
	r.store.endpoints[bob] = []carillon.Endpoint{{ID: "p", Platform: carillon.Polling, Expires: 1_795_600_000_000}}
	one := `{"userId":"dev.alice","installationId":"phone","host":"app.example.com","platform":"ios","address":"c0ffee","appId":"com.example",` +
		`"environment":"sandbox","locale":"de-CH","push":"tapOnly","expirationDateTime":"2026-11-25T09:46:40.123Z","registeredDateTime":"2026-11-18T11:06:40.456Z"}` + "\n"
	two := `{"userId":"dev.bob","installationId":"p","host":"two.example.com","platform":"polling","push":"withPayload","expirationDateTime":"2026-11-25T09:46:40.000Z"}` + "\n"
	both := auth.DevClaims{Client: "both"}
	for _, c := range []struct {
		path   string
		who    auth.DevClaims
		status int
		want   string
	}{
		{"", app, 200, one},
		{"", both, 200, one + two},
		{"?host=TWO.example.com", both, 200, two},
		{"?host=two.example.com", app, 403, "may not act for"},
		{"", user, 403, "not a user's"},
		{"", auth.DevClaims{Client: "none"}, 403, "no host"},
		{"", auth.DevClaims{Client: "one", Admin: true}, 200, one},
	} {
		status, body, h := r.get("/api/v1/endpoints"+c.path, c.who)
		if status != c.status || !strings.Contains(body, c.want) || status == 200 && body != c.want {
			t.Errorf("%q: %d %s, want %d %s", c.path, status, body, c.status, c.want)
		}
		if status == 200 && (h.Get("Content-Type") != "application/x-ndjson" || h.Get("request-id") == "") {
			t.Errorf("headers %v", h)
		}
	}
	if status, body, _ := r.call("HEAD", "/api/v1/endpoints", app); status != 200 || body != "" {
		t.Errorf("HEAD: %d %q", status, body)
	}
}

// TestExportPages exports more than a page.
func TestExportPages(t *testing.T) {
	r := newRig(t)
	const users = 5000
	r.many(users)
	if _, body, _ := r.get("/api/v1/endpoints", app); strings.Count(body, "\n") != users {
		t.Errorf("%d lines, want %d", strings.Count(body, "\n"), users)
	}
}

func (r *rig) many(users int) {
	delete(r.store.endpoints, alice)
	for i := range users {
		r.store.endpoints[carillon.User{Host: alice.Host, ID: fmt.Sprintf("u%05d", i)}] = []carillon.Endpoint{{ID: "p", Platform: carillon.Polling, Expires: 1}}
	}
}

// TestExportBreaksOff: nobody takes a part for the whole.
func TestExportBreaksOff(t *testing.T) {
	for name, fail := range map[string]func(*memory){
		"error": func(m *memory) { m.broken = "u04000" },
		"panic": func(m *memory) { m.panics = "u04000" },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.many(5000)
			fail(r.store)
			token, err := r.dev.Issue(app)
			if err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url+"/api/v1/endpoints", nil)
			req.Header.Set("Authorization", "Bearer "+token)
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			res, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if _, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("a part was taken for the whole: %v", err)
			}
		})
	}
}
