package sandbox

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// httpServer is net/http for what is not our own HTTP/2: HTTP/1.1 of FCM and WNS,
// and the token endpoints.
func (s *Server) httpServer(ctx context.Context, d *door) *http.Server {
	srv := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	if d.rules == nil {
		srv.Handler = s.tokenHandler()
		srv.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.wg.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.wg.Done()
			default:
			}
		}
		srv.TLSConfig = d.tls
		return srv
	}
	srv.Handler = &http1{s: s, d: d}
	srv.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, stickyKey{}, &sticky{})
	}
	return srv
}

// serveHTTP runs the door's net/http server until ctx ends.
func (d *door) serveHTTP(ctx context.Context, srv *http.Server) error {
	var err error
	if d.rules == nil {
		err = srv.ServeTLS(d.ln, "", "")
	} else {
		err = srv.Serve(&handedOver{d: d, done: ctx.Done()})
	}
	if ctx.Err() == nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handedOver is a listener of connections whose handshake is done.
type handedOver struct {
	d    *door
	done <-chan struct{}
}

// Accept returns the next HTTP/1.1 connection.
func (l *handedOver) Accept() (net.Conn, error) {
	select {
	case c := <-l.d.http1:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close does nothing: the door's own listener is closed by Run.
func (l *handedOver) Close() error { return nil }

// Addr is the door's.
func (l *handedOver) Addr() net.Addr { return l.d.ln.Addr() }

// closeNotify tells when net/http is done with a connection. It hides the
// *tls.Conn, so that net/http does not look for HTTP/2 in it.
type closeNotify struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

// Close closes the connection and says so.
func (c *closeNotify) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { close(c.closed) })
	return err
}

type stickyKey struct{}

// http1 serves one vendor over HTTP/1.1.
type http1 struct {
	s *Server
	d *door
}

// ServeHTTP is one exchange.
func (h *http1) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	st, _ := hr.Context().Value(stickyKey{}).(*sticky)
	r := &request{
		vendor: h.d.vendor, method: hr.Method, path: hr.RequestURI, authority: hr.Host,
		chunked: len(hr.TransferEncoding) > 0, sticky: st,
	}
	var err error
	if r.body, err = io.ReadAll(io.LimitReader(hr.Body, maxBody)); err != nil {
		panic(http.ErrAbortHandler)
	}
	rest, err := io.CopyN(io.Discard, hr.Body, 1<<20)
	if err != nil && !errors.Is(err, io.EOF) {
		panic(http.ErrAbortHandler)
	}
	r.bodyLen = len(r.body) + int(rest)
	if h.s.cfg.Mode == Fast && !h.s.special.Load() {
		h.s.fastHTTP1(w, hr, r)
		return
	}
	for name, values := range hr.Header {
		for _, v := range values {
			r.fields = append(r.fields, field{strings.ToLower(name), v})
		}
	}
	rep := h.s.answer(h.d, r)
	if !await(hr.Context(), rep.delay, rep.release) || rep.drop || rep.refused {
		panic(http.ErrAbortHandler)
	}
	for _, f := range rep.fields {
		w.Header().Add(f.name, f.value)
	}
	if rep.goAway {
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(rep.status)
	_, _ = w.Write(rep.body)
}

// readAhead reads a connection in large pieces and tells whether more is at hand:
// answers are then held back to leave in one write.
type readAhead struct {
	net.Conn
	r *bufio.Reader
}

func newReadAhead(nc net.Conn) *readAhead {
	return &readAhead{Conn: nc, r: bufio.NewReaderSize(nc, 64<<10)}
}

// Read reads through the buffer.
func (c *readAhead) Read(p []byte) (int, error) { return c.r.Read(p) }

// more tells whether bytes wait in the buffer. They may be part of a TLS record:
// the rest of it comes without an answer of ours.
func (c *readAhead) more() bool { return c.r.Buffered() > 0 }
