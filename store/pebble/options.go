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

	// walSync is how much may wait in the system's hands before it is written
	// out in the background, so that a sync finds little to do.
	walSync = 1 << 20
)

// options are tuned for many small rows in random order of users (see the
// benchmarks). Blocks of 8 and 4 KiB read slower; values in files of their own
// (pebble's value separation) did not pay either.
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
		L0CompactionThreshold:       8,
		L0StopWritesThreshold:       32,
		LBaseMaxBytes:               256 << 20,
		WALBytesPerSync:             walSync,
		BytesPerSync:                walSync,
		MaxOpenFiles:                1000,
		FlushDelayDeleteRange:       flushDropped,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, 1 },
	}
	// Pebble takes rows of one prefix for versions of one thing and moves all
	// but the first out of the way. Ours are a user's items: they are listed
	// together.
	o.Experimental.SpanPolicyFunc = func([]byte) (pebble.SpanPolicy, []byte, error) {
		return pebble.SpanPolicy{DisableValueSeparationBySuffix: true}, nil, nil
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockSize
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	// What is sorted out first is soon read again: packing it does not pay.
	o.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	return o
}
