package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"carillon"
	"carillon/gateway"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// quickJournal assigns positions and keeps nothing.
type quickJournal struct{ next int64 }

func (j *quickJournal) Append(_ context.Context, entries []journal.Entry) error {
	for i := range entries {
		entries[i].Position = carillon.Position{Partition: 1, Seq: carillon.MakeSeq(1, j.next)}
		j.next++
	}
	return nil
}

// BenchmarkSend is a single send over one keep-alive connection, requests
// pipelined so that the network's round trips do not count; "constant" is the
// same server answering as many bytes from a fixed buffer, "fasthttp" a bare
// fasthttp that does. The bar is half of the latter's rate.
func BenchmarkSend(b *testing.B) {
	body := visual(`,"priority":"High"`)
	for _, path := range []string{theirs, "/api/v1/constant", "/fasthttp"} {
		b.Run(strings.TrimPrefix(path, "/"), func(b *testing.B) {
			r := newRigOn(b, gateway.Config{}, &quickJournal{}, func(rt *httpapi.Router) {
				reply := []byte(strings.Repeat("x", 620))
				rt.Handle("POST", "/api/v1/constant", func(q *httpapi.Request) error {
					if _, err := q.Body(carillon.MaxRequest); err != nil {
						return err
					}
					q.JSON(201, reply)
					return nil
				})
			})
			req := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
				path, strings.TrimPrefix(r.url, "http://"), r.app(), len(body), body)
			address := strings.TrimPrefix(r.url, "http://")
			if path == "/fasthttp" {
				address = bare(b)
			}
			c, err := net.Dial("tcp", address)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			in := bufio.NewReaderSize(c, 1<<20)
			answer := func() {
				res, err := http.ReadResponse(in, nil)
				if err != nil || res.StatusCode != 201 {
					b.Fatal(res, err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
			_, _ = c.Write(req)
			answer()
			// All answers have the length of the second one, whose token is known.
			_, _ = c.Write(req)
			_, _ = in.Peek(1)
			size := in.Buffered()
			answer()
			const depth = 64
			burst, got := bytes.Repeat(req, depth), make([]byte, size*depth)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N/depth + 1 {
				if _, err := c.Write(burst); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(in, got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// bare is the address of a fasthttp server as it comes.
func bare(b *testing.B) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	reply := []byte(strings.Repeat("x", 620))
	s := &fasthttp.Server{Handler: func(c *fasthttp.RequestCtx) {
		c.SetStatusCode(201)
		c.SetBody(reply)
	}}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	b.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}
