package h2_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"carillon/provider/h2"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// static is the fields of all requests in tests.
func static() []h2.Field {
	return []h2.Field{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "push.example.net"},
		{Name: "user-agent", Value: "carillon"},
	}
}

// TestStdServer: answers, fields and bodies against net/http's own server.
func TestStdServer(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Topic", r.Header.Get("X-Topic"))
		w.Header().Set("X-Id", r.Header.Get("X-Id"))
		if strings.HasSuffix(r.URL.Path, "7") {
			w.WriteHeader(http.StatusGone)
		}
		fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, len(body))
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)

	got := newCollector()
	c := h2.New(h2.Config{
		Addr: srv.Listener.Addr().String(), Static: static(), MaxInFlight: 64,
		TLS:       &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"},
		OnResults: got.add, OnRoom: got.poke,
	})
	run(t, c)
	const n = 2000
	for i := 0; i < n; {
		k := min(got.room(t, c), n-i)
		reqs := make([]h2.Request, 0, k)
		for range k {
			reqs = append(reqs, h2.Request{
				Ref: i, Path: fmt.Sprintf("/3/device/%d", i), Body: []byte(strings.Repeat("x", i*7%5000)),
				Fields: []h2.Field{
					{Name: "x-topic", Value: fmt.Sprintf("topic-%d", i%3)},
					{Name: "x-id", Value: fmt.Sprintf("id-%d", i), Mode: h2.NoIndex},
					{Name: "x-secret", Value: "s", Mode: h2.NeverIndex},
				},
			})
			i++
		}
		c.Send(reqs)
	}
	for ref, r := range got.all(t, n) {
		i := ref.(int)
		want := http.StatusOK
		if i%10 == 7 {
			want = http.StatusGone
		}
		if r.Fault != h2.FaultNone || r.Status != want {
			t.Fatalf("request %d: status %d, fault %v %q", i, r.Status, r.Fault, r.Reason)
		}
		if body := fmt.Sprintf("POST /3/device/%d %d", i, i*7%5000); string(r.Body) != body {
			t.Fatalf("request %d: body %q, want %q", i, r.Body, body)
		}
		if field(r, "x-id") != fmt.Sprintf("id-%d", i) || field(r, "x-topic") != fmt.Sprintf("topic-%d", i%3) {
			t.Fatalf("request %d: fields %v", i, r.Fields)
		}
	}
	if s := c.Stats(); s.Connections != 1 || s.InFlight != 0 {
		t.Errorf("stats %+v", s)
	}
}

func field(r h2.Result, name string) string {
	for _, f := range r.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// run runs c until the test ends.
func run(t *testing.T, c *h2.Client) context.CancelFunc {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not end")
		}
	})
	return cancel
}
