package pebble

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// Changes calls fn for the entries of a part of a user's feed in ascending
// order, tombstones included, until it returns false. An item stands at its one
// place, and once more at the floor mark that decides its state. It has no
// deliveries and is fn's until it returns. Next is where to go on: at the entry
// that fn refused, or where the rows of r ended; zero at the end of the range.
func (s *Store) Changes(u carillon.User, r carillon.FeedRange, fn func(at carillon.Place, it *carillon.Item) bool) (next carillon.Place, rows int, err error) {
	if err := s.enter(); err != nil {
		return next, 0, err
	}
	defer s.leave()
	if r.From.At >= r.To {
		return next, 0, s.health.err()
	}
	view := s.db.NewSnapshot() // an item that moves meanwhile stands once
	defer func() { err = errors.Join(err, view.Close()) }()
	c := changes{s: s, view: view, dir: s.directory.Load(), now: s.clock.UnixMilli(), user: u, r: r, fn: fn}
	if c.floor, err = s.floor(view, c.dir, u, c.now); err != nil {
		return next, 0, err
	}
	next, err = c.run()
	return next, c.rows, errors.Join(err, s.health.err())
}

// changes is one call of [Store.Changes].
type changes struct {
	s     *Store
	view  *pebble.Snapshot
	dir   *directory
	now   int64
	user  carillon.User
	r     carillon.FeedRange
	floor carillon.Floor
	fn    func(at carillon.Place, it *carillon.Item) bool
	rows  int
	item  carillon.Item
}

// run merges the three sources by their seqs: items to which nothing happened,
// feed rows, and floor marks.
func (c *changes) run() (next carillon.Place, err error) {
	items, feed := series{kind: store.KindItem, rows: &c.rows}, series{kind: store.KindFeed, rows: &c.rows}
	defer items.close()
	defer feed.close()
	if err := errors.Join(c.open(&items, max(c.r.From.At, 1), c.r.To), c.open(&feed, max(c.r.From.At, 1), c.r.To)); err != nil {
		return next, err
	}
	for {
		at, w := first(&items, &feed)
		if w == nil {
			at = c.r.To
		}
		if m := c.mark(at); m != nil {
			if next, err = c.marked(m); err != nil || next.At != 0 {
				return next, err
			}
			c.r.From = carillon.Place{At: m.At + 1}
			continue
		}
		if w == nil {
			return next, nil
		}
		if c.rows > c.r.Rows {
			return carillon.Place{At: at}, nil
		}
		if done, place, err := c.entry(w, at); done || err != nil {
			return place, err
		}
		if err := w.pass(at); err != nil {
			return next, err
		}
	}
}

// open adds every generation to a series.
func (c *changes) open(w *series, from, to carillon.Seq) error {
	for _, g := range c.s.generationsOf(c.dir, w.kind, c.now) {
		if err := w.add(c.view, g, c.user, from, to); err != nil {
			return err
		}
	}
	return nil
}

// first is which of two series comes first, and its seq; nil at the end.
func first(items, feed *series) (at carillon.Seq, w *series) {
	created, isItem := items.next()
	changed, isChange := feed.next()
	switch {
	case isItem && (!isChange || created <= changed):
		return created, items
	case isChange:
		return changed, feed
	}
	return 0, nil
}

// mark is the first floor mark of the range below a seq.
func (c *changes) mark(below carillon.Seq) *carillon.FloorMark {
	for i := range c.floor {
		if m := &c.floor[i]; m.At < below && m.At >= c.r.From.At && m.At >= c.r.Marks {
			return m
		}
	}
	return nil
}

// entry gives fn the item at a place of its own.
func (c *changes) entry(w *series, at carillon.Seq) (done bool, next carillon.Place, err error) {
	var it *carillon.Item
	var both [2]carillon.Item
	if w.kind == store.KindItem {
		it, err = w.item(&both)
	} else {
		it, err = c.referred(w, at)
	}
	if it == nil || err != nil {
		return err != nil, next, err
	}
	if it.Feed != at || it.Expires <= c.now {
		return false, next, nil // it stands elsewhere, or nowhere any more
	}
	c.floor.Merge(it.Content, &it.State)
	if place := (carillon.Place{At: at, Created: it.Created}); !c.fn(place, it) {
		return true, place, nil
	}
	return false, next, nil
}

// referred is the item of a feed row. The row holds it, or leads to it when it was
// written before feed rows did; then it is nil when the item is gone.
func (c *changes) referred(w *series, at carillon.Seq) (*carillon.Item, error) {
	var ref store.Ref
	whole := false
	for i := range w.strands {
		st := &w.strands[i]
		if !st.valid || st.at != at {
			continue
		}
		row, err := st.it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		if ref, whole, err = store.DecodePlace(row, &c.item); err != nil {
			return nil, err
		}
	}
	if whole {
		return &c.item, nil
	}
	var key [keyRoom]byte
	row, err := get(c.view, store.AppendItemKey(key[:0], store.GenerationOf(ref.Expires, c.s.width), c.user, ref.Created))
	if row == nil || err != nil {
		return nil, err
	}
	c.rows++
	return &c.item, store.DecodeContent(row, ref.Created, &c.item)
}

// marked gives fn the items whose state a floor mark decides, the oldest first.
func (c *changes) marked(m *carillon.FloorMark) (next carillon.Place, err error) {
	w := series{kind: store.KindItem, rows: &c.rows}
	defer w.close()
	from := carillon.Seq(1)
	if m.At == c.r.From.At {
		from = max(c.r.From.Created, 1)
	}
	if err := c.open(&w, from, m.Before); err != nil {
		return next, err
	}
	for {
		var both [2]carillon.Item
		it, err := w.item(&both)
		if it == nil || err != nil {
			return next, err
		}
		place := carillon.Place{At: m.At, Created: it.Created}
		if c.rows > c.r.Rows {
			return place, nil
		}
		if c.decides(m, it) && !c.fn(place, it) {
			return place, nil
		}
		if err := w.pass(place.Created); err != nil {
			return next, err
		}
	}
}

// decides tells whether the mark decides the state of an item, which it gets.
func (c *changes) decides(m *carillon.FloorMark, it *carillon.Item) bool {
	if it.Expires <= c.now || it.Content >= m.Before || it.State.Deleted {
		return false
	}
	before := it.State
	c.floor.Merge(it.Content, &it.State)
	return it.State.ReadSeq == m.At && it.State.Read != before.Read || it.State.ActionSeq == m.At && it.State.Action != before.Action
}
