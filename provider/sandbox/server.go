package sandbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Addrs is where the servers listen, host:port.
type Addrs struct {
	APNs  string `json:"apns"`
	FCM   string `json:"fcm"`
	WNS   string `json:"wns"`
	Token string `json:"token"`
}

// Server is the vendors. Its methods may be called at any time, by anyone.
type Server struct {
	cfg      Config
	log      *slog.Logger
	ca       *authority
	keys     *keyring
	tokens   accessTokens
	apnsKeys apnsKeys
	script   script
	acts     acts
	rnd      *dice
	special  atomic.Bool // Fast mode must look at script and latency
	counts   *counts
	devices  *devices
	doors    []*door

	mu       sync.Mutex
	conns    map[net.Conn]*guest
	stopping bool
	wg       sync.WaitGroup // every connection
}

// door is one listener.
type door struct {
	vendor Vendor
	rules  vendor // nil: the token endpoints
	ln     net.Listener
	tls    *tls.Config
	http1  chan net.Conn

	conduct atomic.Pointer[Conduct]
}

// New opens the listeners and finds or makes CA and credentials; it starts
// nothing. A Server that is never Run is released by Close.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger, counts: newCounts(cfg.Devices), devices: newDevices(cfg.Keep),
		conns: map[net.Conn]*guest{}, rnd: newDice(cfg.Seed),
	}
	s.acts.wake = make(chan struct{}, 1)
	s.script.released = make(chan struct{})
	if s.ca, err = loadAuthority(cfg.Dir); err != nil {
		return nil, err
	}
	leaf, err := s.ca.leaf()
	if err != nil {
		return nil, err
	}
	if err := s.listen(leaf); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.keys, err = loadKeyring(cfg.Dir, s.Addrs().Token); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.apnsKeys.add(&apnsKey{id: s.keys.APNs.KeyID, team: s.keys.APNs.TeamID, public: &s.keys.apns.PublicKey})
	s.devices.rules = s.Conduct
	s.doors[0].rules = &apns{keys: &s.apnsKeys, certs: newAPNsCertificates(s.ca.cert), devices: s.devices}
	s.doors[1].rules = &fcm{keys: s.keys, tokens: &s.tokens, devices: s.devices, how: &s.doors[1].conduct}
	s.doors[2].rules = &wns{tokens: &s.tokens, devices: s.devices}
	return s, nil
}

func (s *Server) listen(leaf tls.Certificate) error {
	wnsProtos := []string{"h2", "http/1.1"}
	if s.cfg.WNSHTTP1Only {
		wnsProtos = wnsProtos[1:]
	}
	for _, d := range []struct {
		vendor Vendor
		addr   string
		protos []string
	}{
		{APNs, s.cfg.APNsAddr, []string{"h2"}},
		{FCM, s.cfg.FCMAddr, []string{"h2", "http/1.1"}},
		{WNS, s.cfg.WNSAddr, wnsProtos},
		{Token, s.cfg.TokenAddr, []string{"h2", "http/1.1"}},
	} {
		ln, err := net.Listen("tcp", d.addr) //nolint:noctx // New has no context to wait on
		if err != nil {
			return fmt.Errorf("sandbox: %s: %w; free the port or choose another", d.vendor, err)
		}
		one := &door{
			vendor: d.vendor, ln: ln, http1: make(chan net.Conn),
			tls: &tls.Config{
				Certificates: []tls.Certificate{leaf}, NextProtos: d.protos, MinVersion: tls.VersionTLS12,
				DynamicRecordSizingDisabled: true,
			},
		}
		if d.vendor == APNs { // certificates are judged by request, as Apple does
			one.tls.ClientAuth = tls.RequestClientCert
		}
		s.doors = append(s.doors, one)
		how, set := s.cfg.Conduct[d.vendor]
		if !set {
			how = VendorConduct(d.vendor, s.cfg.Mode)
		}
		if err := s.SetConduct(d.vendor, how); err != nil {
			return err
		}
	}
	return nil
}

// Addrs tells where the servers listen.
func (s *Server) Addrs() Addrs {
	a := func(i int) string { return s.doors[i].ln.Addr().String() }
	return Addrs{APNs: a(0), FCM: a(1), WNS: a(2), Token: a(3)}
}

// CAPEM is the certificate that clients must trust. It can sign only the vendors'
// names and loopback.
func (s *Server) CAPEM() []byte { return append([]byte(nil), s.ca.pem...) }

// CAFile is the path of [Server.CAPEM]; "" when [Config.Dir] is.
func (s *Server) CAFile() string {
	if s.cfg.Dir == "" {
		return ""
	}
	return filepath.Join(s.cfg.Dir, "ca.pem")
}

// Credentials are what an app onboards to send through this sandbox.
func (s *Server) Credentials() Credentials { return s.keys.Credentials }

