package sandbox

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// accessTokens is what the token endpoints issued.
type accessTokens struct {
	revoked atomic.Int64 // how often all were forgotten

	mu sync.Mutex
	by map[string]accessToken
}

type accessToken struct {
	vendor Vendor
	app    string // of WNS: the package SID or the Entra app
	until  time.Time
}

// maxTokens is how many live tokens are known; a client needs one per credential.
const maxTokens = 10_000

func (a *accessTokens) issue(v Vendor, app, prefix string, now time.Time, life time.Duration) string {
	tok := prefix + randomHex(48)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.by == nil || len(a.by) >= maxTokens {
		a.by = map[string]accessToken{}
	}
	a.by[tok] = accessToken{vendor: v, app: app, until: now.Add(life)}
	return tok
}

// find tells whose token it is and until when it is good.
func (a *accessTokens) find(tok string) (accessToken, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, ok := a.by[tok]
	return t, ok
}

// bearer checks an authorization header against the issued tokens. A connection's
// last good one is not looked up again.
func (a *accessTokens) bearer(r *request, v Vendor, now time.Time) (ok, expired bool) {
	h := r.get("authorization")
	if h == "" {
		return false, false
	}
	gen := a.revoked.Load()
	if h == r.sticky.bearer && gen == r.sticky.gen {
		return now.Before(r.sticky.until), true
	}
	scheme, tok, _ := strings.Cut(h, " ")
	t, known := a.find(strings.TrimSpace(tok))
	if !known || !strings.EqualFold(scheme, "bearer") || t.vendor != v {
		return false, false
	}
	if !now.Before(t.until) {
		return false, true
	}
	r.sticky.bearer, r.sticky.until, r.sticky.gen, r.sticky.app = h, t.until, gen, t.app
	return true, false
}

// RevokeTokens forgets every access token issued: FCM and WNS answer 401 until the
// client gets a new one. APNs' tokens are the client's own and stay good.
func (s *Server) RevokeTokens() {
	s.tokens.mu.Lock()
	s.tokens.by = nil
	s.tokens.mu.Unlock()
	s.tokens.revoked.Add(1)
}

// tokenHandler is oauth2.googleapis.com, login.live.com and
// login.microsoftonline.com in one.
func (s *Server) tokenHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.google)
	mux.HandleFunc("POST /accesstoken.srf", s.live)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", s.entra)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		if !s.tokenFault(w, r) {
			mux.ServeHTTP(w, r)
		}
	})
}

// tokenFault does what a script says; it tells whether that was the answer.
func (s *Server) tokenFault(w http.ResponseWriter, r *http.Request) bool {
	now := s.cfg.Now()
	f, scripted := s.take(Token, "", now)
	rep := reply{delay: f.Delay, hold: f.Hold}
	how := s.Conduct(Token)
	s.slow(&how.Latency, &rep, now)
	if rep.hold {
		rep.release = s.script.held()
	}
	if !await(r.Context(), rep.delay, rep.release) || f.Disconnect || f.Reset {
		panic(http.ErrAbortHandler)
	}
	if !scripted {
		return false
	}
	if f.Status == 0 {
		return false
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.retryAfter(now))
	}
	oauthError(w, f.Status, f.Reason, "scripted")
	return true
}

// google is the jwt-bearer grant (RFC 7523) with a service account's assertion.
func (s *Server) google(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		oauthError(w, 400, "unsupported_grant_type", "Invalid grant_type: "+r.PostFormValue("grant_type"))
		return
	}
	now := s.cfg.Now()
	if wrong := s.keys.checkAssertion(r.PostFormValue("assertion"), now); wrong != "" {
		oauthError(w, 400, "invalid_grant", wrong)
		return
	}
	s.counts.tokens.Add(1)
	writeJSON(w, 200, map[string]any{
		"access_token": s.tokens.issue(FCM, "", "ya29.c.sbx-", now, time.Hour), "token_type": "Bearer", "expires_in": 3599,
	})
}

// checkAssertion is what Google checks of a service account's JWT: its words, or
// "" when all is well.
func (k *keyring) checkAssertion(assertion string, now time.Time) string {
	var c struct {
		jwt.RegisteredClaims
		Scope string `json:"scope"`
	}
	p := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation())
	if _, err := p.ParseWithClaims(assertion, &c, func(*jwt.Token) (any, error) { return k.fcm.Public(), nil }); err != nil {
		return "Invalid JWT Signature."
	}
	switch {
	case c.Issuer != k.FCM.ClientEmail:
		return "Invalid grant: account not found"
	case !slices.Contains(c.Audience, k.FCM.TokenURI) && !slices.Contains(c.Audience, "https://oauth2.googleapis.com/token"):
		return "Invalid JWT: Failed audience check."
	case c.IssuedAt == nil || c.ExpiresAt == nil || c.ExpiresAt.Sub(c.IssuedAt.Time) > time.Hour ||
		c.ExpiresAt.Before(now) || c.IssuedAt.After(now.Add(5*time.Minute)):
		return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe." +
			" Check your iat and exp values in the JWT claim."
	case !strings.Contains(c.Scope, "https://www.googleapis.com/auth/firebase.messaging") &&
		!strings.Contains(c.Scope, "https://www.googleapis.com/auth/cloud-platform"):
		return "Invalid OAuth scope or ID token audience provided."
	}
	return ""
}

// live is the token endpoint of UWP apps: expires_in is a number, a day.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	c := &s.keys.WNS
	switch {
	case r.PostFormValue("grant_type") != "client_credentials":
		oauthError(w, 400, "unsupported_grant_type", "grant_type must be client_credentials")
	case r.PostFormValue("scope") != "notify.windows.com":
		oauthError(w, 400, "invalid_scope", "scope must be notify.windows.com")
	case !strings.EqualFold(r.PostFormValue("client_id"), c.PackageSID) || r.PostFormValue("client_secret") != c.Secret:
		oauthError(w, 400, "invalid_client", "Invalid client id or client secret")
	default:
		s.counts.tokens.Add(1)
		tok := s.tokens.issue(WNS, c.PackageSID, "EgAcAQMAAAAEgAAA", s.cfg.Now(), 24*time.Hour)
		writeJSON(w, 200, map[string]any{"access_token": tok, "token_type": "bearer", "expires_in": 86400})
	}
}

// entra is the token endpoint of Windows App SDK apps: expires_in is a string.
func (s *Server) entra(w http.ResponseWriter, r *http.Request) {
	c := &s.keys.Entra
	switch {
	case !strings.EqualFold(r.PathValue("tenant"), c.TenantID):
		oauthError(w, 400, "invalid_request", "AADSTS90002: Tenant not found")
	case r.PostFormValue("grant_type") != "client_credentials":
		oauthError(w, 400, "unsupported_grant_type", "AADSTS70003: grant_type must be client_credentials")
	case r.PostFormValue("scope") != "https://wns.windows.com/.default":
		oauthError(w, 400, "invalid_scope", "AADSTS1002012: scope must be https://wns.windows.com/.default")
	case !strings.EqualFold(r.PostFormValue("client_id"), c.AppID) || r.PostFormValue("client_secret") != c.Secret:
		oauthError(w, 401, "invalid_client", "AADSTS7000215: Invalid client secret provided")
	default:
		s.counts.tokens.Add(1)
		tok := s.tokens.issue(WNS, c.AppID, "eyJ0.sbx-", s.cfg.Now(), 24*time.Hour)
		writeJSON(w, 200, map[string]any{
			"token_type": "Bearer", "expires_in": strconv.Itoa(86399), "ext_expires_in": "86399", "access_token": tok,
		})
	}
}

func oauthError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]string{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
