package sandbox

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
)

// Credentials is what an app onboards to send through the sandbox: one credential
// of each kind, all good for every device address. The *File paths are empty when
// [Config.Dir] is.
type Credentials struct {
	APNs struct {
		KeyPEM  []byte `json:"-"` // .p8: PKCS #8, EC P-256
		KeyFile string `json:"keyFile,omitempty"`
		KeyID   string `json:"keyId"`
		TeamID  string `json:"teamId"`
	} `json:"apns"`
	FCM struct {
		JSON        []byte `json:"-"` // a service account file; token_uri is this server's
		File        string `json:"file,omitempty"`
		ProjectID   string `json:"projectId"`
		ClientEmail string `json:"clientEmail"`
		TokenURI    string `json:"tokenUri"`
	} `json:"fcm"`
	// WNS is for UWP apps (login.live.com), Entra for Windows App SDK ones.
	WNS struct {
		PackageSID string `json:"packageSid"`
		Secret     string `json:"-"`
		SecretFile string `json:"secretFile,omitempty"`
	} `json:"wns"`
	Entra struct {
		TenantID   string `json:"tenantId"`
		AppID      string `json:"appId"`
		Secret     string `json:"-"`
		SecretFile string `json:"secretFile,omitempty"`
	} `json:"entra"`
}

// keyring is the credentials with what checks them.
type keyring struct {
	Credentials
	apns *ecdsa.PrivateKey
	fcm  *rsa.PrivateKey
}

// named is the part of the credentials that is no key: credentials.json.
type named struct {
	KeyID      string `json:"apnsKeyId"`
	TeamID     string `json:"apnsTeamId"`
	ProjectID  string `json:"fcmProjectId"`
	PackageSID string `json:"wnsPackageSid"`
	TenantID   string `json:"entraTenantId"`
	AppID      string `json:"entraAppId"`
}

