package fcm

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"carillon"
	"carillon/provider/wire"
)

const (
	scope    = "https://www.googleapis.com/auth/firebase.messaging" // the least that may send
	tokenURI = "https://oauth2.googleapis.com/token"                //nolint:gosec // an address
	// issuedEarly is by how much an assertion's iat is back-dated, for clocks
	// that differ; it lives for an hour, which is the most that Google takes.
	issuedEarly   = 10 * time.Second
	assertionLife = time.Hour
)

// account is a Google service account.
type account struct {
	Type         string `json:"type"`
	ProjectID    string `json:"project_id"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	ClientEmail  string `json:"client_email"`
	TokenURI     string `json:"token_uri"`

	key *rsa.PrivateKey
}

// readAccount reads the credential's service-account file.
func readAccount(cred *carillon.Credential) (*account, error) {
	b, from, err := wire.Key(cred.Content, cred.File)
	if err != nil {
		return nil, fmt.Errorf("the service account cannot be read: %w", err)
	}
	a, err := parseAccount(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return a, nil
}

func parseAccount(b []byte) (*account, error) {
	const want = "use the JSON key file of a service account (Firebase console, project settings, service accounts)"
	a := &account{}
	if err := json.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("%w: %s", err, want)
	}
	switch {
	case a.Type != "service_account":
		return nil, fmt.Errorf("type is %.40q: %s", a.Type, want)
	case a.ProjectID == "" || a.ClientEmail == "":
		return nil, errors.New("project_id or client_email is missing: " + want)
	case strings.ContainsFunc(a.ProjectID, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("/?#%", r) }):
		return nil, fmt.Errorf("project_id %.80q is no project id: %s", a.ProjectID, want)
	}
	if a.TokenURI == "" {
		a.TokenURI = tokenURI
	}
	block, _ := pem.Decode([]byte(a.PrivateKey))
	if block == nil {
		return nil, errors.New("private_key holds no PEM block: " + want)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if k, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return nil, fmt.Errorf("private_key: %w: %s", err, want)
		}
	}
	key, ok := k.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("private_key is no RSA key: " + want)
	}
	a.key = key
	return a, nil
}

// form is the token request of the JWT-bearer grant (RFC 7523 §2.1).
func (a *account) form(now time.Time) (url.Values, error) {
	assertion, err := a.assertion(now)
	if err != nil {
		return nil, err
	}
	return url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"},
		"assertion":  {assertion},
	}, nil
}

// assertion is a JWT with an RS256 signature (RFC 7518 §3.3).
func (a *account) assertion(now time.Time) (string, error) {
	issued := now.Add(-issuedEarly)
	header, err := json.Marshal(struct {
		Alg string `json:"alg"`
		Typ string `json:"typ"`
		Kid string `json:"kid,omitempty"`
	}{"RS256", "JWT", a.PrivateKeyID})
	if err != nil {
		return "", fmt.Errorf("fcm: assertion: %w", err)
	}
	claims, err := json.Marshal(struct {
		Iss   string `json:"iss"`
		Scope string `json:"scope"`
		Aud   string `json:"aud"`
		Iat   int64  `json:"iat"`
		Exp   int64  `json:"exp"`
	}{a.ClientEmail, scope, a.TokenURI, issued.Unix(), issued.Add(assertionLife).Unix()})
	if err != nil {
		return "", fmt.Errorf("fcm: assertion: %w", err)
	}
	enc := base64.RawURLEncoding
	b := enc.AppendEncode(nil, header)
	b = enc.AppendEncode(append(b, '.'), claims)
	digest := sha256.Sum256(b)
	sig, err := rsa.SignPKCS1v15(nil, a.key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("fcm: assertion: %w", err)
	}
	return string(enc.AppendEncode(append(b, '.'), sig)), nil
}
