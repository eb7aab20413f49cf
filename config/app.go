package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"carillon"
)

// App is one entry of `apps:`.
type App struct {
	// Host is the app's verified host name, in lower case.
	Host string `yaml:"host"`
	// Clients are the client ids (azp or appid of a token) that may act for it;
	// at most 10.
	Clients []string `yaml:"clients"`
	// Identities are its names on the platforms; at most 10 a platform.
	Identities []Identity `yaml:"identities"`
	// Credentials are the keys of its push channels, at most 10 a platform.
	Credentials []Credential `yaml:"credentials"`
	// Quota is how many notifications it may send.
	Quota Quota `yaml:"quota"`
}

// Quota bounds what is sent for an app; 0 is no limit. Beyond it, sends are
// answered 429 with Retry-After.
type Quota struct {
	PerSecond int64 `yaml:"perSecond"`
	PerDay    int64 `yaml:"perDay"`
}

// Identity is an app's name on a platform.
type Identity struct {
	// Platform is windows, ios, android or web.
	Platform string `yaml:"platform"`
	// AppID is the AUMID, bundle id, package name or origin.
	AppID string `yaml:"appId"`
}

// Credential is what one vendor wants to see. Paths are relative to the
// configuration file.
type Credential struct {
	// Platform is ios, android or windows.
	Platform string `yaml:"platform"`
	// Set names it among several of the platform; AppIDs are the identities that
	// it serves, none: those that no other set names.
	Set    string   `yaml:"set"`
	AppIDs []string `yaml:"appIds"`
	// File is the APNs key (.p8) or the FCM service account (JSON).
	File string `yaml:"file"`
	// Certificate is, in place of File, an APNs certificate with its private key:
	// PEM, or PKCS #12 (.p12), which may have a secret.
	Certificate string `yaml:"certificate"`
	// KeyID and TeamID name an APNs key, 10 characters each.
	KeyID  string `yaml:"keyId"`
	TeamID string `yaml:"teamId"`
	// Environment is production (the default) or sandbox, for APNs.
	Environment string `yaml:"environment"`
	// PackageSID is that of the classic WNS pair; TenantID and ClientID those of
	// an Entra app. Both take a secret.
	PackageSID string `yaml:"packageSid"`
	TenantID   string `yaml:"tenantId"`
	ClientID   string `yaml:"clientId"`
	// Secret is the WNS secret itself; better name the file that holds it
	// (SecretFile) or the environment variable (SecretEnv).
	Secret     string `yaml:"secret"`
	SecretFile string `yaml:"secretFile"`
	SecretEnv  string `yaml:"secretEnv"`
	// Sandbox marks the credential of a sandbox vendor: it proves nothing.
	Sandbox bool `yaml:"sandbox"`
}

// onboarder turns `apps:` into carillon.Apps and says what is wrong with them.
type onboarder struct {
	in     *intake
	dir    string
	getenv func(string) string
}

func (c *Config) onboard(in *intake, dir string, getenv func(string) string) {
	o := &onboarder{in: in, dir: dir, getenv: getenv}
	seen := map[string]bool{}
	for i := range c.Apps {
		a, path := &c.Apps[i], "apps["+strconv.Itoa(i)+"]"
		if err := carillon.ValidateHost(a.Host); err != nil {
			o.fault(path+".host", carillon.AsError(err).Message)
		} else if seen[a.Host] {
			o.fault(path+".host", a.Host+" stands twice")
		}
		seen[a.Host] = true
		c.onboarded = append(c.onboarded, o.app(a, path))
	}
}

func (o *onboarder) fault(path, message string) {
	o.in.problem(o.in.place(path), path, message)
}

func (o *onboarder) app(a *App, path string) carillon.App {
	out := carillon.App{Host: a.Host, Clients: a.Clients, Quota: carillon.Quota(a.Quota)}
	out.Quota.Check(func(member, message string) { o.fault(path+".quota."+member, message) })
	carillon.CheckClients(a.Clients, func(message string) { o.fault(path+".clients", message) })
	at := func(i int) string { return path + ".identities[" + strconv.Itoa(i) + "]" }
	for i, id := range a.Identities {
		p, _ := o.platform(at(i), id.Platform, carillon.Windows, carillon.IOS, carillon.Android, carillon.Web)
		out.Identities = append(out.Identities, carillon.Identity{Platform: p, AppID: id.AppID})
	}
	carillon.CheckIdentities(out.Identities, func(i int, member, message string) { o.fault(join(at(i), member), message) })
	for i := range a.Credentials {
		at := path + ".credentials[" + strconv.Itoa(i) + "]"
		cred := o.credential(&a.Credentials[i], at)
		if cred.Platform != carillon.PlatformNone {
			same := out.CredentialsFor(cred.Platform)
			if slices.ContainsFunc(same, func(c carillon.Credential) bool { return c.Set == cred.Set }) {
				o.fault(at, fmt.Sprintf("is the second credential for %s with the set %q: give each another set", cred.Platform, cred.Set))
			}
			if len(same) == carillon.MaxCredentials {
				o.fault(at, fmt.Sprintf("%s has more than %d credentials", cred.Platform, carillon.MaxCredentials))
			}
		}
		out.Credentials = append(out.Credentials, cred)
	}
	return out
}

