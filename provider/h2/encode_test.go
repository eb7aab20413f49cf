package h2_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/provider/h2"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestBlocks: the bytes of three requests: first, repeated, with another topic.
func TestBlocks(t *testing.T) {
	e := h2.NewEncoder(static())
	var out strings.Builder
	for i, topic := range []string{"a", "a", "b", "b"} {
		b := e.Block("/3/device/00ff", []h2.Field{
			{Name: "authorization", Value: "bearer abc"},
			{Name: "apns-topic", Value: topic},
			{Name: "apns-id", Value: fmt.Sprint(i), Mode: h2.NoIndex},
			{Name: "content-type", Value: "x", Mode: h2.NoIndex},
			{Name: "apns-secret", Value: "s", Mode: h2.NeverIndex},
		})
		fmt.Fprintf(&out, "%x\n", b)
	}
	golden(t, "blocks.golden", out.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

// TestEncoderModel: whatever is sent in whatever order, with the table resized
// at any time, x/net's decoder reads what was meant, and the marks hold.
func TestEncoderModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := append(static(), h2.Field{Name: "x-static", Value: strings.Repeat("s", rapid.IntRange(0, 3000).Draw(t, "static"))})
		e := h2.NewEncoder(st)
		var got []hpack.HeaderField
		d := hpack.NewDecoder(4096, func(f hpack.HeaderField) { got = append(got, f) })
		names := []string{"a", "authorization", "apns-id", "content-length", "x-long-name"}
		for range rapid.IntRange(1, 40).Draw(t, "requests") {
			if rapid.IntRange(0, 5).Draw(t, "resize") == 0 {
				for range rapid.IntRange(1, 3).Draw(t, "times") {
					n := rapid.SampledFrom([]uint32{0, 1, 64, 100, 500, 4096, 65536}).Draw(t, "size")
					e.SetTableSize(n)
					d.SetAllowedMaxDynamicTableSize(min(n, 4096))
				}
			}
			path := "/" + rapid.StringMatching(`[!-~]{0,80}`).Draw(t, "path")
			var fields []h2.Field
			for range rapid.IntRange(0, 20).Draw(t, "fields") {
				fields = append(fields, h2.Field{
					Name:  rapid.SampledFrom(names).Draw(t, "name"),
					Value: strings.Repeat(rapid.SampledFrom([]string{"", "1", "2", "~~", "x"}).Draw(t, "v"), rapid.SampledFrom([]int{1, 2, 30, 200, 1500}).Draw(t, "n")),
					Mode:  h2.IndexMode(rapid.IntRange(0, 2).Draw(t, "mode")),
				})
			}
			got = nil
			if _, err := d.Write(e.Block(path, fields)); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			want := []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "push.example.net"}, {Name: ":path", Value: path}}
			for _, f := range append(st[3:len(st):len(st)], fields...) {
				want = append(want, hpack.HeaderField{Name: f.Name, Value: f.Value, Sensitive: f.Mode == h2.NeverIndex})
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatal(d)
			}
		}
	})
}
