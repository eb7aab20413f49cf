package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func devCertCommand() command {
	return command{
		name:    "dev-cert",
		args:    "[--dir DIR] [--host NAME]... [--force]",
		summary: "make a TLS certificate for localhost, with a CA of its own",
		about: "Writes ca.pem (what clients must trust), cert.pem and key.pem (what serve wants) into DIR. The CA's\n" +
			"key is thrown away, and the CA is good for these names only.",
		examples: []string{
			"carillon dev-cert --dir certs",
			"carillon serve --tls-cert certs/cert.pem --tls-key certs/key.pem",
			"curl --cacert certs/ca.pem https://localhost:8410/",
		},
		setup: func(fs *flag.FlagSet) runner {
			dir := fs.String("dir", "dev-cert", "`DIR` for the three files; made when missing")
			force := fs.Bool("force", false, "replace files that exist")
			names := []string{"localhost", "127.0.0.1", "::1"}
			fs.Func("host", "another `NAME` or IP address that the certificate is for; may be repeated", func(s string) error {
				names = append(names, s)
				return nil
			})
			return func(_ context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				files, err := writeDevCert(*dir, names, *force)
				if err != nil {
					return err
				}
				return e.answer(files, func(w io.Writer) {
					fmt.Fprintf(w, "made %s, %s and %s for %s\n", files.CA, files.Cert, files.Key, strings.Join(names, ", "))
				})
			}
		},
	}
}

// certFiles names what dev-cert wrote.
type certFiles struct {
	CA      string    `json:"ca"`
	Cert    string    `json:"cert"`
	Key     string    `json:"key"`
	Expires time.Time `json:"expires"`
}

// devCertLife is below the 398 days that browsers take.
const devCertLife = 390 * 24 * time.Hour

func writeDevCert(dir string, names []string, force bool) (certFiles, error) {
	f := certFiles{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for _, name := range []string{f.CA, f.Cert, f.Key} {
		if _, err := os.Lstat(name); err == nil && !force {
			return f, fmt.Errorf("%s exists: replace it with --force, or name another --dir", name)
		}
	}
	now := time.Now() //nolint:forbidigo // TLS is judged by real time
	f.Expires = now.Add(devCertLife).UTC().Truncate(time.Second)
	ca, cert, key, err := makeDevCert(names, now)
	if err != nil {
		return f, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // certificates are public; the key is 0600
		return f, fmt.Errorf("%s cannot be made: %w", dir, err)
	}
	return f, errors.Join(replace(f.CA, ca, 0o644), replace(f.Cert, cert, 0o644), replace(f.Key, key, 0o600))
}

func replace(name string, text []byte, mode fs.FileMode) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(name, text, mode)
}

// makeDevCert gives the CA, the chain and the leaf's key as PEM.
func makeDevCert(names []string, now time.Time) (ca, chain, key []byte, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	root := certTemplate("Carillon development CA", now)
	root.IsCA, root.BasicConstraintsValid, root.MaxPathLenZero = true, true, true
	root.KeyUsage = x509.KeyUsageCertSign
	root.PermittedDNSDomainsCritical = true
	leaf := certTemplate(names[0], now)
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			bits := 8 * len(shortest(ip))
			root.PermittedIPRanges = append(root.PermittedIPRanges, &net.IPNet{IP: shortest(ip), Mask: net.CIDRMask(bits, bits)})
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
			continue
		}
		root.PermittedDNSDomains = append(root.PermittedDNSDomains, name)
		leaf.DNSNames = append(leaf.DNSNames, name)
	}
	caDER, err := x509.CreateCertificate(rand.Reader, root, root, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, nil, nil, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &leafKey.PublicKey, caKey)
	if err != nil {
		return nil, nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return nil, nil, nil, err
	}
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER}), ca...)
	return ca, chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

func certTemplate(name string, now time.Time) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		serial = big.NewInt(now.UnixNano())
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Carillon development"}},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(devCertLife),
	}
}

func shortest(ip net.IP) net.IP {
	if v4 := ip.To4(); v4 != nil {
		return v4
	}
	return ip
}
