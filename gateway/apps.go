package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// OnboardingDeps is what onboarding works with. All of it is required.
type OnboardingDeps struct {
	Registry *Registry
	Table    Table
	Auth     Verifier
	Sealer   Sealer
	// Check tells whether a vendor takes a credential, as far as it can be told
	// without a push.
	Check func(ctx context.Context, cred carillon.Credential) error
	// AllowReal tells whether a credential that rings real devices may be
	// onboarded in this process; the error says what is in the way.
	AllowReal func() error
	// ProofKey makes the tokens that hosts show.
	ProofKey [32]byte
	Clock    *carillon.Clock
	// Audit is told of every administrative act, done or refused.
	Audit *slog.Logger
}

// Onboarding answers the calls of administrators: which apps there are, who may
// act for them and with which credentials their pushes go out. Safe for
// concurrent use.
type Onboarding struct {
	deps  OnboardingDeps
	proof *prover
}

// checkTimeout bounds the dry call to a vendor.
const checkTimeout = 10 * time.Second

// NewOnboarding makes the doors of onboarding. It starts nothing.
func NewOnboarding(cfg ProofConfig, deps OnboardingDeps) *Onboarding {
	return &Onboarding{deps: deps, proof: newProver(cfg, deps.ProofKey)}
}

// Register adds the routes.
func (o *Onboarding) Register(rt *httpapi.Router) {
	rt.Handle("GET", "/api/v1/apps", o.admin("", o.list))
	rt.Handle("GET", "/api/v1/apps/{host}", o.admin("", o.get))
	rt.Handle("PUT", "/api/v1/apps/{host}", o.admin("app.put", o.put))
	rt.Handle("PATCH", "/api/v1/apps/{host}", o.admin("app.state", o.patchState))
	rt.Handle("DELETE", "/api/v1/apps/{host}", o.admin("app.delete", o.remove))
	rt.Handle("PUT", "/api/v1/apps/{host}/clients", o.admin("app.clients", o.putClients))
	rt.Handle("PUT", "/api/v1/apps/{host}/identities", o.admin("app.identities", o.putIdentities))
	rt.Handle("PUT", "/api/v1/apps/{host}/quota", o.admin("app.quota", o.putQuota))
	for _, path := range []string{"/api/v1/apps/{host}/credentials/{platform}", "/api/v1/apps/{host}/credentials/{platform}/{set}"} {
		rt.Handle("PUT", path, o.admin("app.credential.put", o.putCredential))
		rt.Handle("DELETE", path, o.admin("app.credential.delete", o.removeCredential))
	}
}

// admin lets administrators in, and writes down what they did, or tried to.
func (o *Onboarding) admin(act string, h func(r *httpapi.Request, by made) error) httpapi.Handler {
	return func(r *httpapi.Request) error {
		token, err := r.Bearer()
		if err != nil {
			return err
		}
		p, err := o.deps.Auth.Verify(token)
		if err != nil {
			return err
		}
		r.Principal = p
		by := made{At: r.Now(), By: p.Client}
		if by.By == "" {
			by.By = "admin"
		}
		if !p.Admin {
			err = carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "this call needs a token with the role %s: `carillon token --admin` makes one", auth.RoleAdmin)
		} else {
			err = h(r, by)
		}
		if act != "" {
			result := "done"
			if err != nil {
				result = carillon.AsError(err).Code.String()
			}
			o.deps.Audit.Info("administrative act", "act", act, "host", r.Param("host"), "platform", r.Param("platform"), "set", r.Param("set"),
				"by", by.By, "result", result, "request-id", r.RequestID())
		}
		return err
	}
}

func (o *Onboarding) answer(r *httpapi.Request, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r.JSON(status, b)
	return nil
}

func (o *Onboarding) list(r *httpapi.Request, _ made) error {
	answers := []appAnswer{}
	for _, a := range o.deps.Registry.fixed {
		answers = append(answers, o.fixed(&a))
	}
	for _, host := range o.deps.Registry.hosts() {
		if a, ok := o.deps.Registry.find(host); ok && !o.deps.Registry.isFixed(host) {
			answers = append(answers, o.describe(host, &a, nil))
		}
	}
	slices.SortFunc(answers, func(a, b appAnswer) int { return strings.Compare(a.Host, b.Host) })
	return o.answer(r, 200, map[string]any{"value": answers})
}

func (o *Onboarding) get(r *httpapi.Request, _ made) error {
	host := strings.ToLower(r.Param("host"))
	for _, a := range o.deps.Registry.fixed {
		if a.Host == host {
			return o.answer(r, 200, o.fixed(&a))
		}
	}
	a, err := o.found(host)
	if err != nil {
		return err
	}
	return o.answer(r, 200, o.describe(host, &a, nil))
}

// found is an onboarded app that may be changed here.
func (o *Onboarding) found(host string) (onboarded, error) {
	if o.deps.Registry.isFixed(host) {
		return onboarded{}, carillon.Errorf(carillon.CodeConflict, "host", "%s stands in the configuration file: change it there", host)
	}
	a, ok := o.deps.Registry.find(host)
	if !ok {
		return onboarded{}, carillon.Errorf(carillon.CodeNotFound, "host", "no app %.253q is onboarded: PUT /api/v1/apps/{host} comes first", host)
	}
	return a, nil
}

