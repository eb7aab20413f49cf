package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"

	"carillon"
	"carillon/internal/httpapi"
)

const maxAppBody = 64 << 10 // a service account is about 2.5 KiB

type clientsBody struct {
	Clients []string `json:"clients"`
}

type identityBody struct {
	Platform string `json:"platform"`
	AppID    string `json:"appId"`
}

type identitiesBody struct {
	Identities []identityBody `json:"identities"`
}

// quotaBody is an app's quota; what is not named has no limit.
type quotaBody struct {
	PerSecond whole `json:"perSecond,omitempty"`
	PerDay    whole `json:"perDay,omitempty"`
}

// whole is a whole number, as JSON may have it: 5 and 5.0 are one.
type whole int64

// UnmarshalJSON reads it.
func (w *whole) UnmarshalJSON(b []byte) error {
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		*w = whole(n)
		return nil
	}
	if f, err := strconv.ParseFloat(string(b), 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		*w = whole(f)
		return nil
	}
	switch b[0] {
	case 'n': // null
		return nil
	case '"', '{', '[', 't', 'f':
		return &json.UnmarshalTypeError{Value: "value", Type: reflect.TypeFor[int64]()}
	}
	return &json.UnmarshalTypeError{Value: "number " + string(b), Type: reflect.TypeFor[int64]()}
}

func (b quotaBody) quota() carillon.Quota {
	return carillon.Quota{PerSecond: int64(b.PerSecond), PerDay: int64(b.PerDay)}
}

// quotaOf is what is told of a quota; nil of none.
func quotaOf(q carillon.Quota) *quotaBody {
	if q == (carillon.Quota{}) {
		return nil
	}
	return &quotaBody{PerSecond: whole(q.PerSecond), PerDay: whole(q.PerDay)}
}

// credentialBody is a credential as it is put, and, sealed, as it is kept.
type credentialBody struct {
	// AppIDs are the identities that it serves; none: those that no other set of
	// the platform names.
	AppIDs []string `json:"appIds,omitempty"`
	// Certificate is an APNs certificate with its private key, in place of a key:
	// the text of a PEM file, or a PKCS #12 file (.p12) in base64. Password opens
	// the latter.
	Certificate string `json:"certificate,omitempty"`
	Password    string `json:"password,omitempty"`
	// Key is an APNs authentication key: the text of the .p8 file.
	Key         string `json:"key,omitempty"`
	KeyID       string `json:"keyId,omitempty"`
	TeamID      string `json:"teamId,omitempty"`
	Environment string `json:"environment,omitempty"`
	// ServiceAccount is an FCM service account: the JSON file's content, as an
	// object or as a string.
	ServiceAccount json.RawMessage `json:"serviceAccount,omitempty"`
	// PackageSID, or TenantID and ClientID, and Secret are WNS's.
	PackageSID string `json:"packageSid,omitempty"`
	TenantID   string `json:"tenantId,omitempty"`
	ClientID   string `json:"clientId,omitempty"`
	Secret     string `json:"secret,omitempty"`
	// Sandbox marks the credential of a sandbox vendor.
	Sandbox bool `json:"sandbox,omitempty"`
}

// credential is what the vendor's client takes.
func (b *credentialBody) credential(k credentialKey) carillon.Credential {
	c := carillon.Credential{
		Platform: k.platform, Set: k.set, AppIDs: b.AppIDs, KeyID: b.KeyID, TeamID: b.TeamID, Environment: b.Environment,
		PackageSID: b.PackageSID, TenantID: b.TenantID, ClientID: b.ClientID, Secret: b.Secret, Sandbox: b.Sandbox,
	}
	switch k.platform {
	case carillon.IOS:
		if c.Environment == "" {
			c.Environment = "production"
		}
		c.Content = []byte(b.Key)
		if b.Certificate != "" {
			c.Certificate, c.Content, c.Secret = true, []byte(b.Certificate), b.Password
			if p12, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(b.Certificate), "")); err == nil {
				c.Content = p12
			}
		}
	case carillon.Android:
		c.Content = b.ServiceAccount
		var text string
		if json.Unmarshal(b.ServiceAccount, &text) == nil {
			c.Content = []byte(text)
		}
	case carillon.PlatformNone, carillon.Windows, carillon.Web, carillon.Polling:
	}
	return c
}

// print is a fingerprint that tells keys apart without telling them.
func (b *credentialBody) print() string {
	sum := sha256.Sum256(fmt.Append(nil, b.Key, b.Certificate, "\n", string(b.ServiceAccount), "\n", b.Secret))
	return hex.EncodeToString(sum[:8])
}

