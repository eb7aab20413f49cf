package fcm

import "time"

// Config says how to reach FCM. The zero value is Google's own service.
type Config struct {
	// BaseURL replaces https://fcm.googleapis.com.
	BaseURL string `yaml:"baseURL"`
	// TokenURL replaces the service account's token_uri as the place to ask for
	// access tokens.
	TokenURL string `yaml:"tokenURL"`
	// CAFile is a PEM file with the only certificates to trust, for both; empty:
	// the system's.
	CAFile string `yaml:"caFile"`
	// MaxInFlight caps the unanswered pushes of one app over all its connections;
	// FCM's own limit (100 a connection) holds beside it. Default 4000.
	MaxInFlight int `yaml:"maxInFlight"`
	// MinConnections and MaxConnections bound an app's connections. Defaults 1
	// and 50.
	MinConnections int `yaml:"minConnections"`
	MaxConnections int `yaml:"maxConnections"`
	// QuotaPerMinute is what the project may send; pushes are paced to it. Default
	// 600,000, which is what every project has, and none for the built-in
	// sandbox's credentials; negative: no pace at all.
	QuotaPerMinute int `yaml:"quotaPerMinute"`
	// RampUp is the least time from little traffic to the quota. Default 1 min,
	// which is what Google asks for.
	RampUp time.Duration `yaml:"rampUp"`
	// PingInterval is the silence, while answers are owed, after which a connection
	// is asked whether it is alive; PingTimeout after that it counts as dead.
	// Defaults 10 s each.
	PingInterval time.Duration `yaml:"pingInterval"`
	PingTimeout  time.Duration `yaml:"pingTimeout"`
	// RequestTimeout is how long an answer may take; Google asks for 10 s or
	// more. Default 15 s.
	RequestTimeout time.Duration `yaml:"requestTimeout"`
	// ValidateOnly has Google check each message as if it were sent, and ring
	// nobody: a rehearsal with real credentials and addresses.
	ValidateOnly bool `yaml:"validateOnly"`
	// DialTimeout bounds opening a connection. Default 10 s.
	DialTimeout time.Duration `yaml:"dialTimeout"`
}

const production = "https://fcm.googleapis.com"
