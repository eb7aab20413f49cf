package carillon

import (
	"fmt"
	"slices"
	"strings"
)

// App is a sender's application: who may act for it and with which credentials
// its pushes go out.
type App struct {
	// Host is the verified, lower-case host name: targetHostName of its
	// notifications.
	Host string
	// Clients are the client ids (azp or appid of a token) that may act for the
	// app, at most 10.
	Clients []string
	// Identities are the app's names on each platform, at most 10 a platform.
	Identities []Identity
	// Credentials are the keys of its push channels, at most 10 sets a platform; a
	// platform without one is served by the sandbox or not at all.
	Credentials []Credential
	// Quota bounds what is sent for the app.
	Quota Quota
}

// Quota is how many notifications an app may send; 0 is no limit.
type Quota struct {
	PerSecond, PerDay int64
}

// MaxQuota is the largest that can be said.
const MaxQuota = 1_000_000_000_000

// String is the quota as people read it.
func (q Quota) String() string {
	switch {
	case q.PerSecond > 0 && q.PerDay > 0:
		return fmt.Sprintf("%d a second and %d a day", q.PerSecond, q.PerDay)
	case q.PerSecond > 0:
		return fmt.Sprintf("%d a second", q.PerSecond)
	case q.PerDay > 0:
		return fmt.Sprintf("%d a day", q.PerDay)
	}
	return "none"
}

// Check reports what is wrong with a quota, by member.
func (q Quota) Check(report func(member, message string)) {
	for member, n := range map[string]int64{"perSecond": q.PerSecond, "perDay": q.PerDay} {
		if n < 0 || n > MaxQuota {
			report(member, fmt.Sprintf("is %d, not from 0 (no limit) to %d", n, int64(MaxQuota)))
		}
	}
}

// Identity is an app's name on one platform.
type Identity struct {
	Platform Platform
	// AppID is the bundle id (iOS), the package name (Android), the AUMID
	// (Windows) or the origin (web).
	AppID string
}

// Credential is what one vendor wants to see. Which fields count depends on
// the platform; Secret and the contents of File never appear in a log.
type Credential struct {
	Platform Platform
	// Set names it among the platform's credentials; "" is a name like others.
	Set string
	// AppIDs are the identities whose endpoints it serves; empty: those that no
	// other set of the platform names.
	AppIDs []string
	// File holds the key: an APNs .p8 or certificate, or an FCM service-account
	// JSON. Content is the key itself, in place of a file.
	File    string
	Content []byte
	// Certificate tells that the key is an APNs certificate with its private key,
	// as PEM or PKCS #12 (.p12), in place of a .p8; Secret is then its password.
	Certificate bool
	// KeyID and TeamID name an APNs key (10 characters each).
	KeyID, TeamID string
	// Environment is "production" or "sandbox" for APNs.
	Environment string
	// PackageSID and Secret are the classic WNS pair; TenantID, ClientID and
	// Secret the Entra one.
	PackageSID, TenantID, ClientID string
	Secret                         string
	// Sandbox marks the credential of a sandbox vendor: it proves nothing and
	// may live beside the development issuer.
	Sandbox bool
}

// The most that an app may have of each: client ids, and identities and
// credentials a platform.
const (
	MaxClients     = 10
	MaxIdentities  = 10
	MaxCredentials = 10

	maxSet  = 32 // characters of a credential set's name
	appleID = 10 // characters of Apple's key ids and team ids
)

// CheckClients reports what is wrong with the client ids of an app.
func CheckClients(clients []string, report func(message string)) {
	if len(clients) > MaxClients {
		report(fmt.Sprintf("has %d client ids, at most %d are allowed", len(clients), MaxClients))
	}
	if slices.Contains(clients, "") {
		report("a client id is empty")
	}
}

// CheckIdentities reports what is wrong with an app's identities, by their place
// and member ("" is the identity itself).
func CheckIdentities(identities []Identity, report func(at int, member, message string)) {
	count := map[Platform]int{}
	for i, id := range identities {
		switch id.Platform {
		case Windows, IOS, Android, Web:
			if count[id.Platform]++; count[id.Platform] == MaxIdentities+1 {
				report(i, "", fmt.Sprintf("%s has more than %d identities", id.Platform, MaxIdentities))
			}
		case PlatformNone, Polling:
		}
		if id.AppID == "" {
			report(i, "appId", "is missing")
		}
	}
}

// Check reports what is wrong with a credential, by member as the API and the
// configuration name it ("" is the credential itself). Whether the key and the
// secret can be used only the vendor's client can tell.
func (c *Credential) Check(report func(member, message string)) {
	apple := []string{"keyId", "teamId", "environment"}
	microsoft := []string{"packageSid", "tenantId", "clientId"}
	if err := ValidateSet(c.Set); err != nil {
		report("set", AsError(err).Message)
	}
	if len(c.AppIDs) > MaxIdentities || slices.Contains(c.AppIDs, "") {
		report("appIds", fmt.Sprintf("at most %d, and none of them empty", MaxIdentities))
	}
	switch c.Platform {
	case IOS:
		c.strangers(report, microsoft)
		c.checkApple(report)
	case Android:
		c.strangers(report, slices.Concat(apple, microsoft))
	case Windows:
		c.strangers(report, apple)
		entra := c.TenantID != "" || c.ClientID != ""
		switch {
		case entra && c.PackageSID != "":
			report("", "has a packageSid and an Entra app; give one of them")
		case entra && (c.TenantID == "" || c.ClientID == ""):
			report("", "an Entra app needs tenantId and clientId")
		case !entra && c.PackageSID == "":
			report("", "needs packageSid, or tenantId and clientId")
		}
	case PlatformNone, Web, Polling:
	}
}

