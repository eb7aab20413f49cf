package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"carillon"
	"carillon/internal/httpapi"
)

func hello(r *httpapi.Request) error {
	r.JSON(200, []byte(`{"hello":"`+r.Param("name")+`"}`))
	return nil
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	s, _ := start(t, httpapi.Config{}, quiet(), func(rt *httpapi.Router) {
		rt.Handle("GET", "/beta/hello/{name}", hello)
		rt.Handle("GET", "/api/v1/hello/{name}", hello)
	})
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for path, contentType := range map[string]string{
		"/beta/hello/a":   "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8",
		"/v1.0/hello/a/":  "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8",
		"/api/v1/hello/a": "application/json;charset=utf-8",
	} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL()+path, nil)
		req.Header.Set("client-request-id", "mine 1\x09\"x\"")
		res, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 200 || string(b) != `{"hello":"a"}` {
			t.Errorf("%s: %d %s", path, res.StatusCode, b)
		}
		id := res.Header.Get("request-id")
		if !uuid.MatchString(id) || seen[id] {
			t.Errorf("%s: request-id %q is no fresh UUID", path, id)
		}
		seen[id] = true
		for name, want := range map[string]string{
			"Content-Type": contentType, "OData-Version": "4.0", "Cache-Control": "private",
			"client-request-id": "mine1x", "Strict-Transport-Security": "",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if _, err := http.ParseTime(res.Header.Get("Date")); err != nil {
			t.Errorf("%s: Date: %v", path, err)
		}
	}
}

