package pebble

import (
	"io"

	"github.com/cockroachdb/pebble/v2"

	"carillon/store"
)

// merger keeps the outcome of the higher rank whenever two versions of one meet,
// the later one of equals. So law 3 holds for outcomes without reading before
// writing.
func merger() *pebble.Merger {
	return &pebble.Merger{
		Name: mergerName,
		Merge: func(_, value []byte) (pebble.ValueMerger, error) {
			m := &ranked{}
			return m, m.take(value, true)
		},
	}
}

type ranked struct {
	rank  byte
	value []byte
}

// take keeps value when it outranks what is kept; newer also on a tie.
func (m *ranked) take(value []byte, newer bool) error {
	rank, err := store.OutcomeRank(value)
	if err != nil {
		return err
	}
	if m.value == nil || rank > m.rank || newer && rank == m.rank {
		m.rank, m.value = rank, append(m.value[:0], value...)
	}
	return nil
}

// MergeNewer takes a version written after those taken.
func (m *ranked) MergeNewer(value []byte) error { return m.take(value, true) }

// MergeOlder takes a version written before those taken.
func (m *ranked) MergeOlder(value []byte) error { return m.take(value, false) }

// Finish gives the version that stands.
func (m *ranked) Finish(bool) ([]byte, io.Closer, error) { return m.value, nil, nil }
