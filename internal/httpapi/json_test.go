package httpapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/internal/httpapi"
)

var update = flag.Bool("update", false, "write the golden files anew")

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\n\r\t\x00\x1f\x7f", "grüße 🔔 \u2028\u2029", "\xff\xc3\x28\xed\xa0\x80", "\xf0\x9f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := httpapi.AppendString(nil, s)
		if !utf8.Valid(b) {
			t.Errorf("%q gives %q, which is not UTF-8", s, b)
		}
		if !bytes.Equal(b, httpapi.AppendString(nil, []byte(s))) {
			t.Errorf("%q: string and bytes differ", s)
		}
		var back string
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%q gives %s: %v", s, b, err)
		}
		if want := toValid(s); back != want {
			t.Errorf("%q came back as %q", want, back)
		}
	})
}

// toValid replaces every bad byte, as encoding/json does.
func toValid(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

func views() map[string]httpapi.View {
	id, _ := carillon.ParseID("01234567-89ab-8def-8123-456789abcdef")
	const accepted, expires = 1_795_000_000_123, 1_795_604_800_000
	return map[string]httpapi.View{
		"least": {ID: id, Host: "app.example.com", Created: accepted, Notification: &carillon.Notification{
			Expires: expires, TTL: -1, Badge: -1, HasRaw: true,
		}},
		"visual": {
			Context: []byte("http://127.0.0.1:8410/beta/$metadata#users('dev.alice')/notifications/$entity"), ETag: `W/"7x"`,
			ID: id, Host: "app.example.com", Created: accepted, Notification: &carillon.Notification{
				AppNotificationID: "n-1", Expires: expires, Priority: carillon.PriorityHigh, TTL: 60, Badge: -1,
				Targets: carillon.PlatformSet(0).With(carillon.Windows).With(carillon.IOS).With(carillon.Android), Group: "G",
				HasVisual: true, Title: "Hello \"<World>\"", Body: "Grüße 🔔\n",
			},
		},
		"everything": {
			ID: id, Host: "app.example.com", Created: accepted, Modified: accepted + 1000,
			State: carillon.State{Read: true, Action: carillon.Dismissed},
			Notification: &carillon.Notification{
				Expires: expires, Priority: carillon.PriorityLow, TTL: 0, Badge: 3, Locale: "de-AT",
				Targets:   carillon.PlatformSet(0).With(carillon.IOS).With(carillon.Web),
				HasVisual: true, Title: "T", HasRaw: true, Raw: `{"x":"\u0000"}` + "\x00\xff",
				Fallback:   carillon.Fallback{Delay: 60, Title: "F", Body: "B"},
				Options:    []byte(`{"apns":{"sound":"bell"}}`),
				Extra:      []byte(` {"custom":1, "deep":{"a":[]}} `),
				LocalState: true, DeliverAt: accepted + 60_000,
			},
		},
		"deleted": {ID: id, Host: "h", Created: accepted, State: carillon.State{Deleted: true}, Notification: &carillon.Notification{
			Expires: expires, TTL: -1, Badge: -1, HasVisual: true, Title: "t", Extra: []byte(`{}`),
		}},
	}
}

func TestNotificationJSON(t *testing.T) {
	for name, v := range views() {
		got := httpapi.AppendNotification(nil, &v)
		if !json.Valid(got) || !utf8.Valid(got) {
			t.Errorf("%s is not JSON: %s", name, got)
			continue
		}
		var pretty bytes.Buffer
		_ = json.Indent(&pretty, got, "", "  ")
		pretty.WriteByte('\n')
		path := filepath.Join("testdata", "notification-"+name+".golden")
		if *update {
			if err := os.WriteFile(path, pretty.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), pretty.String()); d != "" {
			t.Errorf("%s (-golden +now):\n%s", name, d)
		}
	}
}

func TestNotificationJSONAllocates(t *testing.T) {
	v := views()["everything"]
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = httpapi.AppendNotification(buf[:0], &v) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppendNotification(b *testing.B) {
	v := views()["visual"]
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = httpapi.AppendNotification(buf[:0], &v)
	}
}

// FuzzETag: whatever a caller sends is a version or none; those of ETag are read
// back, weak or not.
func FuzzETag(f *testing.F) {
	for _, s := range []string{`W/"68hqlcqv8"`, `"1"`, `"`, `W/`, `""`, `"-1"`, `"zzzzzzzzzzzzzz"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		seq, ok := httpapi.ParseETag(s)
		if !ok {
			return
		}
		if seq == 0 {
			t.Errorf("%q is the version of no record", s)
		}
		weak := httpapi.ETag(seq, &carillon.State{})
		for _, tag := range []string{weak, strings.TrimPrefix(weak, "W/")} {
			if again, _ := httpapi.ParseETag(tag); again != seq {
				t.Errorf("%q is %v, its tag %q %v", s, seq, tag, again)
			}
		}
	})
}

func FuzzPosition(f *testing.F) {
	for _, p := range []carillon.Position{{}, {Partition: 63, Seq: carillon.MakeSeq(1, 12345)}, {Partition: 65535, Seq: carillon.MakeSeq(carillon.MaxEpoch, carillon.MaxOffset)}} {
		s := httpapi.EncodePosition(p)
		if back, err := httpapi.DecodePosition(s); err != nil || back != p {
			f.Fatal(p, back, err)
		}
		f.Add(s)
	}
	f.Add("")
	f.Add("AQAAAAAAAAAAAA=")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := httpapi.DecodePosition(s)
		if err != nil {
			if carillon.AsError(err).Code != carillon.CodeInvalidRequest {
				t.Error(err)
			}
			return
		}
		if back := httpapi.EncodePosition(p); back != s {
			t.Errorf("%q reads as %v, which is written as %q", s, p, back)
		}
	})
}
