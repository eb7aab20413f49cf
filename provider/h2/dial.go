package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 10 * time.Second
	// A connection that lived shorter counts as a failure: servers take rapid
	// opening and closing for an attack.
	longLife = time.Second
)

// dial returns a connection on which the server is ready for HTTP/2 frames.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	nc, err := c.dialRaw(ctx)
	if err != nil {
		return nil, err
	}
	tc, ok := nc.(*tls.Conn)
	if !ok {
		return nc, nil
	}
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("h2: TLS handshake: %w", err)
	}
	if proto := tc.ConnectionState().NegotiatedProtocol; proto != "h2" {
		_ = nc.Close()
		if c.cfg.AllowHTTP1 {
			return nil, ErrHTTP1
		}
		return nil, errors.New("h2: the server did not choose h2 by ALPN but " + fmt.Sprintf("%q", proto))
	}
	return nc, nil
}

func (c *Client) dialRaw(ctx context.Context) (net.Conn, error) {
	if c.cfg.Dial != nil {
		return c.cfg.Dial(ctx)
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", c.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("h2: %w", err)
	}
	if c.tls == nil {
		return nc, nil
	}
	return tls.Client(nc, c.tls), nil
}

// ClientTLS prepares a TLS configuration for connections to a host:port: ALPN, a
// session cache (one for all who use the result), records for batches. Nil stays
// nil.
func ClientTLS(t *tls.Config, addr string, allowHTTP1 bool) *tls.Config {
	if t == nil {
		return nil
	}
	t = t.Clone()
	t.NextProtos = []string{"h2"}
	if allowHTTP1 {
		t.NextProtos = append(t.NextProtos, "http/1.1")
	}
	t.MinVersion = max(t.MinVersion, tls.VersionTLS12) // RFC 9113 §9.2
	t.DynamicRecordSizingDisabled = true               // batches, not pages for a browser
	if t.ServerName == "" {
		if host, _, err := net.SplitHostPort(addr); err == nil {
			t.ServerName = host
		}
	}
	if t.ClientSessionCache == nil {
		t.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	}
	return t
}