func (c *Credential) checkApple(report func(member, message string)) {
	for _, id := range []struct{ name, value string }{{"keyId", c.KeyID}, {"teamId", c.TeamID}} {
		switch {
		case c.Certificate && id.value != "":
			report(id.name, "means nothing for a certificate")
		case !c.Certificate && len(id.value) != appleID:
			report(id.name, fmt.Sprintf("%q has %d characters, Apple's have %d", id.value, len(id.value), appleID))
		}
	}
	if c.Environment != "production" && c.Environment != "sandbox" {
		report("environment", fmt.Sprintf("%q is neither production nor sandbox", c.Environment))
	}
}

// ValidateSet checks the name of a credential set: "", or up to 32 lower-case
// letters, digits, hyphens and underscores.
func ValidateSet(name string) error {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return Errorf(CodeInvalidRequest, "set", "%.40q: use lower-case letters, digits, hyphens and underscores", name)
		}
	}
	if len(name) > maxSet {
		return Errorf(CodeInvalidRequest, "set", "%.40q has %d characters, at most %d are allowed", name, len(name), maxSet)
	}
	return nil
}

// strangers reports members that mean nothing for the platform.
func (c *Credential) strangers(report func(member, message string), names []string) {
	values := map[string]string{
		"keyId": c.KeyID, "teamId": c.TeamID, "environment": c.Environment,
		"packageSid": c.PackageSID, "tenantId": c.TenantID, "clientId": c.ClientID,
	}
	for _, name := range names {
		if values[name] != "" {
			report(name, "means nothing for "+c.Platform.String())
		}
	}
}

// Allows tells whether a client id may act for the app.
func (a *App) Allows(client string) bool { return slices.Contains(a.Clients, client) }

// CredentialsFor are the app's credential sets for a platform.
func (a *App) CredentialsFor(p Platform) []Credential {
	var sets []Credential
	for _, c := range a.Credentials {
		if c.Platform == p {
			sets = append(sets, c)
		}
	}
	return sets
}

// ChooseCredential is the index of the set that serves an endpoint: of its
// environment (production when it names none), then one that names its appId,
// then one that names none; the first of equals.
func ChooseCredential(sets []Credential, e *Endpoint) int {
	best, most := 0, -1
	for i := range sets {
		score := 0
		if c := &sets[i]; c.Environment == e.Environment || e.Environment == "" && c.Environment != "sandbox" {
			score = 4
		}
		switch {
		case slices.Contains(sets[i].AppIDs, e.AppID):
			score += 2
		case len(sets[i].AppIDs) == 0:
			score++
		}
		if score > most {
			best, most = i, score
		}
	}
	return best
}

// AppID is the app's first identity on a platform, or "".
func (a *App) AppID(p Platform) string {
	for _, id := range a.Identities {
		if id.Platform == p {
			return id.AppID
		}
	}
	return ""
}

// AppIDs are the app's identities on a platform.
func (a *App) AppIDs(p Platform) []string {
	var ids []string
	for _, id := range a.Identities {
		if id.Platform == p {
			ids = append(ids, id.AppID)
		}
	}
	return ids
}

// Apps is the set of onboarded apps. It never changes once made: whoever
// follows changes swaps the whole set.
type Apps struct {
	byHost   map[string]*App
	byClient map[string][]string
	byOrigin map[string][]string // hosts by their web identities
}

// NewApps indexes apps. A host may stand once, a client id may act for several.
func NewApps(apps []App) (*Apps, error) {
	s := &Apps{byHost: make(map[string]*App, len(apps)), byClient: make(map[string][]string), byOrigin: make(map[string][]string)}
	for i := range apps {
		a := &apps[i]
		if err := ValidateHost(a.Host); err != nil {
			return nil, err
		}
		if s.byHost[a.Host] != nil {
			return nil, Errorf(CodeInvalidRequest, "apps", "host %s stands twice", a.Host)
		}
		s.byHost[a.Host] = a
		for _, c := range a.Clients {
			s.byClient[c] = append(s.byClient[c], a.Host)
		}
		for _, id := range a.Identities {
			if id.Platform == Web {
				origin := webOrigin(id.AppID)
				s.byOrigin[origin] = append(s.byOrigin[origin], a.Host)
			}
		}
	}
	return s, nil
}

// Host finds an app by its host name.
func (s *Apps) Host(host string) (*App, bool) {
	a, ok := s.byHost[host]
	return a, ok
}

// Owned lists the hosts that a client id may act for.
func (s *Apps) Owned(client string) []string { return s.byClient[client] }

// webOrigin is an origin as browsers send it: in lower case, without a path.
func webOrigin(s string) string { return strings.ToLower(strings.TrimRight(s, "/")) }

// HasOrigin tells whether any app has registered a web origin
// ("https://news.example.com") as one of its identities.
func (s *Apps) HasOrigin(origin string) bool { return len(s.byOrigin[webOrigin(origin)]) > 0 }

// AllowsOrigin tells whether pages of a web origin may act for a host: it is one
// of the app's identities. No origin at all is no page.
func (s *Apps) AllowsOrigin(host, origin string) bool {
	return origin == "" || slices.Contains(s.byOrigin[webOrigin(origin)], host)
}

// AllowsClientOrigin tells whether pages of a web origin may call with a token
// of this client: the origin is of an app that the client may act for.
func (s *Apps) AllowsClientOrigin(client, origin string) bool {
	return origin == "" || slices.ContainsFunc(s.byClient[client], func(host string) bool { return s.AllowsOrigin(host, origin) })
}

// All lists the apps, in no order.
func (s *Apps) All() []*App {
	all := make([]*App, 0, len(s.byHost))
	for _, a := range s.byHost {
		all = append(all, a)
	}
	return all
}
