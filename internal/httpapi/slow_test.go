package httpapi_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"carillon/internal/httpapi"
)

// dribble sends what is given, then a byte now and then, until the server ends
// the connection; it tells what was answered.
func dribble(t *testing.T, addr, sent string) string {
	t.Helper()
	c := raw(t, addr, sent)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := io.WriteString(c, "a"); err != nil {
				return
			}
		}
	}()
	text, err := io.ReadAll(c)
	if e, ok := err.(net.Error); ok && e.Timeout() { //nolint:errorlint // as it comes from the connection
		t.Errorf("%.40q keeps its connection", sent)
	}
	_ = c.Close()
	<-done
	return string(text)
}

// TestSlowClients: whoever sends a byte now and then, wherever in a request, is
// told so and cut; whoever says nothing between requests is cut, too.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s, _ := start(t, httpapi.Config{MaxRequestBytes: 10_000, ReadTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond, IdleTimeout: 200 * time.Millisecond}, quiet(), func(rt *httpapi.Router) {
		body := func(r *httpapi.Request) error {
			b, err := r.Body(1 << 20)
			r.JSON(200, httpapi.AppendInt(nil, len(b)))
			return err
		}
		rt.Handle("POST", "/api/v1/plain", body)
		rt.Handle("POST", "/api/v1/bulk", body)
		rt.Bound("POST", "/api/v1/bulk", 1<<20)
		rt.Handle("GET", "/api/v1/large", func(r *httpapi.Request) error {
			r.JSON(200, make([]byte, 64<<20))
			return nil
		})
	})
	for name, sent := range map[string]string{
		"request line":   "GE",
		"headers":        "GET /api/v1/large HTTP/1.1\r\nHost: a\r\nX: ",
		"short body":     "POST /api/v1/plain HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n",
		"rest of a body": "POST /api/v1/plain HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n" + strings.Repeat("a", 9000),
		"chunk":          "POST /api/v1/plain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
		"bulk body":      "POST /api/v1/bulk HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("a", 50_000),
		"chunk of bulk":  "POST /api/v1/bulk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nf0000\r\n" + strings.Repeat("a", 50_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := dribble(t, s.Addr(), sent); !strings.HasPrefix(got, "HTTP/1.1 408 ") || !strings.Contains(got, "innerError") {
				t.Errorf("answered %.200q", got)
			}
		})
	}
	t.Run("silence after an answer", func(t *testing.T) {
		t.Parallel()
		c := raw(t, s.Addr(), "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
		if got, err := io.ReadAll(c); err != nil || strings.Count(string(got), "HTTP/1.1 ") != 1 {
			t.Errorf("%q %v", got, err)
		}
	})
	t.Run("nothing at all", func(t *testing.T) {
		t.Parallel()
		c := raw(t, s.Addr(), "")
		if got, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 408 ") {
			t.Errorf("%q %v", got, err)
		}
	})
	t.Run("answer not read", func(t *testing.T) {
		t.Parallel()
		c := raw(t, s.Addr(), "GET /api/v1/large HTTP/1.1\r\nHost: a\r\n\r\n")
		one := make([]byte, 1)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		n := 0
		for range tick.C { // 50 bytes a second: what the kernel holds would last for days
			if _, err := c.Read(one); err != nil {
				break
			}
			if n++; n == 100 {
				break
			}
		}
		rest, _ := io.ReadAll(c)
		if len(rest) > 60<<20 {
			t.Errorf("%d bytes were written to who does not read", len(rest))
		}
	})
}
