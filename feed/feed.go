package feed

import (
	"context"
	"log/slog"
	"time"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

// Store is what feed reads of items.
type Store interface { //nolint:interfacebloat // one of each kind of read
	// Item is one row with its outcomes; nil when there is none.
	Item(u carillon.User, created carillon.Seq) (*carillon.Item, error)
	// Find leads from a derived id to its row.
	Find(u carillon.User, id carillon.ID) (created carillon.Seq, ok bool, err error)
	// History calls fn for the items created at from or later and before to (0:
	// no bound) in their order or newest first, without their deliveries, until
	// it returns false. The item is fn's until then. Rows is how many were read.
	History(u carillon.User, from, to carillon.Seq, newestFirst bool, fn func(it *carillon.Item) bool) (rows int, err error)
	// Changes calls fn for the entries of a part of the user's feed in ascending
	// order, tombstones included, until it returns false. Next is where to go on;
	// zero at the end.
	Changes(u carillon.User, r carillon.FeedRange, fn func(at carillon.Place, it *carillon.Item) bool) (next carillon.Place, rows int, err error)
	// Progress is how far a partition is.
	Progress(partition int32) (carillon.Progress, error)
	// Erased is the seq of the record that erased the user last; 0 when none did in
	// the last [carillon.MaxLife].
	Erased(u carillon.User) (carillon.Seq, error)
}

// Directory is what feed reads of endpoints: enough to refuse the subscription
// id of one that left, and all of a host to export them.
type Directory interface {
	Endpoints(dst []carillon.Endpoint, u carillon.User) ([]carillon.Endpoint, error)
	// Sync is what the user's endpoints were told, and told us.
	Sync(u carillon.User) (carillon.Sync, error)
	// EachEndpoint calls fn user by user, in the order of their ids, behind the
	// user id after, until fn returns false.
	EachEndpoint(host, after string, fn func(u carillon.User, eps []carillon.Endpoint) bool) error
}

// Served hears what is served to which endpoint, and what shows that it arrived.
// A call is a method and URI. All of it is cheap and never waits.
type Served interface { //nolint:interfacebloat // one of each kind of read
	// Came notes that an endpoint makes a call.
	Came(sub *auth.Subscription, call string)
	// All notes that a call serves it all of its user's notifications, up to a
	// seq of his feed; the newest of them changed at another.
	All(sub *auth.Subscription, call string, to, newest carillon.Seq)
	// One notes that a call serves it a single notification.
	One(sub *auth.Subscription, call string, id carillon.ID)
	// Got notes that it has its user's feed up to a seq, without a gap, GotOne
	// that it has a single notification.
	Got(sub *auth.Subscription, to carillon.Seq)
	GotOne(sub *auth.Subscription, id carillon.ID)
	// Live notes that it follows the feed behind a seq that it names, or 0.
	Live(sub *auth.Subscription, after carillon.Seq)
}

// Tokens tells whose a bearer token is.
type Tokens interface {
	Verify(token []byte) (*auth.Principal, error)
}

// Waiter waits, bounded, until the rows of a position are written.
type Waiter interface {
	Wait(ctx context.Context, pos carillon.Position) error
}

// Config bounds the live feed. The zero value is good.
type Config struct {
	// MaxStreams is how many live feeds this process serves, 10,000 by default;
	// they count among the connections too.
	MaxStreams int `yaml:"maxStreams"`
	// MaxUserStreams is how many of them one user may have, 16 by default.
	MaxUserStreams int `yaml:"maxUserStreams"`
	// Heartbeat is how often a live feed that has nothing to say is written to,
	// 10 s by default and 15 s at most.
	Heartbeat time.Duration `yaml:"heartbeat"`
}

func (c Config) withDefaults() Config {
	if c.MaxStreams <= 0 {
		c.MaxStreams = 10_000
	}
	if c.MaxUserStreams <= 0 {
		c.MaxUserStreams = 16
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = 10 * time.Second
	}
	c.Heartbeat = min(c.Heartbeat, 15*time.Second)
	return c
}

// Deps are the parts that feed works with. All of them but Outcomes and
// Lookup are needed.
type Deps struct {
	// Apps is the present set of onboarded apps.
	Apps  func() *carillon.Apps
	Store Store
	// Outcomes is nil where no log of them is kept.
	Outcomes  Outcomes
	Directory Directory
	// Lanes tells why the way to a vendor is shut and when it is tried next
	// (milliseconds since 1970); "" while it is open or not known.
	Lanes         func(carillon.Lane) (why string, until int64)
	Served        Served
	Tokens        Tokens
	Subscriptions *auth.Subscriptions
	IDs           *carillon.IDKey
	// Key is for the tokens of links and tickets.
	Key *Key
	// Partitions is the journal's number of partitions.
	Partitions int
	Applied    Waiter
	// Lookup finds notifications by their ids; nil makes one. It should be the one
	// that hears of this process's sends.
	Lookup *httpapi.Lookup
	Clock  *carillon.Clock
	Log    *slog.Logger
}

// Feed answers what callers and operators read.
type Feed struct {
	cfg     Config
	deps    Deps
	hub     *hub
	tickets *tickets
}

// New makes the doors out. It starts nothing.
func New(cfg Config, deps Deps) *Feed {
	cfg = cfg.withDefaults()
	f := &Feed{cfg: cfg, deps: deps, hub: newHub(cfg), tickets: newTickets(deps.Clock.UnixMilli())}
	if f.deps.Lookup == nil {
		f.deps.Lookup = httpapi.NewLookup(deps.Store, deps.IDs, deps.Applied, deps.Partitions, f.partition)
	}
	return f
}

// Tap wakes the live feeds of a user: rows of his are written, and can be read
// when the position is applied. It is called for every record of every user and
// costs one look where nobody follows. In a cluster it is what a tail of the
// taps topic calls.
func (f *Feed) Tap(userHash uint64, p carillon.Position) { f.hub.tap(userHash, p) }

// Register adds the routes.
func (f *Feed) Register(rt *httpapi.Router) {
	for _, who := range []string{"/me", "/users/{id}"} {
		graph, own := "/beta"+who+"/notifications", "/api/v1"+who
		rt.Handle("GET", graph, f.list)
		rt.Handle("GET", graph+"/$count", f.counted)
		rt.Handle("GET", graph+"/{nid}", f.one)
		rt.Handle("GET", graph+"/delta", f.delta)
		rt.Handle("GET", own+"/feed/events", f.events)
		rt.Handle("POST", own+"/feed/tickets", f.ticket)
		rt.Handle("GET", own+"/export", f.exportUser)
	}
	rt.Handle("GET", "/api/v1/users/{id}/notifications/{nid}/deliveries", f.deliveries)
	rt.Handle("GET", "/api/v1/endpoints", f.export)
	rt.Handle("GET", "/api/v1/outcomes", f.outcomes)
}
