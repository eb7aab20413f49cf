package apns_test

import (
	"testing"

	"carillon/provider/apns"
)

// BenchmarkEncode is one push from value to path, headers and body.
func BenchmarkEncode(b *testing.B) {
	p := golden()["alert"]
	e := apns.NewEncoder()
	b.ReportAllocs()
	for b.Loop() {
		e.Encode(&p)
	}
}

// TestAllocations: encoding takes nothing from the heap in steady state.
func TestAllocations(t *testing.T) {
	e := apns.NewEncoder()
	pushes := golden()
	for _, name := range []string{"alert", "both", "data", "tap", "fallback"} {
		p := pushes[name]
		e.Encode(&p)
		if n := testing.AllocsPerRun(100, func() { e.Encode(&p) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
