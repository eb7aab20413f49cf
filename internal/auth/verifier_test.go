package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/internal/auth"
)

func TestDevTokens(t *testing.T) {
	clock := &carillon.Clock{}
	d := devIssuer(t, clock)
	v := verifier(t, clock, devIssuer(t, clock)) // another process of the same installation
	scopes := []string{auth.ScopeNotifications, auth.ScopeUserNotifications}
	for name, tt := range map[string]struct {
		claims auth.DevClaims
		want   auth.Principal
	}{
		"user":  {auth.DevClaims{User: "alice", Client: "app-1"}, auth.Principal{Client: "app-1", UserID: "dev.alice", Scopes: scopes}},
		"app":   {auth.DevClaims{Client: "app-1"}, auth.Principal{Client: "app-1", Roles: []string{auth.RoleSend, auth.RoleReadAll, auth.RoleEndpoints}}},
		"admin": {auth.DevClaims{Admin: true}, auth.Principal{Admin: true, Roles: []string{auth.RoleAdmin}}},
	} {
		p, err := v.Verify(issue(t, d, tt.claims))
		if err != nil {
			t.Fatal(name, err)
		}
		if left := time.Duration(p.Expires-clock.UnixMilli()) * time.Millisecond; left > auth.DevLife || left < auth.DevLife-time.Minute {
			t.Errorf("%s: lives %s", name, left)
		}
		got := *p
		got.Expires = 0
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if p, _ := v.Verify(issue(t, d, auth.DevClaims{User: "alice", Admin: true})); p.HasRole(auth.RoleAdmin) || !p.Admin || !p.MayUser() {
		t.Errorf("%+v", p)
	}
	if _, err := d.Issue(auth.DevClaims{}); err == nil {
		t.Error("a token for nobody")
	}
	if _, err := d.Issue(auth.DevClaims{User: "a/b"}); err == nil {
		t.Error("a token for a user that cannot be")
	}
}

func TestDevAllowed(t *testing.T) {
	if err := auth.DevAllowed(true, false); err != nil {
		t.Error(err)
	}
	for _, err := range []error{auth.DevAllowed(false, false), auth.DevAllowed(true, true)} {
		if err == nil || !strings.Contains(err.Error(), auth.DevOffFlag) {
			t.Error(err)
		}
	}
}

// keys is a source whose keys a test holds and turns.
type keys struct {
	issuer auth.Issuer
	mu     sync.Mutex
	set    *auth.KeySet
}

func (k *keys) Issuer() auth.Issuer { return k.issuer }
func (k *keys) Keys() *auth.KeySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.set
}