// fixed is what administrators see of an app of the configuration.
func (o *Onboarding) fixed(a *carillon.App) appAnswer {
	out := appAnswer{Host: a.Host, State: o.state(a.Host), Verified: true, Source: "configuration", Clients: a.Clients, Identities: identitiesOf(a.Identities), Credentials: []credentialAnswer{}, Quota: quotaOf(a.Quota)}
	if out.Clients == nil {
		out.Clients = []string{}
	}
	for i := range a.Credentials {
		out.Credentials = append(out.Credentials, credentialOf(&a.Credentials[i]))
	}
	return out
}

// describe is what administrators see of an app: everything but its secrets.
func (o *Onboarding) describe(host string, a *onboarded, unproven error) appAnswer {
	app := a.build(host)
	out := appAnswer{
		Host: host, State: o.state(host), Verified: a.app.Verified != 0, Source: "api", Clients: app.Clients,
		Identities: identitiesOf(app.Identities), Credentials: []credentialAnswer{}, Quota: quotaOf(app.Quota), Created: dateTime(a.app.Created),
	}
	if out.Clients == nil {
		out.Clients = []string{}
	}
	if !out.Verified {
		out.Proof = o.proof.instructions(host)
		if unproven != nil {
			out.Proof.Last = unproven.Error()
		}
	}
	for _, k := range a.sets() {
		row := a.credentials[k]
		c := credentialOf(&row.open)
		c.Platform, c.Set, c.Fingerprint, c.Updated, c.By = k.platform.String(), k.set, row.print, dateTime(row.At), row.By
		if row.open.Platform == carillon.PlatformNone {
			c.Fault = "it cannot be opened under this process's master key: put it again"
		}
		out.Credentials = append(out.Credentials, c)
	}
	return out
}

