package wire_test

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"carillon/provider/wire"
)

func TestAppendString(t *testing.T) {
	for _, s := range []string{
		"", "plain", `quote " and \ slash`, "line\nreturn\rtab\t", "\x00\x1f\x7f", "ümläut 漢字 🔔",
		"\u2028\u2029", "cut \xc3", "\xff\xfe", "\xed\xa0\x80", "a\xc3(b",
	} {
		checkString(t, s)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\x00\xff🔔")
	f.Fuzz(checkString)
}

func checkString(t *testing.T, s string) {
	t.Helper()
	b := wire.AppendString(nil, s)
	if !utf8.Valid(b) {
		t.Fatalf("%q became %q, which is no UTF-8", s, b)
	}
	var got string
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%q became %q: %v", s, b, err)
	}
	var want strings.Builder
	for _, r := range s { // ranging turns each bad byte into U+FFFD
		want.WriteRune(r)
	}
	if got != want.String() {
		t.Fatalf("%q came back as %q", s, got)
	}
}

func TestAppendMembers(t *testing.T) {
	b := []byte("{")
	b = wire.AppendMember(b, "a", "x")
	b = wire.AppendNumber(b, "b", -7)
	b = wire.AppendDecimal(b, "c", 1<<63)
	if got, want := string(b)+"}", `{"a":"x","b":-7,"c":"9223372036854775808"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzAppendXML(f *testing.F) {
	f.Add("a<b>&\"'\x00\xff\ufffe🔔\n\t\r]]>")
	f.Fuzz(func(t *testing.T, s string) {
		b := append([]byte(`<a b="`), wire.AppendXML(nil, s)...)
		b = append(append(append(b, `">`...), wire.AppendXML(nil, s)...), "</a>"...)
		var v struct {
			B    string `xml:"b,attr"`
			Text string `xml:",chardata"`
		}
		if err := xml.Unmarshal(b, &v); err != nil {
			t.Fatalf("%q became %q: %v", s, b, err)
		}
		var want strings.Builder
		for _, r := range s {
			if r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0xfffe || r == 0xffff {
				r = utf8.RuneError
			}
			want.WriteRune(r)
		}
		if v.Text != want.String() || v.B != want.String() {
			t.Fatalf("%q came back as %q and %q", s, v.B, v.Text)
		}
	})
}

func FuzzAppendQuery(f *testing.F) {
	f.Add("a b&c=d%e/f?\x00\xff🔔")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := url.ParseQuery("k=" + string(wire.AppendQuery(nil, s)))
		if err != nil || v.Get("k") != s {
			t.Fatalf("%q came back as %q (%v)", s, v.Get("k"), err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "NaN": 0, "1e99": 0, "Inf": 0, "0x10": 0, "1_000": 0, "1.2.3": 0, ".": 0, "..": 0, "+7": 0,
		" 7 ": 7 * time.Second, "3600": time.Hour, "3601": time.Hour, "99999999999999999999": time.Hour, strings.Repeat("9", 400): time.Hour,
		"0": time.Millisecond, "7": 7 * time.Second, "0.25": 250 * time.Millisecond,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):       time.Millisecond,
		"Fri, 31 Dec 9999 23:59:59 GMT":                   time.Hour,
	} {
		if got := wire.RetryAfter(value, now); got != want {
			t.Errorf("Retry-After %q is %v, want %v", value, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Wed, 21 Oct 2026 07:28:00 GMT")
	f.Fuzz(func(t *testing.T, s string) {
		if d := wire.RetryAfter(s, time.Unix(1_800_000_000, 0)); d < 0 || d > time.Hour {
			t.Fatalf("%q is %v", s, d)
		}
	})
}

func FuzzAppendValue(f *testing.F) {
	f.Add(`{"a":["x\u0000\"",1.5,-2e9,true,false,null,{}],"\"k":"🔔\ud800"}`)
	f.Add(`[nan]`)
	f.Add(`[1.2.3]`)
	f.Fuzz(func(t *testing.T, s string) {
		v, err := fastjson.Parse(s)
		if err != nil {
			return
		}
		if b := wire.AppendValue(nil, v); !json.Valid(b) {
			t.Fatalf("%q became %q", s, b)
		}
	})
}

func TestParseSite(t *testing.T) {
	for base, want := range map[string][3]string{
		"https://fcm.googleapis.com":     {"https", "fcm.googleapis.com", "fcm.googleapis.com:443"},
		"https://fcm.googleapis.com:443": {"https", "fcm.googleapis.com", "fcm.googleapis.com:443"},
		"https://127.0.0.1:8443/":        {"https", "127.0.0.1:8443", "127.0.0.1:8443"},
		"https://[::1]:8443":             {"https", "[::1]:8443", "[::1]:8443"},
		"http://localhost:80":            {"http", "localhost:80", "localhost:80"},
	} {
		s, err := wire.ParseSite(base, "")
		if err != nil {
			t.Errorf("%s: %v", base, err)
			continue
		}
		if got := [3]string{s.Scheme, s.Host, s.Addr}; got != want || (s.TLS == nil) != (want[0] == "http") {
			t.Errorf("%s: %v, want %v", base, got, want)
		}
	}
	for _, base := range []string{"", "fcm.googleapis.com", "http://fcm.googleapis.com", "https://u:p@h", "https://h/path", "https://h?q", "ftp://h"} {
		if _, err := wire.ParseSite(base, ""); err == nil {
			t.Errorf("%q was taken as a base URL", base)
		}
	}
	if _, err := wire.ParseSite("https://h", t.TempDir()+"/none.pem"); err == nil {
		t.Error("a missing CA file went unnoticed")
	}
}