// check judges a credential by its form.
func (b *credentialBody) check(c *carillon.Credential) error {
	var fault error
	report := func(member, message string) {
		if fault == nil {
			fault = carillon.Errorf(carillon.CodeInvalidRequest, member, "%s", strings.TrimSpace(member+" "+message))
		}
	}
	c.Check(report)
	own := map[carillon.Platform]string{carillon.IOS: "key", carillon.Android: "serviceAccount", carillon.Windows: "secret"}[c.Platform]
	if c.Certificate {
		own = "certificate"
	}
	for _, m := range []struct {
		name  string
		given bool
	}{
		{"key", b.Key != ""}, {"certificate", b.Certificate != ""}, {"serviceAccount", len(b.ServiceAccount) > 0}, {"secret", b.Secret != ""},
	} {
		switch {
		case m.name == own && !m.given:
			report(m.name, "is missing: "+c.Platform.String()+" needs it")
		case m.name != own && m.given && c.Certificate:
			report(m.name, "means nothing beside a certificate")
		case m.name != own && m.given:
			report(m.name, "means nothing for "+c.Platform.String())
		}
	}
	if b.Password != "" && !c.Certificate {
		report("password", "belongs to a certificate")
	}
	return fault
}

// readBody reads a JSON object without members that nobody knows: an
// administrator's typing mistake is told, not kept.
func readBody(r *httpapi.Request, into any) error {
	body, err := r.Body(maxAppBody)
	if err != nil {
		return err
	}
	return decodeBody(r, body, into)
}

func decodeBody(r *httpapi.Request, body []byte, into any) error {
	if err := wantsJSON(r, "application/json"); err != nil {
		return err
	}
	if first := bytes.TrimSpace(body); len(first) > 0 && first[0] != '{' {
		return carillon.Errorf(carillon.CodeInvalidRequest, "", "the body is not what this call takes: it cannot be anything but a JSON object")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		e := carillon.Errorf(carillon.CodeInvalidRequest, "", "the body is not what this call takes: %s", jsonFault(err))
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			e.Target = wrong.Field
		}
		return e
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return carillon.Errorf(carillon.CodeInvalidRequest, "", "the body goes on after its JSON object")
	}
	return nil
}

// jsonFault says what is wrong without repeating values: they may be secrets.
func jsonFault(err error) string {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong):
		return fmt.Sprintf("%s is a JSON %s, which it cannot be", wrong.Field, wrong.Value)
	case errors.As(err, &syntax):
		return fmt.Sprintf("no JSON at byte %d", syntax.Offset)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return "it has no member " + strings.TrimPrefix(err.Error(), "json: unknown field ")
	}
	return "it ends early or is no JSON object"
}

// The answers.

type appAnswer struct {
	State       string             `json:"state"` // "running", or "paused"
	Host        string             `json:"host"`
	Verified    bool               `json:"verified"`
	Source      string             `json:"source"` // "api", or "configuration"
	Proof       *proofAnswer       `json:"proof,omitempty"`
	Clients     []string           `json:"clients"`
	Identities  []identityBody     `json:"identities"`
	Credentials []credentialAnswer `json:"credentials"`
	Quota       *quotaBody         `json:"quota,omitempty"`
	Created     string             `json:"createdDateTime,omitempty"`
}

// proofAnswer says how the host is proven: one of the two.
type proofAnswer struct {
	TXT struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"txt"`
	WellKnown struct {
		URL  string          `json:"url"`
		Body json.RawMessage `json:"body"`
	} `json:"wellKnown"`
	// Last is why the last look did not find it.
	Last string `json:"last,omitempty"`
}

type credentialAnswer struct {
	Platform    string   `json:"platform"`
	Set         string   `json:"set,omitempty"`
	AppIDs      []string `json:"appIds,omitempty"`
	Certificate bool     `json:"certificate,omitempty"`
	KeyID       string   `json:"keyId,omitempty"`
	TeamID      string   `json:"teamId,omitempty"`
	Environment string   `json:"environment,omitempty"`
	PackageSID  string   `json:"packageSid,omitempty"`
	TenantID    string   `json:"tenantId,omitempty"`
	ClientID    string   `json:"clientId,omitempty"`
	Sandbox     bool     `json:"sandbox,omitempty"`
	// Fingerprint tells keys apart; nothing of them can be read from it.
	Fingerprint string `json:"fingerprint,omitempty"`
	Updated     string `json:"updatedDateTime,omitempty"`
	By          string `json:"by,omitempty"`
	Fault       string `json:"fault,omitempty"`
}

func credentialOf(c *carillon.Credential) credentialAnswer {
	return credentialAnswer{
		Platform: c.Platform.String(), Set: c.Set, AppIDs: c.AppIDs, Certificate: c.Certificate, KeyID: c.KeyID, TeamID: c.TeamID, Environment: c.Environment,
		PackageSID: c.PackageSID, TenantID: c.TenantID, ClientID: c.ClientID, Sandbox: c.Sandbox,
	}
}

func identitiesOf(ids []carillon.Identity) []identityBody {
	out := make([]identityBody, len(ids))
	for i, id := range ids {
		out[i] = identityBody{Platform: id.Platform.String(), AppID: id.AppID}
	}
	return out
}
