package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carillon/config"
	"carillon/internal/apitest"
	"carillon/internal/auth"
)

// planted stands in everything of alice's that has content or a name.
const planted = "PLANTED"

// principals are the kinds of callers, in the order of the table's columns.
// Alice is a user of app a; b is another app, which must never learn of her.
func principals() []struct {
	name   string
	claims auth.DevClaims
} {
	return []struct {
		name   string
		claims auth.DevClaims
	}{
		{"nobody", auth.DevClaims{}},
		{"alice", auth.DevClaims{User: "alice", Client: "a"}},
		{"bob, of the same app", auth.DevClaims{User: "bob", Client: "a"}},
		{"alice by way of app b", auth.DevClaims{User: "alice", Client: "b"}},
		{"app a", auth.DevClaims{Client: "a"}},
		{"app b", auth.DevClaims{Client: "b"}},
		{"an app that nobody onboarded", auth.DevClaims{Client: "c"}},
		{"admin", auth.DevClaims{Admin: true}},
	}
}

// access is the whole table: what each kind of caller is answered on each route,
// about alice of app a. A route that is built and has no row fails the test.
// 404 and 204 of app b are about its own alice, who has nothing.
func access() map[string]string {
	return map[string]string{
		// nobody, alice, bob, alice by b, app a, app b, another app, admin
		"DELETE /api/v1/apps/{host}":                            "401 403 403 403 403 403 403 409",
		"DELETE /api/v1/apps/{host}/credentials/{platform}":     "401 403 403 403 403 403 403 409",
		"DELETE /api/v1/me/endpoints/{installationId}":          "401 204 204 204 403 403 403 403",
		"DELETE /api/v1/users/{id}/endpoints/{installationId}":  "401 204 403 204 204 204 403 403",
		"DELETE /beta/me/notifications/{nid}":                   "401 204 404 404 400 400 400 403",
		"DELETE /beta/users/{id}/notifications/{nid}":           "401 204 403 404 204 404 403 403",
		"GET /api/v1/apps":                                      "401 403 403 403 403 403 403 200",
		"GET /api/v1/apps/{host}":                               "401 403 403 403 403 403 403 200",
		"GET /api/v1/endpoints":                                 "401 403 403 403 200 200 403 403",
		"GET /api/v1/me/endpoints":                              "401 200 200 200 403 403 403 403",
		"GET /api/v1/me/feed/events":                            "401 200 200 200 400 400 400 403",
		"GET /api/v1/outcomes":                                  "401 403 403 403 200 200 403 403",
		"GET /api/v1/users/{id}/endpoints":                      "401 200 403 200 200 200 403 403",
		"GET /api/v1/users/{id}/feed/events":                    "401 200 403 200 200 200 403 403",
		"GET /api/v1/users/{id}/notifications/{nid}/deliveries": "401 403 403 403 200 404 403 403",
		"GET /beta/me/notifications":                            "401 200 200 200 400 400 400 403",
		"GET /beta/me/notifications/$count":                     "401 200 200 200 400 400 400 403",
		"GET /beta/me/notifications/delta":                      "401 200 200 200 400 400 400 403",
		"GET /beta/me/notifications/{nid}":                      "401 200 404 404 400 400 400 403",
		"GET /beta/users/{id}/notifications":                    "401 200 403 200 200 200 403 403",
		"GET /beta/users/{id}/notifications/$count":             "401 200 403 200 200 200 403 403",
		"GET /beta/users/{id}/notifications/delta":              "401 200 403 200 200 200 403 403",
		"GET /beta/users/{id}/notifications/{nid}":              "401 200 403 404 200 404 403 403",
		"GET /openapi.json":                                     "200 200 200 200 200 200 200 200",
		"GET /api/v1/broadcasts":                                "401 403 403 403 200 200 403 403",
		"GET /api/v1/broadcasts/{bid}":                          "401 403 403 403 200 404 404 403",
		"PATCH /api/v1/broadcasts/{bid}":                        "401 403 403 403 200 404 404 403",
		"POST /api/v1/broadcasts":                               "401 403 403 403 202 403 403 403",
		"PATCH /api/v1/apps/{host}":                             "401 403 403 403 403 403 403 200",
		"PATCH /beta/me/notifications/{nid}":                    "401 200 404 404 400 400 400 403",
		"PATCH /beta/users/{id}/notifications/{nid}":            "401 200 403 404 200 404 403 403",
		"POST /api/v1/endpoints":                                "401 403 403 403 200:done 200:refused 200:refused 403",
		"POST /api/v1/me/feed/ack":                              "401 400 400 400 400 400 400 403",
		"POST /api/v1/me/feed/tickets":                          "401 201 201 201 400 400 400 403",
		"POST /api/v1/me/notifications/state":                   "401 202 202 202 400 400 400 403",
		"POST /api/v1/notifications":                            "401 403 403 403 200:done 200:refused 200:refused 403",
		"POST /api/v1/users/{id}/feed/ack":                      "401 400 403 400 400 400 403 403",
		"POST /api/v1/users/{id}/feed/tickets":                  "401 201 403 201 201 201 403 403",
		"POST /api/v1/users/{id}/notifications/state":           "401 202 403 202 202 202 403 403",
		"POST /beta/$batch":                                     "401 200:done 200:refused 200:done 200:done 200:done 200:refused 200:refused",
		"POST /beta/me/notifications":                           "401 201 201 403 400 403 403 403",
		"POST /beta/users/{id}/notifications":                   "401 201 403 403 201 403 403 403",
		"PUT /api/v1/apps/{host}":                               "401 403 403 403 403 403 403 409",
		"PUT /api/v1/apps/{host}/clients":                       "401 403 403 403 403 403 403 409",
		"PUT /api/v1/apps/{host}/quota":                         "401 403 403 403 403 403 403 409",
		"PUT /api/v1/apps/{host}/credentials/{platform}":        "401 403 403 403 403 403 403 409",
		"PUT /api/v1/apps/{host}/identities":                    "401 403 403 403 403 403 403 409",
		"PUT /api/v1/me/endpoints/{installationId}":             "401 200 200 403 403 403 403 403",
		"PUT /api/v1/users/{id}/endpoints/{installationId}":     "401 200 403 403 200 403 403 403",

		"DELETE /api/v1/me":             "401 202 202 202 400 400 400 403",
		"DELETE /api/v1/users/{id}":     "401 202 403 202 202 202 403 403",
		"GET /api/v1/me/export":         "401 200 200 200 400 400 400 403",
		"GET /api/v1/users/{id}/export": "401 200 403 200 200 200 403 403",

		"DELETE /api/v1/apps/{host}/credentials/{platform}/{set}": "401 403 403 403 403 403 403 409",
		"PUT /api/v1/apps/{host}/credentials/{platform}/{set}":    "401 403 403 403 403 403 403 409",
	}
}

