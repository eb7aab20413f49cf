package pebble

import (
	"bytes"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// userOffset is where the user begins in a key of a user's row: behind the area
// and the generation.
const userOffset = 1 + 4

// allKinds stands above every kind: a prefix that ends with it is where a
// user's rows end.
const allKinds = store.Kind(0xff)

// EachEndpoint calls fn for every user of a host who has live endpoints, in the
// order of the user ids' bytes, beginning behind the user id after ("" begins at
// the first), until fn returns false. A user's endpoints are in the order of
// their ids; they are fn's to keep, the slice is not. One call sees the store as
// it is when the call begins, whatever is written while it runs. It holds on to
// what is replaced in the meantime, so fn should not wait for anybody.
func (s *Store) EachEndpoint(host, after string, fn func(u carillon.User, eps []carillon.Endpoint) bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	w := &walk{host: host, now: s.clock.UnixMilli(), fn: fn}
	defer w.close()
	snap := s.db.NewSnapshot()
	defer snap.Close()
	// The directory is read after the snapshot was taken: a generation enters
	// it before its first row is written, so none is missing.
	for _, g := range s.generations(store.KindEndpoint, w.now) {
		if err := w.add(snap, g, after); err != nil {
			return err
		}
	}
	if err := w.run(); err != nil {
		return err
	}
	return s.health.err()
}

// walk merges the generations' endpoints user by user.
type walk struct {
	host    string
	now     int64
	fn      func(u carillon.User, eps []carillon.Endpoint) bool
	sources []*source

	user []byte // the one at hand, as keys have him
	key  []byte
	eps  []carillon.Endpoint
	gone []carillon.Endpoint // tombstones
}

// source is one generation's rows of the host.
type source struct {
	it    *pebble.Iterator
	base  int // where the user's id begins in a key
	split int // the length of the prefix of the key at hand
}

// user is the host and user of the key at hand, as keys have them.
func (c *source) user() []byte { return c.it.Key()[userOffset : c.split-1] }

func (w *walk) add(r pebble.Reader, g store.Generation, after string) error {
	bare := store.AppendPrefix(nil, g, carillon.User{Host: w.host}, 0)
	lower := bare[:len(bare)-3] // without the user's end and the kind
	upper := bytes.Clone(lower)
	upper[len(upper)-1]++ // the slash
	base := len(lower)
	if after != "" {
		lower = store.AppendPrefix(nil, g, carillon.User{Host: w.host, ID: after}, allKinds)
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	c := &source{it: it, base: base}
	w.sources = append(w.sources, c)
	it.First()
	return w.settle(c)
}

// settle moves a source on to the next row of an endpoint.
func (w *walk) settle(c *source) error {
	for c.it.Valid() {
		key := c.it.Key()
		c.split = store.SplitKey(key)
		switch k := store.Kind(key[c.split-1]); {
		case k == store.KindEndpoint:
			return nil
		case k < store.KindEndpoint:
			w.key = append(append(w.key[:0], key[:c.split-1]...), byte(store.KindEndpoint))
		default:
			w.key = append(append(w.key[:0], key[:c.split-1]...), byte(allKinds))
		}
		c.it.SeekGE(w.key)
	}
	return c.it.Error()
}

func (w *walk) run() error {
	for {
		first := w.first()
		if first == nil {
			return nil
		}
		w.user = append(w.user[:0], first.user()...)
		u := carillon.User{Host: w.host, ID: unescape(first.it.Key()[first.base : first.split-3])}
		w.eps, w.gone = w.eps[:0], w.gone[:0]
		for _, c := range w.sources {
			if err := w.gather(c); err != nil {
				return err
			}
		}
		if live := w.live(); len(live) > 0 && !w.fn(u, live) {
			return nil
		}
	}
}

// first is the source whose user comes first, nil when all are at their ends.
func (w *walk) first() *source {
	var first *source
	for _, c := range w.sources {
		if c.it.Valid() && (first == nil || bytes.Compare(c.user(), first.user()) < 0) {
			first = c
		}
	}
	return first
}

// gather reads a source's rows of the user at hand and moves it on.
func (w *walk) gather(c *source) error {
	for c.it.Valid() && bytes.Equal(c.user(), w.user) {
		row, err := c.it.ValueAndErr()
		if err != nil {
			return err
		}
		var e carillon.Endpoint
		left, err := store.DecodeEndpoint(row, string(c.it.Key()[c.split:]), &e)
		switch {
		case err != nil:
			return err
		case left:
			w.gone = append(w.gone, e)
		default:
			w.eps = newest(w.eps, 0, e)
		}
		c.it.Next()
		if err := w.settle(c); err != nil {
			return err
		}
	}
	return c.it.Error()
}

// live are the user's endpoints that live, by their ids.
func (w *walk) live() []carillon.Endpoint {
	live := slices.DeleteFunc(w.eps, func(e carillon.Endpoint) bool {
		return !e.Alive(w.now) || slices.ContainsFunc(w.gone, func(t carillon.Endpoint) bool { return t.ID == e.ID && t.Version >= e.Version })
	})
	slices.SortFunc(live, func(a, b carillon.Endpoint) int { return strings.Compare(a.ID, b.ID) })
	return live
}

func (w *walk) close() {
	for _, c := range w.sources {
		_ = c.it.Close()
	}
}

// unescape undoes what keys do to a zero byte, which no valid user id has.
func unescape(b []byte) string {
	return string(bytes.ReplaceAll(b, []byte{0x00, 0xff}, []byte{0x00}))
}