// serviceAccount is Google's key file.
type serviceAccount struct {
	Type         string `json:"type"`
	ProjectID    string `json:"project_id"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	ClientEmail  string `json:"client_email"`
	ClientID     string `json:"client_id"`
	AuthURI      string `json:"auth_uri"`
	TokenURI     string `json:"token_uri"`
}

// loadKeyring finds or makes the credentials; tokenAddr goes into the service
// account file, which is rewritten when the address has changed.
func loadKeyring(dir, tokenAddr string) (*keyring, error) {
	n, err := loadNamed(dir)
	if err != nil {
		return nil, err
	}
	k := &keyring{}
	k.APNs.KeyID, k.APNs.TeamID = n.KeyID, n.TeamID
	k.WNS.PackageSID = n.PackageSID
	k.Entra.TenantID, k.Entra.AppID = n.TenantID, n.AppID
	if err := k.loadAPNs(dir); err != nil {
		return nil, err
	}
	if err := k.loadFCM(dir, n.ProjectID, "https://"+tokenAddr+"/token"); err != nil {
		return nil, err
	}
	if k.WNS.Secret, k.WNS.SecretFile, err = loadSecret(dir, "wns-secret"); err != nil {
		return nil, err
	}
	k.Entra.Secret, k.Entra.SecretFile, err = loadSecret(dir, "entra-secret")
	return k, err
}

func loadNamed(dir string) (named, error) {
	var n named
	path := filepath.Join(dir, "credentials.json")
	if dir != "" {
		b, err := os.ReadFile(path)
		switch {
		case err == nil:
			if err := json.Unmarshal(b, &n); err != nil {
				return n, fmt.Errorf("sandbox: %s: %w; delete the folder to make a new identity", path, err)
			}
			return n, nil
		case !errors.Is(err, os.ErrNotExist):
			return n, fmt.Errorf("sandbox: %w", err)
		}
	}
	n = named{
		KeyID: randomID(10), TeamID: randomID(10),
		ProjectID:  "carillon-sandbox-" + strings.ToLower(randomID(6)),
		PackageSID: "ms-app://s-1-15-2" + randomSID(),
		TenantID:   newUUID(), AppID: newUUID(),
	}
	if dir == "" {
		return n, nil
	}
	b, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return n, fmt.Errorf("sandbox: %w", err)
	}
	return n, writeFile(path, b)
}

func (k *keyring) loadAPNs(dir string) error {
	if dir != "" {
		k.APNs.KeyFile = filepath.Join(dir, "AuthKey_"+k.APNs.KeyID+".p8")
		b, err := os.ReadFile(k.APNs.KeyFile)
		if err == nil {
			key, err := readKey(k.APNs.KeyFile)
			if err != nil {
				return err
			}
			ec, ok := key.(*ecdsa.PrivateKey)
			if !ok {
				return fmt.Errorf("sandbox: %s is no EC key; delete the folder to make a new identity", k.APNs.KeyFile)
			}
			k.apns, k.APNs.KeyPEM = ec, b
			return nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("sandbox: %w", err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("sandbox: APNs key: %w", err)
	}
	k.apns = key
	if k.APNs.KeyPEM, err = keyPEM(key); err != nil || dir == "" {
		return err
	}
	return writeFile(k.APNs.KeyFile, k.APNs.KeyPEM)
}

func (k *keyring) loadFCM(dir, project, tokenURI string) error {
	path := filepath.Join(dir, "service-account.json")
	var old []byte
	sa := serviceAccount{}
	if dir != "" {
		k.FCM.File = path
		var err error
		old, err = os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("sandbox: %w", err)
		}
		if err == nil && json.Unmarshal(old, &sa) != nil {
			return fmt.Errorf("sandbox: %s is not JSON; delete the folder to make a new identity", path)
		}
	}
	if sa.PrivateKey == "" {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return fmt.Errorf("sandbox: FCM key: %w", err)
		}
		b, err := keyPEM(key)
		if err != nil {
			return err
		}
		sa = serviceAccount{
			Type: "service_account", ProjectID: project, PrivateKeyID: randomHex(20), PrivateKey: string(b),
			ClientEmail: "firebase-adminsdk@" + project + ".iam.gserviceaccount.com",
			ClientID:    "100000000000000000001", AuthURI: "https://accounts.google.com/o/oauth2/auth",
		}
	}
	sa.TokenURI = tokenURI
	key, err := parseKey([]byte(sa.PrivateKey))
	if err != nil {
		return fmt.Errorf("sandbox: %s: private_key: %w; delete the folder to make a new identity", path, err)
	}
	var ok bool
	if k.fcm, ok = key.(*rsa.PrivateKey); !ok {
		return fmt.Errorf("sandbox: %s: private_key is no RSA key; delete the folder to make a new identity", path)
	}
	if k.FCM.JSON, err = json.MarshalIndent(sa, "", "  "); err != nil { //nolint:gosec // the key file is what is made here
		return fmt.Errorf("sandbox: %w", err)
	}
	k.FCM.ProjectID, k.FCM.ClientEmail, k.FCM.TokenURI = sa.ProjectID, sa.ClientEmail, sa.TokenURI
	if dir == "" || bytes.Equal(old, k.FCM.JSON) {
		return nil
	}
	return writeFile(path, k.FCM.JSON)
}

func loadSecret(dir, name string) (secret, path string, err error) {
	if dir == "" {
		return randomHex(20), "", nil
	}
	path = filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err == nil && len(b) > 0 {
		return strings.TrimSpace(string(b)), path, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", "", fmt.Errorf("sandbox: %w", err)
	}
	secret = randomHex(20)
	return secret, path, writeFile(path, []byte(secret+"\n"))
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// randomID has the form of Apple's key and team ids: upper-case letters and digits.
func randomID(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base32.StdEncoding.EncodeToString(b)[:n]
}

// randomSID is the seven numbers of a package SID.
func randomSID() string {
	var out strings.Builder
	for range 7 {
		var b [4]byte
		_, _ = rand.Read(b[:])
		fmt.Fprintf(&out, "-%d", new(big.Int).SetBytes(b[:]))
	}
	return out.String()
}
