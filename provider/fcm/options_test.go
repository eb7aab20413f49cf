package fcm_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carillon/provider/fcm"
)

// TestOptions holds what becomes of each option to the byte: an alert with that
// option alone, for each good sample of the module's testdata/options.json. An
// option that changes nothing is a lie.
func TestOptions(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/options.json")
	if err != nil {
		t.Fatal(err)
	}
	var samples map[string]map[string]struct {
		With map[string]json.RawMessage `json:"with"`
		Good []json.RawMessage          `json:"good"`
	}
	if err := json.Unmarshal(raw, &samples); err != nil {
		t.Fatal(err)
	}
	schemas := readDiscovery(t)
	encode := func(options map[string]json.RawMessage) string {
		b, err := json.Marshal(map[string]any{"fcm": options})
		if err != nil {
			t.Fatal(err)
		}
		p := golden()["alert"]
		n := *p.Notification
		n.Options = b
		p.Notification = &n
		_, fields, body, _ := fcm.Encode(&p, start())
		var text bytes.Buffer
		for _, f := range fields {
			if f.Name != "authorization" {
				text.WriteString(f.Name + ": " + f.Value + "\n")
			}
		}
		for _, wrong := range schemas.request(body) {
			t.Errorf("%s: %s", body, wrong)
		}
		return text.String() + "\n" + string(body) + "\n"
	}
	options := samples["fcm"]
	var all bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(options)) {
		s := options[name]
		plain := encode(s.With)
		for _, v := range s.Good {
			with := maps.Clone(s.With)
			if with == nil {
				with = map[string]json.RawMessage{}
			}
			with[name] = v
			got := encode(with)
			if got == plain {
				t.Errorf("%s = %s changes nothing", name, v)
			}
			all.WriteString("== " + name + " = " + string(v) + "\n" + got + "\n")
		}
	}
	const file = "testdata/options.golden"
	if *update {
		if err := os.WriteFile(file, all.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), all.String()); diff != "" {
		t.Error(diff)
	}
}
