package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// What stands in Apple's push certificates ("Certificate type descriptions",
// Apple PKI): extensions that tell the environments and the topics.
const (
	extDevelopment = 1
	extProduction  = 2
	extTopics      = 6
)

// appleExtension is the number of an extension of Apple's push certificates.
func appleExtension(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, n}
}

// APNsCertificate is a client certificate that speaks for an app, in place of
// provider tokens.
type APNsCertificate struct {
	Topics []string `json:"topics"`
	// PEM is the certificate and its private key in one file.
	PEM []byte `json:"pem"`
}

// IssueAPNsCertificate makes a certificate for a bundle id, whose topics are the
// bundle's own and those with its suffixes, for production, sandbox or, "", both
// environments; it ends at that time.
func (s *Server) IssueAPNsCertificate(bundle, environment string, until time.Time) (APNsCertificate, error) {
	if bundle == "" {
		return APNsCertificate{}, errors.New("sandbox: a certificate needs a bundle id")
	}
	c := APNsCertificate{Topics: []string{bundle, bundle + ".voip", bundle + ".complication", bundle + ".push-type.liveactivity"}}
	topics, err := asn1.Marshal(c.Topics)
	if err != nil {
		return c, fmt.Errorf("sandbox: certificate: %w", err)
	}
	null := []byte{asn1.TagNull, 0}
	extra := []pkix.Extension{{Id: appleExtension(extTopics), Value: topics}}
	if environment != "sandbox" {
		extra = append(extra, pkix.Extension{Id: appleExtension(extProduction), Value: null})
	}
	if environment != "production" {
		extra = append(extra, pkix.Extension{Id: appleExtension(extDevelopment), Value: null})
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, fmt.Errorf("sandbox: certificate: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(),
		Subject: pkix.Name{
			CommonName: "Apple Push Services: " + bundle,
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: bundle}}, // UID
		},
		NotBefore: realNow().Add(-time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		ExtraExtensions: extra,
	}, s.ca.cert, key.Public(), s.ca.key)
	if err != nil {
		return c, fmt.Errorf("sandbox: certificate: %w", err)
	}
	private, err := keyPEM(key)
	if err != nil {
		return c, err
	}
	c.PEM = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), private...)
	return c, nil
}

// apnsCertificates judges what clients show, once for each certificate.
type apnsCertificates struct {
	roots *x509.CertPool

	mu     sync.Mutex
	judged map[string]*apnsCertificate // by the certificate's bytes
}

// apnsCertificate is what a certificate allows; nil where it is nobody's.
type apnsCertificate struct {
	topics                  []string
	production, development bool
	until                   time.Time
}

func newAPNsCertificates(ca *x509.Certificate) *apnsCertificates {
	a := &apnsCertificates{roots: x509.NewCertPool(), judged: map[string]*apnsCertificate{}}
	a.roots.AddCert(ca)
	return a
}

func (a *apnsCertificates) judge(c *x509.Certificate) *apnsCertificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if j, ok := a.judged[string(c.Raw)]; ok {
		return j
	}
	j := a.read(c)
	if len(a.judged) < maxKeys {
		a.judged[string(c.Raw)] = j
	}
	return j
}

func (a *apnsCertificates) read(c *x509.Certificate) *apnsCertificate {
	_, err := c.Verify(x509.VerifyOptions{
		Roots: a.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		CurrentTime: c.NotBefore.Add(time.Second), // its end is judged at each push
	})
	if err != nil {
		return nil
	}
	j := &apnsCertificate{until: c.NotAfter}
	for _, e := range c.Extensions {
		switch {
		case e.Id.Equal(appleExtension(extProduction)):
			j.production = true
		case e.Id.Equal(appleExtension(extDevelopment)):
			j.development = true
		case e.Id.Equal(appleExtension(extTopics)):
			if _, err := asn1.Unmarshal(e.Value, &j.topics); err != nil {
				return nil
			}
		}
	}
	return j
}

// checkCredential is what is wrong with certificate or provider token. With a
// certificate the authorization header counts for nothing.
func (a *apns) checkCredential(r *request, now time.Time) (int, string) {
	if r.sticky.certificate == nil {
		return a.checkToken(r, now)
	}
	c := a.certs.judge(r.sticky.certificate)
	switch {
	case c == nil || now.After(c.until):
		return 403, "BadCertificate"
	case environmentOf(r.authority) == "production" && !c.production, environmentOf(r.authority) == "sandbox" && !c.development:
		return 403, "BadCertificateEnvironment"
	case !slices.Contains(c.topics, r.get("apns-topic")):
		return 400, "TopicDisallowed"
	}
	return 0, ""
}
