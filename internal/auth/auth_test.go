package auth_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carillon"
	"carillon/internal/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func master(seed byte) *auth.Master {
	var k [32]byte
	for i := range k {
		k[i] = seed + byte(i)
	}
	return auth.NewMaster(k)
}

func devIssuer(t testing.TB, clock *carillon.Clock) *auth.DevIssuer {
	t.Helper()
	d, err := auth.NewDevIssuer(master(1), clock)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func verifier(t testing.TB, clock *carillon.Clock, sources ...auth.KeySource) *auth.Verifier {
	t.Helper()
	v, err := auth.NewVerifier(auth.Config{}, clock, sources...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// cached runs the verifier's cache until the test ends.
func cached(t testing.TB, v *auth.Verifier) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func issue(t testing.TB, d *auth.DevIssuer, c auth.DevClaims) []byte {
	t.Helper()
	s, err := d.Issue(c)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(s)
}

func wantCode(t *testing.T, err error, code carillon.Code) {
	t.Helper()
	if err == nil || carillon.AsError(err).Code != code {
		t.Errorf("%v, want %s", err, code)
	}
}

// hot verifies a token until the cache answers with the same principal twice.
func hot(t testing.TB, v *auth.Verifier, token []byte) *auth.Principal {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		a, err := v.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := v.Verify(token); a == b {
			return a
		}
		if time.Now().After(deadline) {
			t.Fatal("the cache never answers")
		}
	}
}
