package feed_test

import (
	"testing"

	"carillon"
	"carillon/feed"
)

// FuzzTicket: only what was sealed opens, and it opens to the same.
func FuzzTicket(f *testing.F) {
	k := &feed.Key{1}
	good := feed.SealTicket(k, alice, 77)
	f.Add(good, "h", "u", int64(1))
	f.Add("", "", "", int64(0))
	f.Fuzz(func(t *testing.T, text, host, id string, expires int64) {
		if _, _, ok := feed.OpenTicket(k, text); ok && text != good {
			t.Fatalf("%q opens", text)
		}
		if len(host)+len(id) > 1000 {
			return
		}
		u := carillon.User{Host: host, ID: id}
		if got, at, ok := feed.OpenTicket(k, feed.SealTicket(k, u, expires)); !ok || got != u || at != expires {
			t.Errorf("%v %d became %v %d %v", u, expires, got, at, ok)
		}
	})
}
