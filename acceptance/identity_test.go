//go:build acceptance

package acceptance_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	workTenant     = "5f1a3c9e-0000-4000-8000-00000000aaaa"
	consumerTenant = "9188040d-6c67-4c5b-b112-36a304b66dad" // where personal accounts live
	microsoft      = "https://login.microsoftonline.com/%s/v2.0"
)

// issuer is a token issuer with a server for its keys.
type issuer struct {
	*httptest.Server

	mu     sync.Mutex
	keys   map[string]*ecdsa.PrivateKey // what it publishes
	down   bool
	gets   int
	signer string
}

func startIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{keys: map[string]*ecdsa.PrivateKey{}}
	i.rotate(t, "first", false)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.gets++
		switch {
		case i.down:
			http.Error(w, "down", http.StatusBadGateway)
		case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
		default:
			var keys []map[string]string
			for id, k := range i.keys {
				point, err := k.PublicKey.Bytes()
				if err != nil {
					t.Error(err)
				}
				b64 := base64.RawURLEncoding.EncodeToString
				keys = append(keys, map[string]string{"kty": "EC", "use": "sig", "alg": "ES256", "crv": "P-256", "kid": id, "x": b64(point[1:33]), "y": b64(point[33:])})
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys})
		}
	}))
	t.Cleanup(i.Close)
	return i
}

// rotate lets the issuer sign with a new key, and withdraw the others or not.
func (i *issuer) rotate(t *testing.T, id string, withdraw bool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if withdraw {
		clear(i.keys)
	}
	i.keys[id], i.signer = k, id
}

func (i *issuer) setDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// token signs claims; what is given changes the usual ones.
func (i *issuer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	now := time.Now()
	all := jwt.MapClaims{"iss": i.URL, "aud": "carillon", "azp": "demo-client", "sub": "ann", "scp": "UserNotification.ReadWrite.CreatedByApp", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, all)
	i.mu.Lock()
	defer i.mu.Unlock()
	tok.Header["kid"] = i.signer
	text, err := tok.SignedString(i.keys[i.signer])
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestIdentityAndAuth is who may come, and who is who: people by their tenant and
// object id whatever app they come by, apps by their listed client ids, issuers by
// keys that rotate and cannot be fetched at times.
func TestIdentityAndAuth(t *testing.T) {
	iss, dir := startIssuer(t), workDir(t)
	config := filepath.Join(dir, "carillon.yaml")
	text := fmt.Sprintf("issuers:\n  - {url: \"https://login.microsoftonline.com/{tenantid}/v2.0\", alias: ms, audiences: [carillon], jwksUrl: %q}\n"+
		"  - {url: %q, alias: ex, audiences: [carillon], refresh: 1s, grace: 4s}\n"+
		"apps:\n  - {host: %s, clients: [demo-client, demo-phone]}\n  - {host: %s, clients: [limited], quota: {perSecond: 5}}\n", iss.URL+"/keys", iss.URL, host, limitedHost)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, filepath.Join(dir, "data"), "--config", config)
	for _, step := range []struct {
		name string
		play func(t *testing.T, s *site, iss *issuer)
	}{
		{"one person by two apps", onePersonTwoClients},
		{"work and personal accounts", workAndPersonal},
		{"who is refused", refusedTokens},
		{"an app's quota", appQuota},
		{"keys rotate", keysRotate},
		{"keys cannot be fetched", keysOutage},
	} {
		t.Run(step.name, func(t *testing.T) { step.play(t, s, iss) })
	}
	s.stop(t)
}

// theirs are the titles that a token's user reads.
func (s *site) theirs(t *testing.T, token, position string) string {
	t.Helper()
	r := s.call(t, token, "GET", "/beta/me/notifications", nil, positionHeader, position).want(t, 200)
	var list struct {
		Value []struct {
			Payload struct{ VisualContent struct{ Title string } }
		}
	}
	if err := json.Unmarshal(r.text, &list); err != nil {
		t.Fatal(err)
	}
	var titles []string
	for _, n := range list.Value {
		titles = append(titles, n.Payload.VisualContent.Title)
	}
	return sorted(titles)
}

