package httpapi_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/internal/httpapi"
)

// TestLive: a live answer comes as it is written, ends when its peer hangs up,
// and panics alone.
func TestLive(t *testing.T) {
	ended := make(chan error, 1)
	said := make(chan string)
	s, stop := start(t, httpapi.Config{}, quiet(), func(rt *httpapi.Router) {
		rt.Handle("GET", "/api/v1/live", func(r *httpapi.Request) error {
			r.SetHeader("X-Own", "1")
			r.Live("text/plain", func(ctx context.Context, w io.Writer) {
				for {
					select {
					case text := <-said:
						if text == "panic" {
							panic(text)
						}
						if _, err := io.WriteString(w, text+"\n"); err != nil {
							ended <- err
							return
						}
					case <-ctx.Done():
						ended <- ctx.Err()
						return
					}
				}
			})
			return nil
		})
	})
	open := func() (*http.Response, *bufio.Reader) {
		t.Helper()
		res, err := client(t).Get(s.URL() + "/api/v1/live")
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 200 || res.Header.Get("X-Own") != "1" || res.Header.Get("request-id") == "" || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
			t.Fatal(res.Status, res.Header)
		}
		return res, bufio.NewReader(res.Body)
	}
	res, in := open()
	for _, text := range []string{"one", "two"} {
		said <- text
		if line, err := in.ReadString('\n'); err != nil || line != text+"\n" {
			t.Fatal(line, err)
		}
	}
	_ = res.Body.Close() // hangs up
	if err := <-ended; err == nil {
		t.Error("it did not end as its peer did")
	}
	res, in = open()
	said <- "panic"
	if _, err := in.ReadString('\n'); err == nil {
		t.Error("it goes on behind a panic")
	}
	_ = res.Body.Close()

	res, in = open()
	defer func() { _ = res.Body.Close() }()
	stop() // ends it at once
	if err := <-ended; err == nil {
		t.Error("the server's end is none of the answer")
	}
	if _, err := in.ReadString('\n'); err == nil {
		t.Error("it goes on")
	}
}

// TestLiveSlow drops a reader who does not read.
func TestLiveSlow(t *testing.T) {
	ended := make(chan error, 1)
	s, _ := start(t, httpapi.Config{}, quiet(), func(rt *httpapi.Router) {
		rt.Handle("GET", "/api/v1/live", func(r *httpapi.Request) error {
			r.Live("text/plain", func(_ context.Context, w io.Writer) {
				for {
					if _, err := w.Write(make([]byte, 1<<20)); err != nil {
						ended <- err
						return
					}
				}
			})
			return nil
		})
	})
	raw(t, s.Addr(), "GET /api/v1/live HTTP/1.1\r\nHost: a\r\n\r\n")
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no fault")
		}
	case <-limit.C:
		t.Error("a reader who does not read keeps his connection")
	}
}
