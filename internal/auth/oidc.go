package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carillon"
)

// OIDCConfig says where an issuer publishes its keys and how often they are
// looked at. The zero value follows OpenID Connect Discovery 1.0 from the
// issuer's own URL.
type OIDCConfig struct {
	// DiscoveryURL is the issuer's metadata document, by default its URL followed
	// by /.well-known/openid-configuration. An issuer with {tenantid} needs one of
	// its own: Microsoft's is
	// https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration.
	DiscoveryURL string `yaml:"discoveryUrl"`
	// JWKSURL names the key set itself; the metadata document is not asked then.
	JWKSURL string `yaml:"jwksUrl"`
	// CAFile holds the certificates (PEM) that are trusted in place of the
	// system's; relative to the configuration file.
	CAFile string `yaml:"caFile"`
	// Refresh is how often the keys are fetched; 15 minutes by default. A token
	// with an unknown key id has them fetched at once, at most every ten seconds.
	Refresh time.Duration `yaml:"refresh"`
	// Grace is how long the last fetched keys are good while the issuer cannot be
	// reached; 24 hours by default.
	Grace time.Duration `yaml:"grace"`
}

const (
	wellKnown     = "/.well-known/openid-configuration"
	oidcRefresh   = 15 * time.Minute
	oidcGrace     = 24 * time.Hour
	oidcTimeout   = 10 * time.Second
	oidcRetry     = 5 * time.Second // doubled up to Refresh
	oidcMinRetry  = 10 * time.Second
	oidcMissWait  = 3 * time.Second // the longest that a token waits for its key
	maxMetadata   = 256 << 10
	oidcRedirects = 3
)

// OIDC is a [KeySource] that follows an issuer's published keys (OpenID Connect
// Discovery 1.0 §4, RFC 7517). Keys that the issuer withdraws stop being good
// with the next fetch; while it cannot be reached the last ones stay good for
// the grace. [OIDC.Run] owns the fetching.
type OIDC struct {
	issuer Issuer
	cfg    OIDCConfig
	client *http.Client
	clock  *carillon.Clock
	log    *slog.Logger

	state atomic.Pointer[oidcState]
	ask   chan struct{} // capacity 1: a key is missing

	mu      sync.Mutex
	asked   time.Time     // when a missing key last had the keys fetched
	pending chan struct{} // closed when the fetch under way ends; nil when none is
}

// oidcState is what the last fetches left: the set, when it was fetched, and why
// it is none when it is none.
type oidcState struct {
	set     *KeySet
	fetched time.Time
	doc     string // of the set, to keep the pointer when nothing changed
}

// NewOIDC makes a source; nothing is fetched until Run. The error says which
// URL cannot be used: keys come over https, or over http from loopback.
func NewOIDC(issuer Issuer, cfg OIDCConfig, clock *carillon.Clock, log *slog.Logger) (*OIDC, error) {
	if cfg.DiscoveryURL == "" && cfg.JWKSURL == "" {
		if strings.Contains(issuer.URL, tenantHole) {
			return nil, fmt.Errorf("issuer %s: name its discoveryUrl or jwksUrl, its own URL has no tenant", issuer.URL)
		}
		cfg.DiscoveryURL = strings.TrimSuffix(issuer.URL, "/") + wellKnown
	}
	for _, u := range []string{cfg.DiscoveryURL, cfg.JWKSURL} {
		if u == "" {
			continue
		}
		if err := fetchable(u); err != nil {
			return nil, fmt.Errorf("issuer %s: %w", issuer.URL, err)
		}
	}
	transport, err := oidcTransport(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("issuer %s: %w", issuer.URL, err)
	}
	if cfg.Refresh <= 0 {
		cfg.Refresh = oidcRefresh
	}
	if cfg.Grace <= 0 {
		cfg.Grace = oidcGrace
	}
	o := &OIDC{issuer: issuer, cfg: cfg, clock: clock, log: log, ask: make(chan struct{}, 1)}
	o.client = &http.Client{Transport: transport, Timeout: oidcTimeout, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > oidcRedirects {
			return errors.New("too many redirects")
		}
		return fetchable(r.URL.String())
	}}
	o.state.Store(&oidcState{set: o.none("its keys were not fetched yet")})
	return o, nil
}

// fetchable tells whether keys may come from a URL.
func fetchable(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("%.200q is not a URL of the form https://host/path", text)
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("%.200q: keys are taken over https only (or http from loopback): who can change them on the way can be anybody", text)
}

