package fcm_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"carillon/provider/fcm"
)

// TestAssertion: an independent library takes the assertion, and its claims are
// what Google asks for.
func TestAssertion(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]string{
		"type": "service_account", "project_id": "p", "private_key_id": "kid", "client_email": "a@p.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	}
	assertion, err := fcm.Assertion(file(t, good), start())
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		jwt.RegisteredClaims
		Scope string `json:"scope"`
	}
	p := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation())
	tok, err := p.ParseWithClaims(assertion, &c, func(*jwt.Token) (any, error) { return key.Public(), nil })
	if err != nil {
		t.Fatal(err)
	}
	if tok.Header["kid"] != "kid" || c.Issuer != good["client_email"] || c.Scope != "https://www.googleapis.com/auth/firebase.messaging" ||
		c.Audience[0] != "https://oauth2.googleapis.com/token" || c.ExpiresAt.Sub(c.IssuedAt.Time) != time.Hour || c.IssuedAt.After(start()) {
		t.Errorf("header %v, claims %+v", tok.Header, c)
	}
	for name, value := range map[string]string{"type": "authorized_user", "project_id": "a/b", "client_email": "", "private_key": "x"} {
		bad := maps.Clone(good)
		bad[name] = value
		if _, err := fcm.Assertion(file(t, bad), start()); err == nil {
			t.Errorf("%s %q: taken", name, value)
		}
	}
	if _, err := fcm.Assertion([]byte("no JSON"), start()); err == nil {
		t.Error("no JSON: taken")
	}
}

func file(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
