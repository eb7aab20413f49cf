package fcm_test

import (
	"testing"

	"github.com/valyala/fastjson"

	"carillon/provider/fcm"
)

// TestAllocations: encoding takes nothing from the heap in steady state.
func TestAllocations(t *testing.T) {
	var p fastjson.Parser
	var buf []byte
	pushes := golden()
	for _, name := range []string{"alert", "both", "data", "tap", "fallback"} {
		push := pushes[name]
		buf = fcm.AppendBody(buf, &push, &p, start())
		if n := testing.AllocsPerRun(100, func() { buf = fcm.AppendBody(buf[:0], &push, &p, start()) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
