package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
)

const (
	minRSABits   = 2048
	maxRSABits   = 8192
	maxKeys      = 64
	maxJWKSBytes = 1 << 20
)

// JWKSFile is a [KeySource] whose keys stand in a JWKS file (RFC 7517): it lets
// a fixed OIDC issuer be used without asking it for its keys.
type JWKSFile struct {
	issuer Issuer
	set    *KeySet
}

// NewJWKSFile reads the file once.
func NewJWKSFile(issuer Issuer, path string) (*JWKSFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the keys of issuer %s cannot be read: %w", issuer.URL, err)
	}
	set, err := ParseJWKS(b)
	if err != nil {
		return nil, fmt.Errorf("the keys of issuer %s in %s: %w", issuer.URL, path, err)
	}
	return &JWKSFile{issuer: issuer, set: set}, nil
}

// Issuer is the configured one.
func (f *JWKSFile) Issuer() Issuer { return f.issuer }

// Keys is the set as the file held it.
func (f *JWKSFile) Keys() *KeySet { return f.set }

type jwk struct {
	Type  string `json:"kty"`
	Use   string `json:"use"`
	Alg   string `json:"alg"`
	ID    string `json:"kid"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
	N     string `json:"n"`
	E     string `json:"e"`
}

// ParseJWKS reads a JWKS document. Keys for other uses than signatures, or of
// kinds that we do not accept, are passed over; a malformed one, or a document
// without any key for us, is an error.
func ParseJWKS(b []byte) (*KeySet, error) {
	if len(b) > maxJWKSBytes {
		return nil, fmt.Errorf("the key set has %d bytes, at most %d are read", len(b), maxJWKSBytes)
	}
	var doc struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("not a JWKS document: %w", err)
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has %d keys, at most %d are read", len(doc.Keys), maxKeys)
	}
	keys := make(map[string]PublicKey)
	for i := range doc.Keys {
		k, ok, err := doc.Keys[i].public()
		if err != nil {
			return nil, fmt.Errorf("key %d (kid %.64q): %w", i, doc.Keys[i].ID, err)
		}
		if !ok {
			continue
		}
		if _, twice := keys[doc.Keys[i].ID]; twice {
			return nil, fmt.Errorf("kid %.64q stands twice", doc.Keys[i].ID)
		}
		keys[doc.Keys[i].ID] = k
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no key for ES256 or RS256 among %d", len(doc.Keys))
	}
	return NewKeySet(keys), nil
}

func (k *jwk) public() (key PublicKey, ok bool, err error) {
	if k.Use != "" && k.Use != "sig" {
		return PublicKey{}, false, nil
	}
	switch {
	case k.Type == "EC" && k.Curve == "P-256" && (k.Alg == "" || k.Alg == "ES256"):
		key, err = k.ec()
	case k.Type == "RSA" && (k.Alg == "" || k.Alg == "RS256"):
		key, err = k.rsa()
	default:
		return PublicKey{}, false, nil
	}
	return key, err == nil, err
}

func (k *jwk) ec() (PublicKey, error) {
	point := []byte{4} // uncompressed, SEC 1 §2.3.3
	for _, v := range []string{k.X, k.Y} {
		b, err := base64.RawURLEncoding.DecodeString(v)
		if err != nil || len(b) != 32 {
			return PublicKey{}, errors.New("x and y are 32 bytes each, base64url (RFC 7518 §6.2.1)")
		}
		point = append(point, b...)
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return PublicKey{}, fmt.Errorf("x and y are no point of P-256: %w", err)
	}
	return PublicKey{Algorithm: "ES256", Key: pub}, nil
}

func (k *jwk) rsa() (PublicKey, error) {
	n, errN := base64.RawURLEncoding.DecodeString(k.N)
	e, errE := base64.RawURLEncoding.DecodeString(k.E)
	if errN != nil || errE != nil || len(e) == 0 || len(e) > 4 {
		return PublicKey{}, errors.New("n and e are base64url (RFC 7518 §6.3.1)")
	}
	pub := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	if bits := pub.N.BitLen(); bits < minRSABits || bits > maxRSABits || pub.E < 3 || pub.E%2 == 0 {
		return PublicKey{}, fmt.Errorf("an RSA key of %d bits with exponent %d: %d to %d bits and an odd exponent from 3 on are accepted", bits, pub.E, minRSABits, maxRSABits)
	}
	return PublicKey{Algorithm: "RS256", Key: pub}, nil
}
