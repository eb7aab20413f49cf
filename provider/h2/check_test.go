package h2_test

import (
	"testing"

	"pgregory.net/rapid"

	"carillon/provider/h2"
)

// TestPlain: no byte that a request line or field must not have is passed over,
// and nothing short of one stops it.
func TestPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOfN(rapid.OneOf(rapid.ByteRange('!', '~'), rapid.ByteRange('!', '~'), rapid.ByteRange('!', '~'), rapid.Byte()), 0, 40).Draw(t, "s"))
		n := h2.Plain(s)
		for i := range n {
			if s[i] <= ' ' || s[i] >= 0x7f {
				t.Fatalf("%q: byte %d is passed over", s, i)
			}
		}
		for i := n; i < min(n+8, len(s)); i++ {
			if s[i] <= ' ' || s[i] >= 0x7f {
				return
			}
		}
		if n < len(s) {
			t.Fatalf("%q: stopped at %d of %d", s, n, len(s))
		}
	})
}
