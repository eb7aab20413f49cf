package auth

import (
	"crypto"
	"fmt"
	"net/url"
	"strings"

	"carillon"
)

// Issuer is who signs tokens.
type Issuer struct {
	// URL is the iss claim. "{tenantid}" in it stands for the token's tid claim
	// (Microsoft's multi-tenant form).
	URL string `yaml:"url"`
	// Alias begins the user keys of its tokens: 1 to 32 of a–z, 0–9, -.
	Alias string `yaml:"alias"`
	// Audiences are the aud values that it must name one of; empty takes
	// [Config.Audiences].
	Audiences []string `yaml:"audiences"`
	// Admins lets its tokens carry [RoleAdmin]. Leave it off for an issuer
	// whose tenants assign roles themselves.
	Admins bool `yaml:"admins"`
}

// Microsoft tells whether tokens of this issuer name users by tid and oid.
func (i *Issuer) Microsoft() bool {
	u, err := url.Parse(i.URL)
	if err != nil {
		return false
	}
	switch u.Hostname() {
	case "login.microsoftonline.com", "sts.windows.net", "login.microsoftonline.us", "login.partner.microsoftonline.cn":
		return true
	}
	return strings.Contains(i.URL, tenantHole)
}

// Validate checks what a config says.
func (i *Issuer) Validate() error {
	if i.URL == "" {
		return carillon.Errorf(carillon.CodeInvalidRequest, "issuer.url", "an issuer needs the URL that its tokens carry as iss")
	}
	if i.Alias == "" || len(i.Alias) > 32 {
		return carillon.Errorf(carillon.CodeInvalidRequest, "issuer.alias", "the alias of %s has 1 to 32 characters", i.URL)
	}
	for _, c := range []byte(i.Alias) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return carillon.Errorf(carillon.CodeInvalidRequest, "issuer.alias", "the alias %q of %s has other characters than a-z, 0-9 and -", i.Alias, i.URL)
		}
	}
	return nil
}

// KeySet is an issuer's public keys at one time. It never changes: a source
// whose keys changed gives another set, and what was verified under the old one
// is verified again.
type KeySet struct {
	keys map[string]PublicKey
	// unavailable says why there are no keys; every token is answered with it.
	unavailable *carillon.Error
}

// PublicKey is a key and the one algorithm that it is used with.
type PublicKey struct {
	Algorithm string // ES256 or RS256
	Key       crypto.PublicKey
}

// NewKeySet makes a set of keys by key id.
func NewKeySet(keys map[string]PublicKey) *KeySet { return &KeySet{keys: keys} }

// find is the key with an id. A token without one is taken for the only key of
// its set.
func (s *KeySet) find(kid string) (PublicKey, error) {
	if s.unavailable != nil {
		return PublicKey{}, s.unavailable
	}
	if kid == "" && len(s.keys) == 1 {
		for _, k := range s.keys {
			return k, nil
		}
	}
	if k, ok := s.keys[kid]; ok {
		return k, nil
	}
	return PublicKey{}, fmt.Errorf("no key with id %.64q", kid)
}

// lacks tells whether the set cannot know a token's key yet: fetching it anew
// may help.
func (s *KeySet) lacks(kid string) bool {
	_, known := s.keys[kid]
	return s.unavailable != nil || !known && kid != ""
}

// KeySource is where an issuer's keys come from: the development issuer, a
// JWKS file, or what the issuer publishes ([OIDC]).
type KeySource interface {
	Issuer() Issuer
	// Keys is the present set: the same pointer until a key changes. It does not
	// wait.
	Keys() *KeySet
}
