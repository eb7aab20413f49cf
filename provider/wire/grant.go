package wire

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	grantTimeout = 15 * time.Second
	// refreshEarly is how long before its end a token is replaced, a fifth of its
	// life at most.
	refreshEarly = 5 * time.Minute
	// refusedWait spaces requests for a token when the last one never worked.
	refusedWait  = time.Minute
	grantMinWait = time.Second
	grantMaxWait = time.Minute
	maxGrantBody = 64 << 10
)

// Token is an access token, ready to be sent.
type Token struct {
	// Header is the authorization field's value, "Bearer …".
	Header  string
	expires time.Time
	life    time.Duration
	proven  atomic.Bool
}

// Prove notes that the token's audience took it.
func (t *Token) Prove() {
	if !t.proven.Load() { // a read is cheaper than a write when all answers say so
		t.proven.Store(true)
	}
}

// TokensConfig says where and how to ask for tokens (RFC 6749 §5.1).
type TokensConfig struct {
	Name string // in logs
	URL  string
	// Form makes a request's form; it may hold secrets and is never logged.
	Form func(now time.Time) (url.Values, error)
	TLS  *tls.Config // nil: the system's
	// Now and SleepUntil are the clock by which tokens age and refreshes wait.
	Now        func() time.Time
	SleepUntil func(ctx context.Context, when time.Time) error
	// OnToken is called when there is a token and there was none.
	OnToken func()
	Logger  *slog.Logger
}

// Tokens keeps one access token fresh: it is asked for in the background,
// before the last one ends, so that nobody ever waits for it.
type Tokens struct {
	cfg    TokensConfig
	client *http.Client
	cur    atomic.Pointer[Token]

	mu     sync.Mutex
	kicked bool
	wake   context.CancelFunc
}

// NewTokens starts nothing; there is no token before Run.
func NewTokens(cfg TokensConfig) *Tokens {
	return &Tokens{cfg: cfg, client: &http.Client{
		Timeout:       grantTimeout,
		Transport:     &http.Transport{TLSClientConfig: cfg.TLS, DisableKeepAlives: true, TLSHandshakeTimeout: grantTimeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // secrets stay here
	}}
}

// Token is the present token, nil while there is none that lasts.
func (t *Tokens) Token() *Token {
	tok := t.cur.Load()
	if tok == nil || !t.cfg.Now().Before(tok.expires) {
		return nil
	}
	return tok
}

// Refused notes that the audience refused the token and asks for another one. It
// tells whether to try again with that: a token that once worked has been
// revoked, one that never worked means that the credential is wrong.
func (t *Tokens) Refused(tok *Token) (again bool) {
	if t.cur.Load() != tok {
		return true
	}
	again = tok.proven.Load()
	if again {
		t.cur.CompareAndSwap(tok, nil)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kicked = true
	if t.wake != nil {
		t.wake()
	}
	return again
}

// Run asks for tokens until ctx ends. It returns nil: faults are logged and
// tried again.
func (t *Tokens) Run(ctx context.Context) error {
	for failures := 0; ctx.Err() == nil; {
		t.unkick()
		tok, wait, err := t.fetch(ctx)
		if err == nil {
			failures = 0
			t.use(ctx, tok)
			continue
		}
		failures++
		wait = max(wait, backoff(failures))
		if ctx.Err() == nil {
			t.cfg.Logger.Warn("no access token", "for", t.cfg.Name, "error", err, "again in", wait)
			t.sleep(ctx, wait)
		}
	}
	return nil
}

// Check asks for one token and forgets it: it tells whether the credential is
// one that the token endpoint knows.
func (t *Tokens) Check(ctx context.Context) error {
	_, _, err := t.fetch(ctx)
	return err
}

// use publishes a token and waits until another one should be asked for.
func (t *Tokens) use(ctx context.Context, tok *Token) {
	had := t.Token() != nil
	t.cur.Store(tok)
	if !had {
		t.cfg.OnToken()
	}
	// By the token's own end: the clock may have moved since it was asked for.
	if t.rest(ctx, tok.expires.Add(-min(refreshEarly, tok.life/5))) && !tok.proven.Load() {
		t.sleep(ctx, refusedWait)
	}
}

func (t *Tokens) sleep(ctx context.Context, d time.Duration) {
	_ = t.cfg.SleepUntil(ctx, t.cfg.Now().Add(d)) // its end is ctx's
}

func backoff(failures int) time.Duration {
	d := min(grantMinWait<<min(failures-1, 10), grantMaxWait)
	return d/2 + rand.N(d/2) //nolint:gosec // jitter
}

func (t *Tokens) unkick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kicked = false
}

// rest waits until a time or until the token was refused, and tells which.
func (t *Tokens) rest(ctx context.Context, until time.Time) (refused bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.mu.Lock()
	t.wake = cancel
	if t.kicked {
		cancel()
	}
	t.mu.Unlock()
	_ = t.cfg.SleepUntil(ctx, until)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wake = nil
	return t.kicked
}

// fetch asks once. The duration is how long the server wants us to wait, beside
// an error.
func (t *Tokens) fetch(ctx context.Context) (*Token, time.Duration, error) {
	asked := t.cfg.Now()
	form, err := t.cfg.Form(asked)
	if err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.cfg.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, 0, fmt.Errorf("token URL: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("token request: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxGrantBody))
	if err != nil {
		return nil, 0, fmt.Errorf("token answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, RetryAfter(resp.Header.Get("Retry-After"), asked), refusal(resp.StatusCode, body)
	}
	tok, err := parseToken(body, asked)
	return tok, 0, err
}

// refusal is the error that a token endpoint's answer means (RFC 6749 §5.2).
func refusal(status int, body []byte) error {
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error == "" {
		return fmt.Errorf("the token endpoint answered %d", status)
	}
	return fmt.Errorf("the token endpoint answered %d %.80q: %.300q; check the app's credential", status, e.Error, e.Description)
}

// parseToken reads a token answer. expires_in is a number, or, from Entra's
// documents, a string.
func parseToken(body []byte, asked time.Time) (*Token, error) {
	var a struct {
		AccessToken string          `json:"access_token"`
		TokenType   string          `json:"token_type"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("token answer: %w", err)
	}
	switch {
	case a.AccessToken == "" || strings.ContainsFunc(a.AccessToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return nil, errors.New("token answer: no usable access_token")
	case a.TokenType != "" && !strings.EqualFold(a.TokenType, "bearer"):
		return nil, fmt.Errorf("token answer: token_type %.40q is not Bearer", a.TokenType)
	}
	life := time.Hour // RFC 6749 leaves it open; both vendors always say
	if s, err := strconv.ParseFloat(strings.Trim(string(a.ExpiresIn), `"`), 64); err == nil && s > 0 && s < 1e7 {
		life = time.Duration(s * float64(time.Second))
	}
	return &Token{Header: "Bearer " + a.AccessToken, expires: asked.Add(life), life: life}, nil
}
