package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"carillon"
)

const (
	tenantHole = "{tenantid}"
	maxClaims  = 64 // scopes or roles in one token
)

// claims are the claims that are looked at.
type claims struct {
	jwt.RegisteredClaims
	AZP    string `json:"azp,omitempty"`
	AppID  string `json:"appid,omitempty"`
	TID    string `json:"tid,omitempty"`
	OID    string `json:"oid,omitempty"`
	Scopes spaced `json:"scp,omitempty"`
	Roles  words  `json:"roles,omitempty"`
}

// words is a list that issuers write as an array or as one string with spaces.
type words []string

// UnmarshalJSON reads both forms.
func (w *words) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		*w = strings.Fields(s)
	} else if err := json.Unmarshal(b, (*[]string)(w)); err != nil {
		return err
	}
	if len(*w) > maxClaims {
		return fmt.Errorf("more than %d scopes or roles", maxClaims)
	}
	return nil
}

// spaced is a list that is written as one string with spaces (RFC 8693 §4.2).
type spaced []string

// UnmarshalJSON reads what words reads.
func (s *spaced) UnmarshalJSON(b []byte) error { return (*words)(s).UnmarshalJSON(b) }

// MarshalJSON writes one string.
func (s spaced) MarshalJSON() ([]byte, error) { return json.Marshal(strings.Join(s, " ")) }

func newParser(cfg Config, clock *carillon.Clock) *jwt.Parser {
	return jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256", "RS256"}),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(cfg.Skew),
		jwt.WithTimeFunc(clock.Now),
		jwt.WithStrictDecoding(),
	)
}

// missing is a source that can be asked for newer keys, such as [OIDC].
type missing interface{ Missing() *KeySet }

// parse verifies a token and says whose it is.
func (v *Verifier) parse(token string) (*verified, error) {
	var c claims
	good := &verified{}
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		if _, critical := t.Header["crit"]; critical { // RFC 7515 §4.1.11: we understand none
			return nil, errors.New("critical header members")
		}
		from, err := v.sourceOf(&c)
		if err != nil {
			return nil, err
		}
		kid, _ := t.Header["kid"].(string)
		good.from, good.keys = from, from.Keys()
		if live, ok := from.KeySource.(missing); ok && good.keys.lacks(kid) {
			good.keys = live.Missing()
		}
		key, err := good.keys.find(kid)
		if err != nil {
			return nil, err
		}
		if key.Algorithm != t.Method.Alg() {
			return nil, fmt.Errorf("key %.64q is for %s, the token says %s", kid, key.Algorithm, t.Method.Alg())
		}
		return key.Key, nil
	})
	if err != nil {
		return nil, refusal(err)
	}
	if !slices.ContainsFunc(good.from.audiences, func(a string) bool { return slices.Contains(c.Audience, a) }) {
		return nil, refusal(jwt.ErrTokenInvalidAudience)
	}
	if good.principal, err = good.from.principal(&c); err != nil {
		return nil, err
	}
	if c.NotBefore != nil {
		good.notBefore = c.NotBefore.UnixMilli()
	}
	return good, nil
}

// sourceOf finds the issuer of a token whose signature is not checked yet.
func (v *Verifier) sourceOf(c *claims) (*source, error) {
	for i := range v.sources {
		s := &v.sources[i]
		want := s.issuer.URL
		if strings.Contains(want, tenantHole) {
			if !isUUID(c.TID) {
				continue
			}
			want = strings.ReplaceAll(want, tenantHole, c.TID)
		}
		if want == c.Issuer {
			return s, nil
		}
	}
	return nil, fmt.Errorf("unknown issuer %.200q", c.Issuer)
}

// principal reads verified claims. A token with scopes is a user's, one without
// is an app's.
func (s *source) principal(c *claims) (*Principal, error) {
	p := &Principal{
		Client:  c.AZP,
		Expires: c.ExpiresAt.UnixMilli(),
		Admin:   s.issuer.Admins && slices.Contains(c.Roles, RoleAdmin),
	}
	if p.Client == "" {
		p.Client = c.AppID
	}
	if len(c.Scopes) == 0 {
		p.Roles = slices.DeleteFunc(c.Roles, func(r string) bool { return r == RoleAdmin && !p.Admin })
		return p, nil
	}
	p.Scopes = c.Scopes
	var err error
	p.UserID, err = s.userID(c)
	return p, err
}

func (s *source) userID(c *claims) (string, error) {
	if s.microsoft {
		if !isUUID(c.TID) || !isUUID(c.OID) {
			return "", unauthenticated(nil, "the token of this issuer needs the claims tid and oid")
		}
		return strings.ToLower(c.TID + "." + c.OID), nil
	}
	if c.Subject == "" {
		return "", unauthenticated(nil, "the token has no sub claim")
	}
	id := s.issuer.Alias + "." + c.Subject
	if err := carillon.ValidateUserID(id); err != nil {
		return "", unauthenticated(err, "the token's sub cannot be a user id: %s", carillon.AsError(err).Message)
	}
	return id, nil
}

func isUUID(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil && len(s) == 36
}