func (o *onboarder) platform(path, name string, allowed ...carillon.Platform) (carillon.Platform, bool) {
	p, ok := carillon.ParsePlatform(name)
	if ok && slices.Contains(allowed, p) {
		return p, true
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = a.String()
	}
	o.fault(path+".platform", fmt.Sprintf("%q is none of %s", name, strings.Join(names, ", ")))
	return carillon.PlatformNone, false
}

func (o *onboarder) credential(c *Credential, path string) carillon.Credential {
	p, ok := o.platform(path, c.Platform, carillon.IOS, carillon.Android, carillon.Windows)
	out := carillon.Credential{
		Platform: p, Set: c.Set, AppIDs: c.AppIDs, File: o.path(c.File), KeyID: c.KeyID, TeamID: c.TeamID, Environment: c.Environment,
		PackageSID: c.PackageSID, TenantID: c.TenantID, ClientID: c.ClientID, Sandbox: c.Sandbox,
	}
	if !ok {
		return out
	}
	if p == carillon.IOS && c.Environment == "" {
		out.Environment = "production"
	}
	check := func() { out.Check(func(member, message string) { o.fault(join(path, member), message) }) }
	secrets := map[string]string{"secret": c.Secret, "secretFile": c.SecretFile, "secretEnv": c.SecretEnv}
	switch p {
	case carillon.IOS:
		if out.Certificate = c.Certificate != ""; out.Certificate {
			o.certificate(c, &out, path, secrets)
		} else {
			o.strangers(secrets, path, p)
			o.readable(path+".file", out.File, "the APNs key (.p8)")
		}
		check()
	case carillon.Android:
		o.strangers(secrets, path, p)
		o.strangers(map[string]string{"certificate": c.Certificate}, path, p)
		o.readable(path+".file", out.File, "the FCM service account (JSON)")
		check()
	case carillon.Windows:
		o.strangers(map[string]string{"file": c.File, "certificate": c.Certificate}, path, p)
		check()
		out.Secret = o.secret(c, path)
	case carillon.PlatformNone, carillon.Web, carillon.Polling:
	}
	return out
}

// certificate reads what stands of a certificate.
func (o *onboarder) certificate(c *Credential, out *carillon.Credential, path string, secrets map[string]string) {
	if c.File != "" {
		o.fault(path+".file", "means nothing beside a certificate")
	}
	out.File = o.path(c.Certificate)
	o.readable(path+".certificate", out.File, "the APNs certificate with its key (PEM or PKCS #12)")
	for _, s := range secrets {
		if s != "" {
			out.Secret = o.secret(c, path)
			return
		}
	}
}

// strangers reports keys that mean nothing for the platform.
func (o *onboarder) strangers(values map[string]string, path string, p carillon.Platform) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] != "" {
			o.fault(path+"."+name, "means nothing for "+p.String())
		}
	}
}

// secret reads the one of secret, secretFile and secretEnv that is given.
func (o *onboarder) secret(c *Credential, path string) string {
	given := 0
	for _, s := range []string{c.Secret, c.SecretFile, c.SecretEnv} {
		if s != "" {
			given++
		}
	}
	switch {
	case given != 1:
		o.fault(path, "give one of secretFile, secretEnv and secret")
		return ""
	case c.SecretFile != "":
		file := o.path(c.SecretFile)
		if !o.readable(path+".secretFile", file, "the secret") {
			return ""
		}
		text, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(text)) == "" {
			o.fault(path+".secretFile", file+" cannot be read or is empty")
		}
		return strings.TrimSpace(string(text))
	case c.SecretEnv != "":
		s := o.getenv(c.SecretEnv)
		if s == "" {
			o.fault(path+".secretEnv", "the environment variable "+c.SecretEnv+" is not set")
		}
		return s
	}
	return c.Secret
}

func (o *onboarder) path(file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(o.dir, file)
}

func (o *onboarder) readable(path, file, what string) bool {
	if file == "" {
		o.fault(path, "is missing: name the file that holds "+what)
		return false
	}
	f, err := os.Open(file)
	if err != nil {
		o.fault(path, fmt.Sprintf("%s cannot be opened; it should hold %s", file, what))
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		o.fault(path, file+" is no regular file")
		return false
	}
	return true
}
