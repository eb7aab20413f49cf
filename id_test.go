package carillon_test

import (
	"testing"

	"pgregory.net/rapid"

	"carillon"
)

func key(b byte) *carillon.IDKey {
	var k carillon.IDKey
	for i := range k {
		k[i] = b + byte(i)
	}
	return &k
}

func TestPositionalIDGivesItsPositionBack(t *testing.T) {
	k := key(1)
	rapid.Check(t, func(t *rapid.T) {
		p := carillon.Position{
			Partition: int32(rapid.Uint16().Draw(t, "partition")),
			Seq:       carillon.MakeSeq(uint16(rapid.IntRange(1, carillon.MaxEpoch).Draw(t, "epoch")), rapid.Int64Range(0, carillon.MaxOffset).Draw(t, "offset")),
		}
		user := rapid.Uint64().Draw(t, "user")
		id := k.Positional(user, p)
		if id[6]>>4 != 8 || id[8]>>6 != 2 {
			t.Fatalf("%s is not a UUIDv8", id)
		}
		got, ok := k.Position(user, id)
		if !ok || got != p {
			t.Fatalf("Position(%s) = %v, %v, want %v", id, got, ok, p)
		}
		if _, ok := k.Position(user+1, id); ok {
			t.Fatalf("%s passes as another user's", id)
		}
		if _, ok := key(2).Position(user, id); ok {
			t.Fatalf("%s passes under another key", id)
		}
		back, err := carillon.ParseID(id.String())
		if err != nil || back != id {
			t.Fatalf("ParseID(%s) = %s, %v", id, back, err)
		}
	})
}

func TestPositionalIDIsPinned(t *testing.T) {
	id := key(1).Positional(42, carillon.Position{Partition: 7, Seq: carillon.MakeSeq(1, 123456)})
	const want = "00070010-0000-801e-8902-f01f2ee65dcf"
	if got := id.String(); got != want {
		t.Errorf("the id is %s, want %s: ids that are out there would not be found any more", got, want)
	}
}

func TestDerivedID(t *testing.T) {
	k := key(1)
	u := carillon.User{Host: "app.example.com", ID: "dev.alice"}
	id := k.Derived(u, 'n', "order-1")
	if id != k.Derived(u, 'n', "order-1") {
		t.Error("the same key gives another id")
	}
	if id[6]>>4 != 8 || id[8]>>6 != 2 {
		t.Errorf("%s is not a UUIDv8", id)
	}
	others := map[string]carillon.ID{
		"another key":    k.Derived(u, 'n', "order-2"),
		"another space":  k.Derived(u, 'i', "order-1"),
		"another user":   k.Derived(carillon.User{Host: u.Host, ID: "dev.bob"}, 'n', "order-1"),
		"a moved slash":  k.Derived(carillon.User{Host: u.Host + "d", ID: "ev.alice"}, 'n', "order-1"),
		"another secret": key(9).Derived(u, 'n', "order-1"),
	}
	for what, other := range others {
		if other == id {
			t.Errorf("%s gives the same id", what)
		}
	}
	if _, ok := k.Position(u.Hash(), id); ok {
		t.Error("a derived id passes as a positional one")
	}
}

func TestParseIDRefuses(t *testing.T) {
	for _, s := range []string{"", "x", "0007001000008001e8240000000000000000", "00070010-0000-801e-8240-00000000000g", "00070010-0000-801e-8240-0000000000000"} {
		if _, err := carillon.ParseID(s); err == nil {
			t.Errorf("ParseID(%q) passes", s)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("00070010-0000-801e-8240-000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := carillon.ParseID(s)
		if err != nil {
			return
		}
		again, err := carillon.ParseID(id.String())
		if err != nil || again != id {
			t.Fatalf("%q → %s → %s, %v", s, id, again, err)
		}
	})
}

func BenchmarkPositional(b *testing.B) {
	k := key(1)
	b.ReportAllocs()
	for b.Loop() {
		_ = k.Positional(42, carillon.Position{Partition: 7, Seq: 99})
	}
}
