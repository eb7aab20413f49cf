package wire_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
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

// TestTokensJump: when the clock moves while a token is being told of, the next
// one is asked for by the moved clock, not an hour after it.
func TestTokensJump(t *testing.T) {
	asked := make(chan struct{}, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"a","expires_in":3599}`)
		asked <- struct{}{}
	}))
	defer server.Close()
	var shift atomic.Int64
	start := time.Now()
	now := func() time.Time { return start.Add(time.Duration(shift.Load())) }
	tokens := wire.NewTokens(wire.TokensConfig{
		Name: "jump", URL: server.URL,
		Form: func(time.Time) (url.Values, error) { return url.Values{}, nil },
		Now:  now,
		SleepUntil: func(ctx context.Context, when time.Time) error {
			if now().Before(when) {
				<-ctx.Done() // nobody moves this clock while it sleeps
			}
			return ctx.Err()
		},
		OnToken: func() { shift.CompareAndSwap(0, int64(2*time.Hour)) },
		Logger:  slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tokens.Run(ctx) }()
	<-asked
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Error("no token is asked for after the clock has passed the first one's end")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