func of(tenant, object, subject, client string) map[string]any {
	return map[string]any{"iss": fmt.Sprintf(microsoft, tenant), "tid": tenant, "oid": object, "sub": subject, "azp": client}
}

func onePersonTwoClients(t *testing.T, s *site, iss *issuer) {
	const object = "11111111-2222-4333-8444-555555555555"
	desk, phone := iss.token(t, of(workTenant, object, "pairwise-1", "demo-client")), iss.token(t, of(workTenant, object, "pairwise-2", "demo-phone"))
	s.call(t, desk, "POST", "/beta/me/notifications", visual("by the desk", "")).want(t, 201)
	r := s.call(t, phone, "POST", "/beta/me/notifications", visual("by the phone", "")).want(t, 201)
	for name, token := range map[string]string{"desk": desk, "phone": phone} {
		if got := s.theirs(t, token, r.header.Get(positionHeader)); got != "by the desk, by the phone" {
			t.Errorf("the %s reads %s", name, got)
		}
	}
	s.call(t, desk, "GET", "/beta/users/"+workTenant+"."+object+"/notifications", nil).want(t, 200)
}

func workAndPersonal(t *testing.T, s *site, iss *issuer) {
	const object, other = "aaaaaaaa-2222-4333-8444-555555555555", "bbbbbbbb-2222-4333-8444-555555555555"
	for name, c := range map[string][2]map[string]any{
		"equal oid": {of(workTenant, object, "one", "demo-client"), of(consumerTenant, object, "two", "demo-client")},
		"equal sub": {of(workTenant, other, "same", "demo-client"), of(consumerTenant, "cccccccc-2222-4333-8444-555555555555", "same", "demo-client")},
	} {
		work, personal := iss.token(t, c[0]), iss.token(t, c[1])
		s.call(t, work, "POST", "/beta/me/notifications", visual("work", "")).want(t, 201)
		r := s.call(t, personal, "POST", "/beta/me/notifications", visual("personal", "")).want(t, 201)
		if got := s.theirs(t, personal, r.header.Get(positionHeader)); got != "personal" {
			t.Errorf("%s: the personal account reads %s", name, got)
		}
	}
}

func refusedTokens(t *testing.T, s *site, iss *issuer) {
	me := func(token string) *reply { return s.call(t, token, "GET", "/beta/me/notifications", nil) }
	me(iss.token(t, nil)).want(t, 200)
	me(iss.token(t, map[string]any{"azp": "nobody-listed"})).refuses(t, 403)
	me(iss.token(t, map[string]any{"scp": "Mail.Read"})).refuses(t, 403, "scope")
	past := time.Now().Add(-10 * time.Minute).Unix()
	for name, claims := range map[string]map[string]any{
		"another issuer":   {"iss": "https://evil.example"},
		"a tenant's name":  {"iss": fmt.Sprintf(microsoft, workTenant), "tid": consumerTenant, "oid": workTenant},
		"another audience": {"aud": "someone-else"},
		"expired":          {"exp": past},
		"not yet":          {"nbf": time.Now().Add(10 * time.Minute).Unix()},
		"no expiry":        {"exp": nil},
		"no subject":       {"sub": ""},
	} {
		t.Run(name, func(t *testing.T) { me(iss.token(t, claims)).refuses(t, 401) })
	}
	// Within the skew of clocks that is allowed.
	me(iss.token(t, map[string]any{"exp": time.Now().Add(-2 * time.Minute).Unix()})).want(t, 200)

	good := iss.token(t, nil)
	parts := strings.Split(good, ".")
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var c jwt.MapClaims
	if err := json.Unmarshal(claims, &c); err != nil {
		t.Fatal(err)
	}
	for _, forged := range []struct {
		method jwt.SigningMethod
		key    any
	}{{jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType}, {jwt.SigningMethodHS256, []byte("first")}} {
		tok := jwt.NewWithClaims(forged.method, c)
		tok.Header["kid"] = "first"
		text, err := tok.SignedString(forged.key)
		if err != nil {
			t.Fatal(err)
		}
		me(text).refuses(t, 401)
	}
	me(parts[0]+"."+parts[1]+"."+strings.Repeat("A", len(parts[2]))).refuses(t, 401)
	me("").refuses(t, 401)
}

