package pebble

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// EachItem calls fn for every live item, with all that is known of its
// deliveries, by user and newest first, until it returns false. Both are fn's to
// keep.
func (v *Snapshot) EachItem(fn func(u carillon.User, it *carillon.Item) bool) error {
	items, err := v.threads(store.KindItem)
	defer closeThreads(items)
	if err != nil {
		return err
	}
	outcomes, err := v.threads(store.KindOutcome)
	defer closeThreads(outcomes)
	if err != nil {
		return err
	}
	var at []byte
	for {
		first := lowest(items)
		if first == nil {
			return v.end(nil)
		}
		at = append(at[:0], first.at...)
		u, it, err := nextItem(items, at)
		if err != nil {
			return err
		}
		if it.Expires <= v.now {
			continue
		}
		if err := v.mergeOutcomes(outcomes, at, it); err != nil {
			return err
		}
		if !fn(u, it) {
			return v.end(nil)
		}
	}
}

// nextItem reads all versions of the item at hand, moves on, and gives the one
// that stands.
func nextItem(items []*thread, at []byte) (u carillon.User, found *carillon.Item, err error) {
	for _, t := range items {
		if !bytes.Equal(t.at, at) {
			continue
		}
		row, err := t.it.ValueAndErr()
		if err != nil {
			return u, nil, err
		}
		created, _, ok := store.NewestFirst(t.it.Key()[t.split:])
		who, known := store.ReadUser(t.it.Key(), t.split)
		if !ok || !known {
			return u, nil, store.ErrRow
		}
		u = who
		it := &carillon.Item{}
		if err := store.DecodeItem(bytes.Clone(row), created, it); err != nil {
			return u, nil, err
		}
		if found == nil || store.Version(it) >= store.Version(found) {
			found = it
		}
		if err := t.next(); err != nil {
			return u, nil, err
		}
	}
	return u, found, nil
}

// mergeOutcomes settles the item at hand with the outcomes that came later, and
// leaves behind those of items before it.
func (v *Snapshot) mergeOutcomes(outcomes []*thread, at []byte, it *carillon.Item) error {
	for _, t := range outcomes {
		for t.at != nil {
			c := bytes.Compare(t.at, at)
			if c > 0 {
				break
			}
			if c == 0 {
				if err := t.outcome(v.now, it); err != nil {
					return err
				}
			}
			if err := t.next(); err != nil {
				return err
			}
		}
	}
	return nil
}

// thread goes through the rows of one kind in one generation.
type thread struct {
	it    *pebble.Iterator
	kind  store.Kind
	split int    // the length of the prefix of the key at hand
	at    []byte // user and created seq of the key at hand; nil at the end
	buf   []byte
}

// threads opens one for each generation that may hold live rows of a kind.
func (v *Snapshot) threads(k store.Kind) ([]*thread, error) {
	var all []*thread
	for _, g := range v.s.generationsOf(v.dir, k, v.now) {
		it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: store.AppendGeneration(nil, g), UpperBound: store.AppendGeneration(nil, g+1)})
		if err != nil {
			return all, err
		}
		t := &thread{it: it, kind: k}
		all = append(all, t)
		it.First()
		if err := t.find(); err != nil {
			return all, err
		}
	}
	return all, nil
}

func closeThreads(all []*thread) {
	for _, t := range all {
		_ = t.it.Close()
	}
}

func (t *thread) next() error {
	t.it.Next()
	return t.find()
}

// find moves on to the next row of the kind. Users have few rows, and looking at
// each costs less than seeking over some.
func (t *thread) find() error {
	for ; t.it.Valid(); t.it.Next() {
		key := t.it.Key()
		t.split = store.SplitKey(key)
		if store.Kind(key[t.split-1]) != t.kind {
			continue
		}
		if _, _, ok := store.NewestFirst(key[t.split:]); !ok {
			return store.ErrRow
		}
		t.buf = append(append(t.buf[:0], key[userOffset:t.split-1]...), key[t.split:t.split+seqBytes]...)
		t.at = t.buf
		return nil
	}
	t.at = nil
	return t.it.Error()
}

const seqBytes = 8

// outcome merges the row at hand into its item.
func (t *thread) outcome(now int64, it *carillon.Item) error {
	row, err := t.it.ValueAndErr()
	if err != nil {
		return err
	}
	var o carillon.OutcomeRow
	if !store.ReadOutcomeKey(t.it.Key()[t.split:], &o) {
		return store.ErrRow
	}
	if err := store.DecodeOutcome(row, &o); err != nil {
		return err
	}
	if o.Expires > now {
		store.Settle(it, &o)
	}
	return nil
}

// lowest is the thread that comes first, nil when all are at their ends.
func lowest(all []*thread) *thread {
	var first *thread
	for _, t := range all {
		if t.at != nil && (first == nil || bytes.Compare(t.at, first.at) < 0) {
			first = t
		}
	}
	return first
}
