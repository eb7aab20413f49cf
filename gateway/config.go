package gateway

import "time"

// Config is how the doors take requests. The zero value is good.
type Config struct {
	// AppendTimeout is how long a request waits for the journal, 10 s by
	// default, or up to a quarter longer. Beyond it the answer is 503 and the
	// outcome unknown.
	AppendTimeout time.Duration `yaml:"appendTimeout"`
	// BulkBytes bounds the decoded bytes of one bulk request, 16 MiB by default.
	BulkBytes int `yaml:"bulkBytes"`
	// BulkLines bounds the lines of one bulk request, 262,144 by default.
	BulkLines int `yaml:"bulkLines"`
	// BulkBudgetBytes bounds the decoded bytes of all bulk requests that are
	// under way in this process, 128 MiB by default; beyond it they get 429.
	BulkBudgetBytes int `yaml:"bulkBudgetBytes"`
	// MaxParked is how many deliveries of one app may wait for its vendors
	// before its sends get 429, 1,000,000 by default.
	MaxParked int64 `yaml:"maxParked"`
	// RecentKeys is how many acknowledged keyed requests are remembered until
	// the store knows them, 65,536 by default.
	RecentKeys int `yaml:"recentKeys"`
	// Proof says how the hosts of apps that are onboarded here are proven.
	Proof ProofConfig `yaml:"proof"`
}

const (
	defaultAppendTimeout = 10 * time.Second
	defaultBulkBytes     = 16 << 20
	defaultBulkLines     = 256 << 10
	defaultBulkBudget    = 128 << 20
	defaultMaxParked     = 1_000_000
	defaultRecentKeys    = 64 << 10
)

// WithDefaults is the config with every zero value replaced.
func (c Config) WithDefaults() Config {
	if c.AppendTimeout <= 0 {
		c.AppendTimeout = defaultAppendTimeout
	}
	if c.BulkBytes <= 0 {
		c.BulkBytes = defaultBulkBytes
	}
	if c.BulkLines <= 0 {
		c.BulkLines = defaultBulkLines
	}
	if c.BulkBudgetBytes < c.BulkBytes {
		c.BulkBudgetBytes = max(defaultBulkBudget, c.BulkBytes)
	}
	if c.MaxParked <= 0 {
		c.MaxParked = defaultMaxParked
	}
	if c.RecentKeys <= 0 {
		c.RecentKeys = defaultRecentKeys
	}
	return c
}
