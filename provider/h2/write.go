package h2

import (
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

const (
	writeChunk = 128 << 10 // what one write deadline covers
	outMax     = 1 << 20   // a larger buffer is not kept
)

// write is the writer: it takes whatever is queued, as one write, until the
// connection is dead. While it writes, more queues up: batches grow by
// themselves under load, and an idle connection adds no delay.
func (c *conn) write() {
	var spare []byte
	for {
		buf, last := c.takeOut(spare[:0])
		if len(buf) > 0 {
			timeout := c.cfg.WriteTimeout
			if last {
				timeout = byeTimeout
			}
			if err := writeAll(c.nc, buf, timeout, &c.writing); err != nil {
				c.mu.Lock()
				c.die(http2.ErrCodeNo, "write: "+err.Error())
				c.mu.Unlock()
				return
			}
			c.cl.bytesWritten.Add(uint64(len(buf)))
			c.cl.writes.Add(1)
		}
		if last {
			return
		}
		if spare = buf; cap(spare) > outMax {
			spare = nil
		}
	}
}

// takeOut waits for frames and swaps the buffers. last: the connection is dead,
// these are its last words.
func (c *conn) takeOut(spare []byte) (buf []byte, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out) == 0 && c.state != dead {
		c.writerIdle = true
		c.mu.Unlock()
		<-c.wake
		c.mu.Lock()
	}
	buf, c.out = c.out, spare
	c.batch++
	c.control = 0
	return buf, c.state == dead
}

// writeAll writes b; began tells for how long a write has been running.
func writeAll(nc net.Conn, b []byte, timeout time.Duration, began *atomic.Int64) error {
	for len(b) > 0 {
		n := min(len(b), writeChunk)
		now := realNow()
		began.Store(now.UnixNano())
		if err := nc.SetWriteDeadline(now.Add(timeout)); err != nil {
			return err
		}
		if _, err := nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	began.Store(0)
	return nil
}