const limitedHost = "limited.localhost"

// appQuota: beyond its quota an app is told when to come again, and the other app
// does not notice.
func appQuota(t *testing.T, s *site, iss *issuer) {
	app := func(client string) string {
		return iss.token(t, map[string]any{"azp": client, "scp": nil, "roles": []string{"Notifications.Send"}})
	}
	limited := app("limited")
	send := func(token, host string) *reply {
		return s.call(t, token, "POST", "/beta/users/ex.zoe/notifications", with(visual("one more", ""), map[string]any{"targetHostName": host}))
	}
	taken := 0
	r := send(limited, limitedHost)
	for ; r.status == 201 && taken < 1000; r = send(limited, limitedHost) {
		taken++
	}
	r.refuses(t, 429, "5 a second")
	if r.header.Get("Retry-After") != "1" || taken < 5 {
		t.Errorf("after %d: Retry-After %q", taken, r.header.Get("Retry-After"))
	}
	send(app("demo-client"), host).want(t, 201)
	if n := s.metric(t, "carillon_ingress_over_quota_total"); n != 1 {
		t.Errorf("%d are counted as over the quota", n)
	}
	if text := carillon(t, "app", "show", limitedHost, "--url", s.url, "--data", s.data); !strings.Contains(text, "quota       5 a second") {
		t.Errorf("app show does not tell:\n%s", text)
	}
	until(t, ringLimit, "it may send again", func() bool { return send(limited, limitedHost).status == 201 })
}

// keysRotate: a token with a key that is new is good at once, and one whose key
// was withdrawn is not for long.
func keysRotate(t *testing.T, s *site, iss *issuer) {
	old := iss.token(t, nil)
	s.call(t, old, "GET", "/beta/me/notifications", nil).want(t, 200)
	iss.rotate(t, "second", false)
	next := iss.token(t, nil)
	s.call(t, next, "GET", "/beta/me/notifications", nil).want(t, 200)
	s.call(t, old, "GET", "/beta/me/notifications", nil).want(t, 200)
	iss.rotate(t, "third", true)
	until(t, ringLimit, "the withdrawn key is good no more", func() bool {
		return s.call(t, old, "GET", "/beta/me/notifications", nil).status == 401
	})
	s.call(t, next, "GET", "/beta/me/notifications", nil).refuses(t, 401)
	s.call(t, iss.token(t, nil), "GET", "/beta/me/notifications", nil).want(t, 200)
}

// keysOutage: the last keys stay good for the grace, then callers are told that
// it is not their fault; both end with the outage.
func keysOutage(t *testing.T, s *site, iss *issuer) {
	token := iss.token(t, nil)
	s.call(t, token, "GET", "/beta/me/notifications", nil).want(t, 200)
	iss.setDown(true)
	begin := time.Now()
	until(t, ringLimit, "the grace is over", func() bool {
		r := s.call(t, token, "GET", "/beta/me/notifications", nil)
		if r.status != 200 {
			r.refuses(t, 503)
			if r.header.Get("Retry-After") == "" {
				t.Error("a 503 without Retry-After")
			}
		}
		return r.status == 503
	})
	if d := time.Since(begin); d < 2500*time.Millisecond {
		t.Errorf("the keys were good for %v of an outage, want the grace of 4 s since the last fetch", d)
	}
	iss.setDown(false)
	until(t, 2*ringLimit, "the issuer is there again", func() bool {
		return s.call(t, token, "GET", "/beta/me/notifications", nil).status == 200
	})
}
