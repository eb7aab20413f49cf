package h2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"carillon/provider/h2"
)

// service is the other side of a pool's connections.
type service struct {
	t      *testing.T
	limit  uint32                     // of streams, at first
	serve  func(c *served, r request) // answers a request; called by its connection's reader
	refuse func(addr string) error    // of dials; nil: all are taken

	mu    sync.Mutex
	conns []*served
	dials []string // addresses
	addrs []netip.Addr
}

// request is one that arrived.
type request struct {
	id   uint32
	path string
	auth string
}

// served is one connection of a service.
type served struct {
	of *service
	n  int
	nc net.Conn

	mu   sync.Mutex // of what is written
	fr   *http2.Framer
	hb   bytes.Buffer
	he   *hpack.Encoder
	open int
	most int // streams open at once
	got  []request
	over bool
}

func newService(t *testing.T, limit uint32, serve func(c *served, r request)) *service {
	t.Helper()
	return &service{t: t, limit: limit, serve: serve, addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
}

func (s *service) dial(_ context.Context, addr string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = append(s.dials, addr)
	if s.refuse != nil {
		if err := s.refuse(addr); err != nil {
			return nil, err
		}
	}
	client, server := net.Pipe()
	c := &served{of: s, n: len(s.conns), nc: server}
	c.fr = http2.NewFramer(server, server)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.he = hpack.NewEncoder(&c.hb)
	s.conns = append(s.conns, c)
	go c.run()
	return client, nil
}

func (s *service) resolve(context.Context, string) ([]netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.addrs), nil
}

// dialled is the addresses that were dialled.
func (s *service) dialled() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dials)
}

// conn is the nth connection, or nil.
func (s *service) conn(n int) *served {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n >= len(s.conns) {
		return nil
	}
	return s.conns[n]
}

func (s *service) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (c *served) run() {
	defer c.nc.Close()
	if _, err := io.ReadFull(c.nc, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	go c.settings(c.of.limit) // a pipe has no buffer
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			return
		}
		if f, ok := f.(*http2.MetaHeadersFrame); ok {
			r := request{id: f.StreamID}
			for _, h := range f.Fields {
				switch h.Name {
				case ":path":
					r.path = h.Value
				case "authorization":
					r.auth = h.Value
				}
			}
			c.mu.Lock()
			c.open++
			c.most = max(c.most, c.open)
			c.got = append(c.got, r)
			over := c.over
			c.mu.Unlock()
			if !over && c.of.serve != nil {
				go c.of.serve(c, r)
			}
		}
	}
}

func (c *served) write(f func(fr *http2.Framer) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := f(c.fr); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		c.of.t.Error(err)
	}
}

func (c *served) settings(limit uint32) {
	c.write(func(fr *http2.Framer) error {
		return fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: limit})
	})
}

func (c *served) answer(r request, status int) {
	c.write(func(fr *http2.Framer) error {
		c.open--
		c.hb.Reset()
		_ = c.he.WriteField(hpack.HeaderField{Name: ":status", Value: fmt.Sprint(status)})
		return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: r.id, BlockFragment: c.hb.Bytes(), EndHeaders: true, EndStream: true})
	})
}

func (c *served) reset(r request, code http2.ErrCode) {
	c.write(func(fr *http2.Framer) error {
		c.open--
		return fr.WriteRSTStream(r.id, code)
	})
}

// goAway says that last is the last stream; streams above it are not answered.
func (c *served) goAway(last uint32) {
	c.write(func(fr *http2.Framer) error {
		c.over = true
		return fr.WriteGoAway(last, http2.ErrCodeNo, []byte(`{"reason":"Shutdown"}`))
	})
}

// goAwayNow is goAway with everything that has arrived as the last.
func (c *served) goAwayNow() {
	c.write(func(fr *http2.Framer) error {
		c.over = true
		last := uint32(0)
		for _, r := range c.got {
			last = max(last, r.id)
		}
		return fr.WriteGoAway(last, http2.ErrCodeNo, nil)
	})
}

// requests are those that arrived so far.
func (c *served) requests() []request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// rig is a pool and the results that it brought.
type rig struct {
	*h2.Pool
	*service
	stop func()

	mu      sync.Mutex
	results map[string]h2.Result
	twice   []string
	rooms   int
}

// start runs a pool to a service; change may alter its configuration first.
func start(t *testing.T, s *service, change func(*h2.PoolConfig)) *rig {
	t.Helper()
	r := &rig{service: s, results: map[string]h2.Result{}}
	cfg := h2.PoolConfig{
		Addr: "push.example.net:443", Resolve: s.resolve, Dial: s.dial,
		Conn:      h2.Config{Static: []h2.Field{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "push.example.net"}}},
		OnResults: r.take,
		OnRoom: func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.rooms++
		},
	}
	if change != nil {
		change(&cfg)
	}
	r.Pool = h2.NewPool(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if st := r.Stats(); st.InFlight != 0 || st.Waiting != 0 || st.Open != 0 || r.Room() != 0 {
			t.Errorf("after Run: room %d, %+v", r.Room(), st)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.conns {
			c.nc.Close()
		}
	})
	return r
}

func (r *rig) take(results []h2.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, res := range results {
		ref := res.Ref.(string)
		if _, ok := r.results[ref]; ok {
			r.twice = append(r.twice, ref)
		}
		res.Fields, res.Body = nil, nil
		r.results[ref] = res
	}
}

// send sends requests named prefix0 …
func (r *rig) send(prefix string, n int, unproven bool) {
	shots := make([]*h2.Shot, n)
	for i := range shots {
		name := fmt.Sprint(prefix, i)
		shots[i] = &h2.Shot{Owner: name, Unproven: unproven, Request: h2.Request{Path: "/" + name}}
	}
	r.Send(shots)
}

// expect checks what became of prefix0 … so far.
func (r *rig) expect(prefix string, n, status int, fault h2.Fault) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.twice) > 0 {
		r.t.Fatalf("answered twice: %v", r.twice)
	}
	for i := range n {
		name := fmt.Sprint(prefix, i)
		res, ok := r.results[name]
		if !ok {
			r.t.Fatalf("%s is not answered", name)
		}
		if res.Status != status || res.Fault != fault {
			r.t.Fatalf("%s: %+v, want %d, %v", name, res, status, fault)
		}
	}
}

// answered is how many results came.
func (r *rig) answered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.results)
}

// mostOpen is how many streams were open at once.
func (c *served) mostOpen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

// carries tells whether a connection got requests of that prefix.
func (c *served) carries(prefix string) bool {
	return slices.ContainsFunc(c.requests(), func(r request) bool { return strings.HasPrefix(r.path, "/"+prefix) })
}