func dateTime(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// put onboards an app, or looks again whether its host is proven.
func (o *Onboarding) put(r *httpapi.Request, by made) error {
	host := strings.ToLower(r.Param("host"))
	if err := carillon.ValidateHost(host); err != nil {
		return err
	}
	if o.deps.Registry.isFixed(host) {
		_, err := o.found(host)
		return err
	}
	body, err := r.Body(maxAppBody)
	if err != nil {
		return err
	}
	if len(body) > 0 { // there is nothing to say yet
		if err := decodeBody(r, body, &struct{}{}); err != nil {
			return err
		}
	}
	status, row := 201, &appRow{made: by, Created: by.At}
	if a, ok := o.deps.Registry.find(host); ok {
		status, row.Created, row.Verified = 200, a.app.Created, a.app.Verified
	}
	var unproven error
	if row.Verified == 0 {
		if unproven = o.proof.prove(r.Context(), host); unproven == nil {
			row.Verified = by.At
		} else if e := carillon.AsError(unproven); e.Code == carillon.CodeInvalidRequest {
			return e
		}
	}
	if err := o.keep(r, appPrefix+host, row); err != nil {
		return err
	}
	a, err := o.found(host)
	if err != nil {
		return err
	}
	return o.answer(r, status, o.describe(host, &a, unproven))
}

// keep puts one row.
func (o *Onboarding) keep(r *httpapi.Request, key string, row any) error {
	value, err := json.Marshal(row)
	if err != nil {
		return err
	}
	return o.deps.Table.Put(r.Context(), journal.Row{Key: key, Value: value})
}

// remove takes an app away: nobody may act for it, and its credentials are
// forgotten. What users have of it expires.
func (o *Onboarding) remove(r *httpapi.Request, _ made) error {
	host := strings.ToLower(r.Param("host"))
	a, err := o.found(host)
	if err != nil {
		return err
	}
	rows := []journal.Row{{Key: appPrefix + host + partClients}, {Key: appPrefix + host + partIdentities}, {Key: appPrefix + host + partState}, {Key: appPrefix + host + partQuota}}
	for k := range a.credentials {
		rows = append(rows, journal.Row{Key: appPrefix + host + k.part()})
	}
	if err := o.deps.Table.Put(r.Context(), append(rows, journal.Row{Key: appPrefix + host})...); err != nil {
		return err
	}
	r.Status(204)
	return nil
}

func (o *Onboarding) putClients(r *httpapi.Request, by made) error {
	host := strings.ToLower(r.Param("host"))
	if _, err := o.found(host); err != nil {
		return err
	}
	var body clientsBody
	if err := readBody(r, &body); err != nil {
		return err
	}
	if body.Clients == nil { // what a typing mistake left out shall shut nobody out
		return carillon.Errorf(carillon.CodeInvalidRequest, "clients", "clients is missing: list the client ids, or [] for none")
	}
	var fault error
	carillon.CheckClients(body.Clients, func(message string) {
		fault = carillon.Errorf(carillon.CodeInvalidRequest, "clients", "clients: %s", message)
	})
	if fault != nil {
		return fault
	}
	return o.changed(r, host, partClients, &clientsRow{made: by, Clients: body.Clients})
}

func (o *Onboarding) putIdentities(r *httpapi.Request, by made) error {
	host := strings.ToLower(r.Param("host"))
	if _, err := o.found(host); err != nil {
		return err
	}
	var body identitiesBody
	if err := readBody(r, &body); err != nil {
		return err
	}
	if body.Identities == nil {
		return carillon.Errorf(carillon.CodeInvalidRequest, "identities", "identities is missing: list them, or [] for none")
	}
	ids := make([]carillon.Identity, len(body.Identities))
	for i, id := range body.Identities {
		p, ok := carillon.ParsePlatform(id.Platform)
		if !ok || p == carillon.Polling {
			return carillon.Errorf(carillon.CodeInvalidRequest, "identities", "identity %d: platform %.40q is none of windows, ios, android, web", i, id.Platform)
		}
		ids[i] = carillon.Identity{Platform: p, AppID: id.AppID}
	}
	var fault error
	carillon.CheckIdentities(ids, func(at int, member, message string) {
		fault = carillon.Errorf(carillon.CodeInvalidRequest, "identities", "identity %d: %s", at, strings.TrimSpace(member+" "+message))
	})
	if fault != nil {
		return fault
	}
	return o.changed(r, host, partIdentities, &identitiesRow{made: by, Identities: body.Identities})
}

// putQuota says how many notifications an app may send. Whatever it used stays
// used.
func (o *Onboarding) putQuota(r *httpapi.Request, by made) error {
	host := strings.ToLower(r.Param("host"))
	if _, err := o.found(host); err != nil {
		return err
	}
	var body quotaBody
	if err := readBody(r, &body); err != nil {
		return err
	}
	var fault error
	body.quota().Check(func(member, message string) {
		fault = carillon.Errorf(carillon.CodeInvalidRequest, member, "%s %s", member, message)
	})
	if fault != nil {
		return fault
	}
	return o.changed(r, host, partQuota, &quotaRow{made: by, quotaBody: body})
}

// changed keeps a part of an app and answers with the app.
func (o *Onboarding) changed(r *httpapi.Request, host, part string, row any) error {
	if err := o.keep(r, appPrefix+host+part, row); err != nil {
		return err
	}
	a, err := o.found(host)
	if err != nil {
		return err
	}
	return o.answer(r, 200, o.describe(host, &a, nil))
}

// credentialSet is the app and the credential set that a call is about.
func credentialSet(r *httpapi.Request) (host string, k credentialKey, err error) {
	p, ok := carillon.ParsePlatform(r.Param("platform"))
	switch p {
	case carillon.IOS, carillon.Android, carillon.Windows:
	case carillon.PlatformNone, carillon.Web, carillon.Polling:
		ok = false
	}
	if !ok {
		return "", k, carillon.Errorf(carillon.CodeInvalidRequest, "platform", "%.40q has no push credentials; ios, android and windows have", r.Param("platform"))
	}
	k = credentialKey{platform: p, set: strings.Clone(r.Param("set"))}
	return strings.ToLower(r.Param("host")), k, carillon.ValidateSet(k.set)
}

// putCredential takes a credential in, or another one in its place: the lane
// changes to it at once, and what is under way with the old one is waited for.
func (o *Onboarding) putCredential(r *httpapi.Request, by made) error {
	host, k, err := credentialSet(r)
	if err != nil {
		return err
	}
	a, err := o.found(host)
	if err != nil {
		return err
	}
	if a.credentials[k] == nil && a.setsOf(k.platform) >= carillon.MaxCredentials {
		return carillon.Errorf(carillon.CodeInvalidRequest, "set", "%s has %d credentials for %s already, at most %d are allowed: remove one", host, a.setsOf(k.platform), k.platform, carillon.MaxCredentials)
	}
	var body credentialBody
	if err := readBody(r, &body); err != nil {
		return err
	}
	cred := body.credential(k)
	if err := body.check(&cred); err != nil {
		return err
	}
	if !cred.Sandbox {
		if err := o.deps.AllowReal(); err != nil {
			return carillon.Errorf(carillon.CodeConflict, "sandbox", "%v", err)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	if err := o.deps.Check(ctx, cred); err != nil {
		return carillon.Errorf(carillon.CodeInvalidRequest, "credentials", "the credential for %s cannot be used: %v", k.platform, err)
	}
	text, err := json.Marshal(body) //nolint:gosec // it is sealed in the next step
	if err != nil {
		return err
	}
	row := &credentialRow{made: by}
	if row.Sealed, row.Key, err = o.deps.Sealer.Seal(text, k.place(host)); err != nil {
		return err
	}
	return o.changed(r, host, k.part(), row)
}

func (o *Onboarding) removeCredential(r *httpapi.Request, _ made) error {
	host, k, err := credentialSet(r)
	if err != nil {
		return err
	}
	if _, err := o.found(host); err != nil {
		return err
	}
	if err := o.deps.Table.Put(r.Context(), journal.Row{Key: appPrefix + host + k.part()}); err != nil {
		return err
	}
	r.Status(204)
	return nil
}