// bodies are what routes that take one are sent.
func bodies() map[string]string {
	const note = `{"targetHostName":"a.localhost","payload":{"rawContent":"hello"}}`
	return map[string]string{
		"POST /beta/me/notifications":                       note,
		"POST /beta/users/{id}/notifications":               note,
		"PATCH /beta/me/notifications/{nid}":                `{"readState":true}`,
		"PATCH /beta/users/{id}/notifications/{nid}":        `{"readState":true}`,
		"POST /api/v1/me/notifications/state":               `{"ids":["NID"],"readState":true}`,
		"POST /api/v1/users/{id}/notifications/state":       `{"ids":["NID"],"readState":true}`,
		"POST /api/v1/notifications":                        `{"userId":"dev.alice",` + note[1:] + "\n",
		"POST /api/v1/endpoints":                            `{"userId":"dev.zoe","installationId":"x","host":"a.localhost","platform":"polling"}` + "\n",
		"PUT /api/v1/me/endpoints/{installationId}":         `{"host":"a.localhost","platform":"polling"}`,
		"PUT /api/v1/users/{id}/endpoints/{installationId}": `{"host":"a.localhost","platform":"polling"}`,
		"POST /beta/$batch":                                 `{"requests":[{"id":"1","method":"GET","url":"/users/dev.alice/notifications"}]}`,
		"PUT /api/v1/apps/{host}/clients":                   `{"clients":["a"]}`,
		"PUT /api/v1/apps/{host}/quota":                     `{"perSecond":1}`,
		"PATCH /api/v1/broadcasts/{bid}":                    `{"state":"cancelled"}`,
		"POST /api/v1/broadcasts":                           `{"userIds":["dev.alice"],"notification":` + note + `}`,
		"PATCH /api/v1/apps/{host}":                         `{"state":"running"}`,
		"PUT /api/v1/apps/{host}/identities":                `{"identities":[]}`,
		"PUT /api/v1/apps/{host}/credentials/{platform}":    `{}`,

		"PUT /api/v1/apps/{host}/credentials/{platform}/{set}": `{}`,

		"POST /api/v1/me/feed/ack":         `{"position":"POS"}`,
		"POST /api/v1/users/{id}/feed/ack": `{"position":"POS"}`,
	}
}

// TestTenants is every route by every kind of caller: an app can never read, send
// to or learn of another app's users.
func TestTenants(t *testing.T) { serving(t, tenants) }