func sign(t testing.TB, m jwt.SigningMethod, key any, header, claims map[string]any) []byte {
	t.Helper()
	tok := jwt.NewWithClaims(m, jwt.MapClaims(claims))
	maps.Copy(tok.Header, header)
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(s)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func with(base, over map[string]any) map[string]any {
	out := maps.Clone(base)
	for k, v := range over {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

func TestForeignTokens(t *testing.T) {
	clock := &carillon.Clock{}
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	point, _ := ecKey.PublicKey.Bytes()
	doc, _ := json.Marshal(map[string]any{"keys": []any{
		map[string]any{"kty": "RSA", "kid": "r", "n": b64(rsaKey.N.Bytes()), "e": b64(big.NewInt(int64(rsaKey.E)).Bytes()), "x5c": []string{"x"}},
		map[string]any{"kty": "EC", "kid": "e", "crv": "P-256", "alg": "ES256", "use": "sig", "x": b64(point[1:33]), "y": b64(point[33:])},
		map[string]any{"kty": "oct", "kid": "h", "k": "AAAA"},
		map[string]any{"kty": "EC", "kid": "enc", "crv": "P-256", "use": "enc"},
	}})
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	okta, err := auth.NewJWKSFile(auth.Issuer{URL: "https://id.example.com", Alias: "ex", Audiences: []string{"api://carillon"}}, path)
	if err != nil {
		t.Fatal(err)
	}
	const tid, oid = "0A000000-0000-4000-8000-00000000000a", "0b000000-0000-4000-8000-00000000000b"
	entra, err := auth.NewJWKSFile(auth.Issuer{URL: "https://login.microsoftonline.com/{tenantid}/v2.0", Alias: "ms"}, path)
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, clock, okta, entra)
	now := clock.Now().Unix()
	base := map[string]any{
		"iss": "https://id.example.com", "aud": "api://carillon", "sub": "u|1", "azp": "c", "scp": "A Notifications.ReadWrite.CreatedByApp",
		"exp": now + 3600, "tid": tid, "oid": oid,
	}
	ms := with(base, map[string]any{"iss": "https://login.microsoftonline.com/" + tid + "/v2.0", "aud": []string{"x", "carillon"}, "azp": nil, "appid": "ms-app"})
	r, e := map[string]any{"kid": "r"}, map[string]any{"kid": "e"}
	pub, _ := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)

	good := map[string]struct {
		token []byte
		want  auth.Principal
	}{
		"RS256":                 {sign(t, jwt.SigningMethodRS256, rsaKey, r, base), auth.Principal{Client: "c", UserID: "ex.u|1", Scopes: []string{"A", auth.ScopeNotifications}}},
		"ES256":                 {sign(t, jwt.SigningMethodES256, ecKey, e, base), auth.Principal{Client: "c", UserID: "ex.u|1", Scopes: []string{"A", auth.ScopeNotifications}}},
		"scp as an array":       {sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"scp": []string{"X"}})), auth.Principal{Client: "c", UserID: "ex.u|1", Scopes: []string{"X"}}},
		"app":                   {sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"scp": nil, "roles": []string{"Carillon.Admin", "Notifications.Send"}})), auth.Principal{Client: "c", Roles: []string{auth.RoleSend}}},
		"microsoft":             {sign(t, jwt.SigningMethodRS256, rsaKey, r, ms), auth.Principal{Client: "ms-app", UserID: strings.ToLower(tid + "." + oid), Scopes: []string{"A", auth.ScopeNotifications}}},
		"expired within skew":   {sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"exp": now - 290})), auth.Principal{Client: "c", UserID: "ex.u|1", Scopes: []string{"A", auth.ScopeNotifications}}},
		"not before within it":  {sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"nbf": now + 290})), auth.Principal{Client: "c", UserID: "ex.u|1", Scopes: []string{"A", auth.ScopeNotifications}}},
		"a user's roles do not": {sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"roles": []string{"Notifications.Send"}})), auth.Principal{Client: "c", UserID: "ex.u|1", Scopes: []string{"A", auth.ScopeNotifications}}},
	}
	for name, tt := range good {
		p, err := v.Verify(tt.token)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := *p
		got.Expires = 0
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	for name, token := range map[string][]byte{
		"none":               sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, e, base),
		"HMAC by public key": sign(t, jwt.SigningMethodHS256, pub, r, base),
		"RS512":              sign(t, jwt.SigningMethodRS512, rsaKey, r, base),
		"PS256":              sign(t, jwt.SigningMethodPS256, rsaKey, r, base),
		"another key":        sign(t, jwt.SigningMethodES256, other, e, base),
		"key of other kind":  sign(t, jwt.SigningMethodES256, ecKey, r, base),
		"unknown kid":        sign(t, jwt.SigningMethodES256, ecKey, map[string]any{"kid": "z"}, base),
		"no kid":             sign(t, jwt.SigningMethodES256, ecKey, nil, base),
		"crit":               sign(t, jwt.SigningMethodES256, ecKey, with(e, map[string]any{"crit": []string{"x"}}), base),
		"issuer":             sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"iss": "https://id.example.com/"})),
		"no issuer":          sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"iss": nil})),
		"audience":           sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"aud": "carillon"})),
		"no audience":        sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"aud": nil})),
		"expired":            sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"exp": now - 310})),
		"no expiry":          sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"exp": nil})),
		"not yet":            sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"nbf": now + 310})),
		"no sub":             sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"sub": nil})),
		"sub with a slash":   sign(t, jwt.SigningMethodES256, ecKey, e, with(base, map[string]any{"sub": "a/b"})),
		"tenant of another":  sign(t, jwt.SigningMethodRS256, rsaKey, r, with(ms, map[string]any{"tid": oid})),
		"tenant is no UUID":  sign(t, jwt.SigningMethodRS256, rsaKey, r, with(ms, map[string]any{"tid": "x", "iss": "https://login.microsoftonline.com/x/v2.0"})),
		"microsoft, no oid":  sign(t, jwt.SigningMethodRS256, rsaKey, r, with(ms, map[string]any{"oid": nil})),
		"empty":              nil,
		"not a token":        []byte("a.b.c"),
		"too long":           make([]byte, auth.MaxToken+1),
	} {
		p, err := v.Verify(token)
		if err == nil {
			t.Errorf("%s is accepted: %+v", name, p)
			continue
		}
		if e := carillon.AsError(err); e.Code != carillon.CodeUnauthenticated || e.Target != "Authorization" || e.Message == "" {
			t.Errorf("%s: %#v", name, e)
		}
	}
}

