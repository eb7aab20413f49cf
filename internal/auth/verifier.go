package auth

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/golang-jwt/jwt/v5"

	"carillon"
)

// Config is how tokens are judged. The zero value is good.
type Config struct {
	// Audiences are the aud values of which a token must name one.
	Audiences []string `yaml:"audiences"`
	// Skew is how far clocks may differ; at most [MaxSkew].
	Skew time.Duration `yaml:"skew"`
	// CacheBytes bounds the verified tokens that are remembered.
	CacheBytes int64 `yaml:"cacheBytes"`
}

// Audience is the default audience, MaxSkew the default and the most that clocks
// may differ, MaxToken the longest token that is looked at.
const (
	Audience = "carillon"
	MaxSkew  = 5 * time.Minute
	MaxToken = 12 << 10

	defaultCacheBytes = 32 << 20
	entryBytes        = 256 // of a cached principal beside its strings
)

// Verifier verifies bearer tokens: ES256 or RS256 by a known key of a known
// issuer, for our audience, within its time. Safe for concurrent use.
type Verifier struct {
	cfg     Config
	sources []source
	clock   *carillon.Clock
	parser  *jwt.Parser

	// mu guards cache against its end: ristretto panics when it is closed while
	// somebody reads or writes it. Readers share it.
	mu    sync.RWMutex
	cache *ristretto.Cache[uint64, *verified]
}

type source struct {
	KeySource
	issuer    Issuer
	microsoft bool
	audiences []string
}

// verified is a token that was found good: whose it is, and the key set it was
// found good under. The full digest tells it from a token that merely shares
// the cache's 64-bit key.
type verified struct {
	digest    [sha256.Size]byte
	principal *Principal
	notBefore int64 // milliseconds, 0 when the token does not say
	from      *source
	keys      *KeySet
}

// NewVerifier makes a verifier for tokens of these sources. It starts nothing;
// until [Verifier.Run] every token is verified anew. An issuer that stands twice
// or an alias that is malformed is an error.
func NewVerifier(cfg Config, clock *carillon.Clock, sources ...KeySource) (*Verifier, error) {
	if len(cfg.Audiences) == 0 {
		cfg.Audiences = []string{Audience}
	}
	if cfg.Skew <= 0 || cfg.Skew > MaxSkew {
		cfg.Skew = MaxSkew
	}
	if cfg.CacheBytes <= 0 {
		cfg.CacheBytes = defaultCacheBytes
	}
	v := &Verifier{cfg: cfg, clock: clock, parser: newParser(cfg, clock)}
	for _, s := range sources {
		if err := v.add(s); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v *Verifier) add(s KeySource) error {
	iss := s.Issuer()
	if err := iss.Validate(); err != nil {
		return err
	}
	for i := range v.sources {
		if v.sources[i].issuer.URL == iss.URL || v.sources[i].issuer.Alias == iss.Alias {
			return fmt.Errorf("issuer %s (alias %s) stands twice: its tokens' users could not be told apart", iss.URL, iss.Alias)
		}
	}
	audiences := iss.Audiences
	if len(audiences) == 0 {
		audiences = v.cfg.Audiences
	}
	v.sources = append(v.sources, source{KeySource: s, issuer: iss, microsoft: iss.Microsoft(), audiences: audiences})
	return nil
}

// Run keeps the cache of verified tokens until ctx ends.
func (v *Verifier) Run(ctx context.Context) error {
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, *verified]{
		NumCounters: max(v.cfg.CacheBytes/entryBytes, 1<<10), MaxCost: v.cfg.CacheBytes, BufferItems: 64, IgnoreInternalCost: true,
		KeyToHash: func(k uint64) (uint64, uint64) { return k, 0 }, // the default boxes its key
	})
	if err != nil {
		return fmt.Errorf("the token cache cannot be made: %w", err)
	}
	v.mu.Lock()
	v.cache = cache
	v.mu.Unlock()
	<-ctx.Done()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cache = nil
	cache.Close()
	return nil
}

func (v *Verifier) recall(key uint64) (*verified, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.cache == nil {
		return nil, false
	}
	return v.cache.Get(key)
}

func (v *Verifier) remember(key uint64, good *verified, cost int) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.cache != nil {
		v.cache.Set(key, good, int64(cost))
	}
}

// Verify tells whose token it is. A token that is not good is a
// *carillon.Error unauthenticated that says why, as far as a stranger may know.
func (v *Verifier) Verify(token []byte) (*Principal, error) {
	if len(token) > MaxToken {
		return nil, unauthenticated(fmt.Errorf("token of %d bytes", len(token)), "the token is longer than %d bytes", MaxToken)
	}
	digest := sha256.Sum256(token)
	key := binary.BigEndian.Uint64(digest[:])
	if hit, ok := v.recall(key); ok && hit.digest == digest && hit.keys == hit.from.Keys() {
		now, skew := v.clock.UnixMilli(), v.cfg.Skew.Milliseconds()
		switch {
		case now >= hit.principal.Expires+skew:
			return nil, refusal(jwt.ErrTokenExpired)
		case now < hit.notBefore-skew: // the clock was moved back
			return nil, refusal(jwt.ErrTokenNotValidYet)
		}
		return hit.principal, nil
	}
	good, err := v.parse(string(token))
	if err != nil {
		return nil, err
	}
	good.digest = digest
	v.remember(key, good, entryBytes+len(token)/2)
	return good.principal, nil
}

func unauthenticated(cause error, format string, args ...any) *carillon.Error {
	e := carillon.Errorf(carillon.CodeUnauthenticated, "Authorization", format, args...)
	e.Cause = cause
	return e
}

// refusal says why a token is not good. Faults that only its issuer or a forger
// could explain stay in the log.
func refusal(err error) *carillon.Error {
	var e *carillon.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, jwt.ErrTokenExpired):
		return unauthenticated(err, "the token has expired; get a new one")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return unauthenticated(err, "the token is not valid yet; check the clocks")
	case errors.Is(err, jwt.ErrTokenMalformed):
		return unauthenticated(err, "the token is not a JWT")
	}
	return unauthenticated(err, "the token is not accepted: its issuer, audience, key or signature is not one that this gateway knows")
}
