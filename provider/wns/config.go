package wns

import (
	"fmt"
	"net"
	"net/url"
	"time"

	"carillon"
)

// Config says how to reach WNS. The zero value is Microsoft's own service.
type Config struct {
	// DialAddress (host:port) is dialled whatever host a channel URI names; URL,
	// Host and SNI stay the channel's.
	DialAddress string `yaml:"dialAddress"`
	// TokenURL replaces the place to ask for access tokens.
	TokenURL string `yaml:"tokenURL"`
	// CAFile is a PEM file with the only certificates to trust, for both; empty:
	// the system's.
	CAFile string `yaml:"caFile"`
	// MaxInFlight caps the unanswered pushes of one app. Default 1000.
	MaxInFlight int `yaml:"maxInFlight"`
	// MaxHosts caps the hosts that one app has connections to; one that is idle
	// makes room for another. Default 64.
	MaxHosts int `yaml:"maxHosts"`
	// MaxConnections caps the connections to one host where it speaks HTTP/1.1
	// only. Default 64.
	MaxConnections int `yaml:"maxConnections"`
	// RequestTimeout is how long a push may wait for a connection, and an answer
	// may take after that. Default 15 s each.
	RequestTimeout time.Duration `yaml:"requestTimeout"`
	// PingInterval is the silence, while answers are owed, after which an HTTP/2
	// connection is asked whether it is alive; PingTimeout after that it counts as
	// dead. Defaults 10 s each.
	PingInterval time.Duration `yaml:"pingInterval"`
	PingTimeout  time.Duration `yaml:"pingTimeout"`
	// DialTimeout bounds opening a connection. Default 10 s.
	DialTimeout time.Duration `yaml:"dialTimeout"`
}

func (c *Config) withDefaults() Config {
	d := *c
	for _, v := range []struct {
		at  *int
		def int
	}{{&d.MaxInFlight, 1000}, {&d.MaxHosts, 64}, {&d.MaxConnections, 64}} {
		if *v.at <= 0 {
			*v.at = v.def
		}
	}
	if d.RequestTimeout <= 0 {
		d.RequestTimeout = 15 * time.Second
	}
	if d.DialTimeout <= 0 {
		d.DialTimeout = 10 * time.Second
	}
	return d
}

func (c *Config) validate() error {
	if c.DialAddress == "" {
		return nil
	}
	if host, port, err := net.SplitHostPort(c.DialAddress); err != nil || host == "" || port == "" {
		return fmt.Errorf("dialAddress %q is not host:port", c.DialAddress)
	}
	return nil
}

// tokenURL is where the credential's tokens come from.
func (c *Config) tokenURL(cred *carillon.Credential) string {
	switch {
	case c.TokenURL != "":
		return c.TokenURL
	case cred.PackageSID != "":
		return "https://login.live.com/accesstoken.srf"
	}
	return "https://login.microsoftonline.com/" + url.PathEscape(cred.TenantID) + "/oauth2/v2.0/token"
}
