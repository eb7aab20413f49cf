package httpapi_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carillon"
	"carillon/internal/httpapi"
)

// counted registers a streaming route that counts bytes, and an ordinary one.
func counted(last *atomic.Pointer[error]) func(*httpapi.Router) {
	return func(rt *httpapi.Router) {
		rt.Handle("POST", "/api/v1/stream", func(r *httpapi.Request) error {
			body, err := r.Stream()
			if err != nil {
				return err
			}
			n, err := io.CopyBuffer(onlyWriter{io.Discard}, body, make([]byte, 64<<10))
			if last != nil {
				last.Store(&err)
			}
			r.JSON(200, httpapi.AppendInt(nil, n))
			return err
		})
		rt.Stream("POST", "/api/v1/stream")
		rt.Handle("POST", "/api/v1/refuse", func(*httpapi.Request) error {
			return carillon.Errorf(carillon.CodeAccessDenied, "", "not you")
		})
		rt.Stream("POST", "/api/v1/refuse")
		rt.Handle("POST", "/api/v1/plain", func(r *httpapi.Request) error {
			b, err := r.Body(1 << 20)
			r.JSON(200, httpapi.AppendInt(nil, len(b)))
			return err
		})
	}
}

type onlyWriter struct{ io.Writer }

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
func (zeros) Close() error               { return nil }

// watched tells when it is closed.
type watched struct {
	zeros
	closed chan struct{}
}

func (w watched) Close() error { close(w.closed); return nil }

func TestStream(t *testing.T) {
	cert, key, pool := certificate(t)
	for _, secure := range []bool{false, true} {
		cfg := httpapi.Config{MaxRequestBytes: 1000}
		if secure {
			cfg.TLSCert, cfg.TLSKey = cert, key
		}
		s, _ := start(t, cfg, quiet(), counted(nil))
		c := client(t)
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
		text := []byte(strings.Repeat("0123456789", 1<<20))
		var gz, zl, df bytes.Buffer
		squeeze(t, gzip.NewWriter(&gz), nil, text)
		squeeze(t, zlib.NewWriter(&zl), nil, text)
		fw, err := flate.NewWriter(&df, 9)
		squeeze(t, fw, err, text)
		for _, tt := range []struct {
			path, encoding string
			body           []byte
			status         int
			want           string
		}{
			{"stream", "", nil, 200, "0"},
			{"stream", "", text[:1000], 200, "1000"},
			{"stream", "", text[:1001], 200, "1001"},
			{"stream", "identity", text, 200, "10485760"},
			{"stream?x=1", "", text, 200, "10485760"},
			{"stream", "gzip", gz.Bytes(), 200, "10485760"},
			{"stream", "gzip", gz.Bytes()[:gz.Len()-1], 400, "not valid gzip"},
			{"stream", "gzip", text[:1001], 400, "not valid gzip"},
			{"stream", "deflate", zl.Bytes(), 200, "10485760"},
			{"stream", "deflate", df.Bytes(), 200, "10485760"},
			{"stream", "deflate", df.Bytes()[:df.Len()-1], 400, "not valid deflate"},
			{"stream", "br", text, 415, "send gzip"},
			{"refuse", "", text, 403, "not you"},
			{"plain", "", text[:1000], 200, "1000"},
			{"plain", "", text[:1001], 413, "1000 bytes"},
			{"plain", "", text[:900_000], 413, "1000 bytes"},
		} {
			for _, chunked := range []bool{false, true} {
				var body io.Reader = bytes.NewReader(tt.body)
				want := tt.want
				if chunked {
					body = io.MultiReader(body)
					if tt.status == 413 {
						want = "larger than the"
					}
				}
				req, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/api/v1/"+tt.path, body)
				if tt.encoding != "" {
					req.Header.Set("Content-Encoding", tt.encoding)
				}
				if chunked && len(tt.body) > 1000 {
					req.Header.Set("Expect", "100-continue")
				}
				res, err := c.Do(req)
				if err != nil {
					t.Errorf("%s %d secure=%v chunked=%v: %v", tt.path, len(tt.body), secure, chunked, err)
					continue
				}
				b, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.StatusCode != tt.status || !strings.Contains(string(b), want) || res.Header.Get("request-id") == "" {
					t.Errorf("%s %d secure=%v chunked=%v: %d %.200s, want %d %s", tt.path, len(tt.body), secure, chunked, res.StatusCode, b, tt.status, want)
				}
				if secure && res.Header.Get("Strict-Transport-Security") == "" {
					t.Errorf("%s: the second server does not know that it is secure", tt.path)
				}
			}
		}
	}
}

// answer reads what came back on a bare connection: the status, whether the
// connection ends with it, and the error, if it is one.
func answer(t *testing.T, c net.Conn) (status int, last bool, e graphError) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= 400 {
		e = readError(t, res.Body)
	}
	return res.StatusCode, res.Close, e
}

