package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	lingerFor   = time.Second
	lingerBytes = 16 << 20
	acceptPause = 50 * time.Millisecond
)

// listen opens a TCP listener. A fault says which flag to use.
func listen(addr, flag string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", addr) //nolint:forbidigo // opening a port does not wait
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is taken by another program: stop it, or choose another address with %s HOST:PORT (port 0 takes a free one)", addr, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s may not be opened by this user: choose a port of 1024 or above with %s HOST:PORT", addr, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is no address of this machine: choose another with %s HOST:PORT", addr, flag)
	}
	return nil, fmt.Errorf("%s cannot be opened (%w): give HOST:PORT with %s", addr, err, flag)
}

// loadTLS reads the pair of PEM files.
func loadTLS(cert, key string) (*tls.Config, error) {
	if cert == "" || key == "" {
		return nil, errors.New("TLS needs both a certificate and a key: give --tls-cert FILE and --tls-key FILE")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("the TLS certificate %s and key %s cannot be used: %w", cert, key, err)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"http/1.1"},
	}, nil
}

// gate is a listener that knows its open connections, so that their number is
// bounded and what is left after a drain can be closed.
type gate struct {
	net.Listener
	most int // beyond this a connection is closed unread

	mu   sync.Mutex
	open map[*conn]struct{}
}

func newGate(ln net.Listener, most int) *gate {
	return &gate{Listener: ln, most: most, open: make(map[*conn]struct{})}
}

// Accept takes the next connection. Running out of file descriptors passes, and
// must not end the server.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) {
			time.Sleep(acceptPause) //nolint:forbidigo // the kernel's condition, on real time
			continue
		}
		if err != nil {
			return nil, err
		}
		held := &conn{Conn: c, gate: g}
		if !g.add(held) {
			_ = c.Close()
			continue
		}
		return held, nil
	}
}

func (g *gate) add(c *conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.open) >= g.most {
		return false
	}
	g.open[c] = struct{}{}
	return true
}

func (g *gate) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.open)
}

// closeUnused ends the connections that never sent a byte. fasthttp counts them
// as busy for some seconds.
func (g *gate) closeUnused() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		if !c.used.Load() {
			_ = c.Conn.Close()
		}
	}
}

// closeAll ends the connections that a drain left, without ceremony.
func (g *gate) closeAll() {
	g.mu.Lock()
	left := make([]*conn, 0, len(g.open))
	for c := range g.open {
		left = append(left, c)
	}
	g.mu.Unlock()
	for _, c := range left {
		_ = c.Conn.Close()
	}
}

// conn is one connection of a gate.
type conn struct {
	net.Conn
	gate *gate
	once sync.Once
	used atomic.Bool

	// These are set and read by whoever serves the connection.
	in, out     *pace // nil: the server's own deadlines hold
	late        bool  // a read ran into its deadline
	linger      time.Duration
	lingerBytes int64
}

// Read notes that the peer said something.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.read(b)
	if n > 0 && !c.used.Load() {
		c.used.Store(true)
	}
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		c.late = true
	}
	return n, err
}

func (c *conn) read(b []byte) (int, error) {
	if c.in != nil {
		return c.in.move(c.SetReadDeadline, c.Conn.Read, b)
	}
	return c.Conn.Read(b)
}

// Write writes, at the peer's pace where that is bounded.
func (c *conn) Write(b []byte) (int, error) {
	if c.out != nil {
		return c.out.move(c.SetWriteDeadline, c.Conn.Write, b)
	}
	return c.Conn.Write(b)
}

// Close closes the connection. After an error answer to a request that was not
// read to its end it first lets the peer read the answer: closing with unread
// bytes would reset the connection and drop it (RFC 9112 §9.6).
func (c *conn) Close() error {
	var err error
	c.once.Do(func() {
		if c.linger > 0 {
			c.drain()
		}
		err = c.Conn.Close()
		c.gate.mu.Lock()
		delete(c.gate.open, c)
		c.gate.mu.Unlock()
	})
	return err
}

func (c *conn) drain() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(c.linger)) //nolint:forbidigo // a socket deadline
	_, _ = io.CopyN(io.Discard, c.Conn, c.lingerBytes)
}

// linger lets a connection's peer read the answer, for a time and a number of
// bytes, when it is closed before all was read that he sent.
func linger(c net.Conn, d time.Duration, bytes int64) {
	held := gated(c)
	held.linger, held.lingerBytes = d, bytes
}
