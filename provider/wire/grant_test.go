package wire_test

import (
	"strings"
	"testing"
	"time"

	"carillon/provider/wire"
)

func TestParseToken(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"access_token":"a","token_type":"bearer","expires_in":86400}`:   24 * time.Hour,      // login.live.com
		`{"access_token":"a","token_type":"Bearer","expires_in":"86399"}`: 86399 * time.Second, // Entra
		`{"access_token":"a","expires_in":3599.5}`:                        3599*time.Second + 500*time.Millisecond,
		`{"access_token":"a"}`:                     time.Hour,
		`{"access_token":"a","expires_in":null}`:   time.Hour,
		`{"access_token":"a","expires_in":-1}`:     time.Hour,
		`{"access_token":"a","expires_in":"soon"}`: time.Hour,
		`{"access_token":"a","expires_in":1e300}`:  time.Hour,
	} {
		if header, life, err := wire.ParseToken([]byte(body)); err != nil || header != "Bearer a" || life != want {
			t.Errorf("%s: %q for %v, %v", body, header, life, err)
		}
	}
	for _, body := range []string{
		"", "<html>", `{}`, `{"access_token":""}`, `{"access_token":"a b"}`, `{"access_token":"a\r\nX: y"}`, `{"access_token":"a","token_type":"mac"}`,
	} {
		if header, _, err := wire.ParseToken([]byte(body)); err == nil {
			t.Errorf("%s: taken as %q", body, header)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add([]byte(`{"access_token":"a","token_type":"bearer","expires_in":86400}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		header, life, err := wire.ParseToken(body)
		if err == nil && (!strings.HasPrefix(header, "Bearer ") || strings.ContainsAny(header[7:], " \r\n\x00") || life <= 0 || life > 2e7*time.Second) {
			t.Fatalf("%q: %q for %v", body, header, life)
		}
	})
}
