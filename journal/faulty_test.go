package journal_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
)

// fault is what happens to one produce request.
type fault int32

const (
	none   fault = iota
	halved       // the connection breaks in the middle of the request
	muted        // the broker answers, but the connection breaks before the answer comes
)

// faulty makes connections whose produce requests meet the faults that next
// hands out.
type faulty struct {
	next func() fault
	met  [3]atomic.Int64
}

func (f *faulty) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &faultyConn{Conn: c, f: f}, nil
}

type faultyConn struct {
	net.Conn
	f    *faulty
	left int // bytes of the request that are still to come
	mute atomic.Bool
}

func (c *faultyConn) Write(b []byte) (int, error) {
	if c.left == 0 { // a request begins: size, then the api key, 0 for produce
		c.left = 4 + int(binary.BigEndian.Uint32(b))
		if binary.BigEndian.Uint16(b[4:]) == 0 {
			f := c.f.next()
			c.f.met[f].Add(1)
			switch f {
			case halved:
				_, _ = c.Conn.Write(b[:len(b)/2])
				_ = c.Close()
				return len(b) / 2, io.ErrClosedPipe
			case muted:
				c.mute.Store(true)
			case none:
			}
		}
	}
	c.left -= len(b)
	return c.Conn.Write(b)
}

func (c *faultyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.mute.Load() { // so the broker did its part
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}