func TestVerifierRefusesTwins(t *testing.T) {
	set := auth.NewKeySet(nil)
	for _, pair := range [][2]auth.Issuer{
		{{URL: "https://a", Alias: "x"}, {URL: "https://b", Alias: "x"}},
		{{URL: "https://a", Alias: "x"}, {URL: "https://a", Alias: "y"}},
		{{URL: "https://a", Alias: "x.y"}, {URL: "https://b", Alias: "z"}},
		{{URL: "https://a"}, {URL: "https://b", Alias: "z"}},
	} {
		if _, err := auth.NewVerifier(auth.Config{}, &carillon.Clock{}, &keys{issuer: pair[0], set: set}, &keys{issuer: pair[1], set: set}); err == nil {
			t.Error(pair)
		}
	}
}

func TestCache(t *testing.T) {
	clock := &carillon.Clock{}
	d := devIssuer(t, clock)
	source := &keys{issuer: d.Issuer(), set: d.Keys()}
	v := verifier(t, clock, source)
	cached(t, v)
	token := issue(t, d, auth.DevClaims{User: "alice", Client: "c"})
	hot(t, v, token)

	forged := append([]byte(nil), token...)
	forged[len(forged)-20] ^= 1
	_, err := v.Verify(forged)
	wantCode(t, err, carillon.CodeUnauthenticated)

	clock.Move(auth.DevLife + auth.MaxSkew + time.Second)
	_, err = v.Verify(token)
	wantCode(t, err, carillon.CodeUnauthenticated)
	clock.Move(-auth.DevLife - 3*auth.MaxSkew)
	_, err = v.Verify(token)
	wantCode(t, err, carillon.CodeUnauthenticated)
	clock.Move(2 * auth.MaxSkew)
	hot(t, v, token)

	source.mu.Lock()
	source.set = auth.NewKeySet(nil) // the key is withdrawn
	source.mu.Unlock()
	_, err = v.Verify(token)
	wantCode(t, err, carillon.CodeUnauthenticated)
}

func TestCacheEndsUnderLoad(t *testing.T) {
	clock := &carillon.Clock{}
	d := devIssuer(t, clock)
	v := verifier(t, clock, d)
	token := issue(t, d, auth.DevClaims{Client: "c"})
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 2 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := v.Verify(token); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 5 {
		t.Run("", func(t *testing.T) { cached(t, v); hot(t, v, token) })
	}
	close(stop)
	load.Wait()
}

func TestHitAllocatesNothing(t *testing.T) {
	clock := &carillon.Clock{}
	d := devIssuer(t, clock)
	v := verifier(t, clock, d)
	cached(t, v)
	token := issue(t, d, auth.DevClaims{User: "alice", Client: "c"})
	hot(t, v, token)
	// Ristretto hands its record of reads over in batches of 64, in a new slice.
	if n := testing.AllocsPerRun(1000, func() { _, _ = v.Verify(token) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkVerifyHit(b *testing.B) {
	clock := &carillon.Clock{}
	d := devIssuer(b, clock)
	v := verifier(b, clock, d)
	cached(b, v)
	token := issue(b, d, auth.DevClaims{User: "alice", Client: "c"})
	hot(b, v, token)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyMiss(b *testing.B) {
	clock := &carillon.Clock{}
	d := devIssuer(b, clock)
	v := verifier(b, clock, d)
	token := issue(b, d, auth.DevClaims{User: "alice", Client: "c"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	clock := &carillon.Clock{}
	d := devIssuer(f, clock)
	v := verifier(f, clock, d)
	token := issue(f, d, auth.DevClaims{User: "alice", Client: "c"})
	f.Add(token)
	f.Add([]byte("eyJhbGciOiJub25lIn0.e30."))
	f.Add([]byte("eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjFlMzAwfQ.AA"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := v.Verify(b)
		if err != nil {
			wantCode(t, err, carillon.CodeUnauthenticated)
		} else if string(b) != string(token) && (p.UserID != "dev.alice" || p.Client != "c") {
			t.Errorf("forged: %q", b)
		}
	})
}

func FuzzParseJWKS(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","kid":"e","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = auth.ParseJWKS(b) })
}
