package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// vendorNames are the hosts that the servers answer for.
func vendorNames() []string {
	return []string{
		"api.push.apple.com", "api.sandbox.push.apple.com", "api.development.push.apple.com",
		"fcm.googleapis.com", "oauth2.googleapis.com",
		"*.notify.windows.com", "login.live.com", "login.microsoftonline.com",
		"localhost",
	}
}

// authority is the sandbox's own CA. It can sign only the vendors' names: who
// trusts it by mistake trusts it for nothing else.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func loadAuthority(dir string) (*authority, error) {
	if dir == "" {
		return newAuthority()
	}
	certPEM, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if errors.Is(err, os.ErrNotExist) {
		a, err := newAuthority()
		if err != nil {
			return nil, err
		}
		key, err := keyPEM(a.key)
		if err != nil {
			return nil, err
		}
		// The key first: a certificate without its key would block the next start.
		if err := writeFile(filepath.Join(dir, "ca-key.pem"), key); err != nil {
			return nil, err
		}
		return a, writeFile(filepath.Join(dir, "ca.pem"), a.pem)
	}
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, fmt.Errorf("sandbox: %s/ca.pem holds no PEM block; delete the folder to make a new identity", dir)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %s/ca.pem: %w; delete the folder to make a new identity", dir, err)
	}
	key, err := readKey(filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ec.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("sandbox: %s/ca-key.pem is not the key of ca.pem; delete the folder to make a new identity", dir)
	}
	return &authority{cert: cert, key: ec, pem: certPEM}, nil
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("sandbox: CA key: %w", err)
	}
	now := realNow()
	_, loop, _ := net.ParseCIDR("127.0.0.0/8")
	_, loop6, _ := net.ParseCIDR("::1/128")
	der, err := selfSigned(&x509.Certificate{
		SerialNumber:                serial(),
		Subject:                     pkix.Name{CommonName: "Carillon sandbox CA (test only)"},
		NotBefore:                   now.Add(-time.Hour),
		NotAfter:                    now.AddDate(10, 0, 0),
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains: []string{
			"push.apple.com", "googleapis.com", "notify.windows.com", "login.live.com", "login.microsoftonline.com", "localhost",
		},
		PermittedIPRanges: []*net.IPNet{loop, loop6},
	}, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sandbox: CA: %w", err)
	}
	return &authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

func selfSigned(t *x509.Certificate, key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sandbox: CA: %w", err)
	}
	return der, nil
}

// leaf is a server certificate for all vendor names, made anew at each start.
func (a *authority) leaf() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sandbox: server key: %w", err)
	}
	now := realNow()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "Carillon sandbox vendors"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(2, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     vendorNames(),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sandbox: server certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}, nil
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

func keyPEM(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("sandbox: private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func readKey(path string) (crypto.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	key, err := parseKey(b)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %s: %w; delete the folder to make a new identity", path, err)
	}
	return key, nil
}

func parseKey(b []byte) (crypto.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}

// writeFile replaces a file whole or not at all, mode 0600.
func writeFile(path string, b []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return nil
}
