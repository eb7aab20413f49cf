package httpapi

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// FuzzFraming: where fasthttp takes a head and we find nothing wrong with it,
// net/http reads the same request out of the same bytes: the same method, host
// and length of body, and the same end.
func FuzzFraming(f *testing.F) {
	const post = "POST /beta/x HTTP/1.1\r\nHost: a\r\n"
	for _, seed := range []string{
		post + "Content-Length: 3\r\n\r\nabc", post + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", post + "X: a\r\n b\r\n\r\n", post + "X: a\nContent-Length: 3\r\n\r\n",
		"GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", post + "Content_Length: 3\r\n\r\n", post + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", post + "Connection: keep-alive, x\r\nTrailer: A\r\nExpect: 100-continue\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		var h fasthttp.RequestHeader
		r := bufio.NewReaderSize(bytes.NewReader(sent), 16<<10)
		if h.Read(r) != nil || framing(&h) != "" {
			return
		}
		left := r.Buffered()
		std := bufio.NewReaderSize(bytes.NewReader(sent), 16<<10)
		req, err := http.ReadRequest(std)
		if err != nil {
			return // stricter than we: it would refuse
		}
		if string(h.Method()) != req.Method || !strings.EqualFold(string(h.Host()), req.Host) {
			t.Fatalf("%q: %s %q, net/http reads %s %q", sent, h.Method(), h.Host(), req.Method, req.Host)
		}
		length := int64(h.ContentLength())
		if length == -2 {
			length = 0
		}
		if length != req.ContentLength || length == -1 && len(req.TransferEncoding) != 1 {
			t.Fatalf("%q: a body of %d bytes, net/http reads %d", sent, length, req.ContentLength)
		}
		if left != std.Buffered() {
			t.Fatalf("%q: the head leaves %d bytes, net/http %d", sent, left, std.Buffered())
		}
	})
}