// TestStreamFaults sends what no client library would.
func TestStreamFaults(t *testing.T) {
	var last atomic.Pointer[error]
	s, _ := start(t, httpapi.Config{MaxRequestBytes: 100, ReadTimeout: 200 * time.Millisecond}, quiet(), counted(&last))
	many := strings.Repeat("a", 50_000)
	for name, tt := range map[string]struct {
		sent   string
		status int
		says   string
	}{
		"two lengths":          {"POST /api/v1/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400, "Transfer-Encoding"},
		"our mark":             {"POST /api/v1/plain HTTP/1.1\r\nHost: a\r\nCarillon-Mark: x\r\nContent-Length: 3\r\n\r\nabc", 400, "Carillon-Mark"},
		"our mark on a stream": {"POST /api/v1/stream HTTP/1.1\r\nHost: a\r\nCarillon-Mark: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400, ""},
		"no chunk":             {"POST /api/v1/stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n", 400, "broke off"},
		"a slow start":         {"POST /api/v1/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc", 408, ""},
		"a slow middle":        {"POST /api/v1/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + many, 408, "16 KiB/s"},
		"a slow chunk":         {"POST /api/v1/stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nc350\r\n" + many, 408, "16 KiB/s"},
	} {
		c := raw(t, s.Addr(), tt.sent)
		status, closes, e := answer(t, c)
		if status != tt.status || !strings.Contains(e.Error.Message+e.Error.Target, tt.says) || !closes {
			t.Errorf("%s: %d %+v", name, status, e.Error)
		}
		_ = c.Close()
	}
	// A body that ends early is not a whole one, even where the peer waits.
	last.Store(nil)
	c := raw(t, s.Addr(), "POST /api/v1/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"+many)
	_ = c.(*net.TCPConn).CloseWrite()
	if status, _, e := answer(t, c); status != 400 || !strings.Contains(e.Error.Message, "broke off") {
		t.Errorf("%d %+v", status, e.Error)
	}
	if err := *last.Load(); err == nil {
		t.Error("half a body was taken for a whole one")
	}
}

// TestStreamTrickle: bytes that come one by one do not keep a connection.
func TestStreamTrickle(t *testing.T) {
	s, _ := start(t, httpapi.Config{MaxRequestBytes: 100, ReadTimeout: 100 * time.Millisecond}, quiet(), counted(nil))
	c := raw(t, s.Addr(), "POST /api/v1/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("a", 9000))
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
	if status, _, e := answer(t, c); status != 408 {
		t.Errorf("%d %+v", status, e.Error)
	}
	_ = c.Close()
	<-done
}

// TestStreamMemory sends 200 MiB through a streaming route.
func TestStreamMemory(t *testing.T) {
	s, _ := start(t, httpapi.Config{}, quiet(), counted(nil))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	res, err := client(t).Post(s.URL()+"/api/v1/stream", "text/plain", io.LimitReader(zeros{}, 200<<20))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	runtime.ReadMemStats(&after)
	if string(b) != fmt.Sprint(200<<20) {
		t.Errorf("%s bytes came", b)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("%d bytes were allocated on the way", took)
	}
}

// TestDrainWithStreams: one that ends in time is answered, one that does not is
// cut.
func TestDrainWithStreams(t *testing.T) {
	for _, ends := range []bool{true, false} {
		cfg := httpapi.Config{MaxRequestBytes: 10}
		if !ends {
			cfg.DrainTimeout = 50 * time.Millisecond
		}
		entered := make(chan struct{})
		s, stop := start(t, cfg, quiet(), func(rt *httpapi.Router) {
			rt.Handle("POST", "/api/v1/stream", func(r *httpapi.Request) error {
				body, err := r.Stream()
				close(entered)
				if err == nil {
					_, err = io.Copy(io.Discard, body)
				}
				r.JSON(200, nil)
				return err
			})
			rt.Stream("POST", "/api/v1/stream")
		})
		c := raw(t, s.Addr(), "POST /api/v1/stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		<-entered
		stopped := make(chan struct{})
		go func() { stop(); close(stopped) }()
		for { // the port closes first
			probe, err := net.Dial("tcp", s.Addr())
			if err != nil {
				break
			}
			_ = probe.Close()
		}
		if ends {
			if _, err := io.WriteString(c, "0\r\n\r\n"); err != nil {
				t.Error(err)
			}
			if status, _, e := answer(t, c); status != 200 {
				t.Errorf("%d %+v", status, e.Error)
			}
		}
		<-stopped
	}
}

// TestSendToASlowReader cuts one who does not read.
func TestSendToASlowReader(t *testing.T) {
	body := watched{closed: make(chan struct{})}
	s, _ := start(t, httpapi.Config{WriteTimeout: 100 * time.Millisecond}, quiet(), func(rt *httpapi.Router) {
		rt.Handle("GET", "/api/v1/endless", func(r *httpapi.Request) error {
			r.Send("text/plain", body)
			return nil
		})
	})
	raw(t, s.Addr(), "GET /api/v1/endless HTTP/1.1\r\nHost: a\r\n\r\n")
	<-body.closed // or the test hangs
}
