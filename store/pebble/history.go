package pebble

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// History calls fn for a user's live items whose created seq is at least from
// and below to (0: no bound), newest first or oldest first, until fn returns
// false; those that were deleted are among them. The item has no deliveries and
// is fn's until it returns. Rows is how many were read: versions of one row and
// what expired count too.
func (s *Store) History(u carillon.User, from, to carillon.Seq, newestFirst bool, fn func(it *carillon.Item) bool) (rows int, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	view := s.db.NewSnapshot() // an item that moves meanwhile stands once
	defer func() { err = errors.Join(err, view.Close()) }()
	now, dir := s.clock.UnixMilli(), s.directory.Load()
	floor, err := s.floor(view, dir, u, now)
	if err != nil {
		return 0, err
	}
	w := series{kind: store.KindItem, newestFirst: newestFirst, rows: &rows}
	defer w.close()
	for _, g := range s.generationsOf(dir, store.KindItem, now) {
		if err := w.add(view, g, u, from, to); err != nil {
			return rows, err
		}
	}
	var items [2]carillon.Item
	for {
		it, err := w.item(&items)
		if it == nil || err != nil {
			return rows, errors.Join(err, s.health.err())
		}
		if it.Expires > now {
			floor.Merge(it.Content, &it.State)
			if !fn(it) {
				return rows, s.health.err()
			}
		}
		if err := w.pass(it.Created); err != nil {
			return rows, err
		}
	}
}

// series merges the rows of one kind of one user over the generations. Item keys
// hold the created seq, newest first; feed keys a seq, oldest first.
type series struct {
	kind        store.Kind
	newestFirst bool
	strands     []strand
	rows        *int // read so far
}

// strand is one generation's part of a series.
type strand struct {
	it     *pebble.Iterator
	prefix int // bytes of the key before the seq
	at     carillon.Seq
	valid  bool
	back   bool // the keys are walked from the last to the first
}

// add opens a generation between two seqs.
func (w *series) add(r pebble.Reader, g store.Generation, u carillon.User, from, to carillon.Seq) error {
	prefix := store.AppendPrefix(make([]byte, 0, keyRoom), g, u, w.kind)
	flipped := w.kind == store.KindItem
	o := &pebble.IterOptions{LowerBound: bound(prefix, from, false), UpperBound: bound(prefix, to, true)}
	if flipped {
		o.LowerBound, o.UpperBound = flippedBound(prefix, to, false), flippedBound(prefix, from, true)
	}
	it, err := r.NewIter(o)
	if err != nil {
		return err
	}
	st := strand{it: it, prefix: len(prefix), back: flipped != w.newestFirst}
	if st.back {
		st.valid = it.Last()
	} else {
		st.valid = it.First()
	}
	w.strands = append(w.strands, st)
	return w.read(&w.strands[len(w.strands)-1])
}

// bound is the key of the first row at or behind seq; 0 is no bound.
func bound(prefix []byte, seq carillon.Seq, upper bool) []byte {
	key := append(make([]byte, 0, len(prefix)+8), prefix...)
	switch {
	case seq != 0:
		return store.AppendSeq(key, seq)
	case upper:
		key[len(key)-1]++ // the kind: never the last
	}
	return key
}

// flippedBound is [bound] for keys whose seqs are newest first: the first row
// below seq.
func flippedBound(prefix []byte, seq carillon.Seq, upper bool) []byte {
	key := append(make([]byte, 0, len(prefix)+8), prefix...)
	switch {
	case seq != 0:
		return store.AppendNewestFirst(key, seq-1)
	case upper:
		key[len(key)-1]++
	}
	return key
}

// read reads the seq that a strand stands at.
func (w *series) read(st *strand) error {
	if !st.valid {
		return st.it.Error()
	}
	*w.rows++
	key := st.it.Key()[st.prefix:]
	var ok bool
	if w.kind == store.KindItem {
		st.at, _, ok = store.NewestFirst(key)
	} else {
		st.at, _, ok = store.ReadSeq(key)
	}
	if !ok {
		return store.ErrRow
	}
	return nil
}

// next is the seq that comes next, if any.
func (w *series) next() (at carillon.Seq, ok bool) {
	for i := range w.strands {
		if st := &w.strands[i]; st.valid && (!ok || (st.at > at) == w.newestFirst && st.at != at) {
			at, ok = st.at, true
		}
	}
	return at, ok
}

// pass moves every strand beyond a seq.
func (w *series) pass(at carillon.Seq) error {
	for i := range w.strands {
		st := &w.strands[i]
		if !st.valid || st.at != at {
			continue
		}
		if st.back {
			st.valid = st.it.Prev()
		} else {
			st.valid = st.it.Next()
		}
		if err := w.read(st); err != nil {
			return err
		}
	}
	return nil
}

// item decodes the item that comes next, in its highest version; nil at the end.
// Its body is of the row: it lasts until the series passes it.
func (w *series) item(into *[2]carillon.Item) (found *carillon.Item, err error) {
	at, ok := w.next()
	if !ok {
		return nil, nil //nolint:nilnil // the end
	}
	for i := range w.strands {
		st := &w.strands[i]
		if !st.valid || st.at != at {
			continue
		}
		row, err := st.it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		it := &into[0]
		if it == found {
			it = &into[1]
		}
		if err := store.DecodeContent(row, at, it); err != nil {
			return nil, err
		}
		if found == nil || store.Version(it) >= store.Version(found) {
			found = it
		}
	}
	return found, nil
}

func (w *series) close() {
	for i := range w.strands {
		w.strands[i].it.Close()
	}
}