// serving runs everything with two onboarded apps while a test looks at it.
func serving(t *testing.T, look func(ctx context.Context, t *testing.T, s *system)) {
	t.Helper()
	if _, err := apitest.Load(); err != nil { // a Fatal in look would leave the system running
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "carillon.yaml")
	if err := os.WriteFile(file, []byte("apps:\n  - {host: a.localhost, clients: [a]}\n  - {host: b.localhost, clients: [b]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var o config.Options
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	o.Flags(fs)
	if err := fs.Parse([]string{"--data", t.TempDir(), "--config", file, "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	e := &env{stdout: io.Discard, stderr: io.Discard}
	cfg, err := e.load(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.serve(t.Context(), cfg, slog.New(slog.DiscardHandler), func(ctx context.Context, s *system) error {
		look(ctx, t, s)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// erases is 1 for a route that erases a user.
func erases(route string) int {
	if route == "DELETE /api/v1/me" || route == "DELETE /api/v1/users/{id}" {
		return 1
	}
	return 0
}

// within is what an answer that holds several says of the first of them.
func within(route string, status int, body string) string {
	switch route {
	case "POST /api/v1/notifications", "POST /api/v1/endpoints", "POST /beta/$batch":
	default:
		return ""
	}
	if status != 200 {
		return ""
	}
	for _, said := range []string{`"status":403`, `"status":404`, `"accessDenied"`} {
		if strings.Contains(body, said) {
			return ":refused"
		}
	}
	return ":done"
}

func tenants(ctx context.Context, t *testing.T, s *system) {
	t.Helper()
	tr := apitest.Transport(t, nil)
	asks := func(claims auth.DevClaims, method, path, body string) (int, string, http.Header) {
		req, err := http.NewRequestWithContext(ctx, method, s.doors.URL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if claims.User+claims.Client != "" || claims.Admin {
			token, err := s.issuer.Issue(claims)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
		}
		req.Header.Set("Content-Type", "application/json")
		if method+" "+path == "POST /api/v1/notifications" || method+" "+path == "POST /api/v1/endpoints" {
			req.Header.Set("Content-Type", "application/x-ndjson")
		}
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer func() { _ = res.Body.Close() }()
		if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
			return res.StatusCode, "", res.Header
		}
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return res.StatusCode, string(b), res.Header
	}
	alice := auth.DevClaims{User: "alice", Client: "a"}
	send := func() (id, position string) {
		t.Helper()
		status, body, h := asks(alice, "POST", "/beta/me/notifications", `{"targetHostName":"a.localhost","payload":{"rawContent":"`+planted+`"}}`)
		if status != 201 {
			t.Fatal(status, body)
		}
		_, id, _ = strings.Cut(h.Get("Location"), "notifications/")
		return id, h.Get("ReadWriteConsistencyToken")
	}
	id, position := send()
	asks(alice, "PUT", "/api/v1/me/endpoints/"+planted, bodies()["PUT /api/v1/me/endpoints/{installationId}"])
	if status, body, _ := asks(alice, "GET", "/beta/me/notifications/"+id, ""); status != 200 {
		t.Fatal(status, body)
	}
	status, body, _ := asks(auth.DevClaims{Client: "a"}, "POST", "/api/v1/broadcasts",
		`{"key":"`+planted+`","userIds":["dev.alice"],"notification":{"targetHostName":"a.localhost","payload":{"rawContent":"hello"}}}`)
	var cast struct{ ID string }
	if err := json.Unmarshal([]byte(body), &cast); status != 202 || err != nil {
		t.Fatal(status, body)
	}
	table, rows := access(), map[string]string{}
	routes := s.doors.Router().Routes()
	slices.SortStableFunc(routes, func(a, b string) int { return cmp.Compare(erases(a), erases(b)) }) // after that nothing is left to ask for
	for _, route := range routes {
		method, pattern, _ := strings.Cut(route, " ")
		var row []string
		for _, who := range principals() {
			if method == "DELETE" && strings.HasSuffix(pattern, "{nid}") {
				id, position = send()
			}
			fill := strings.NewReplacer("{id}", "dev.alice", "{nid}", id, "{bid}", cast.ID, "{installationId}", planted, "{host}", "a.localhost", "{platform}", "ios", "{set}", "dev", "NID", id, "POS", position)
			status, body, _ := asks(who.claims, method, fill.Replace(pattern), fill.Replace(bodies()[route]))
			row = append(row, fmt.Sprint(status)+within(route, status, body))
			may := who.name == "alice" || who.name == "app a"
			if !may && strings.Contains(strings.ReplaceAll(body, "/"+planted, ""), planted) && !strings.Contains(route, "{installationId}") {
				t.Errorf("%s tells %s of alice: %s", route, who.name, body)
			}
		}
		rows[route] = strings.Join(row, " ")
		if want, ok := table[route]; !ok || want != rows[route] {
			t.Errorf("%-60s %q, the table has %q", route, rows[route], want)
		}
	}
	for _, route := range slices.Sorted(maps.Keys(table)) {
		if rows[route] == "" {
			t.Errorf("%s is in the table and is no route", route)
		}
	}
}