func TestErrorsOfHandlers(t *testing.T) {
	var log bytes.Buffer
	s, stop := start(t, httpapi.Config{}, slog.New(slog.NewTextHandler(&log, nil)), func(rt *httpapi.Router) {
		rt.Handle("GET", "/beta/throttled", func(r *httpapi.Request) error {
			r.SetHeader("ETag", "not on an error")
			e := carillon.Errorf(carillon.CodeThrottled, "rate", "too \"many\"\n")
			e.RetryAfter = 1500 * time.Millisecond
			return e
		})
		rt.Handle("GET", "/beta/panic", func(r *httpapi.Request) error {
			r.JSON(200, []byte(`{"half`))
			var none map[string]int
			none["x"]++ //nolint:staticcheck // the panic is the point
			return nil
		})
		rt.Handle("GET", "/beta/secret", func(*httpapi.Request) error { return io.ErrClosedPipe })
		rt.NotYet("GET", "/beta/later", "delta queries")
	})
	for path, want := range map[string]struct {
		status        int
		code, message string
		retry         string
	}{
		"/beta/throttled": {429, "activityLimitReached", "too \"many\"\n", "2"},
		"/beta/panic":     {500, "generalException", "an unexpected fault of the gateway; its log has the request-id", ""},
		"/beta/secret":    {500, "generalException", "an unexpected fault of the gateway, see its log", ""},
		"/beta/later":     {501, "notSupported", "delta queries: not built yet", ""},
		"/v1.0/later":     {501, "notSupported", "delta queries: not built yet", ""},
	} {
		res, err := client(t).Get(s.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		e := readError(t, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != want.status || e.Error.Code != want.code || e.Error.Message != want.message {
			t.Errorf("%s: %d %+v", path, res.StatusCode, e)
		}
		if got := res.Header.Get("Retry-After"); got != want.retry {
			t.Errorf("%s: Retry-After %q", path, got)
		}
		if res.Header.Get("ETag") != "" || res.Header.Get("request-id") != e.Error.InnerError.RequestID {
			t.Errorf("%s: headers %v", path, res.Header)
		}
	}
	stop()
	for _, want := range []string{"assignment to entry in nil map", "server_test.go", "closed pipe"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

func TestErrorsOfTheProtocol(t *testing.T) {
	t.Parallel()
	s, _ := start(t, httpapi.Config{MaxRequestBytes: 1000, MaxHeaderBytes: 4096, ReadTimeout: 200 * time.Millisecond}, quiet(), func(rt *httpapi.Router) {
		rt.Handle("POST", "/beta/x", func(r *httpapi.Request) error {
			if _, err := r.Body(1000); err != nil {
				return err
			}
			return hello(r)
		})
		rt.Handle("GET", "/beta/x", hello)
	})
	big := strings.Repeat("a", 300_000)
	for name, tt := range map[string]struct {
		sent   string
		status int
		code   string
	}{
		"garbage":         {"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "invalidRequest"},
		"half a request":  {"POST /beta/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", 408, "invalidRequest"},
		"half a header":   {"GET /beta/x HTTP/1.1\r\nHos", 408, "invalidRequest"},
		"headers too big": {"GET /beta/x HTTP/1.1\r\nHost: a\r\nX: " + big[:8000] + "\r\n\r\n", 431, "requestTooLarge"},
		"path too long":   {"GET /beta/" + big[:8000] + " HTTP/1.1\r\nHost: a\r\n\r\n", 431, "requestTooLarge"},
		"body to be huge": {"POST /beta/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10737418240\r\n\r\n", 413, "requestTooLarge"},
		"body too big":    {"POST /beta/x HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + big, 413, "requestTooLarge"},
		"chunks too big":  {"POST /beta/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n" + big + "\r\n0\r\n\r\n", 413, "requestTooLarge"},
		"bad chunk":       {"POST /beta/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "invalidRequest"},
		"two lengths":     {"POST /beta/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "invalidRequest"},
		"length and te":   {"POST /beta/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "invalidRequest"},
		"negative length": {"POST /beta/x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "invalidRequest"},
		"no route":        {"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404, "itemNotFound"},
		"no path":         {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404, "itemNotFound"},
		"method":          {"BREW /beta/x HTTP/1.1\r\nHost: a\r\n\r\n", 405, "methodNotAllowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := raw(t, s.Addr(), tt.sent)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			e := readError(t, res.Body)
			if res.StatusCode != tt.status || e.Error.Code != tt.code {
				t.Errorf("%d %+v", res.StatusCode, e)
			}
			if res.Header.Get("request-id") == "" || res.Header.Get("OData-Version") != "4.0" {
				t.Errorf("headers %v", res.Header)
			}
			if tt.status == 405 && res.Header.Get("Allow") != "GET, HEAD, POST" {
				t.Errorf("Allow %q", res.Header.Get("Allow"))
			}
		})
	}
}

func TestTooManyConnections(t *testing.T) {
	s, _ := start(t, httpapi.Config{MaxConns: 1}, quiet(), func(rt *httpapi.Router) { rt.Handle("GET", "/beta/x", hello) })
	const ask = "GET /beta/x HTTP/1.1\r\nHost: a\r\n\r\n"
	first := raw(t, s.Addr(), ask)
	res, err := http.ReadResponse(bufio.NewReader(first), nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	_ = res.Body.Close()
	second := raw(t, s.Addr(), ask)
	res, err = http.ReadResponse(bufio.NewReader(second), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || !res.Close {
		t.Fatal(res)
	}
	_ = readError(t, res.Body)
}

func TestDrainFinishesWhatIsInFlight(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s, stop := start(t, httpapi.Config{}, quiet(), func(rt *httpapi.Router) {
		rt.Handle("GET", "/beta/slow", func(r *httpapi.Request) error {
			close(entered)
			<-leave
			if err := r.Context().Err(); err != nil {
				return err
			}
			return hello(r)
		})
	})
	idle := raw(t, s.Addr(), "")
	c := raw(t, s.Addr(), "GET /beta/slow HTTP/1.1\r\nHost: a\r\n\r\n")
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
	close(leave)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 || !res.Close {
		t.Fatalf("%v", res)
	}
	<-stopped
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an idle connection is still open")
	}
}

func TestDrainIsBounded(t *testing.T) {
	entered := make(chan struct{})
	s, stop := start(t, httpapi.Config{DrainTimeout: 50 * time.Millisecond}, quiet(), func(rt *httpapi.Router) {
		rt.Handle("GET", "/beta/stuck", func(r *httpapi.Request) error {
			close(entered)
			<-r.Context().Done()
			return r.Context().Err()
		})
	})
	raw(t, s.Addr(), "GET /beta/stuck HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	stop() // returns, or the test hangs
}

func TestPortTaken(t *testing.T) {
	s, _ := start(t, httpapi.Config{}, quiet(), nil)
	err := httpapi.New(httpapi.Config{Listen: s.Addr()}, quiet(), &carillon.Clock{}).Listen()
	if err == nil || !strings.Contains(err.Error(), s.Addr()+" is taken by another program") || !strings.Contains(err.Error(), "--listen") || strings.Contains(err.Error(), "\n") {
		t.Fatal(err)
	}
	err = httpapi.NewOps(httpapi.OpsConfig{Listen: s.Addr()}, quiet(), &carillon.Clock{}).Listen()
	if err == nil || !strings.Contains(err.Error(), "--ops") {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	s, _ := start(t, httpapi.Config{TLSCert: cert, TLSKey: key, MaxRequestBytes: 1000}, quiet(), func(rt *httpapi.Router) {
		rt.Handle("POST", "/beta/x", hello)
		rt.Handle("GET", "/beta/x", hello)
	})
	c := client(t)
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
	res, err := c.Get(s.URL() + "/beta/x")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	res, err = c.Post(s.URL()+"/beta/x", "application/json", strings.NewReader(strings.Repeat("a", 200_000)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if e := readError(t, res.Body); res.StatusCode != 413 {
		t.Errorf("%d %+v", res.StatusCode, e)
	}
	err = httpapi.New(httpapi.Config{Listen: "127.0.0.1:0", TLSCert: cert}, quiet(), &carillon.Clock{}).Listen()
	if err == nil || !strings.Contains(err.Error(), "--tls-key") {
		t.Error(err)
	}
}

func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		p := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(p, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER), pool
}

func TestRunListensByItself(t *testing.T) {
	s := httpapi.New(httpapi.Config{Listen: "127.0.0.1:0"}, quiet(), &carillon.Clock{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestPipelined(t *testing.T) {
	s, _ := start(t, httpapi.Config{}, quiet(), func(rt *httpapi.Router) { rt.Handle("GET", "/beta/hello/{name}", hello) })
	c := raw(t, s.Addr(), "GET /beta/hello/one HTTP/1.1\r\nHost: a\r\n\r\nGET /beta/hello/two HTTP/1.1\r\nHost: a\r\n\r\n")
	br := bufio.NewReader(c)
	for _, want := range []string{"one", "two"} {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if string(b) != `{"hello":"`+want+`"}` {
			t.Errorf("%s", b)
		}
	}
}
