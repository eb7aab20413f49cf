package apns

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"carillon"
	"carillon/provider/wire"
)

// readCertificate reads a credential that is a TLS client certificate with its
// private key ("Establishing a certificate-based connection to APNs"): PEM, or
// PKCS #12 as Keychain exports it.
func readCertificate(cred *carillon.Credential, now time.Time) (tls.Certificate, error) {
	b, from, err := wire.Key(cred.Content, cred.File)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the APNs certificate cannot be read: %w", err)
	}
	c, err := parseCertificate(b, cred.Secret)
	if err != nil {
		return c, fmt.Errorf("%s: %w", from, err)
	}
	if now.After(c.Leaf.NotAfter) {
		return c, fmt.Errorf("%s: the certificate expired on %s: make a new one at developer.apple.com", from, c.Leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	return c, nil
}

func parseCertificate(b []byte, password string) (c tls.Certificate, err error) {
	if bytes.Contains(b, []byte("-----BEGIN")) {
		if c, err = tls.X509KeyPair(b, b); err != nil {
			return c, fmt.Errorf("%w: give one PEM file with the certificate and its private key", err)
		}
		return c, nil
	}
	key, leaf, chain, err := pkcs12.DecodeChain(b, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return c, errors.New("the password does not open the PKCS #12 file")
	case err != nil:
		return c, fmt.Errorf("neither PEM nor PKCS #12 (.p12): %w", err)
	}
	c = tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, ca := range chain {
		c.Certificate = append(c.Certificate, ca.Raw)
	}
	return c, nil
}
