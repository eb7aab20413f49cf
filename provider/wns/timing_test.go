package wns_test

import (
	"testing"

	"carillon/provider/wns"
)

// TestAllocations: encoding takes nothing from the heap in steady state.
func TestAllocations(t *testing.T) {
	e := wns.NewEncoder(start())
	pushes := golden()
	for _, name := range []string{"alert", "both", "data", "tap", "fallback"} {
		push := pushes[name]
		e.Encode(&push)
		if n := testing.AllocsPerRun(100, func() { e.Encode(&push) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
