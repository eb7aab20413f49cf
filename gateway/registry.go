package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"carillon"
	"carillon/journal"
)

// AppsTable is the name of the compacted topic that onboarded apps travel in.
const AppsTable = "apps"

// The rows of an app, by what follows "app/<host>" in their key. One row a part,
// so that two people who change different parts do not undo each other.
const (
	partApp         = ""
	partClients     = "/clients"
	partIdentities  = "/identities"
	partQuota       = "/quota"
	partState       = "/state"
	partCredentials = "/credentials/" // and the platform, and "/" and the set when that has a name
	appPrefix       = "app/"
)

// Sealer seals what nobody but this installation may read. [auth.Sealer] is one.
type Sealer interface {
	Seal(text []byte, place string) (sealed []byte, key string, err error)
	Open(sealed []byte, key, place string) ([]byte, error)
}

// Table is where changes to apps are put for every process. [journal.Table] is
// one.
type Table interface {
	Put(ctx context.Context, rows ...journal.Row) error
}

// Registry is the present set of apps: those of the configuration, which only
// the configuration changes, and those that were onboarded, as every process of
// the installation follows them. Safe for concurrent use.
type Registry struct {
	sealer Sealer
	log    *slog.Logger
	// lend completes an onboarded app, such as with a sandbox's credentials.
	lend func(*carillon.App)

	set atomic.Pointer[carillon.Apps]

	mu      sync.Mutex
	fixed   []carillon.App
	apps    map[string]*onboarded
	rows    map[string][]byte   // as they came, by key
	changed func(carillon.Lane) // told of a lane whose credential changed
	pause   func(host string, paused bool)
}

// onboarded is one app as its rows say.
type onboarded struct {
	app         *appRow // nil: other rows came before it, or outlive it
	clients     *clientsRow
	identities  *identitiesRow
	quota       *quotaRow
	state       *stateRow
	credentials map[credentialKey]*credentialRow
}

// credentialKey is one of an app's credential sets.
type credentialKey struct {
	platform carillon.Platform
	set      string
}

// part is where its row stands.
func (k credentialKey) part() string {
	if k.set == "" {
		return partCredentials + k.platform.String()
	}
	return partCredentials + k.platform.String() + "/" + k.set
}

func parseCredentialPart(part string) (k credentialKey, ok bool) {
	name, set, named := strings.Cut(strings.TrimPrefix(part, partCredentials), "/")
	k.platform, ok = carillon.ParsePlatform(name)
	k.set = set
	return k, ok && named == (set != "") && carillon.ValidateSet(set) == nil
}

// made says when something was changed and by whom.
type made struct {
	At int64  `json:"at"` // milliseconds since 1970
	By string `json:"by"` // the client id of an administrator, or "admin"
}

type appRow struct {
	made
	// Verified is when the host was proven, milliseconds since 1970; 0: not yet.
	Verified int64 `json:"verified,omitempty"`
	Created  int64 `json:"created"`
}

type clientsRow struct {
	made
	Clients []string `json:"clients"`
}

type identitiesRow struct {
	made
	Identities []identityBody `json:"identities"`
}

type quotaRow struct {
	made
	quotaBody
}

// stateRow says whether an app is paused. Apps of the configuration have one too.
type stateRow struct {
	made
	Paused bool `json:"paused"`
}

type credentialRow struct {
	made
	Sealed []byte `json:"sealed"`
	Key    string `json:"key"`

	open  carillon.Credential // opened; the zero value when that failed
	print string              // tells keys apart without telling them
}

// NewRegistry makes the set of these apps of the configuration. Lend, which may
// be nil, completes apps that are onboarded later.
func NewRegistry(fixed []carillon.App, lend func(*carillon.App), sealer Sealer, log *slog.Logger) (*Registry, error) {
	r := &Registry{
		fixed: fixed, lend: lend, sealer: sealer, log: log,
		apps: make(map[string]*onboarded), rows: make(map[string][]byte), changed: func(carillon.Lane) {}, pause: func(string, bool) {},
	}
	set, err := carillon.NewApps(fixed)
	if err != nil {
		return nil, err
	}
	r.set.Store(set)
	return r, nil
}

// Apps is the present set.
func (r *Registry) Apps() *carillon.Apps { return r.set.Load() }

// OnChange has f called with every lane whose credential changed; it must not
// block. Call it before rows come.
func (r *Registry) OnChange(f func(carillon.Lane)) { r.changed = f }

// OnPause has f called with every app that is paused or goes on; it must not block.
// Call it before rows come.
func (r *Registry) OnPause(f func(host string, paused bool)) { r.pause = f }

// Apply takes in rows of the table. A row that cannot be read is logged and
// passed over: one broken app must not stop the others.
func (r *Registry) Apply(rows []journal.Row) {
	r.mu.Lock()
	var lanes []carillon.Lane
	for _, row := range rows {
		if row.Value == nil {
			delete(r.rows, row.Key)
		} else {
			r.rows[row.Key] = row.Value
		}
		lane, err := r.apply(row)
		if err != nil {
			r.log.Error("a row of an onboarded app cannot be used; put that part of the app again", "row", row.Key, "error", err)
		}
		if lane.Platform != carillon.PlatformNone {
			lanes = append(lanes, lane)
		}
	}
	r.rebuild()
	r.mu.Unlock()
	for _, lane := range lanes {
		r.changed(lane)
	}
	for _, row := range rows { // each as it is now, whatever came in between
		if host, part, ok := splitAppKey(row.Key); ok && part == partState {
			r.pause(host, r.isPaused(host))
		}
	}
}

// isPaused tells whether an administrator stopped the app.
func (r *Registry) isPaused(host string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.apps[host]
	return a != nil && a.state != nil && a.state.Paused
}

