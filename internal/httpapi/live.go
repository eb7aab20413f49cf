package httpapi

import (
	"context"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// liveWrite is how long one write of a live answer may take: a reader who is
// slower is dropped, nothing is kept for him.
const liveWrite = 5 * time.Second

// Live answers with what follow writes, as it writes it, until follow returns.
// It runs after the handler returned, on a goroutine of its own, so it must not
// touch the Request. Its context ends when the peer hangs up and as soon as the
// server stops; each write fails when the peer does not take it within 5 s. The
// answer has the headers that were set, and is its connection's last.
func (r *Request) Live(contentType string, follow func(ctx context.Context, w io.Writer)) {
	s := r.srv
	r.ctx.Response.Header.SetContentType(contentType)
	s.stamp(r)
	head := []byte("HTTP/1.1 200 OK\r\n")
	for name, value := range r.ctx.Response.Header.All() {
		switch string(name) {
		case fasthttp.HeaderContentLength, fasthttp.HeaderConnection, fasthttp.HeaderTransferEncoding:
			continue
		}
		head = append(append(append(append(head, name...), ": "...), value...), "\r\n"...)
	}
	head = append(head, "Connection: close\r\n\r\n"...)
	pattern, id := r.Pattern(), r.RequestID()
	r.ctx.HijackSetNoResponse(true)
	r.ctx.Hijack(func(c net.Conn) {
		if !s.lives.enter() { // follow gives back what it took
			ended, cancel := context.WithCancel(s.accepting)
			cancel()
			follow(ended, gone{})
			return
		}
		defer s.lives.leave()
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("live answer panicked", "panic", panicText(p), "route", pattern, "request-id", id, "stack", string(debug.Stack()))
			}
		}()
		s.live(c, head, follow)
	})
}

// gone is the writer to a peer who is not there.
type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// live runs one live answer on its connection.
func (s *Server) live(c net.Conn, head []byte, follow func(ctx context.Context, w io.Writer)) {
	ctx, cancel := context.WithCancel(s.accepting)
	defer cancel()
	_ = c.SetDeadline(time.Time{})
	heard := make(chan struct{})
	go func() { // nothing more is said: what comes is the end
		defer close(heard)
		defer cancel()
		var b [1]byte
		_, _ = c.Read(b[:])
	}()
	defer func() { // also when follow panics: the connection's reader goes to another one
		_ = c.SetReadDeadline(time.Unix(1, 0))
		<-heard
	}()
	w := liveWriter{c}
	if _, err := w.Write(head); err != nil {
		cancel() // the peer is gone already; follow gives back what it took
	}
	follow(ctx, w)
}

// liveWriter writes under a deadline.
type liveWriter struct{ c net.Conn }

// Write fails when the peer does not take it in time.
func (w liveWriter) Write(b []byte) (int, error) {
	if err := w.c.SetWriteDeadline(time.Now().Add(liveWrite)); err != nil { //nolint:forbidigo // a socket deadline
		return 0, err
	}
	return w.c.Write(b)
}

// lives counts the live answers.
type lives struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when closed and n is 0
}

func (l *lives) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.n++
	return true
}

func (l *lives) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n--; l.closed && l.n == 0 {
		close(l.idle)
	}
}

// close lets nobody in any more, and tells when the last one has left.
func (l *lives) close() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.idle = make(chan struct{})
	if l.n == 0 {
		close(l.idle)
	}
	return l.idle
}
