package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"carillon"
)

// The development issuer: its name, the alias of its users ("dev.alice"), the
// life of its tokens and the flag of serve that turns it off.
const (
	DevIssuerURL = "https://dev.carillon.localhost"
	DevAlias     = "dev"
	DevLife      = 8 * time.Hour
	DevOffFlag   = "--no-dev-issuer"
)

// AdminIssuerURL names the issuer of administrators' tokens, AdminLife how long
// they live.
const (
	AdminIssuerURL = "https://admin.carillon.localhost"
	AdminLife      = time.Hour
	adminAlias     = "carillon-admin"
)

// AdminIssuer issues tokens with [RoleAdmin] and nothing else, to whoever holds
// the master key: the first administrator of an installation is its operator.
// Unlike the development issuer it is always there.
type AdminIssuer struct{ local }

// NewAdminIssuer makes the administrators' issuer of an installation.
func NewAdminIssuer(master *Master, clock *carillon.Clock) (*AdminIssuer, error) {
	l, err := newLocal(master, "admin-issuer", "admin-", clock)
	return &AdminIssuer{l}, err
}

// Issuer is its name; its tokens are no user's.
func (a *AdminIssuer) Issuer() Issuer {
	return Issuer{URL: AdminIssuerURL, Alias: adminAlias, Audiences: []string{Audience}, Admins: true}
}

// Issue signs a token that lives for [AdminLife].
func (a *AdminIssuer) Issue() (string, error) {
	c := a.claims(AdminIssuerURL, AdminLife)
	c.Roles = words{RoleAdmin}
	return a.sign(&c)
}

// local is an issuer whose key derives from the master key.
type local struct {
	key   *ecdsa.PrivateKey
	kid   string
	set   *KeySet
	clock *carillon.Clock
}

func newLocal(master *Master, label, prefix string, clock *carillon.Clock) (local, error) {
	key, err := deriveP256(master, label)
	if err != nil {
		return local{}, err
	}
	der, err := key.PublicKey.Bytes()
	if err != nil {
		return local{}, fmt.Errorf("the key of the %s: %w", label, err)
	}
	sum := sha256.Sum256(der)
	kid := prefix + base64.RawURLEncoding.EncodeToString(sum[:8])
	set := NewKeySet(map[string]PublicKey{kid: {Algorithm: "ES256", Key: &key.PublicKey}})
	return local{key: key, kid: kid, set: set, clock: clock}, nil
}

// Keys is its one key.
func (l *local) Keys() *KeySet { return l.set }

// KeyID names its key: it tells installations apart.
func (l *local) KeyID() string { return l.kid }

// claims are those that every token of ours has.
func (l *local) claims(issuer string, life time.Duration) claims {
	now := l.clock.Now()
	return claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer:    issuer,
		Audience:  jwt.ClaimStrings{Audience},
		IssuedAt:  jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(life)),
	}}
}

func (l *local) sign(c *claims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	t.Header["kid"] = l.kid
	return t.SignedString(l.key)
}

// DevIssuer issues tokens for development: whoever can ask it for one can be
// anybody. Its key derives from the master key, so that every process of an
// installation knows it. It is its own [KeySource].
type DevIssuer struct{ local }

// DevClaims says what a development token is for.
type DevClaims struct {
	// User is the sub of a user token ("alice", who is dev.alice); "" makes an
	// app token, or an admin token without a client.
	User string
	// Client is the client id of the calling app (azp).
	Client string
	// Admin gives [RoleAdmin].
	Admin bool
	// Life is how long it lives; 0 is [DevLife].
	Life time.Duration
}

// NewDevIssuer makes the development issuer of an installation.
func NewDevIssuer(master *Master, clock *carillon.Clock) (*DevIssuer, error) {
	l, err := newLocal(master, "dev-issuer", "dev-", clock)
	return &DevIssuer{l}, err
}

// deriveP256 derives a scalar; one in 2^32 is out of range and derived again
// (FIPS 186-5 A.2.2, rejection sampling).
func deriveP256(master *Master, label string) (*ecdsa.PrivateKey, error) {
	var err error
	for i := range 8 {
		scalar := master.Derive(label + "/" + strconv.Itoa(i))
		var key *ecdsa.PrivateKey
		if key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:]); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("no key derives from this master key: %w", err)
}

// Issuer is the development issuer's name and alias.
func (d *DevIssuer) Issuer() Issuer {
	return Issuer{URL: DevIssuerURL, Alias: DevAlias, Audiences: []string{Audience}, Admins: true}
}

// Issue signs a token.
func (d *DevIssuer) Issue(want DevClaims) (string, error) {
	if want.Life <= 0 {
		want.Life = DevLife
	}
	c := d.claims(DevIssuerURL, want.Life)
	c.AZP = want.Client
	switch {
	case want.User != "":
		if err := carillon.ValidateUserID(DevAlias + "." + want.User); err != nil {
			return "", err
		}
		c.Subject = want.User
		c.Scopes = spaced{ScopeNotifications, ScopeUserNotifications}
	case want.Client != "":
		c.Roles = words{RoleSend, RoleReadAll, RoleEndpoints}
	case !want.Admin:
		return "", errors.New("a token is for a user, for an app or for an admin: name one")
	}
	if want.Admin {
		c.Roles = append(c.Roles, RoleAdmin)
	}
	return d.sign(&c)
}

// DevAllowed tells whether the development issuer may exist: only where nobody
// but this machine can call, and not beside a credential that rings real
// devices. The error names the flag that turns it off.
func DevAllowed(listenIsLoopback, hasRealCredential bool) error {
	switch {
	case !listenIsLoopback:
		return fmt.Errorf("the development issuer makes tokens for anybody and may not be reached from other machines: listen on a loopback address, or turn it off with %s", DevOffFlag)
	case hasRealCredential:
		return fmt.Errorf("the development issuer makes tokens for anybody and may not live beside a real push credential: remove the credential (or mark it sandbox: true), or turn the issuer off with %s", DevOffFlag)
	}
	return nil
}
