package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"carillon"
)

// ProofConfig says how the hosts of apps are proven. The zero value asks the
// system's resolver and the host itself over https.
type ProofConfig struct {
	// Resolver is the host:port of a DNS server that is asked for TXT records in
	// place of the system's.
	Resolver string `yaml:"resolver"`
	// WellKnown is the URL of the proof document; {host} in it stands for the
	// app's host. Default https://{host}/.well-known/carillon.json.
	WellKnown string `yaml:"wellKnown"`
}

const (
	proofRecord    = "_carillon."             // and the host
	proofValue     = "carillon-verification=" // and the token
	proofMember    = "carillon-verification"  // of the document
	proofWellKnown = "https://{host}/.well-known/carillon.json"
	proofTimeout   = 5 * time.Second
	maxProof       = 4 << 10
	sandboxSuffix  = ".localhost" // reserved for loopback (RFC 6761 §6.3): nothing to prove
)

// prover looks whether who onboards a host also holds it.
type prover struct {
	key       [32]byte
	wellKnown string
	resolver  *net.Resolver
	client    *http.Client
}

// newProver makes a prover; key makes the tokens, so that all processes of an
// installation give the same one and none can be guessed.
func newProver(cfg ProofConfig, key [32]byte) *prover {
	p := &prover{key: key, wellKnown: cfg.WellKnown, resolver: net.DefaultResolver}
	if p.wellKnown == "" {
		p.wellKnown = proofWellKnown
	}
	if cfg.Resolver != "" {
		p.resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, cfg.Resolver)
		}}
	}
	p.client = &http.Client{
		Timeout:       proofTimeout,
		Transport:     &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: proofTimeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the host itself must say it
	}
	return p
}

// token is what the host must show.
func (p *prover) token(host string) string {
	mac := hmac.New(sha256.New, p.key[:])
	mac.Write([]byte(host))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:24])
}

// instructions say how a host is proven.
func (p *prover) instructions(host string) *proofAnswer {
	a := &proofAnswer{}
	a.TXT.Name, a.TXT.Value = proofRecord+host, proofValue+p.token(host)
	a.WellKnown.URL = p.url(host)
	a.WellKnown.Body, _ = json.Marshal(map[string]string{proofMember: p.token(host)})
	return a
}

func (p *prover) url(host string) string { return strings.ReplaceAll(p.wellKnown, "{host}", host) }

// prove looks once, in DNS and then at the host. Nil means proven; the error
// says what was found instead.
func (p *prover) prove(ctx context.Context, host string) error {
	if strings.HasSuffix(host, sandboxSuffix) {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return carillon.Errorf(carillon.CodeInvalidRequest, "host", "%s is no DNS name that could be proven", host)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*proofTimeout)
	defer cancel()
	byDNS := p.dns(ctx, host)
	if byDNS == nil {
		return nil
	}
	byHTTP := p.document(ctx, host)
	if byHTTP == nil {
		return nil
	}
	return errors.Join(byDNS, byHTTP)
}

func (p *prover) dns(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	records, err := p.resolver.LookupTXT(ctx, proofRecord+host)
	if err != nil {
		return fmt.Errorf("TXT %s%s: %w", proofRecord, host, err)
	}
	if !slices.Contains(records, proofValue+p.token(host)) {
		return fmt.Errorf("TXT %s%s: %d records, none is the one asked for", proofRecord, host, len(records))
	}
	return nil
}

func (p *prover) document(ctx context.Context, host string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(host), nil)
	if err != nil {
		return err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxProof))
	if err != nil {
		return err
	}
	var doc map[string]string
	switch {
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answered %s", p.url(host), res.Status)
	case json.Unmarshal(b, &doc) != nil:
		return fmt.Errorf("%s is no JSON object of strings", p.url(host))
	case !hmac.Equal([]byte(doc[proofMember]), []byte(p.token(host))):
		return fmt.Errorf("%s has another %s than the one asked for", p.url(host), proofMember)
	}
	return nil
}
