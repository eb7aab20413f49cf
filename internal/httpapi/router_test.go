package httpapi_test

import (
	"io"
	"strings"
	"testing"

	"carillon/internal/httpapi"
)

// say answers with the pattern and the parameters.
func say(r *httpapi.Request) error {
	b := r.Pattern()
	for _, p := range []string{"id", "nid"} {
		if v := r.Param(p); v != "" {
			b += " " + p + "=" + v
		}
	}
	r.JSON(200, []byte(b))
	return nil
}

func TestRoutes(t *testing.T) {
	s, _ := start(t, httpapi.Config{}, quiet(), func(rt *httpapi.Router) {
		for _, p := range []string{
			"/beta/me/notifications", "/beta/me/notifications/{nid}", "/beta/me/notifications/delta", "/beta/users/{id}/notifications/{nid}",
			"/api/v1/users/{id}/notifications/{nid}/deliveries", "/api/v1/{id}/only",
		} {
			rt.Handle("GET", p, say)
		}
		rt.NotYet("GET", "/beta/me/notifications", "shadowed")
		rt.NotYet("POST", "/beta/late", "late")
		rt.Handle("POST", "/beta/late", say)
	})
	c := client(t)
	for path, want := range map[string]string{
		"/beta/me/notifications":                           "/beta/me/notifications",
		"/v1.0/me/notifications/":                          "/v1.0/me/notifications",
		"/beta/me/notifications/delta":                     "/beta/me/notifications/delta",
		"/beta/me/notifications/delta2":                    "/beta/me/notifications/{nid} nid=delta2",
		"/beta/users/dev.alice/notifications/5/":           "/beta/users/{id}/notifications/{nid} id=dev.alice nid=5",
		"/beta/users/a%2fb%20c/notifications/%7B5%7D?x=/y": "/beta/users/{id}/notifications/{nid} id=a/b c nid={5}",
		"/beta/me/notifications('5')":                      "/beta/me/notifications/{nid} nid=5",
		"/beta/me/notifications%28'it''s'%29":              "/beta/me/notifications/{nid} nid=it's",
		"/beta/me/notifications(k='5')":                    "/beta/me/notifications/{nid} nid=(k='5')",
		"/beta/users('a')/notifications('b')/":             "/beta/users/{id}/notifications/{nid} id=a nid=b",
		"/beta/me/notifications/delta()":                   "/beta/me/notifications/delta",
		"/beta/me/notifications()":                         "/beta/me/notifications",
		"/beta/users/(a)b(c)/notifications/5":              "/beta/users/{id}/notifications/{nid} id=(a)b(c) nid=5",
		"/beta/me('5')/notifications":                      "nothing lives at this path; Graph-shaped",
		"/beta/users/bad%zz/notifications/5":               "400",
		"/api/v1/users/only":                               "/api/v1/{id}/only id=users",
		"/api/v1/me/notifications":                         "this call lives under /beta: /beta/me/notifications",
		"/me/notifications":                                "this call lives under /beta: /beta/me/notifications",
		"/v1.0/users/a/notifications/n/deliveries":         "this call lives under /api/v1: /api/v1/users/a/notifications/n/deliveries",
		"/beta/users//notifications/5":                     "nothing lives at this path; Graph-shaped",
		"/beta/me/notifications//":                         "nothing lives at this path; Graph-shaped",
		"/beta/me/../me/notifications":                     "nothing lives at this path; Graph-shaped",
		"/" + strings.Repeat("a/", 100):                    "nothing lives at this path; Graph-shaped",
		"/betame/notifications":                            "nothing lives at this path; Graph-shaped",
	} {
		res, err := c.Get(s.URL() + path)
		if err != nil {
			if want != "400" {
				t.Errorf("%s: %v", path, err)
			}
			continue
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode == 200 && string(b) != want || !strings.Contains(string(b), want) {
			t.Errorf("%s: %d %s, want %s", path, res.StatusCode, b, want)
		}
	}
	res, err := c.Post(s.URL()+"/v1.0/late", "", nil)
	if err != nil || res.StatusCode != 200 {
		t.Error("a handler yields to a stub", res, err)
	}
	_ = res.Body.Close()
	res, err = c.Head(s.URL() + "/beta/me/notifications")
	if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Length") != "22" {
		t.Error("HEAD", res, err)
	}
	_ = res.Body.Close()
}

func TestRouterRefusesMistakes(t *testing.T) {
	for name, mistake := range map[string]func(*httpapi.Router){
		"twice":    func(rt *httpapi.Router) { rt.Handle("GET", "/a/{x}", say); rt.Handle("GET", "/a/{y}", say) },
		"no slash": func(rt *httpapi.Router) { rt.Handle("GET", "a", say) },
		"deep":     func(rt *httpapi.Router) { rt.Handle("GET", "/{a}/{b}/{c}/{d}/{e}", say) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			mistake(httpapi.NewRouter())
		}()
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	rt := httpapi.NewRouter()
	rt.Handle("POST", "/beta/users/{id}/notifications", say)
	rt.Handle("POST", "/beta/me/notifications", say)
	method, path := []byte("POST"), []byte("/v1.0/users/dev.alice/notifications/")
	if n := testing.AllocsPerRun(100, func() {
		if !rt.Match(method, path) {
			t.Fatal("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	rt := httpapi.NewRouter()
	rt.Handle("POST", "/beta/users/{id}/notifications", say)
	rt.Handle("POST", "/beta/me/notifications", say)
	method, path := []byte("POST"), []byte("/beta/users/dev.alice/notifications")
	b.ReportAllocs()
	for b.Loop() {
		rt.Match(method, path)
	}
}
