package apns

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"carillon"
	"carillon/provider/wire"
)

// Apple refuses tokens older than an hour, and punishes a second new one within
// 20 minutes on a connection ("Establishing a token-based connection"). A token
// is issued for the start of a half-hour slot and its signature is
// deterministic (RFC 6979), so all instances send the same one without talking
// to each other. The oldest in use is 30 + 20 minutes old.
const (
	slot = 30 * time.Minute
	keep = 20 * time.Minute
	// held is how old a token may become that APNs wants to be kept.
	held = 55 * time.Minute
)

// token is one provider token.
type token struct {
	header string // the authorization field's value
	issued int64  // iat, seconds
	// proven is set once APNs took a push with it: a refusal after that is about
	// the connection or the clock, not about the key.
	proven atomic.Bool
}

// signer makes the provider tokens of one key.
type signer struct {
	key           *ecdsa.PrivateKey
	keyID, teamID string

	mu    sync.Mutex
	cur   *token    // the last one made
	until time.Time // cur is kept until then, whatever the slot says
}

// newSigner reads the credential's .p8 file.
func newSigner(cred *carillon.Credential) (*signer, error) {
	if cred.KeyID == "" || cred.TeamID == "" {
		return nil, errors.New("an APNs credential needs keyId and teamId, 10 characters each")
	}
	b, from, err := wire.Key(cred.Content, cred.File)
	if err != nil {
		return nil, fmt.Errorf("the APNs key cannot be read: %w", err)
	}
	key, err := parseKey(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return &signer{key: key, keyID: cred.KeyID, teamID: cred.TeamID}, nil
}

func parseKey(b []byte) (*ecdsa.PrivateKey, error) {
	const want = "use the .p8 file of an APNs authentication key (PEM, PKCS #8, EC P-256)"
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("no PEM block: " + want)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, want)
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("not an EC P-256 key: " + want)
	}
	return key, nil
}

// use is the token of one connection.
type use struct {
	token *token
	since time.Time // when it was first used there
}

// outworn tells whether a connection's token, in use since then, is to be
// replaced by the one of the slot that began at issued. One that is held is kept
// until that time; none is used beyond 55 minutes.
func (u *use) outworn(issued int64, now, until time.Time) bool {
	switch {
	case u.token == nil || issued < u.token.issued: // the first, or the clock went back
		return true
	case issued == u.token.issued || now.Before(until):
		return false
	}
	return now.Sub(u.since) >= keep || now.Sub(time.Unix(u.token.issued, 0)) >= held
}

// token is the one to use now on the connection that u stands for.
func (s *signer) token(now time.Time, u *use) (*token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	issued := now.Truncate(slot).Unix()
	if !u.outworn(issued, now, s.until) {
		return u.token, nil
	}
	if s.cur == nil || s.cur.issued != issued && (!now.Before(s.until) || issued < s.cur.issued) {
		header, err := s.sign(issued)
		if err != nil {
			return nil, err
		}
		s.cur = &token{header: header, issued: issued}
	}
	u.token, u.since = s.cur, now
	return u.token, nil
}

// hold keeps a token as long as it can be used: APNs said that there were too
// many new ones, so that another would be one more.
func (s *signer) hold(t *token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur == t {
		s.until = time.Unix(t.issued, 0).Add(held)
	}
}

// sign makes the authorization value: a JWT (RFC 7519) with an ES256 signature,
// which is r and s as 32 bytes each (RFC 7518 §3.4).
func (s *signer) sign(issued int64) (string, error) {
	kid, err := json.Marshal(s.keyID)
	if err != nil {
		return "", fmt.Errorf("apns: key id: %w", err)
	}
	iss, err := json.Marshal(s.teamID)
	if err != nil {
		return "", fmt.Errorf("apns: team id: %w", err)
	}
	enc := base64.RawURLEncoding
	b := enc.AppendEncode(nil, []byte(`{"alg":"ES256","kid":`+string(kid)+`}`))
	b = enc.AppendEncode(append(b, '.'), []byte(`{"iss":`+string(iss)+`,"iat":`+strconv.FormatInt(issued, 10)+`}`))
	digest := sha256.Sum256(b)
	der, err := s.key.Sign(nil, digest[:], crypto.SHA256) // nil: RFC 6979
	if err != nil {
		return "", fmt.Errorf("apns: provider token: %w", err)
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return "", fmt.Errorf("apns: provider token: %w", err)
	}
	var raw [64]byte
	sig.R.FillBytes(raw[:32])
	sig.S.FillBytes(raw[32:])
	return "bearer " + string(enc.AppendEncode(append(b, '.'), raw[:])), nil
}
