package h2

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// PoolConfig configures a Pool. Needed are Addr, Conn.Static and OnResults;
// everything else has a good zero value.
type PoolConfig struct {
	// Name of the pool in logs.
	Name string
	// Addr is the service's host:port. The host is looked up anew for each
	// connection, and connections spread over its addresses.
	Addr string
	// TLS is the trust; nil: HTTP/2 in clear text.
	TLS *tls.Config
	// Conn is the template of each connection: Static, MaxInFlight, time-outs, Now,
	// AllowHTTP1, MaxBody. Names, addresses and callbacks are the pool's.
	Conn Config
	// Min and Max bound the connections. Defaults 1 and 16.
	Min, Max int
	// MaxInFlight caps the unanswered requests of the pool. Default 4000.
	MaxInFlight int
	// Warm: a new connection takes one request until one was answered 2xx.
	Warm bool
	// Quarantine keeps requests that are Unproven on connections of their own, if
	// there may be more than one.
	Quarantine bool
	// QuarantineWait is how long an unproven request may wait for such a
	// connection while others are under way. Default 250 ms.
	QuarantineWait time.Duration
	// MaxWait is how long a request may wait for a connection before it goes back
	// unsent. Default 1 s.
	MaxWait time.Duration
	// GrowEvery spaces the opening of connections. Default 250 ms.
	GrowEvery time.Duration
	// IdleAfter is how long a connection must have been more than enough before
	// it is closed. Default 10 min.
	IdleAfter time.Duration
	// Prepare, if set, is called before requests are encoded for a connection, by
	// one goroutine at a time; a request that goes to another one comes here again.
	Prepare func(c *PoolConn, shots []*Shot)
	// OnResults takes the results, never from two goroutines at once. The slice
	// and what it points to are valid only during the call. It may call Send.
	OnResults func([]Result)
	// OnRoom, if set, is called after Room rose from 0; it must not block.
	OnRoom func()
	// Resolve looks a host up. Default: the system's resolver, uncached.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial opens a connection to an address; default: TCP, and TLS over it.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Logger for the life of connections. Default: none.
	Logger *slog.Logger
}

func (cfg PoolConfig) withDefaults() PoolConfig {
	or := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	or(&cfg.QuarantineWait, 250*time.Millisecond)
	or(&cfg.MaxWait, time.Second)
	or(&cfg.GrowEvery, 250*time.Millisecond)
	or(&cfg.IdleAfter, 10*time.Minute)
	if cfg.MaxInFlight <= 0 {
		cfg.MaxInFlight = 4000
	}
	if cfg.Max <= 0 {
		cfg.Max = 16
	}
	if cfg.Min <= 0 {
		cfg.Min = 1
	}
	cfg.Max = max(cfg.Max, cfg.Min)
	cfg.Quarantine = cfg.Quarantine && cfg.Max > 1
	if cfg.Resolve == nil {
		cfg.Resolve = lookUp
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.TLS = ClientTLS(cfg.TLS, cfg.Addr, cfg.Conn.AllowHTTP1)
	return cfg
}

func lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
