package pebble

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"carillon/store"
)

// Rows by partition stand outside the generations: whoever works a hint off
// takes it away, also when it expired. What nobody came for is swept a whole
// generation after its own would be dropped: once for each generation, in
// bounded steps.
const (
	sweepRows  = 20_000 // that one step looks at
	sweepPause = 100 * time.Millisecond
)

// sweep is how far the present sweep is.
type sweep struct {
	mu         sync.Mutex
	generation store.Generation
	at         []byte // the key to go on from; nil when it is done
}

// sweep does one step; more tells that another is due.
func (s *Store) sweep(now int64) (more bool, err error) {
	w := &s.swept
	w.mu.Lock()
	defer w.mu.Unlock()
	if first := store.GenerationOf(now, s.width); first != w.generation {
		w.generation, w.at = first, []byte{byte(store.AreaPartition)}
	}
	if w.at == nil {
		return false, nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: w.at, UpperBound: []byte{byte(store.AreaPartition) + 1}})
	if err != nil {
		return false, err
	}
	defer it.Close()
	b := s.db.NewBatch()
	defer b.Close()
	ok := it.First()
	for n := 0; ok && n < sweepRows; n++ {
		if ok, err = s.sweepRow(it, b); err != nil {
			return false, err
		}
	}
	if err := it.Error(); err != nil {
		return false, err
	}
	if !b.Empty() {
		if err := b.Commit(pebble.NoSync); err != nil {
			return false, err
		}
	}
	w.at = nil
	if ok {
		w.at = append(w.at, it.Key()...)
	}
	return ok, nil
}

// sweepRow removes the row at hand if its time has passed, and moves on.
func (s *Store) sweepRow(it *pebble.Iterator, b *pebble.Batch) (ok bool, err error) {
	key := it.Key()
	value, err := it.ValueAndErr()
	if err != nil {
		return false, err
	}
	if _, _, ok := store.PartitionOf(key); !ok {
		return false, store.ErrRow
	}
	var expires int64
	switch store.PartitionKind(key[1]) {
	case store.KindDue, store.KindParked:
		_, expires, err = store.DecodeHint(value)
	case store.KindBroadcast:
		expires, err = store.BroadcastExpires(value)
	case store.KindLedger:
		if expires, err = store.LedgerExpires(value); err == nil && !s.past(expires) {
			return it.SeekGE(store.Above(key[:store.PartitionKeyBytes])), nil // later ones expire later
		}
	default:
		return it.SeekGE(store.Above(key[:2])), nil
	}
	if err != nil {
		return false, err
	}
	if s.past(expires) {
		if err := b.Delete(key, nil); err != nil {
			return false, err
		}
	}
	return it.Next(), nil
}

// past tells whether the generation after that of an expiry is over.
func (s *Store) past(expires int64) bool {
	return store.GenerationOf(expires, s.width)+1 < s.swept.generation
}