// none is the set of an issuer without keys: every token of it gets a 503.
func (o *OIDC) none(why string) *KeySet {
	e := carillon.Errorf(carillon.CodeUnavailable, "Authorization", "tokens of issuer %s cannot be checked now: %s", o.issuer.URL, why)
	e.RetryAfter = oidcMinRetry
	return &KeySet{unavailable: e}
}

// Issuer is the configured one.
func (o *OIDC) Issuer() Issuer { return o.issuer }

// Keys is the present set; one that explains itself when there is none, or when
// the last is older than the grace.
func (o *OIDC) Keys() *KeySet {
	s := o.state.Load()
	if s.set.unavailable == nil && o.clock.Now().Sub(s.fetched) > o.cfg.Grace {
		lapsed := &oidcState{set: o.none(fmt.Sprintf("it could not be reached for %s", o.cfg.Grace))}
		if o.state.CompareAndSwap(s, lapsed) {
			return lapsed.set
		}
		return o.state.Load().set
	}
	return s.set
}

// Missing has the keys fetched because a token names one that is not there, and
// waits for them, bounded. It does nothing when they were fetched for such a
// reason within the last ten seconds: a stranger's tokens cost the issuer no
// more than that.
func (o *OIDC) Missing() *KeySet {
	o.mu.Lock()
	now := o.clock.Now()
	if o.pending == nil {
		if !o.asked.IsZero() && now.Sub(o.asked) < oidcMinRetry {
			o.mu.Unlock()
			return o.Keys()
		}
		o.asked, o.pending = now, make(chan struct{})
		select {
		case o.ask <- struct{}{}:
		default:
		}
	}
	done := o.pending
	o.mu.Unlock()
	late := o.clock.NewTimer(oidcMissWait)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
	return o.Keys()
}

// Run fetches the keys until ctx ends.
func (o *OIDC) Run(ctx context.Context) error {
	defer o.client.CloseIdleConnections()
	wait := o.clock.NewTimer(0)
	defer wait.Stop()
	retry := oidcRetry
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		case <-o.ask:
		}
		next := o.cfg.Refresh
		if err := o.fetch(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			o.log.Warn("an issuer's keys cannot be fetched; the last ones stay good for the grace",
				"issuer", o.issuer.URL, "grace", o.cfg.Grace, "again", retry, "error", err)
			next, retry = retry, min(2*retry, o.cfg.Refresh)
		} else {
			retry = oidcRetry
		}
		o.mu.Lock()
		if o.pending != nil {
			close(o.pending)
			o.pending = nil
		}
		o.mu.Unlock()
		wait.Reset(next)
	}
}

// fetch gets the key set once.
func (o *OIDC) fetch(ctx context.Context) error {
	from := o.cfg.JWKSURL
	if from == "" {
		var err error
		if from, err = o.discover(ctx); err != nil {
			return err
		}
	}
	doc, err := o.get(ctx, from, maxJWKSBytes)
	if err != nil {
		return err
	}
	old := o.state.Load()
	next := &oidcState{set: old.set, fetched: o.clock.Now(), doc: string(doc)}
	if old.set.unavailable != nil || old.doc != next.doc {
		if next.set, err = ParseJWKS(doc); err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		o.log.Info("an issuer's keys are here", "issuer", o.issuer.URL, "keys", len(next.set.keys))
	}
	o.state.Store(next)
	return nil
}

// discover reads the metadata document: it must be about the issuer that tokens
// name (Discovery 1.0 §4.3).
func (o *OIDC) discover(ctx context.Context) (string, error) {
	b, err := o.get(ctx, o.cfg.DiscoveryURL, maxMetadata)
	if err != nil {
		return "", err
	}
	var meta struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		return "", fmt.Errorf("%s is no metadata document: %w", o.cfg.DiscoveryURL, err)
	}
	if meta.Issuer != o.issuer.URL {
		return "", fmt.Errorf("%s speaks for issuer %.200q, the configuration has %q", o.cfg.DiscoveryURL, meta.Issuer, o.issuer.URL)
	}
	if err := fetchable(meta.JWKSURI); err != nil {
		return "", fmt.Errorf("jwks_uri of %s: %w", o.cfg.DiscoveryURL, err)
	}
	return meta.JWKSURI, nil
}

func (o *OIDC) get(ctx context.Context, from string, most int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := o.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", from, err)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %s", from, res.Status)
	case int64(len(b)) > most:
		return nil, fmt.Errorf("%s answered more than %d bytes", from, most)
	}
	return b, nil
}

func oidcTransport(caFile string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: oidcTimeout,
		MaxIdleConns: 2, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("caFile: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("caFile %s holds no PEM certificate", caFile)
	}
	return t, nil
}
