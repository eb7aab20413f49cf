package pebble_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/store/pebble"
)

// TestChangesOfBefore: a place in the feed that was written before places held
// their items leads to its item.
func TestChangesOfBefore(t *testing.T) {
	clock := &carillon.Clock{}
	s := open(t, pebble.Config{Dir: t.TempDir()}, clock)
	u, now := benchUser(1), clock.UnixMilli()
	it := carillon.Item{Created: carillon.MakeSeq(1, 5), Content: carillon.MakeSeq(1, 5), Accepted: now, Expires: now + 86_400_000, Body: []byte("body")}
	write := func(was carillon.Seq, moved int64) {
		t.Helper()
		if err := s.Write(&carillon.Rows{Items: []carillon.ItemRow{{User: u, Item: &it, Was: was, Moved: moved}}}, false); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 0)
	it.Feed = carillon.MakeSeq(1, 9)
	it.State.Apply(carillon.Change{Read: carillon.Set}, it.Feed, now)
	write(0, it.Expires)
	changes := func() (got []carillon.Item, rows int) {
		t.Helper()
		_, rows, err := s.Changes(u, carillon.FeedRange{From: carillon.Place{At: it.Feed}, To: it.Feed + 1, Rows: 10}, func(_ carillon.Place, it *carillon.Item) bool {
			own := *it
			own.Body = append([]byte(nil), it.Body...)
			got = append(got, own)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return got, rows
	}
	is := func(wantRows int) {
		t.Helper()
		got, rows := changes()
		if d := cmp.Diff([]carillon.Item{it}, got); d != "" || rows != wantRows {
			t.Errorf("%d rows, want %d (-want +got)\n%s", rows, wantRows, d)
		}
	}
	is(1)
	if err := s.PlaceOfBefore(u, &it); err != nil {
		t.Fatal(err)
	}
	is(2)
	was := it.Feed // the next change takes the old place away
	it.Feed++
	it.State.Apply(carillon.Change{Read: carillon.Unset}, it.Feed, now+1)
	write(was, it.Expires)
	is(1)
}
