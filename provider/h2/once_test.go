package h2_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"carillon/provider/h2"
)

// flaky is a conn that dies after some bytes, in the middle of anything.
type flaky struct {
	net.Conn
	mu   sync.Mutex
	left int
}

func (f *flaky) spend(n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left -= n; f.left < 0 {
		_ = f.Close()
		return errors.New("the cable is cut")
	}
	return nil
}

func (f *flaky) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if e := f.spend(n); e != nil {
		return n / 2, e
	}
	return n, err
}

func (f *flaky) Write(b []byte) (int, error) {
	if err := f.spend(len(b)); err != nil {
		return 0, err
	}
	return f.Conn.Write(b)
}

// TestOnce: connections that break at random places under several senders;
// every request is answered once, and one that the server saw is never called
// unsent.
func TestOnce(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.URL.Path] = true
		mu.Unlock()
		_, _ = io.Copy(w, r.Body)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	tc := srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	tc.NextProtos, tc.ServerName = []string{"h2"}, "example.com"

	got := newCollector()
	rnd := rand.New(rand.NewPCG(1, 2))
	c := h2.New(h2.Config{
		Static: static(), OnResults: got.add, MaxInFlight: 50,
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			nc, err := d.DialContext(ctx, "tcp", srv.Listener.Addr().String())
			if err != nil {
				return nil, err
			}
			return tls.Client(&flaky{Conn: nc, left: 20_000 + rnd.IntN(1_000_000)}, tc), nil
		},
	})
	cancel := run(t, c)
	const senders, each = 4, 1000
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := 0; i < each; i += 5 {
				for tries := 0; c.Room() == 0 && tries < 1000; tries++ {
					<-time.After(100 * time.Microsecond) // paces the load
				}
				var reqs []h2.Request
				for k := i; k < i+5; k++ {
					p := fmt.Sprintf("/%d/%d", s, k)
					reqs = append(reqs, h2.Request{Ref: p, Path: p, Body: make([]byte, rand.IntN(3000))})
				}
				c.Send(reqs)
			}
		})
	}
	wg.Wait()
	cancel()
	results := got.all(t, senders*each)
	mu.Lock()
	defer mu.Unlock()
	count := map[h2.Fault]int{}
	for ref, r := range results {
		count[r.Fault]++
		if r.Fault == h2.FaultUnsent && seen[ref.(string)] {
			t.Errorf("%v reached the server and is called unsent: %s", ref, r.Reason)
		}
	}
	if count[h2.FaultNone] == 0 || count[h2.FaultLost] == 0 {
		t.Errorf("the test tests nothing: %v", count)
	}
	t.Logf("%v over %d connections", count, c.Stats().Connections)
}

// TestHTTP1: ALPN decides.
func TestHTTP1(t *testing.T) {
	for _, h2on := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.EnableHTTP2 = h2on
		srv.StartTLS()
		pool := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		rooms := make(chan struct{}, 1)
		c := h2.New(h2.Config{
			Addr: srv.Listener.Addr().String(), TLS: &tls.Config{RootCAs: pool}, AllowHTTP1: true,
			Static: static(), OnResults: func([]h2.Result) {}, OnRoom: func() { rooms <- struct{}{} },
		})
		ctx, cancel := context.WithCancel(t.Context())
		if h2on {
			go func() {
				<-rooms
				cancel()
			}()
		}
		if err := c.Run(ctx); errors.Is(err, h2.ErrHTTP1) == h2on {
			t.Errorf("HTTP/2 %v: %v", h2on, err)
		}
		cancel()
		srv.Close()
	}
}

func TestConfig(t *testing.T) {
	ok := h2.Config{Addr: "127.0.0.1:1", Static: static(), OnResults: func([]h2.Result) {}}
	for name, change := range map[string]func(*h2.Config){
		"no address":    func(c *h2.Config) { c.Addr = "" },
		"no results":    func(c *h2.Config) { c.OnResults = nil },
		"no static":     func(c *h2.Config) { c.Static = nil },
		"static :path":  func(c *h2.Config) { c.Static = append(static(), h2.Field{Name: ":path", Value: "/"}) },
		"static nobody": func(c *h2.Config) { c.Static = append(static(), h2.Field{}) },
		"static upper":  func(c *h2.Config) { c.Static = append(static(), h2.Field{Name: "User", Value: "x"}) },
	} {
		cfg := ok
		change(&cfg)
		if err := h2.New(cfg).Run(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestSendFromCallback: an answer may bring forth the next request, and what
// comes back unsent may be tried once more, also when Run has ended.
func TestSendFromCallback(t *testing.T) {
	addr, tc := listen(t, true, func(nc net.Conn) { echo(nc, 3) })
	const n = 3000
	done := make(chan struct{})
	var c *h2.Client
	next, unsent := 0, map[any]int{}
	send := func() {
		c.Send([]h2.Request{{Ref: next, Path: "/"}})
		next++
	}
	c = h2.New(h2.Config{
		Addr: addr, TLS: tc, Static: static(),
		OnRoom: func() {
			if next == 0 {
				send()
			}
		},
		OnResults: func(rs []h2.Result) {
			for _, r := range rs {
				if r.Fault == h2.FaultUnsent {
					if unsent[r.Ref]++; unsent[r.Ref] == 1 {
						c.Send([]h2.Request{{Ref: r.Ref, Path: "/"}})
					}
					continue
				}
				if next < n {
					send()
				} else {
					close(done)
				}
			}
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	<-done
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	c.Send([]h2.Request{{Ref: "late", Path: "/"}})
	if unsent["late"] != 2 {
		t.Errorf("%d results of a request sent twice", unsent["late"])
	}
}

// TestNotRunning: Send answers by itself while Run does not run.
func TestNotRunning(t *testing.T) {
	got := newCollector()
	c := h2.New(h2.Config{Addr: "127.0.0.1:1", Static: static(), OnResults: got.add})
	c.Send([]h2.Request{{Ref: 1, Path: "/"}})
	if r := got.all(t, 1)[1]; r.Fault != h2.FaultUnsent || r.Reason == "" {
		t.Errorf("%+v", r)
	}
}
