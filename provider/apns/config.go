package apns

import (
	"fmt"
	"time"

	"carillon"
	"carillon/provider/wire"
)

// Config says how to reach APNs. The zero value is Apple's own service.
type Config struct {
	// BaseURL replaces https://api.push.apple.com or, for credentials of the
	// sandbox environment, https://api.sandbox.push.apple.com.
	BaseURL string `yaml:"baseURL"`
	// CAFile is a PEM file with the only certificates to trust; empty: the
	// system's.
	CAFile string `yaml:"caFile"`
	// MaxInFlight caps the unanswered pushes of one app over all its connections;
	// Apple's own limit of each holds beside it. Default 4000.
	MaxInFlight int `yaml:"maxInFlight"`
	// MinConnections and MaxConnections bound an app's connections. Apple welcomes
	// several, spread over its addresses. Defaults 1 and 16, those in quarantine
	// included: device tokens that never took a push have connections of their own
	// where there may be more than one.
	MinConnections int `yaml:"minConnections"`
	MaxConnections int `yaml:"maxConnections"`
	// PingInterval is the silence, while answers are owed, after which a connection
	// is asked whether it is alive; PingTimeout after that it counts as dead.
	// Defaults 10 s each.
	PingInterval time.Duration `yaml:"pingInterval"`
	PingTimeout  time.Duration `yaml:"pingTimeout"`
	// RequestTimeout is how long an answer may take. Default 15 s.
	RequestTimeout time.Duration `yaml:"requestTimeout"`
	// DialTimeout bounds opening a connection. Default 10 s.
	DialTimeout time.Duration `yaml:"dialTimeout"`
	// ServerErrorWait is the pause after a 500 or 503 that names none. Default
	// 15 min, which is what Apple asks for ("Handling notification responses").
	ServerErrorWait time.Duration `yaml:"serverErrorWait"`
}

const (
	production = "https://api.push.apple.com"
	sandbox    = "https://api.sandbox.push.apple.com"

	defaultServerErrorWait = 15 * time.Minute
)

// site is the server for a credential.
func (c *Config) site(cred *carillon.Credential) (wire.Site, error) {
	base := c.BaseURL
	switch cred.Environment {
	case "", "production":
		if base == "" {
			base = production
		}
	case "sandbox":
		if base == "" {
			base = sandbox
		}
	default:
		return wire.Site{}, fmt.Errorf("environment %q is neither production nor sandbox", cred.Environment)
	}
	return wire.ParseSite(base, c.CAFile)
}
