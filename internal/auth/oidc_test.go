package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"carillon"
	"carillon/internal/auth"
)

// publisher is an issuer's web server, whose keys a test turns.
type publisher struct {
	*httptest.Server
	issuer  atomic.Value // string: what its metadata says
	doc     atomic.Value // []byte: the key set
	down    atomic.Bool
	fetches atomic.Int64
}

func publish(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": p.issuer.Load().(string), "jwks_uri": p.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		p.fetches.Add(1)
		_, _ = w.Write(p.doc.Load().([]byte))
	})
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	p.issuer.Store(p.URL)
	return p
}

// turn publishes these keys.
func (p *publisher) turn(keys map[string]*ecdsa.PrivateKey) {
	var set []any
	for kid, k := range keys {
		set = append(set, ecJWK(kid, k))
	}
	doc, _ := json.Marshal(map[string]any{"keys": set})
	p.doc.Store(doc)
}

func ecJWK(kid string, k *ecdsa.PrivateKey) map[string]any {
	point, _ := k.PublicKey.Bytes()
	return map[string]any{"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": b64(point[1:33]), "y": b64(point[33:])}
}

// follow runs a source of the publisher's keys and a verifier of its tokens.
func (p *publisher) follow(t *testing.T, clock *carillon.Clock) *auth.Verifier {
	t.Helper()
	src, err := auth.NewOIDC(auth.Issuer{URL: p.URL, Alias: "live"}, auth.OIDCConfig{}, clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- src.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return verifier(t, clock, src)
}

func (p *publisher) token(t *testing.T, clock *carillon.Clock, kid string, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	return sign(t, jwt.SigningMethodES256, k, map[string]any{"kid": kid}, map[string]any{
		"iss": p.URL, "aud": auth.Audience, "sub": "bob", "azp": "app-1", "scp": auth.ScopeNotifications,
		"exp": clock.Now().Add(time.Hour).Unix(),
	})
}

func code(err error) carillon.Code { return carillon.AsError(err).Code }

func TestOIDCRotation(t *testing.T) {
	clock := &carillon.Clock{}
	p, a, b := publish(t), ecKey(t), ecKey(t)
	p.turn(map[string]*ecdsa.PrivateKey{"a": a})
	v := p.follow(t, clock)
	old := p.token(t, clock, "a", a)
	// The very first token waits for the first fetch.
	if who, err := v.Verify(old); err != nil || who.UserID != "live.bob" {
		t.Fatal(who, err)
	}
	p.turn(map[string]*ecdsa.PrivateKey{"a": a, "b": b})
	clock.Move(11 * time.Second)
	if _, err := v.Verify(p.token(t, clock, "b", b)); err != nil {
		t.Error("a key that was published since is not fetched:", err)
	}
	if _, err := v.Verify(old); err != nil {
		t.Error("a key that is still published is not good any more:", err)
	}
	p.turn(map[string]*ecdsa.PrivateKey{"b": b})
	clock.Move(11 * time.Second)
	if _, err := v.Verify(p.token(t, clock, "c", ecKey(t))); code(err) != carillon.CodeUnauthenticated {
		t.Error(err)
	}
	if _, err := v.Verify(old); code(err) != carillon.CodeUnauthenticated {
		t.Error("a withdrawn key is still good:", err)
	}
	// Strangers cannot make it ask more often than every ten seconds.
	before := p.fetches.Load()
	for range 50 {
		if _, err := v.Verify(p.token(t, clock, "d", a)); err == nil {
			t.Fatal("an unknown key")
		}
	}
	if n := p.fetches.Load() - before; n > 1 {
		t.Errorf("50 tokens with an unknown key cost %d fetches", n)
	}
}

func TestOIDCOutage(t *testing.T) {
	clock := &carillon.Clock{}
	p, a := publish(t), ecKey(t)
	p.turn(map[string]*ecdsa.PrivateKey{"a": a})
	v := p.follow(t, clock)
	if _, err := v.Verify(p.token(t, clock, "a", a)); err != nil {
		t.Fatal(err)
	}
	p.down.Store(true)
	clock.Move(23 * time.Hour)
	if _, err := v.Verify(p.token(t, clock, "a", a)); err != nil {
		t.Error("within the grace:", err)
	}
	clock.Move(90 * time.Minute)
	if _, err := v.Verify(p.token(t, clock, "a", a)); code(err) != carillon.CodeUnavailable || !strings.Contains(err.Error(), p.URL) {
		t.Error("after the grace:", err)
	}
	p.down.Store(false)
	clock.Move(11 * time.Second)
	if _, err := v.Verify(p.token(t, clock, "a", a)); err != nil {
		t.Error("it does not heal:", err)
	}
}

func TestOIDCForeignMetadata(t *testing.T) {
	clock := &carillon.Clock{}
	p, a := publish(t), ecKey(t)
	p.turn(map[string]*ecdsa.PrivateKey{"a": a})
	p.issuer.Store("https://other.example.com")
	v := p.follow(t, clock)
	if _, err := v.Verify(p.token(t, clock, "a", a)); code(err) != carillon.CodeUnavailable {
		t.Error(err)
	}
	if p.fetches.Load() != 0 {
		t.Error("the keys of another issuer's metadata were fetched")
	}
}

func TestOIDCURLs(t *testing.T) {
	for _, cfg := range []auth.OIDCConfig{
		{JWKSURL: "http://keys.example.com/jwks"}, {JWKSURL: "ftp://127.0.0.1/"}, {JWKSURL: "https://user@example.com/"}, {CAFile: "missing.pem"},
	} {
		if _, err := auth.NewOIDC(auth.Issuer{URL: "https://id.example.com", Alias: "x"}, cfg, &carillon.Clock{}, nil); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
	if _, err := auth.NewOIDC(auth.Issuer{URL: "https://login.microsoftonline.com/{tenantid}/v2.0", Alias: "ms"}, auth.OIDCConfig{}, &carillon.Clock{}, nil); err == nil {
		t.Error("an issuer of many tenants has no metadata of its own")
	}
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
