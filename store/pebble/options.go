package pebble

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"carillon/store"
)

// Names that stand in the directory's files. A directory opens only under the
// names it was made with.
const (
	comparerName = "carillon.store.1"
	mergerName   = "carillon.store.rank.1"
)

// comparer orders keys by their bytes. Its split gives bloom filters the
// generation, user and kind, so that a look at a generation that holds nothing
// of the kind for the user costs a filter probe.
func comparer() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = comparerName
	c.Split = store.SplitKey
	return &c
}

const (
	bloomBits = 10
	blockSize = 16 << 10
)

func options(cfg Config, disk vfs.FS, h *health) *pebble.Options {
	o := &pebble.Options{
		FS:                          disk,
		Logger:                      h,
		EventListener:               h.listener(),
		Comparer:                    comparer(),
		Merger:                      merger(),
		FormatMajorVersion:          pebble.FormatValueSeparation,
		CacheSize:                   cfg.CacheBytes,
		MemTableSize:                uint64(cfg.MemtableBytes), //nolint:gosec // positive by withDefaults
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               256 << 20,
		WALBytesPerSync:             1 << 20,
		BytesPerSync:                1 << 20,
		MaxOpenFiles:                1000,
		FlushDelayDeleteRange:       flushDropped,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, 1 },
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockSize
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	return o
}
