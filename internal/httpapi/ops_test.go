package httpapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"carillon"
	"carillon/internal/httpapi"
)

func TestOps(t *testing.T) {
	var broken atomic.Bool
	o := httpapi.NewOps(httpapi.OpsConfig{Listen: "127.0.0.1:0"}, quiet(), &carillon.Clock{})
	o.Check("store", func(context.Context) error {
		if broken.Load() {
			return errors.New("closed")
		}
		return nil
	})
	o.Check("journal", func(context.Context) error { return nil })
	type answer struct {
		Path, Method, Query, Body string
	}
	o.Handle("/sandbox/devices", func(_ context.Context, r httpapi.OpsRequest) (any, error) {
		return answer{r.Path, r.Method, r.Query.Get("q"), string(r.Body)}, nil
	})
	o.Handle("/sandbox", func(context.Context, httpapi.OpsRequest) (any, error) { return []byte(`{"short":1}`), nil })
	o.Handle("/fail", func(context.Context, httpapi.OpsRequest) (any, error) {
		return nil, carillon.Errorf(carillon.CodeNotFound, "user", "nobody")
	})
	if err := o.Listen(); err != nil {
		t.Fatal(err)
	}
	run(t, o.Run)
	call := func(method, path, header, value string) (int, string) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), method, "http://"+o.Addr()+path, strings.NewReader("in"))
		if header == "Host" {
			req.Host = value
		} else if header != "" {
			req.Header.Set(header, value)
		}
		res, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	for _, tt := range []struct {
		path, header, value string
		status              int
		want                string
	}{
		{"/livez", "", "", 200, `{"status":"alive"}`},
		{"/readyz", "", "", 200, `{"checks":{"journal":"ok","store":"ok"},"status":"ready"}`},
		{"/metrics", "", "", 200, "process_"},
		{"/debug/pprof/", "", "", 200, "goroutine"},
		{"/debug/pprof/goroutine?debug=1", "", "", 200, "goroutine profile"},
		{"/sandbox/devices/a%2Fb/tray?q=1+2", "", "", 200, `{"Path":"/sandbox/devices/a%2Fb/tray","Method":"POST","Query":"1 2","Body":"in"}`},
		{"/sandbox/other", "", "", 200, `{"short":1}`},
		{"/sandboxes", "", "", 404, "/sandbox, /sandbox/devices"},
		{"/fail", "", "", 404, `"target":"user"`},
		{"/livez", "Host", "evil.example.com", 403, "localhost only"},
		{"/livez", "Host", "localhost:8411", 200, "alive"},
		{"/livez", "Origin", "http://evil.example.com", 403, "web pages"},
	} {
		if status, b := call("POST", tt.path, tt.header, tt.value); status != tt.status || !strings.Contains(b, tt.want) {
			t.Errorf("%s %s: %d %.300s", tt.path, tt.value, status, b)
		}
	}
	broken.Store(true)
	if status, b := call("GET", "/readyz", "", ""); status != 503 || b != `{"checks":{"journal":"ok","store":"closed"},"status":"not ready"}` {
		t.Error(status, b)
	}
}

func TestOpsStaysOnLoopback(t *testing.T) {
	err := httpapi.NewOps(httpapi.OpsConfig{Listen: "0.0.0.0:0"}, quiet(), &carillon.Clock{}).Listen()
	if err == nil || !strings.Contains(err.Error(), "ops.remote") {
		t.Error(err)
	}
	for addr, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, ":1": false, "0.0.0.0:1": false, "10.0.0.1:1": false, "x": false} {
		if httpapi.IsLoopback(addr) != want {
			t.Errorf("IsLoopback(%q) is %v", addr, !want)
		}
	}
}
