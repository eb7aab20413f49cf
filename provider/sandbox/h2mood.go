package sandbox

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// mood is what an [Act] made of a connection. The mutex of the connection guards
// it, but for stalled.
type mood struct {
	mute  bool      // nothing is written
	until time.Time // end of it; zero: for good

	hold    sync.Mutex
	stalled chan struct{} // not nil: the reader waits until it is closed
	left    bool
}

const maxMuted = 4 << 20 // bytes that a mute connection keeps for later

var (
	errOver  = errors.New("the server ends")
	errMuted = errors.New("too much asked of a mute connection")
)

// stall makes the reader wait from its next read on.
func (m *mood) stall() {
	m.hold.Lock()
	defer m.hold.Unlock()
	if m.stalled == nil && !m.left {
		m.stalled = make(chan struct{})
	}
}

// unstall lets the reader go on.
func (m *mood) unstall() {
	m.hold.Lock()
	defer m.hold.Unlock()
	if m.stalled != nil {
		close(m.stalled)
		m.stalled = nil
	}
}

// leave is unstall for good.
func (m *mood) leave() {
	m.unstall()
	m.hold.Lock()
	m.left = true
	m.hold.Unlock()
}

func (m *mood) wait() {
	m.hold.Lock()
	c := m.stalled
	m.hold.Unlock()
	if c != nil {
		<-c
	}
}

// speak ends silence and stall.
func (m *mood) speak() {
	m.mute, m.until = false, time.Time{}
	m.unstall()
}

// act does to the connection what a says.
func (c *h2conn) act(a *Act) {
	switch a.Kind {
	case Close, Reset:
		cut(c.raw.Conn, a.Kind == Reset)
		c.endReader() // it may be stalled
		return
	case Silence, Stall:
		c.mute(true, a.For, a.Kind == Stall)
		return
	case HalfClose:
		c.mute(true, 0, false)
		if tcp, ok := c.raw.Conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		return
	case Streams, GoAway:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late.over || c.answers.goneAway {
		return
	}
	if a.Kind == GoAway {
		c.goAway(c.lastID, a.Reason)
	} else {
		l := &c.answers.limits
		l.target = int(a.Streams)
		if !l.cold && !l.dropped {
			c.move(l.target)
		}
	}
	if c.flush() != nil || c.answers.ended() {
		c.endReader()
	}
}

// mute begins or ends silence.
func (c *h2conn) mute(on bool, length time.Duration, stall bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late.over {
		return
	}
	if !on {
		if c.mood.mute {
			c.mood.speak()
			if c.flush() != nil || c.answers.ended() {
				c.endReader()
			}
		}
		return
	}
	c.mood.mute, c.mood.until = true, time.Time{}
	if stall {
		c.mood.stall()
	}
	if length > 0 && c.startLate() {
		c.mood.until = realNow().Add(length)
		c.late.hurry()
	}
}

// cut ends a TCP connection without a word, with a RST when reset is set.
func cut(nc net.Conn, reset bool) {
	if tcp, ok := nc.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = nc.Close()
}

// beLate waits for [Conduct.SettingsDelay]; false: the server ends.
func (c *h2conn) beLate() bool {
	delay := c.d.conduct.Load().SettingsDelay
	if delay <= 0 {
		return !c.over.Load()
	}
	c.mood.stall()
	t := time.AfterFunc(delay, c.mood.unstall) //nolint:forbidigo // a scripted delay is real time
	c.mood.wait()
	t.Stop()
	return !c.over.Load()
}

// read waits for more of the client's bytes.
func (c *h2conn) read(b []byte) (int, error) {
	for {
		c.mood.wait()
		idle := c.d.conduct.Load().Idle
		if idle > 0 {
			_ = c.nc.SetReadDeadline(realNow().Add(idle))
		}
		if c.over.Load() {
			return 0, errOver
		}
		n, err := c.nc.Read(b)
		if err == nil || n > 0 || idle == 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.over.Load() {
			return n, err
		}
		c.mu.Lock()
		resting := c.answers.active <= 0 && !c.mood.mute
		c.mu.Unlock()
		if resting {
			return 0, connError{http2.ErrCodeNo, "session_timed_out"}
		}
	}
}

// ping answers a PING, if there were not too many.
func (c *h2conn) ping(p []byte) error {
	c.pings++
	if n := c.d.conduct.Load().PingStrikes; n > 0 && c.pings > n {
		return connError{http2.ErrCodeEnhanceYourCalm, "too_many_pings"}
	}
	c.out = appendFrame(c.out, http2.FramePing, http2.FlagPingAck, 0, p)
	return nil
}
