package wire

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
)

// Site is a server to speak to: where to dial and how to name it.
type Site struct {
	Scheme string      // "https", or "http" on loopback
	Host   string      // as in a URL, the default port left out: :authority and Host
	Addr   string      // host:port to dial
	TLS    *tls.Config // nil for http
}

// ParseSite reads a base URL of scheme, host and optional port. CAFile, when
// not empty, is a PEM file whose certificates are trusted in place of the
// system's. Plain http is for loopback only: credentials travel in each request.
func ParseSite(baseURL, caFile string) (Site, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Path != "" && u.Path != "/" {
		return Site{}, fmt.Errorf("%q is not a base URL: write https://host or https://host:port", baseURL)
	}
	s := Site{Scheme: u.Scheme, Host: u.Host}
	port := u.Port()
	switch {
	case u.Scheme == "https":
		if port == "" || port == "443" {
			port, s.Host = "443", u.Host[:len(u.Host)-len(portSuffix(port))]
		}
	case u.Scheme == "http" && loopback(u.Hostname()):
		if port == "" {
			port = "80"
		}
	default:
		return Site{}, fmt.Errorf("%q: use https (http is taken for loopback addresses only, credentials travel in each request)", baseURL)
	}
	s.Addr = net.JoinHostPort(u.Hostname(), port)
	if s.Scheme == "http" {
		return s, nil
	}
	s.TLS, err = ClientTLS(u.Hostname(), caFile)
	return s, err
}

func portSuffix(port string) string {
	if port == "" {
		return ""
	}
	return ":" + port
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ClientTLS is a client's TLS configuration for a server of that name; caFile
// as in [ParseSite].
func ClientTLS(serverName, caFile string) (*tls.Config, error) {
	c := &tls.Config{ServerName: serverName, MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return c, nil
	}
	b, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("CA file %s holds no PEM certificate", caFile)
	}
	return c, nil
}

// TokenTLS is the TLS configuration for a token endpoint, nil for http on
// loopback; caFile as in [ParseSite].
func TokenTLS(tokenURL, caFile string) (*tls.Config, error) {
	u, err := url.Parse(tokenURL)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q is not a URL: write https://host/path", tokenURL)
	}
	s, err := ParseSite(u.Scheme+"://"+u.Host, caFile)
	return s.TLS, err
}
