package httpapi

import (
	"net"
	"time"

	"carillon"
)

// Config is how the door listens. The zero value is good: it listens on
// [DefaultListen] without TLS.
type Config struct {
	// Listen is host:port; port 0 takes a free one.
	Listen string `yaml:"listen"`
	// TLSCert and TLSKey are PEM files; both or none.
	TLSCert string `yaml:"tlsCert"`
	TLSKey  string `yaml:"tlsKey"`
	// PublicURL is the address that callers see (https://push.example.com), for
	// @odata.context; "" takes it from each request.
	PublicURL string `yaml:"publicURL"`
	// ReadTimeout bounds the reading of one whole request, WriteTimeout the
	// writing of its answer, IdleTimeout the wait for the next one.
	ReadTimeout  time.Duration `yaml:"readTimeout"`
	WriteTimeout time.Duration `yaml:"writeTimeout"`
	IdleTimeout  time.Duration `yaml:"idleTimeout"`
	// DrainTimeout bounds the wait for requests in flight when stopped.
	DrainTimeout time.Duration `yaml:"drainTimeout"`
	// MaxConns is how many connections are served. One more in eight is
	// answered 503, the rest are closed unread.
	MaxConns int `yaml:"maxConns"`
	// MaxRequestBytes bounds a body as it is sent, MaxHeaderBytes the request
	// line with all headers.
	MaxRequestBytes int `yaml:"maxRequestBytes"`
	MaxHeaderBytes  int `yaml:"maxHeaderBytes"`
}

// DefaultListen and DefaultOpsListen are where all-in-one mode listens.
const (
	DefaultListen    = "127.0.0.1:8410"
	DefaultOpsListen = "127.0.0.1:8411"

	defaultMaxConns = 16 << 10
)

// WithDefaults is the config with every zero value replaced.
func (c Config) WithDefaults() Config {
	orString(&c.Listen, DefaultListen)
	orDuration(&c.ReadTimeout, 10*time.Second)
	orDuration(&c.WriteTimeout, 10*time.Second)
	orDuration(&c.IdleTimeout, 75*time.Second)
	orDuration(&c.DrainTimeout, 5*time.Second)
	orInt(&c.MaxConns, defaultMaxConns)
	orInt(&c.MaxRequestBytes, carillon.MaxRequest)
	orInt(&c.MaxHeaderBytes, 16<<10)
	return c
}

// IsLoopback tells whether a listen address can be reached from this machine
// only.
func IsLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func orString(v *string, d string) {
	if *v == "" {
		*v = d
	}
}

func orDuration(v *time.Duration, d time.Duration) {
	if *v <= 0 {
		*v = d
	}
}

func orInt(v *int, d int) {
	if *v <= 0 {
		*v = d
	}
}
