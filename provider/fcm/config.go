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
	// MaxInFlight caps the unanswered pushes of one app; FCM's own limit (100 a
	// connection) holds beside it. Default 1000.
	MaxInFlight int `yaml:"maxInFlight"`
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
