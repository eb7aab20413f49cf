package sandbox

import (
	"encoding/json"
	"testing"
)

// What a script says is read, or refused with words; what is read can be written
// and read again.
func FuzzScript(f *testing.F) {
	f.Add([]byte(`{"vendor":"apns","share":0.05,"status":410,"since":"2026-01-02T03:04:05Z","delay":"40ms","after":1000}`))
	f.Add([]byte(`{"vendor":"apns","kind":"streams","streams":500,"after":"2s","every":"1s"}`))
	f.Add([]byte(`{"streams":1,"idle":"4m","latency":{"median":"40ms","p99":"240ms","tail":0.001,"never":0.0001,"onTheHour":2}}`))
	f.Add([]byte(`{"latency":"published"}`))
	f.Add([]byte(`{"seed":7,"conduct":{"apns":{"streams":2}},"faults":[{}],"acts":[],"offline":["x"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		again[Fault](t, b)
		again[Act](t, b)
		again[Latency](t, b)
		c := VendorConduct(APNs, Strict)
		if json.Unmarshal(b, &c) == nil {
			if err := c.check(); err != nil {
				t.Error(err)
			}
		}
		again[Conduct](t, b)
		var sc Scenario
		_ = decode(b, &sc)
	})
}

func again[T any](t *testing.T, b []byte) {
	t.Helper()
	var v T
	if json.Unmarshal(b, &v) != nil {
		return
	}
	one, err := json.Marshal(v)
	if err != nil {
		return // a time whose year JSON cannot write
	}
	var w T
	if err := json.Unmarshal(one, &w); err != nil {
		t.Fatalf("%s: %v", one, err)
	}
	if two, err := json.Marshal(w); err != nil || string(two) != string(one) {
		t.Fatalf("%s became %s (%v)", one, two, err)
	}
}
