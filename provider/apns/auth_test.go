package apns_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"carillon"
	"carillon/provider/apns"
)

func keyFile(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.p8")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func newKey(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestToken: an independent library takes the token, and two processes make the
// same one.
func TestToken(t *testing.T) {
	key := newKey(t, elliptic.P256())
	cred := carillon.Credential{File: keyFile(t, key), KeyID: "ABC123DEFG", TeamID: "DEF123GHIJ"}
	at := start().Add(17 * time.Minute)
	var headers [2]string
	for i := range headers {
		s, err := apns.NewSigner(cred)
		if err != nil {
			t.Fatal(err)
		}
		if headers[i], err = s.Header(at.Add(time.Duration(i)*time.Minute), 1); err != nil {
			t.Fatal(err)
		}
	}
	if headers[0] != headers[1] {
		t.Error("two instances sign different tokens")
	}
	raw, ok := strings.CutPrefix(headers[0], "bearer ")
	if !ok {
		t.Fatalf("header %q", headers[0])
	}
	var claims jwt.MapClaims
	p := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithoutClaimsValidation(), jwt.WithJSONNumber())
	tok, err := p.ParseWithClaims(raw, &claims, func(*jwt.Token) (any, error) { return key.Public(), nil })
	if err != nil {
		t.Fatal(err)
	}
	if tok.Header["kid"] != "ABC123DEFG" || claims["iss"] != "DEF123GHIJ" || len(claims) != 2 {
		t.Errorf("header %v, claims %v", tok.Header, claims)
	}
	if iat, err := claims.GetIssuedAt(); err != nil || !iat.Equal(start()) {
		t.Errorf("iat %v, want the slot's start", iat)
	}
}

// TestTokenLife: a connection keeps a token for 20 minutes at least, and no token
// is older than 55.
func TestTokenLife(t *testing.T) {
	s, err := apns.NewSigner(carillon.Credential{File: keyFile(t, newKey(t, elliptic.P256())), KeyID: "K", TeamID: "T"})
	if err != nil {
		t.Fatal(err)
	}
	type use struct {
		header string
		since  time.Time
	}
	var (
		last   use
		conn   uint64
		issued = map[string]time.Time{} // the first slot that it could be of
	)
	for minute := range 1000 {
		now := start().Add(time.Duration(minute) * time.Minute)
		fresh := minute%173 == 29 // a new connection at the end of a slot, among others
		if fresh {
			conn++
		}
		h, err := s.Header(now, conn)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := issued[h]; !ok {
			issued[h] = now.Truncate(30 * time.Minute)
		}
		if age := now.Sub(issued[h]); age > 55*time.Minute {
			t.Fatalf("minute %d: the token is %v old", minute, age)
		}
		if fresh && !issued[h].Equal(now.Truncate(30*time.Minute)) {
			t.Fatalf("minute %d: a new connection begins with an old token", minute)
		}
		if h != last.header || fresh {
			if !fresh && last.header != "" && now.Sub(last.since) < 20*time.Minute {
				t.Fatalf("minute %d: changed after %v", minute, now.Sub(last.since))
			}
			last = use{h, now}
		}
	}
	if _, err := s.Header(start().Add(-time.Hour), conn); err != nil { // the clock went back
		t.Error(err)
	}
}

// TestTokenHeld: after TooManyProviderTokenUpdates no new token is signed, on no
// connection, as long as the one in use can be used.
func TestTokenHeld(t *testing.T) {
	s, err := apns.NewSigner(carillon.Credential{File: keyFile(t, newKey(t, elliptic.P256())), KeyID: "K", TeamID: "T"})
	if err != nil {
		t.Fatal(err)
	}
	at := func(minute int, conn uint64) string {
		h, err := s.Header(start().Add(time.Duration(minute)*time.Minute), conn)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := at(5, 1)
	s.Hold()
	for _, use := range []struct {
		minute int
		conn   uint64
	}{{6, 1}, {29, 2}, {31, 3}, {54, 3}, {54, 4}} {
		if at(use.minute, use.conn) != first {
			t.Errorf("minute %d: a new token", use.minute)
		}
	}
	for conn := range uint64(5) { // also where it has not been for long
		if at(55, conn) == first {
			t.Errorf("minute 55: still the old token on connection %d", conn)
		}
	}
}

func TestKeyRefusals(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cred := range map[string]carillon.Credential{
		"no ids":  {File: keyFile(t, newKey(t, elliptic.P256()))},
		"no file": {File: text + "-none", KeyID: "K", TeamID: "T"},
		"no PEM":  {File: text, KeyID: "K", TeamID: "T"},
		"P-384":   {File: keyFile(t, newKey(t, elliptic.P384())), KeyID: "K", TeamID: "T"},
		"RSA":     {File: keyFile(t, rsaKey), KeyID: "K", TeamID: "T"},
	} {
		if _, err := apns.NewSigner(cred); err == nil {
			t.Errorf("%s: taken", name)
		} else {
			t.Log(err)
		}
	}
}
