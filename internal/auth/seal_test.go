package auth_test

import (
	"bytes"
	"testing"

	"carillon/internal/auth"
)

func TestSealer(t *testing.T) {
	seal := func(current *auth.Master, old ...*auth.Master) *auth.Sealer {
		t.Helper()
		s, err := auth.NewSealer(current, old...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	secret := []byte("a planted secret of an app")
	s := seal(master(1))
	sealed, key, err := s.Seal(secret, "app.example.com/ios")
	if err != nil || bytes.Contains(sealed, secret) {
		t.Fatal("sealed:", err)
	}
	if again, _, _ := s.Seal(secret, "app.example.com/ios"); bytes.Equal(again, sealed) {
		t.Error("two seals of one text are equal: who sees them learns that")
	}
	for name, opener := range map[string]*auth.Sealer{"the same": seal(master(1)), "after a rotation": seal(master(2), master(1))} {
		if got, err := opener.Open(sealed, key, "app.example.com/ios"); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if _, err := seal(master(2)).Open(sealed, key, "app.example.com/ios"); err == nil {
		t.Error("another master key opens it")
	}
	if _, err := s.Open(sealed, key, "other.example.com/ios"); err == nil {
		t.Error("it opens at another app's place")
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := s.Open(bad, key, "app.example.com/ios"); err == nil {
			t.Fatalf("byte %d may be changed", i)
		}
	}
}
