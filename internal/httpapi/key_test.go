package httpapi_test

import (
	"strings"
	"testing"

	"carillon/internal/httpapi"
)

func TestKey(t *testing.T) {
	for path, want := range map[string][2]string{
		"plain":                         {"", "plain"},
		"it's":                          {"", "it's"},
		"('5')":                         {"", "5"},
		"('')":                          {"", ""},
		"('it''s')":                     {"", "it's"},
		"('''')":                        {"", "'"},
		"(id='5')":                      {"id", "5"},
		"( appNotificationId = 'a=b' )": {"appNotificationId", "a=b"},
		"(a='(x)')":                     {"a", "(x)"},
	} {
		property, value, err := httpapi.Key(path)
		if err != nil || property != want[0] || value != want[1] {
			t.Errorf("%s: %q %q %v", path, property, value, err)
		}
	}
	for _, path := range []string{"(", "()", "(5)", "('5'", "(')", "('''')')", "('a'b')", "(='a')", "(a 'b')", "(a=b)", "('a'''')", "(a='b',c='d')"} {
		if property, value, err := httpapi.Key(path); err == nil {
			t.Errorf("%s: %q %q", path, property, value)
		}
	}
}

func TestNoneMatch(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, `W/"a"`: true, `"a"`: true, `"b","a"`: true, `"b" ,W/"a"`: true, "*": true, `"ab"`: false, "a": false,
	} {
		if got := httpapi.NoneMatch(header, `W/"a"`); got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
}

// FuzzKey: a key that is written by the rules is read back.
func FuzzKey(f *testing.F) {
	f.Add("('it''s')", "appNotificationId")
	f.Add("(a='b')", "")
	f.Add("plain", "x")
	f.Fuzz(func(t *testing.T, path, name string) {
		_, value, err := httpapi.Key(path)
		if err != nil {
			return
		}
		if name = strings.Trim(name, " ='"); strings.ContainsAny(name, "'=(") {
			return
		}
		written := "('" + strings.ReplaceAll(value, "'", "''") + "')"
		if name != "" {
			written = "(" + name + "=" + written[1:]
		}
		again, value2, err := httpapi.Key(written)
		if err != nil || value2 != value || again != name {
			t.Errorf("%q, written %q, is %q %q %v", path, written, again, value2, err)
		}
	})
}