// Now is the server's clock.
func (s *Server) Now() time.Time { return s.cfg.Now() }

// Mode is what the server was started in.
func (s *Server) Mode() Mode { return s.cfg.Mode }

// Close closes the listeners. Run does so itself when it ends.
func (s *Server) Close() error {
	var errs []error
	for _, d := range s.doors {
		if err := d.ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends, then returns nil after its last goroutine; or the
// error of a listener that failed. Call it once.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var loops sync.WaitGroup
	for _, d := range s.doors {
		srv := s.httpServer(ctx, d)
		loops.Go(func() {
			if err := d.serveHTTP(ctx, srv); err != nil {
				cancel(err)
			}
		})
		if d.rules != nil {
			loops.Go(func() {
				if err := s.accept(ctx, d); err != nil {
					cancel(fmt.Errorf("sandbox: %s: %w", d.vendor, err))
				}
			})
		}
		loops.Go(func() {
			<-ctx.Done()
			_ = d.ln.Close()
			_ = srv.Close()
		})
	}
	loops.Go(func() { s.acts.run(ctx, s.perform) })
	<-ctx.Done()
	s.stop()
	loops.Wait()
	s.wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// stop ends every connection; HTTP/2 ones say GOAWAY first.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for nc, g := range s.conns {
		if g.h2 == nil {
			_ = nc.Close()
		} else {
			g.h2.stop()
		}
	}
}

func (s *Server) accept(ctx context.Context, d *door) error {
	for {
		nc, err := d.ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = nc.Close()
			}
			return nil
		}
		if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			continue
		}
		if err != nil {
			return err
		}
		if s.register(nc, d.vendor) {
			s.wg.Go(func() { s.greet(ctx, d, nc) })
		}
	}
}

// register keeps the connection to be closed at the end; false: it is the end.
func (s *Server) register(nc net.Conn, v Vendor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		_ = nc.Close()
		return false
	}
	s.conns[nc] = &guest{vendor: v}
	return true
}

func (s *Server) forget(nc net.Conn) {
	s.mu.Lock()
	delete(s.conns, nc)
	s.mu.Unlock()
}

// greet does the TLS handshake and serves what was negotiated.
func (s *Server) greet(ctx context.Context, d *door, nc net.Conn) {
	raw := newReadAhead(nc)
	tc := tls.Server(raw, d.tls)
	_ = nc.SetDeadline(realNow().Add(10 * time.Second))
	if err := tc.HandshakeContext(ctx); err != nil {
		s.log.Debug("sandbox: TLS handshake failed", "vendor", d.vendor, "error", err)
		s.forget(nc)
		_ = nc.Close()
		return
	}
	_ = nc.SetDeadline(time.Time{})
	vc := s.counts.vendors[d.vendor]
	vc.connections.Add(1)
	vc.open.Add(1)
	done := func() {
		vc.open.Add(-1)
		s.forget(nc)
	}
	if tc.ConnectionState().NegotiatedProtocol == "h2" {
		defer done()
		h := newH2conn(s, d, tc, raw)
		s.mu.Lock()
		stopping := s.stopping
		s.conns[nc].h2 = h
		s.mu.Unlock()
		if stopping {
			h.stop()
		}
		h.serve()
		return
	}
	if d.vendor == APNs { // HTTP/1.1 gets no connection
		defer done()
		_ = tc.Close()
		return
	}
	closed := make(chan struct{})
	select {
	case d.http1 <- &closeNotify{Conn: tc, closed: closed}:
		<-closed
	case <-ctx.Done():
		_ = tc.Close()
	}
	done()
}

// guest is an open connection.
type guest struct {
	vendor Vendor
	h2     *h2conn // nil: HTTP/1.1, or not yet known
}

// h2conns is a vendor's HTTP/2 connections; "": all.
func (s *Server) h2conns(v Vendor) []*h2conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*h2conn
	for _, g := range s.conns {
		if g.h2 != nil && (v == "" || v == g.vendor) {
			out = append(out, g.h2)
		}
	}
	return out
}

// http1conns is a vendor's other connections.
func (s *Server) http1conns(v Vendor) []net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []net.Conn
	for nc, g := range s.conns {
		if g.h2 == nil && v == g.vendor {
			out = append(out, nc)
		}
	}
	return out
}

// await waits for a scripted delay, in real time, and for the end of a hold, if
// there is one; false: ctx ended.
func await(ctx context.Context, delay time.Duration, hold <-chan struct{}) bool {
	var timer <-chan time.Time
	if delay > 0 {
		t := time.NewTimer(delay) //nolint:forbidigo // scripted delays are real time
		defer t.Stop()
		timer = t.C
	}
	if timer != nil {
		select {
		case <-timer:
		case <-ctx.Done():
			return false
		}
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

var _ http.Handler = (*http1)(nil)
