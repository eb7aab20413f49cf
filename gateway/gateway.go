package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// Journal takes records; it returns when each is acknowledged or has failed.
// It keeps nothing of the entries after that. [journal.Writer] is one.
type Journal interface {
	Append(ctx context.Context, entries []journal.Entry) error
}

// Store is what the doors look up. Rows appear when a record was applied, some
// time after it was acknowledged.
type Store interface {
	Endpoints(dst []carillon.Endpoint, u carillon.User) ([]carillon.Endpoint, error)
	// Item is nil without an error when there is none.
	Item(u carillon.User, created carillon.Seq) (*carillon.Item, error)
	// Find leads from a derived id to its item.
	Find(u carillon.User, id carillon.ID) (created carillon.Seq, ok bool, err error)
	Idem(u carillon.User, rid carillon.RequestID) (carillon.Idem, bool, error)
}

// Verifier tells whose token it is. [auth.Verifier] is one.
type Verifier interface {
	Verify(token []byte) (*auth.Principal, error)
}

// Applied waits, bounded, until the rows of a record are written.
// [httpapi.Applied] is one.
type Applied interface {
	Wait(ctx context.Context, pos carillon.Position) error
}

// Deps is what the gateway works with. All of it is required but where it says
// otherwise.
type Deps struct {
	// Apps is the present set of apps.
	Apps          func() *carillon.Apps
	Journal       Journal
	Store         Store
	Auth          Verifier
	Subscriptions *auth.Subscriptions
	IDs           *carillon.IDKey
	// Partitions is the journal's number of partitions; 0 is its default, 64.
	Partitions int
	Applied    Applied
	// Lookup finds notifications by their ids and hears of keyed sends; nil makes
	// one. Whatever else of this process looks them up should share it.
	Lookup *httpapi.Lookup
	// Parked is how many deliveries of an app wait for its vendors; nil when
	// this process has no dispatcher.
	Parked func(host string) int64
	// Broadcasts are those that the processes follow, Table is where changes to them
	// are put, and BroadcastCounts is what became of one; nil where there are none.
	Broadcasts      *Broadcasts
	Table           Table
	BroadcastCounts func(host, id string) (carillon.BroadcastCounts, error)
	// BroadcastPace is how fast one goes, BroadcastMembers who has it, in the order
	// of the journal.
	BroadcastPace    func(host, id string) carillon.BroadcastPace
	BroadcastMembers func(dst []carillon.MemberRow, partition int32, host, id string, after carillon.Seq, n int) ([]carillon.MemberRow, error)
	// Progress is how far the rows of a partition are written.
	Progress func(partition int32) (carillon.Progress, error)
	// Gateways is how many gateways share the apps' quotas; nil is one.
	Gateways func() int
	// Fit is the kind that a push becomes at its vendor, a tap where its content
	// would not fit; nil takes the planned kind for it.
	Fit func(p *carillon.Push) carillon.Kind
	// JournalGone is when what is journalled at a time has left the journal, both
	// milliseconds since 1970; 0: not by itself.
	JournalGone func(now int64) int64
	// Served, when set, hears of the endpoints that call.
	Served *Served
	Clock  *carillon.Clock
	Log    *slog.Logger
}

// Gateway answers the requests that append. Safe for concurrent use.
type Gateway struct {
	cfg     Config
	deps    Deps
	metrics *ingress
	recent  *recent
	budget  *budget
	quotas  *quotas
	castMu  sync.Mutex     // held while what is kept of a broadcast is changed
	casts   map[string]int // postings under way, by host

	patience patience
	sends    sync.Pool // *send
	bulks    sync.Pool // *bulk
	imports  sync.Pool // *importer
}

// New makes a gateway. It starts nothing.
func New(cfg Config, deps Deps) *Gateway {
	cfg = cfg.WithDefaults()
	if deps.Partitions <= 0 {
		deps.Partitions = journal.DefaultPartitions
	}
	if deps.Lookup == nil {
		deps.Lookup = httpapi.NewLookup(deps.Store, deps.IDs, deps.Applied, deps.Partitions, func(u carillon.User) int32 {
			return journal.Partition(u.AppendKey(nil), deps.Partitions)
		})
	}
	return &Gateway{
		cfg: cfg, deps: deps,
		metrics: newIngress(),
		recent:  newRecent(cfg.RecentKeys),
		budget:  newBudget(int64(cfg.BulkBudgetBytes)),
		quotas:  newQuotas(deps.Gateways),
		casts:   make(map[string]int),

		patience: patience{most: cfg.AppendTimeout},
	}
}

// Register adds the gateway's routes.
func (g *Gateway) Register(rt *httpapi.Router) {
	rt.Handle("POST", "/beta/me/notifications", g.postMine)
	rt.Handle("POST", "/beta/users/{id}/notifications", g.postTheirs)
	rt.Handle("POST", "/api/v1/notifications", g.postBulk)
	rt.Bound("POST", "/api/v1/notifications", g.cfg.BulkBytes)

	rt.Handle("POST", "/api/v1/broadcasts", g.postBroadcast)
	rt.Stream("POST", "/api/v1/broadcasts")
	rt.Handle("GET", "/api/v1/broadcasts", g.listBroadcasts)
	rt.Handle("GET", "/api/v1/broadcasts/{bid}", g.getBroadcast)
	rt.Handle("PATCH", "/api/v1/broadcasts/{bid}", g.patchBroadcast)

	rt.Handle("POST", "/api/v1/endpoints", g.importEndpoints)
	rt.Stream("POST", "/api/v1/endpoints")
	rt.Handle("PUT", "/api/v1/me/endpoints/{installationId}", g.putEndpoint)
	rt.Handle("GET", "/api/v1/me/endpoints", g.listEndpoints)
	rt.Handle("DELETE", "/api/v1/me/endpoints/{installationId}", g.deleteEndpoint)
	rt.Handle("PUT", "/api/v1/users/{id}/endpoints/{installationId}", g.putEndpoint)
	rt.Handle("GET", "/api/v1/users/{id}/endpoints", g.listEndpoints)
	rt.Handle("DELETE", "/api/v1/users/{id}/endpoints/{installationId}", g.deleteEndpoint)

	for _, who := range []string{"/me", "/users/{id}"} {
		graph, own := "/beta"+who+"/notifications", "/api/v1"+who
		rt.Handle("PATCH", graph+"/{nid}", g.patch)
		rt.Handle("DELETE", graph+"/{nid}", g.remove)
		rt.Handle("POST", own+"/notifications/state", g.postState)
		rt.Handle("POST", own+"/feed/ack", g.postAck)
		rt.Handle("DELETE", own, g.erase)
	}
}

// append hands entries to the journal and waits for the acknowledgement, not
// longer than the config says.
func (g *Gateway) append(ctx context.Context, entries []journal.Entry) error {
	from := g.deps.Clock.Now()
	err := g.deps.Journal.Append(g.patience.from(ctx, from), entries)
	g.metrics.appends.Update(g.deps.Clock.Now().Sub(from).Seconds())
	if err != nil {
		return unknown(err)
	}
	return nil
}

// unknown turns a fault that the journal has no word for, such as the end of a
// context, into the one honest answer.
func unknown(err error) error {
	if _, ok := errors.AsType[*carillon.Error](err); ok {
		return err
	}
	return &carillon.Error{
		Code: carillon.CodeUnavailable, RetryAfter: retryAfter, Cause: err,
		Message: "the outcome is unknown: it may have been accepted. Repeat it with the same Idempotency-Key (or appNotificationId), which never rings twice",
	}
}
