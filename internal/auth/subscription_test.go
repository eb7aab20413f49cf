package auth_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/internal/auth"
)

var update = flag.Bool("update", false, "write the golden files anew")

const expires = 1_797_000_000_000

func subscriptions() map[string]auth.Subscription {
	seq := carillon.MakeSeq(1, 123_456_789)
	return map[string]auth.Subscription{
		"dev":       {User: carillon.User{Host: "app.example.com", ID: "dev.alice"}, Installation: "phone-1", Incarnation: seq, Expires: expires},
		"microsoft": {User: carillon.User{Host: "notifications.contoso.example.com", ID: "9188040d-6c67-4c5b-b112-36a304b66dad.00000000-0000-0000-1111-222233334444"}, Installation: "3f2504e0-4f89-41d3-9a0c-0305e82c3301", Incarnation: seq, Expires: expires},
		"upper":     {User: carillon.User{Host: "h", ID: "9188040D-6c67-4c5b-b112-36a304b66dad"}, Installation: "x", Incarnation: 1, Expires: expires},
		"empty":     {},
		"longest":   {User: carillon.User{Host: strings.Repeat("h", 253), ID: strings.Repeat("u", 256)}, Installation: strings.Repeat("i", 128), Incarnation: carillon.MakeSeq(carillon.MaxEpoch, carillon.MaxOffset), Expires: expires},
	}
}

func TestSubscriptions(t *testing.T) {
	s := auth.NewSubscriptions(master(1))
	for name, sub := range subscriptions() {
		id := s.Seal(sub)
		if id != s.Seal(sub) {
			t.Errorf("%s: sealed twice it differs", name)
		}
		if name != "longest" && len(id) > 200 {
			t.Errorf("%s: %d characters", name, len(id))
		}
		got, err := s.Open(id, sub.Expires-1)
		if err != nil {
			t.Fatal(name, err)
		}
		if d := cmp.Diff(sub, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestSubscriptionGolden(t *testing.T) {
	const path = "testdata/subscription.golden"
	got := auth.NewSubscriptions(master(1)).Seal(subscriptions()["microsoft"]) + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("ids that devices hold would be refused: %v\n%s%s", err, want, got)
	}
}

func TestSubscriptionRefusals(t *testing.T) {
	s := auth.NewSubscriptions(master(1))
	id := s.Seal(subscriptions()["dev"])
	flipped := []byte(id)
	flipped[40] ^= 1
	for name, bad := range map[string]string{
		"empty": "", "junk": "hello", "foreign": auth.NewSubscriptions(master(2)).Seal(subscriptions()["dev"]),
		"flipped": string(flipped), "cut": id[:len(id)-4], "padded": id + "=", "longer": id + "AAAA", "huge": strings.Repeat("A", 100_000),
	} {
		_, err := s.Open(bad, 0)
		wantCode(t, err, carillon.CodeAccessDenied)
		if e := carillon.AsError(err); e.Target != "X-UNS-ID" || !strings.HasPrefix(e.Message, "malformed") {
			t.Errorf("%s: %v", name, e)
		}
	}
	_, err := s.Open(id, expires)
	wantCode(t, err, carillon.CodeAccessDenied)
	if !strings.HasPrefix(carillon.AsError(err).Message, "expired at 2026-12-") {
		t.Error(err)
	}
	turned := auth.NewSubscriptions(master(2), master(1))
	if _, err := turned.Open(id, 0); err != nil {
		t.Error("an older key is not accepted:", err)
	}
	if turned.Seal(subscriptions()["dev"]) == id {
		t.Error("sealed with the older key")
	}
}

func FuzzOpen(f *testing.F) {
	s := auth.NewSubscriptions(master(1))
	known := map[string]bool{}
	for _, sub := range subscriptions() {
		id := s.Seal(sub)
		known[id] = true
		f.Add(id)
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, id string) {
		if _, err := s.Open(id, 0); err == nil && !known[id] {
			t.Errorf("opens: %q", id)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	s := auth.NewSubscriptions(master(1))
	id := s.Seal(subscriptions()["dev"])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Open(id, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzContent(f *testing.F) {
	for _, sub := range subscriptions() {
		f.Add(auth.AppendContent(sub))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sub, err := auth.ReadContent(b)
		if err != nil {
			return
		}
		back, err := auth.ReadContent(auth.AppendContent(sub))
		if err != nil || back != sub {
			t.Errorf("%+v came back as %+v, %v", sub, back, err)
		}
	})
}
