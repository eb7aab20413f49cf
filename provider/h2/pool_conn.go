package h2

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// kind is what a connection is for.
type kind uint8

const (
	regular kind = iota
	quarantine
	kinds = int(quarantine) + 1
)

// The gate of a connection: how many requests the pool lets on it, beside the
// server's limit.
const (
	gateShut = 0 // not open yet, or its warming request is under way
	gateOne  = 1 // cold: one request to warm it
	gateOpen = 1 << 30
)

// PoolConn is one connection of a pool, from before it is dialled to its last answer.
type PoolConn struct {
	// Data is the caller's own; Prepare may use it.
	Data any

	pool   *Pool
	kind   kind
	client *Client
	addr   netip.AddrPort // zero when the address is a name
	gate   atomic.Int64
	useful atomic.Bool // answered something

	// Under Pool.mu.
	began   time.Time // of the dial
	opened  time.Time // zero: not yet
	leaving bool
	halved  bool
	stalls  uint64    // as last seen
	stalled time.Time // until when it carries half
}

// room is how many requests it takes now.
func (c *PoolConn) room() int { return min(int(c.gate.Load()), c.client.Room()) }

// serve opens the connection and keeps it until it has ended.
func (c *PoolConn) serve(ctx context.Context) {
	err := c.client.RunOnce(ctx)
	c.pool.ended(c, err)
}

// dial connects to one of the service's addresses.
func (c *PoolConn) dial(ctx context.Context) (net.Conn, error) {
	p := c.pool
	host, port, err := net.SplitHostPort(p.cfg.Addr)
	if err != nil {
		return nil, err
	}
	addrs, err := p.cfg.Resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for len(addrs) > 0 {
		i := p.claim(c, addrs)
		var nc net.Conn
		nc, err = p.dial(ctx, net.JoinHostPort(addrs[i].Unmap().String(), port))
		if err == nil || ctx.Err() != nil {
			return nc, err
		}
		p.fault(c, addrs[i])
		addrs = append(addrs[:i:i], addrs[i+1:]...)
	}
	if err == nil {
		err = errors.New("the name has no address")
	}
	return nil, err
}

// results takes what the connection brings. The client calls it from one
// goroutine at a time.
func (c *PoolConn) results(results []Result) {
	if c.gate.Load() != gateOpen {
		c.warm(results)
	}
	if !c.useful.Load() {
		for i := range results {
			if results[i].Fault == FaultNone {
				c.useful.Store(true)
				break
			}
		}
	}
	c.pool.settle(results)
}

// warm moves the gate of a cold connection by the answer to its one request.
func (c *PoolConn) warm(results []Result) {
	gate := int64(gateOne)
	for i := range results {
		if results[i].Fault == FaultNone && warmed(results[i].Status) {
			gate = gateOpen
		}
	}
	c.gate.Store(gate)
}

// onRoom is told that the server takes requests: the first time it is open.
func (c *PoolConn) onRoom() {
	c.pool.open(c)
	c.pool.pump()
	c.pool.tellRoom()
}

// onLeave is told that it takes nothing new.
func (c *PoolConn) onLeave(reason string) { c.pool.left(c, reason) }
