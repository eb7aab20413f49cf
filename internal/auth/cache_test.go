package auth_test

import (
	"fmt"
	"testing"

	"carillon"
	"carillon/internal/auth"
)

// TestCacheIsBounded: however many tokens are shown, those that are remembered
// take no more than they may.
func TestCacheIsBounded(t *testing.T) {
	const most = 64 << 10
	clock := &carillon.Clock{}
	d := devIssuer(t, clock)
	v, err := auth.NewVerifier(auth.Config{CacheBytes: most}, clock, d)
	if err != nil {
		t.Fatal(err)
	}
	cached(t, v)
	for i := range 500 {
		if _, err := v.Verify(issue(t, d, auth.DevClaims{User: fmt.Sprint("user", i), Client: "app"})); err != nil {
			t.Fatal(err)
		}
	}
	if held := v.Held(); held <= 0 || held > most {
		t.Errorf("%d bytes are held, at most %d may be", held, most)
	}
}