// Rows are those of the onboarded apps, as a backup keeps them: credentials are
// sealed in them.
func (r *Registry) Rows() map[string]json.RawMessage {
	r.mu.Lock()
	defer r.mu.Unlock()
	rows := make(map[string]json.RawMessage, len(r.rows))
	for key, value := range r.rows {
		rows[key] = value
	}
	return rows
}

// splitAppKey takes a row's key apart.
func splitAppKey(key string) (host, part string, ok bool) {
	rest, ok := strings.CutPrefix(key, appPrefix)
	if at := strings.IndexByte(rest, '/'); at >= 0 {
		return rest[:at], rest[at:], ok
	}
	return rest, partApp, ok
}

func (r *Registry) apply(row journal.Row) (lane carillon.Lane, err error) {
	host, part, ok := splitAppKey(row.Key)
	if !ok || carillon.ValidateHost(host) != nil {
		return lane, fmt.Errorf("%.80q is no key of an app", row.Key)
	}
	a := r.apps[host]
	if a == nil {
		a = &onboarded{credentials: make(map[credentialKey]*credentialRow)}
		r.apps[host] = a
	}
	switch {
	case part == partApp:
		a.app, err = decodeRow[appRow](row.Value)
	case part == partClients:
		a.clients, err = decodeRow[clientsRow](row.Value)
	case part == partIdentities:
		a.identities, err = decodeRow[identitiesRow](row.Value)
	case part == partQuota:
		a.quota, err = decodeRow[quotaRow](row.Value)
	case part == partState:
		a.state, err = decodeRow[stateRow](row.Value)
	case strings.HasPrefix(part, partCredentials):
		k, known := parseCredentialPart(part)
		if !known {
			return lane, fmt.Errorf("%.80q is no key of an app", row.Key)
		}
		lane = carillon.Lane{Platform: k.platform, Host: host}
		delete(a.credentials, k)
		var c *credentialRow
		if c, err = decodeRow[credentialRow](row.Value); err != nil || c == nil {
			return lane, err
		}
		a.credentials[k] = c
		err = r.unseal(c, host, k)
	default: // of a newer version
	}
	return lane, err
}

// decodeRow reads a row's value; nil for a removed one.
func decodeRow[T any](value []byte) (*T, error) {
	if value == nil {
		return nil, nil //nolint:nilnil // removed: that is no fault
	}
	row := new(T)
	if err := json.Unmarshal(value, row); err != nil {
		return nil, err
	}
	return row, nil
}

// place is where alone a sealed credential can be opened.
func (k credentialKey) place(host string) string {
	return host + "/" + strings.TrimPrefix(k.part(), partCredentials)
}

func (r *Registry) unseal(c *credentialRow, host string, k credentialKey) error {
	text, err := r.sealer.Open(c.Sealed, c.Key, k.place(host))
	if err != nil {
		return err
	}
	var body credentialBody
	if err := json.Unmarshal(text, &body); err != nil {
		return err
	}
	c.open, c.print = body.credential(k), body.print()
	return nil
}

// rebuild makes the present set anew. Apps whose host is not proven are not in
// it: to senders they do not exist.
func (r *Registry) rebuild() {
	apps := slices.Clone(r.fixed)
	for host, a := range r.apps {
		if a.app == nil || a.app.Verified == 0 || r.isFixed(host) {
			continue
		}
		app := a.build(host)
		if r.lend != nil {
			r.lend(&app)
		}
		apps = append(apps, app)
	}
	set, err := carillon.NewApps(apps)
	if err != nil { // hosts are validated and stand once: cannot be
		r.log.Error("the onboarded apps cannot be used; the last set stays", "error", err)
		return
	}
	r.set.Store(set)
}

func (a *onboarded) build(host string) carillon.App {
	app := carillon.App{Host: host}
	if a.clients != nil {
		app.Clients = a.clients.Clients
	}
	if a.identities != nil {
		for _, i := range a.identities.Identities {
			p, _ := carillon.ParsePlatform(i.Platform)
			app.Identities = append(app.Identities, carillon.Identity{Platform: p, AppID: i.AppID})
		}
	}
	if a.quota != nil {
		app.Quota = a.quota.quota()
	}
	for _, k := range a.sets() {
		if c := a.credentials[k]; c.open.Platform != carillon.PlatformNone {
			app.Credentials = append(app.Credentials, c.open)
		}
	}
	return app
}

// sets are the credential sets in order: by platform, the one without a name
// first.
func (a *onboarded) sets() []credentialKey {
	return slices.SortedFunc(maps.Keys(a.credentials), func(x, y credentialKey) int {
		return cmp.Or(cmp.Compare(x.platform, y.platform), cmp.Compare(x.set, y.set))
	})
}

// setsOf counts those of a platform.
func (a *onboarded) setsOf(p carillon.Platform) int {
	n := 0
	for k := range a.credentials {
		if k.platform == p {
			n++
		}
	}
	return n
}

// isFixed tells whether the configuration has an app with this host.
func (r *Registry) isFixed(host string) bool {
	return slices.ContainsFunc(r.fixed, func(a carillon.App) bool { return a.Host == host })
}

// find is a copy of what is known of an onboarded app; false when there is none.
func (r *Registry) find(host string) (onboarded, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.apps[host]
	if a == nil || a.app == nil {
		return onboarded{}, false
	}
	c := *a
	c.credentials = make(map[credentialKey]*credentialRow, len(a.credentials))
	maps.Copy(c.credentials, a.credentials)
	return c, true
}

// hosts lists the onboarded apps in order.
func (r *Registry) hosts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var hosts []string
	for host, a := range r.apps {
		if a.app != nil {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return hosts
}
