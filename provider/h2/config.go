package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"
)

// Config configures a Client. Needed are Addr or Dial, Static with :method and
// :scheme, and OnResults; everything else has a good zero value.
type Config struct {
	// Name of the connection in logs.
	Name string
	// Addr is the host:port to dial; the host is looked up anew for each dial.
	Addr string
	// Dial overrides Addr and TLS. A *tls.Conn that it returns must have
	// offered h2 by ALPN; any other conn is taken to speak HTTP/2.
	Dial func(ctx context.Context) (net.Conn, error)
	// TLS for Addr; cloned, ALPN is set by the client. Nil: HTTP/2 in clear text
	// with prior knowledge (RFC 9113 §3.3).
	TLS *tls.Config
	// AllowHTTP1 also offers http/1.1 by ALPN; Run returns ErrHTTP1 when the
	// server does not choose h2.
	AllowHTTP1 bool
	// Static fields are sent with every request, pseudo-header fields first.
	Static []Field
	// MaxInFlight caps the requests without an answer, beside the server's own
	// limit. Default 1000.
	MaxInFlight int
	// MaxBody caps the response body in bytes; the rest is cut off. Default 16 KiB.
	MaxBody int
	// RequestTimeout is the deadline of requests that bring none. Default 15 s.
	RequestTimeout time.Duration
	// DialTimeout bounds dialling, the TLS handshake and the wait for the
	// server's first SETTINGS, each. Default 10 s.
	DialTimeout time.Duration
	// WriteTimeout is how long one write may stall before the connection counts
	// as dead. Default 10 s.
	WriteTimeout time.Duration
	// StallAfter is how long one write may take before it counts in Stats.Stalls:
	// the server, or the way to it, takes less than we offer. Default 1 s.
	StallAfter time.Duration
	// PingInterval is the silence, while answers are owed, after which a PING
	// is sent. Default 10 s.
	PingInterval time.Duration
	// IdlePingInterval is the same while nothing is owed. Default 5 min (servers
	// punish frequent pings on idle connections).
	IdlePingInterval time.Duration
	// PingTimeout is how long silence may last after a PING before the
	// connection counts as dead. Default 10 s.
	PingTimeout time.Duration
	// DrainTimeout bounds the wait for owed answers when Run's context ends.
	// Default 5 s.
	DrainTimeout time.Duration
	// Now is the clock of request deadlines. Default: real time. Dialling, pings
	// and back-off always run on real time.
	Now func() time.Time
	// OnResults takes the results, never from two goroutines at once. It may
	// call Send, but should not send again without Room, nor after Run's context
	// ended, what comes back unsent: that would go round at once. The slice and
	// what it points to are valid only during the call.
	OnResults func([]Result)
	// OnRoom, if set, is called after Room rose from 0; it must not block. Room
	// may be 0 again by then.
	OnRoom func()
	// OnLeave, if set, is called by RunOnce when its connection takes nothing new
	// any more; answers may still come.
	OnLeave func(reason string)
	// Logger for connection events. Default: none.
	Logger *slog.Logger
}

// ErrHTTP1 is returned by Client.Run under Config.AllowHTTP1 when the server
// did not choose h2.
var ErrHTTP1 = errors.New("h2: the server speaks HTTP/1.1 only")

func (cfg Config) withDefaults() Config {
	setDefault(&cfg.MaxInFlight, 1000)
	cfg.MaxInFlight = min(cfg.MaxInFlight, 1<<20)
	setDefault(&cfg.MaxBody, 16<<10)
	setDefault(&cfg.RequestTimeout, 15*time.Second)
	setDefault(&cfg.DialTimeout, 10*time.Second)
	setDefault(&cfg.WriteTimeout, 10*time.Second)
	setDefault(&cfg.StallAfter, time.Second)
	setDefault(&cfg.PingInterval, 10*time.Second)
	setDefault(&cfg.IdlePingInterval, 5*time.Minute)
	setDefault(&cfg.PingTimeout, 10*time.Second)
	setDefault(&cfg.DrainTimeout, 5*time.Second)
	if cfg.Now == nil {
		cfg.Now = realNow
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

func setDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

func (cfg Config) validate() error {
	if cfg.Addr == "" && cfg.Dial == nil {
		return errors.New("h2: Config needs Addr or Dial")
	}
	if cfg.OnResults == nil {
		return errors.New("h2: Config needs OnResults")
	}
	var method, scheme bool
	for _, f := range cfg.Static {
		method = method || f.Name == ":method"
		scheme = scheme || f.Name == ":scheme"
		if f.Name == ":path" {
			return errors.New("h2: :path belongs to the request, not to Config.Static")
		}
		if why := checkField(f); why != "" && (f.Name == "" || f.Name[0] != ':') {
			return errors.New("h2: Config.Static: " + why)
		}
	}
	if !method || !scheme {
		return errors.New("h2: Config.Static needs :method and :scheme")
	}
	return nil
}
