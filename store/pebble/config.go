package pebble

import (
	"errors"
	"fmt"
	"time"

	"carillon/store"
)

// Config of the store. The zero value of each field but Dir is good.
type Config struct {
	// Dir is the directory that holds the store and nothing else. It is made
	// when missing.
	Dir string `yaml:"dir"`
	// CacheBytes bounds the cache of blocks read; 0 is 128 MiB.
	CacheBytes int64 `yaml:"cacheBytes"`
	// MemtableBytes is how much is written before it is sorted to disk; up to
	// three of them stand in memory at a time. 0 is 32 MiB: a larger one costs
	// more in cache misses on each row than it saves in compaction.
	MemtableBytes int64 `yaml:"memtableBytes"`
	// Generation is how much expiry time is dropped at once: space comes back
	// at most that long after a row expired. Fixed when the directory is made.
	// 0 is what the directory was made with, at first a quarter of 30 days.
	// Soaks with shorter lives take a quarter of those.
	Generation time.Duration `yaml:"generation"`
	// MinFreeBytes is what the disk must have left for the gateway to accept
	// anything new; 0 is 128 MiB. Log and tables are written into what is left.
	MinFreeBytes int64 `yaml:"minFreeBytes"`
	// Outcomes is of the log that the stream of outcomes reads.
	Outcomes EndedConfig `yaml:"outcomes"`
}

const (
	defaultCache    = 128 << 20
	defaultMemtable = 32 << 20
	leastMemtable   = 1 << 20
	defaultMinFree  = 128 << 20
	leastGeneration = 100 * time.Millisecond
)

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("store: no directory is set: give dir")
	}
	if c.CacheBytes <= 0 {
		c.CacheBytes = defaultCache
	}
	if c.MemtableBytes <= 0 {
		c.MemtableBytes = defaultMemtable
	}
	if c.MinFreeBytes <= 0 {
		c.MinFreeBytes = defaultMinFree
	}
	c.Outcomes = c.Outcomes.withDefaults()
	c.MemtableBytes = max(c.MemtableBytes, leastMemtable)
	if c.Generation != 0 && c.Generation < leastGeneration {
		return c, fmt.Errorf("store: generation %v is too short: at least %v", c.Generation, leastGeneration)
	}
	c.Generation = c.Generation.Truncate(time.Millisecond)
	return c, nil
}

// firstGeneration is the width for a directory that is made now.
func (c Config) firstGeneration() time.Duration {
	if c.Generation == 0 {
		return store.DefaultGeneration
	}
	return c.Generation
}
