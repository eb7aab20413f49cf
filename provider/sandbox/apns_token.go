package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// apnsTokenAge is how old a provider token may be; as far in the future is
	// wrong too.
	apnsTokenAge = time.Hour
	// apnsTokenKeep is how long a connection must stay with its provider token.
	apnsTokenKeep = 20 * time.Minute
)

// apnsKey is an authentication key that Apple knows.
type apnsKey struct {
	id, team    string
	environment string // "": both
	public      *ecdsa.PublicKey
	used        atomic.Int64 // pushes that came with a token of it
	last        atomic.Int64 // when the last one did, milliseconds since 1970
	tokens      atomic.Int64 // different tokens of it that came
}

// apnsKeys is all of them, by id.
type apnsKeys struct {
	mu sync.Mutex
	by map[string]*apnsKey
}

// maxKeys is far above Apple's own two of a team.
const maxKeys = 1000

func (k *apnsKeys) add(key *apnsKey) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.by == nil {
		k.by = map[string]*apnsKey{}
	}
	if len(k.by) >= maxKeys {
		return false
	}
	k.by[key.id] = key
	return true
}

func (k *apnsKeys) find(id any) *apnsKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, _ := id.(string)
	return k.by[s]
}

// KeyUse tells how an APNs key was used.
type KeyUse struct {
	KeyID  string `json:"keyId"`
	TeamID string `json:"teamId"`
	// Pushes came with a token of it, the last one at Last (zero: none did).
	Pushes int64     `json:"pushes"`
	Last   time.Time `json:"last,omitzero"`
	// Tokens is how many different ones those were.
	Tokens int64 `json:"tokens"`
}

// KeyUses is how the APNs keys that are known were used, in no order.
func (s *Server) KeyUses() []KeyUse {
	s.apnsKeys.mu.Lock()
	defer s.apnsKeys.mu.Unlock()
	uses := []KeyUse{}
	for _, k := range s.apnsKeys.by {
		u := KeyUse{KeyID: k.id, TeamID: k.team, Pushes: k.used.Load(), Tokens: k.tokens.Load()}
		if u.Pushes > 0 {
			u.Last = time.UnixMilli(k.last.Load())
		}
		uses = append(uses, u)
	}
	return uses
}

// APNsKey is one more authentication key, for tests of teams, environments and of
// credentials that change.
type APNsKey struct {
	KeyID  string `json:"keyId"`
	TeamID string `json:"teamId"`
	// Environment is production, sandbox, or "" for both.
	Environment string `json:"environment,omitempty"`
	KeyPEM      []byte `json:"-"`
	// KeyFile is where it was written; "" without [Config.Dir].
	KeyFile string `json:"keyFile,omitempty"`
}

// IssueAPNsKey makes a key of a team ("": that of [Server.Credentials]) for
// production, sandbox or, "", both environments. It is known until the server ends.
func (s *Server) IssueAPNsKey(team, environment string) (APNsKey, error) {
	if team == "" {
		team = s.keys.APNs.TeamID
	}
	if environment != "" && environment != "production" && environment != "sandbox" {
		return APNsKey{}, fmt.Errorf("sandbox: environment %q is neither production nor sandbox", environment)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return APNsKey{}, fmt.Errorf("sandbox: APNs key: %w", err)
	}
	k := APNsKey{KeyID: randomID(10), TeamID: team, Environment: environment}
	if k.KeyPEM, err = keyPEM(key); err != nil {
		return APNsKey{}, err
	}
	if s.cfg.Dir != "" {
		k.KeyFile = filepath.Join(s.cfg.Dir, "AuthKey_"+k.KeyID+".p8")
		if err := writeFile(k.KeyFile, k.KeyPEM); err != nil {
			return APNsKey{}, err
		}
	}
	if !s.apnsKeys.add(&apnsKey{id: k.KeyID, team: team, environment: environment, public: &key.PublicKey}) {
		return APNsKey{}, fmt.Errorf("sandbox: more than %d APNs keys", maxKeys)
	}
	return k, nil
}

// RevokeAPNsKey forgets a key: its tokens are InvalidProviderToken from now on.
func (s *Server) RevokeAPNsKey(keyID string) {
	s.apnsKeys.mu.Lock()
	delete(s.apnsKeys.by, keyID)
	s.apnsKeys.mu.Unlock()
}

// provider is what a provider token says.
type provider struct {
	key    *apnsKey
	issued time.Time
}

// checkToken verifies the provider token: ES256 by a known key, team, age,
// environment, and what the connection saw before. A connection that showed an
// expired token, or two tokens within 20 minutes, stays spoilt.
func (a *apns) checkToken(r *request, now time.Time) (int, string) {
	h, st := r.get("authorization"), r.sticky
	switch {
	case h == "":
		return 403, "MissingProviderToken"
	case st.expired:
		return 403, "ExpiredProviderToken"
	case st.tooMany:
		return 429, "TooManyProviderTokenUpdates"
	}
	scheme, tok, _ := strings.Cut(h, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return 403, "InvalidProviderToken"
	}
	p, ok := a.verify(tok)
	if ok {
		p.key.used.Add(1)
		p.key.last.Store(now.UnixMilli())
	}
	switch {
	case !ok || p.issued.After(now.Add(apnsTokenAge)):
		return 403, "InvalidProviderToken"
	case now.Sub(p.issued) > apnsTokenAge:
		st.expired = true
		return 403, "ExpiredProviderToken"
	case p.key.environment != "" && p.key.environment != environmentOf(r.authority):
		return 403, a.badEnvironment()
	case st.key != nil && st.key.team != p.key.team: // one team a connection
		return 403, "InvalidProviderToken"
	case st.key != nil && st.key != p.key:
		return 403, "UnrelatedKeyIdInToken"
	}
	if st.token != tok {
		if st.token != "" && now.Sub(st.since) < apnsTokenKeep {
			st.tooMany = true
			return 429, "TooManyProviderTokenUpdates"
		}
		st.token, st.since = strings.Clone(tok), now
	}
	st.key = p.key
	return 0, ""
}

// badEnvironment is the documented spelling and the one seen on the wire, in turn.
func (a *apns) badEnvironment() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.odd = !a.odd
	if a.odd {
		return "BadEnvironmentKeyIdInToken"
	}
	return "BadEnvironmentKeyInToken"
}

func environmentOf(authority string) string {
	if strings.Contains(authority, "sandbox") || strings.Contains(authority, "development") {
		return "sandbox"
	}
	return "production"
}

// verify reads a token; those that passed are not verified again.
func (a *apns) verify(tok string) (provider, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.known[tok]; ok {
		return p, a.keys.find(p.key.id) == p.key
	}
	var c jwt.RegisteredClaims
	var key *apnsKey
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(tok, &c, func(t *jwt.Token) (any, error) {
		if key = a.keys.find(t.Header["kid"]); key == nil {
			return nil, errors.New("unknown kid")
		}
		return key.public, nil
	})
	if err != nil || c.Issuer != key.team || c.IssuedAt == nil {
		return provider{}, false
	}
	if a.known == nil || len(a.known) >= 1000 {
		a.known = map[string]provider{}
	}
	p := provider{key, c.IssuedAt.Time}
	a.known[strings.Clone(tok)] = p
	key.tokens.Add(1)
	return p, true
}
