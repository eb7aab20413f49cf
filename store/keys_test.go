package store_test

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon"
	"carillon/store"
)

func TestGoldenKeys(t *testing.T) {
	g := store.GenerationOf(sampleItem().Expires, store.DefaultGeneration)
	odd := carillon.User{Host: "a", ID: "\x00b"}
	line := func(name string, key []byte) string { return name + " " + hex.EncodeToString(key) }
	golden(t, "keys", []string{
		line("item", store.AppendItemKey(nil, g, alice, carillon.MakeSeq(1, 1000))),
		line("item of an odd user", store.AppendItemKey(nil, g, odd, carillon.MakeSeq(1, 1000))),
		line("id", store.AppendIDKey(nil, g, alice, sampleItem().ID)),
		line("feed", store.AppendFeedKey(nil, g, alice, carillon.MakeSeq(1, 1010), carillon.MakeSeq(1, 1000))),
		line("outcome", store.AppendOutcomeKey(nil, g, sampleOutcome())),
		line("endpoint", store.AppendEndpointKey(nil, g, alice, "phone")),
		line("idem", store.AppendIdemKey(nil, g, alice, carillon.RequestID{0xaa})),
		line("progress", store.AppendProgressKey(nil, 3)),
		line("directory", store.AppendDirectoryKey(nil, g, store.KindItem)),
		line("ledger", store.AppendLedgerKey(nil, 3, carillon.MakeSeq(1, 1000))),
		line("due", store.AppendDueKey(nil, sampleDue())),
		line("broadcast", store.AppendCountsKey(nil, 3, "app.example.com", "0b", 7)),
		line("parked", store.AppendParkedKey(nil, sampleParked())),
		line("ended", store.AppendEndedKey(nil, 3, store.EndedRowAt(accepted))),
	})
}

func users() *rapid.Generator[carillon.User] {
	part := rapid.StringOfN(rapid.RuneFrom([]rune{0, 1, 'a', 'b', '/', 0xff}), 0, 4, -1)
	return rapid.Custom(func(t *rapid.T) carillon.User {
		return carillon.User{Host: part.Draw(t, "host"), ID: part.Draw(t, "id")}
	})
}

// TestKeysOfUsersStayApart: one user's rows of one kind are exactly the keys
// that begin with his prefix, and the prefix is what the key is split at.
func TestKeysOfUsersStayApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u, v := users().Draw(t, "u"), users().Draw(t, "v")
		g, h := store.Generation(rapid.Uint32().Draw(t, "g")), store.Generation(rapid.Uint32().Draw(t, "h"))
		k, l := store.Kind(rapid.IntRange(1, store.Kinds-1).Draw(t, "k")), store.Kind(rapid.IntRange(1, store.Kinds-1).Draw(t, "l"))
		suffix := rapid.SliceOf(rapid.Byte()).Draw(t, "suffix")
		prefix := store.AppendPrefix(nil, g, u, k)
		key := append(bytes.Clone(prefix), suffix...)
		if n := store.SplitKey(key); n != len(prefix) {
			t.Fatalf("split at %d, want %d: %x", n, len(prefix), key)
		}
		other := store.AppendPrefix(nil, h, v, l)
		same := g == h && k == l && u.Key() == v.Key()
		if bytes.HasPrefix(key, other) != same {
			t.Fatalf("%x begins with %x", key, other)
		}
		if g < h && bytes.Compare(key, store.AppendGeneration(nil, h)) >= 0 {
			t.Fatalf("%x does not stand below generation %d", key, h)
		}
	})
}

func TestItemsSortNewestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := seqs().Draw(t, "a"), seqs().Draw(t, "b")
		x, y := store.AppendItemKey(nil, 1, alice, a), store.AppendItemKey(nil, 1, alice, b)
		if (a > b) != (bytes.Compare(x, y) < 0) {
			t.Fatalf("%v and %v are out of order", a, b)
		}
		if got, _, ok := store.NewestFirst(x[store.SplitKey(x):]); !ok || got != a {
			t.Fatalf("%v was read as %v", a, got)
		}
	})
}

func TestGenerationOf(t *testing.T) {
	for _, c := range []struct {
		expires int64
		width   time.Duration
		want    store.Generation
	}{
		{0, time.Second, 0},
		{999, time.Second, 0},
		{1000, time.Second, 1},
		{-5, time.Second, 0},
		{1 << 62, time.Millisecond, 1<<32 - 2},
	} {
		if got := store.GenerationOf(c.expires, c.width); got != c.want {
			t.Errorf("GenerationOf(%d, %v) = %d, want %d", c.expires, c.width, got, c.want)
		}
	}
}
