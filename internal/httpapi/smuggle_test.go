package httpapi_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carillon/internal/httpapi"
)

// smuggled is what hides behind the first request of each case: it must never
// be taken for a request of its own.
const smuggled = "GET /beta/hidden HTTP/1.1\r\nHost: a\r\n\r\n"

// TestSmuggling sends requests of which a proxy in front might see another end
// than this server. Each is a 400 that closes, and nothing behind it is served
// (RFC 9112 §6.3, §11.2).
func TestSmuggling(t *testing.T) {
	t.Parallel()
	var hidden atomic.Int64
	s, _ := start(t, httpapi.Config{ReadTimeout: 500 * time.Millisecond}, quiet(), func(rt *httpapi.Router) {
		rt.Handle("POST", "/beta/x", func(r *httpapi.Request) error {
			if _, err := r.Body(1000); err != nil {
				return err
			}
			return hello(r)
		})
		rt.Handle("GET", "/beta/x", hello)
		rt.Handle("GET", "/beta/hidden", func(r *httpapi.Request) error { hidden.Add(1); return hello(r) })
		rt.Handle("POST", "/api/v1/stream", hello)
		rt.Stream("POST", "/api/v1/stream")
	})
	const (
		post = "POST /beta/x HTTP/1.1\r\nHost: a\r\n"
		get  = "GET /beta/x HTTP/1.1\r\nHost: a\r\n"
	)
	for name, sent := range map[string]string{
		"CL and TE":                post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"TE and CL":                post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"CL 0 and TE":              post + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"CL and TE on a stream":    "POST /api/v1/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two CLs":                  post + "Content-Length: 0\r\nContent-Length: 36\r\n\r\n",
		"two equal CLs":            post + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
		"CL list":                  post + "Content-Length: 0, 0\r\n\r\n",
		"CL with a sign":           post + "Content-Length: +0\r\n\r\n",
		"CL in hexadecimal":        post + "Content-Length: 0x0\r\n\r\n",
		"CL with a space":          post + "Content-Length: 0 0\r\n\r\n",
		"empty CL":                 post + "Content-Length: \r\n\r\n",
		"CL too large":             post + "Content-Length: 99999999999999999999999\r\n\r\n",
		"space before colon":       post + "Content-Length : 0\r\n\r\n",
		"tab before colon":         post + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
		"underscore":               post + "Content_Length: 36\r\n\r\n",
		"obs-fold":                 post + "X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
		"obs-fold of TE":           post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
		"space before the first":   "POST /beta/x HTTP/1.1\r\n Host: a\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"bare LF":                  "POST /beta/x HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
		"one bare LF":              post + "X: a\nContent-Length: 0\r\n\r\n",
		"bare LF at the end":       post + "Content-Length: 0\r\n\n",
		"bare CR":                  post + "X: a\rContent-Length: 36\r\nContent-Length: 0\r\n\r\n",
		"NUL":                      post + "X: a\x00b\r\nContent-Length: 0\r\n\r\n",
		"no colon":                 post + "Content-Length\r\n\r\n",
		"no name":                  post + ": x\r\n\r\n",
		"name with a space":        post + "A B: x\r\nContent-Length: 0\r\n\r\n",
		"name of no ASCII":         post + "Content-Length\xc2\xa0: 36\r\n\r\n",
		"TE xchunked":              post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"TE chunked twice":         post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		"TE gzip, chunked":         post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"TE identity":              post + "Transfer-Encoding: identity\r\n\r\n",
		"TE identity with CL":      post + "Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
		"two TEs":                  post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"TE quoted":                post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
		"TE with vertical tab":     post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
		"TE on HTTP/1.0":           "POST /beta/x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunk size empty":         post + "Transfer-Encoding: chunked\r\n\r\n\r\n\r\n",
		"chunk size negative":      post + "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
		"chunk size 0x":            post + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
		"chunk size overflows":     post + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
		"chunk with bare LF":       post + "Transfer-Encoding: chunked\r\n\r\n0\n\n",
		"chunk data too long":      post + "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
		"chunk extension with LF":  post + "Transfer-Encoding: chunked\r\n\r\n0;a\n\r\n\r\n",
		"trailer Content-Length":   post + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 36\r\n\r\n",
		"trailer with bare LF":     post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\n\n",
		"another absolute host":    "GET http://b/beta/x HTTP/1.1\r\nHost: a\r\n\r\n",
		"another absolute scheme":  "GET ftp://a/beta/x HTTP/1.1\r\nHost: a\r\n\r\n",
		"two tokens":               post + "Authorization: Bearer a\r\nauthorization: Bearer b\r\nContent-Length: 0\r\n\r\n",
		"two equal tokens":         get + "Authorization: Bearer a\r\nAuthorization: Bearer a\r\n\r\n",
		"two encodings":            post + "Content-Encoding: gzip\r\nContent-Encoding: br\r\nContent-Length: 0\r\n\r\n",
		"two types":                post + "Content-Type: application/json\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
		"two subscriptions":        post + "X-UNS-ID: a\r\nX-UNS-ID: b\r\nContent-Length: 0\r\n\r\n",
		"two keys":                 post + "Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 0\r\n\r\n",
		"two conditions":           get + "If-Match: a\r\nIf-Match: b\r\n\r\n",
		"two hosts":                "GET /beta/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"two equal hosts":          "GET /beta/x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
		"no host":                  "GET /beta/x HTTP/1.1\r\n\r\n",
		"host with a path":         "GET /beta/x HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"host with a user":         "GET /beta/x HTTP/1.1\r\nHost: u@a\r\n\r\n",
		"host with a space":        "GET /beta/x HTTP/1.1\r\nHost: a b\r\n\r\n",
		"two spaces":               "GET  /beta/x HTTP/1.1\r\nHost: a\r\n\r\n",
		"HTTP/0.9":                 "GET /beta/x\r\n\r\n",
		"HTTP/2.0":                 "GET /beta/x HTTP/2.0\r\nHost: a\r\n\r\n",
		"HTTP/1.2":                 "GET /beta/x HTTP/1.2\r\nHost: a\r\n\r\n",
		"version twice":            "GET /beta/x HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"body of a GET":            get + "Content-Length: 36\r\nContent-Length: 0\r\n\r\n",
		"the preface of HTTP/2":    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"control in the path":      "GET /beta/x\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
		"CONNECT":                  "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
		"Upgrade with a CL and TE": get + "Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := raw(t, s.Addr(), sent+smuggled)
			br := bufio.NewReader(c)
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			e := readError(t, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != 400 || e.Error.Message == "" || !res.Close {
				t.Errorf("%d, closes %v: %+v", res.StatusCode, res.Close, e.Error)
			}
			rest, err := io.ReadAll(br)
			if len(rest) > 0 || err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
				t.Errorf("more came: %q %v", rest, err)
			}
		})
	}
	// A body that nobody reads hides nothing either.
	for _, unread := range []string{
		"Content-Length: 3\r\n\r\nabc", "Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\n\n",
		"Transfer-Encoding: chunked\r\n\r\n0\r\n\n", "Transfer-Encoding: chunked\r\n\r\n0;a=\"\r\n\"\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	} {
		c := raw(t, s.Addr(), "POST /beta/nowhere HTTP/1.1\r\nHost: a\r\n"+unread)
		if status, closes, _ := answer(t, c); status != 404 || closes != strings.Contains(unread, "chunked") {
			t.Errorf("%q: %d, closes %v", unread, status, closes)
		}
	}
	t.Cleanup(func() {
		if n := hidden.Load(); n != 0 {
			t.Errorf("%d requests were taken out of others", n)
		}
	})
}
