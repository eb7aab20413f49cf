package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"carillon"
	"carillon/config"
	"carillon/dispatch"
	"carillon/feed"
	"carillon/gateway"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
	"carillon/journal/embedded"
	"carillon/provider"
	"carillon/provider/sandbox"
	"carillon/store/pebble"
)

const (
	openTimeout = 30 * time.Second
	// linksLabel derives the key of the tokens in links from the master key.
	linksLabel = "links"
)

// system is the gateway with everything it consists of, wired. The order of
// its stages is the walk of a notification backwards: what is started last, the
// doors, is stopped first.
type system struct {
	cfg    *config.Config
	log    *slog.Logger
	clock  *carillon.Clock
	master *auth.Master
	apps   *gateway.Registry
	casts  *gateway.Broadcasts
	sealer *auth.Sealer
	ids    carillon.IDKey

	broker     *embedded.Broker // nil with a Kafka of its own
	sandbox    *sandbox.Server  // nil with real vendors only
	store      *pebble.Store
	writer     *journal.Writer
	group      *journal.Group
	table      *journal.Table
	vendors    *provider.Vendors
	dispatcher *dispatch.Dispatcher
	applied    *httpapi.Applied
	verifier   *auth.Verifier
	issuer     *auth.DevIssuer // nil where it may not exist
	doors      *httpapi.Server
	space      *space
	feed       *feed.Feed
	ops        *httpapi.Ops

	// auditing is held by what looks at the whole store.
	auditing sync.Mutex

	stages []stage
}

// openSystem opens everything and wires it; nothing runs yet. On an error all
// that was opened is closed again.
func openSystem(ctx context.Context, cfg *config.Config, log *slog.Logger) (_ *system, err error) {
	s := &system{cfg: cfg, log: log, clock: &carillon.Clock{}}
	defer func() {
		if err != nil {
			for _, stage := range slices.Backward(s.stages) {
				if stage.close != nil {
					err = errors.Join(err, stage.close())
				}
			}
		}
	}()
	for _, step := range []func(context.Context) error{
		s.openData, s.openJournal, s.openStore, s.openVendors, s.openDispatch, s.openApps, s.openDoors,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// openData makes the data directory and reads or makes the master key.
func (s *system) openData(context.Context) error {
	dir := s.cfg.Data
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dataFault(dir, err)
	}
	probe, err := os.CreateTemp(dir, ".writable-")
	if err != nil {
		return dataFault(dir, err)
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	if err := keyLost(dir, storeDir(s.cfg)); err != nil {
		return err
	}
	if s.master, err = auth.LoadMaster(filepath.Join(dir, masterFile), true); err != nil {
		return err
	}
	s.ids = s.master.Derive(idsLabel)
	s.sealer, err = auth.NewSealer(s.master)
	return err
}

// keyLost refuses a store without the key that its ids were made with: a new one
// would find none of them. The key is made first, so no crash leaves it so.
func keyLost(dir, store string) error {
	key := filepath.Join(dir, masterFile)
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		return nil // it is there, or cannot be read, which LoadMaster tells
	}
	if _, err := os.Stat(store); err != nil {
		return nil //nolint:nilerr // the first start
	}
	return fmt.Errorf("the master key file %s is gone, but %s was made with it: restore it from a backup; a new key would make ids, tokens, subscription ids and sealed credentials invalid", key, store)
}

// dataFault says what to do about a data directory that cannot be used.
func dataFault(dir string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return fmt.Errorf("the data directory %s cannot be written (%w): make it writable for this user, or name another with --data DIR", dir, err)
}

// openJournal starts the embedded broker unless a Kafka is configured, and
// makes sure that the topic is there.
func (s *system) openJournal(ctx context.Context) error {
	cfg := s.cfg.Journal
	if len(cfg.Brokers) == 0 {
		b := s.cfg.Embedded
		b.Dir = journalDir(s.cfg)
		broker, err := embedded.Open(b, s.log)
		if err != nil {
			return err
		}
		s.broker = broker
		s.stages = append(s.stages, stage{name: "embedded broker", close: broker.Close})
		cfg = cfg.Embedded(broker.Addr())
		if cfg.Epoch, err = epochOf(s.cfg.Data, cfg.Epoch); err != nil {
			return err
		}
	}
	if cfg.Partitions == 0 { // everybody below counts with it
		cfg.Partitions = journal.DefaultPartitions
	}
	ctx, done := context.WithTimeout(ctx, openTimeout)
	defer done()
	if err := journal.Ensure(ctx, cfg); err != nil {
		return err
	}
	s.cfg.Journal = cfg
	s.writer = journal.NewWriter(cfg, s.clock, s.log)
	s.group = journal.NewGroup(cfg, s.log)
	return nil
}

// openStore opens the embedded store.
func (s *system) openStore(context.Context) error {
	cfg := s.cfg.Store
	cfg.Dir = storeDir(s.cfg)
	store, err := pebble.Open(cfg, s.clock, s.log)
	if err != nil {
		return err
	}
	s.store = store
	s.space = &space{free: store.Free, least: store.MinFree(), clock: s.clock, log: s.log}
	s.stages = append(s.stages,
		stage{name: "store", run: store.Run, close: store.Close},
		stage{name: "room on the disk", run: s.space.run},
	)
	return nil
}

// openVendors onboards the apps, with the sandbox's credentials where none is
// real, and starts the sandbox for them.
func (s *system) openVendors(context.Context) error {
	apps := s.cfg.Onboarded()
	if len(apps) == 0 {
		apps = []carillon.App{sampleApp()}
	}
	if !realCredential(apps) && !s.cfg.Sandbox.Off {
		box, err := s.openSandbox()
		if err != nil {
			return err
		}
		for i := range apps {
			lendCredentials(&apps[i], box.Credentials())
		}
		reach(&s.cfg.Provider, box)
	}
	lend := func(a *carillon.App) {
		if s.sandbox != nil && strings.HasSuffix(a.Host, ".localhost") {
			lendCredentials(a, s.sandbox.Credentials())
		}
	}
	var err error
	s.apps, err = gateway.NewRegistry(apps, lend, s.sealer, s.log)
	return err
}

// openApps reads the apps that were onboarded, and follows them from then on.
func (s *system) openApps(ctx context.Context) error {
	s.casts = gateway.NewBroadcasts(s.dispatcher.Steer, s.log)
	s.table = journal.NewTable(s.cfg.Journal, gateway.AppsTable, s.applyRows, s.log)
	ctx, done := context.WithTimeout(ctx, openTimeout)
	defer done()
	s.apps.OnChange(s.dispatcher.Reopen)
	s.apps.OnPause(s.dispatcher.Pause)
	if err := s.table.Open(ctx); err != nil {
		return err
	}
	s.stages = append(s.stages, stage{name: "apps", run: s.table.Run})
	return s.restoreApps(ctx)
}

// applyRows takes in rows of the table of apps, in which broadcasts travel too.
func (s *system) applyRows(rows []journal.Row) {
	var apps, casts []journal.Row
	for _, r := range rows {
		if strings.HasPrefix(r.Key, gateway.BroadcastPrefix) {
			casts = append(casts, r)
		} else {
			apps = append(apps, r)
		}
	}
	s.apps.Apply(apps)
	s.casts.Apply(casts)
}

// tableRows are all rows of that table.
func (s *system) tableRows() map[string]json.RawMessage {
	rows := s.apps.Rows()
	maps.Copy(rows, s.casts.Rows())
	return rows
}

// allowReal tells whether a credential that rings real devices may come in while
// this process runs.
func (s *system) allowReal() error {
	if s.sandbox != nil {
		return errors.New("this gateway runs the sandbox's vendors: mark the credential sandbox: true, or start it with sandbox.off: true and " + auth.DevOffFlag)
	}
	return auth.DevAllowed(true, s.issuer != nil)
}

func (s *system) openSandbox() (*sandbox.Server, error) {
	mode := sandbox.Strict
	if s.cfg.Sandbox.Fast {
		mode = sandbox.Fast
	}
	box, err := newSandbox(sandbox.Config{
		Dir: filepath.Join(s.cfg.Data, "sandbox"), Mode: mode, Seed: s.cfg.Sandbox.Seed, Now: s.clock.Now, Logger: s.log.With("room", "sandbox"),
	}, s.cfg.Sandbox.Script)
	if err != nil {
		return nil, err
	}
	s.sandbox = box
	s.stages = append(s.stages, stage{name: "sandbox", run: box.Run})
	return box, nil
}

// taps leads from the dispatcher to the feed, which is wired after it and before
// either runs.
type taps struct{ s *system }

// Tap wakes who follows a user live.
func (t taps) Tap(userHash uint64, p carillon.Position) { t.s.feed.Tap(userHash, p) }

// openDispatch wires the dispatcher, and the writer that it and the doors
// append with, which therefore outlives both.
func (s *system) openDispatch(context.Context) error {
	s.vendors = provider.New(s.cfg.Provider, s.apps.Apps, s.clock, s.log)
	var err error
	s.dispatcher, err = dispatch.New(s.cfg.Dispatch, dispatch.Deps{
		Store:   s.store,
		Vendors: s.vendors,
		Journal: s.writer, Trim: s.trimmer(), Roll: s.roller(),
		Taps: taps{s}, IDs: &s.ids, Clock: s.clock, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.stages = append(s.stages,
		stage{name: "writer", run: s.writer.Run},
		stage{name: "dispatcher", run: func(ctx context.Context) error { return s.dispatcher.Run(ctx, s.group) }},
	)
	return nil
}

// trimmer lets the embedded broker forget what is settled; a Kafka of its own
// has its retention.
func (s *system) trimmer() func(context.Context, int32, carillon.Seq) error {
	if s.broker == nil {
		return nil
	}
	topic := s.cfg.Journal.TopicName()
	return func(ctx context.Context, partition int32, settled carillon.Seq) error {
		// One record stays: a log that was trimmed to its very end begins at
		// offset 0 again when the broker is opened anew.
		if settled.Offset() < 2 {
			return nil
		}
		return s.broker.TrimTo(ctx, topic, partition, settled.Offset()-1)
	}
}

// roller has the embedded broker begin another file for a partition, by a record
// that is nobody's; a Kafka of its own has its retention.
func (s *system) roller() func(context.Context, int32) error {
	if s.broker == nil {
		return nil
	}
	topic, partitions := s.cfg.Journal.TopicName(), s.cfg.Journal.Partitions
	return func(ctx context.Context, partition int32) error {
		return s.broker.Roll(ctx, topic, func(ctx context.Context) error {
			rec := journal.Record{Kind: journal.KindErase, At: s.clock.UnixMilli()}
			return s.writer.Append(ctx, []journal.Entry{{Key: journal.KeyIn(partition, partitions), Value: rec.Append(nil)}})
		})
	}
}

// journalGone is when what is journalled now has left the journal.
func (s *system) journalGone(now int64) int64 {
	switch keep := s.cfg.Journal.Retention; {
	case s.broker != nil:
		return now + time.Minute.Milliseconds()
	case keep > 0:
		return now + keep.Milliseconds()
	case keep < 0:
		return 0
	}
	return now + journal.DefaultRetention.Milliseconds()
}

// openDoors wires the doors and opens their ports, so that a port that is taken
// shows before anything runs.
func (s *system) openDoors(context.Context) error {
	if err := s.openVerifier(); err != nil {
		return err
	}
	s.applied = httpapi.NewApplied(s.store.Progress, s.clock)
	lookup := httpapi.NewLookup(s.store, &s.ids, s.applied, s.cfg.Journal.Partitions, func(u carillon.User) int32 {
		return journal.Partition(u.AppendKey(nil), s.cfg.Journal.Partitions)
	})
	subscriptions := auth.NewSubscriptions(s.master)
	served := gateway.NewServed(roomy{s.writer, s.space}, s.clock, s.log)
	s.doors = httpapi.New(s.cfg.HTTP, s.log, s.clock)
	doors := gateway.New(s.cfg.Gateway, gateway.Deps{
		Apps: s.apps.Apps, Journal: roomy{s.writer, s.space}, Store: s.store, Auth: s.verifier, Subscriptions: subscriptions,
		IDs: &s.ids, Partitions: s.cfg.Journal.Partitions, Applied: s.applied, Lookup: lookup, Parked: s.dispatcher.Parked,
		Broadcasts: s.casts, Table: s.table, BroadcastCounts: s.castCounts, BroadcastPace: s.dispatcher.Pace,
		BroadcastMembers: s.store.Members, Progress: s.store.Progress,
		JournalGone: s.journalGone, Fit: provider.Fit, Served: served, Clock: s.clock, Log: s.log,
	})
	doors.Register(s.doors.Router())
	links := feed.Key(s.master.Derive(linksLabel))
	s.feed = feed.New(s.cfg.Feed, feed.Deps{
		Apps: s.apps.Apps, Store: s.store, Outcomes: s.outcomes(), Directory: s.store, Lanes: s.dispatcher.Waiting, Served: served, Tokens: s.verifier, Subscriptions: subscriptions,
		IDs: &s.ids, Key: &links, Partitions: s.cfg.Journal.Partitions, Applied: s.applied, Lookup: lookup, Clock: s.clock, Log: s.log,
	})
	s.feed.Register(s.doors.Router())
	s.doors.Batch(func(token []byte) error {
		_, err := s.verifier.Verify(token)
		return err
	})
	s.doors.Describe()
	s.doors.Origins(func(origin string) bool { return s.apps.Apps().HasOrigin(origin) })
	audit, err := s.openAudit()
	if err != nil {
		return err
	}
	gateway.NewOnboarding(s.cfg.Gateway.Proof, gateway.OnboardingDeps{
		Registry: s.apps, Table: s.table, Auth: s.verifier, Sealer: s.sealer, Check: s.vendors.Check,
		AllowReal: s.allowReal, ProofKey: s.master.Derive("host-proof"), Clock: s.clock, Audit: audit,
	}).Register(s.doors.Router())
	s.ops = httpapi.NewOps(s.cfg.Ops, s.log, s.clock)
	s.registerOps()
	for _, listen := range []func() error{s.ops.Listen, s.doors.Listen} {
		if err := listen(); err != nil {
			return err
		}
	}
	s.stages = append(s.stages,
		stage{name: "ops listener", run: s.ops.Run},
		stage{name: "token cache", run: s.verifier.Run},
		stage{name: "position waiters", run: s.applied.Run},
		stage{name: "acknowledgements", run: served.Run},
		stage{name: "recalls", run: doors.Run},
		stage{name: "doors", run: s.doors.Run},
	)
	return nil
}

// outcomes is the log of outcomes, nil when none is kept.
func (s *system) outcomes() feed.Outcomes {
	if s.cfg.Store.Outcomes.Off {
		return nil
	}
	return s.store
}

// castCounts is what became of a broadcast in all partitions.
func (s *system) castCounts(host, id string) (carillon.BroadcastCounts, error) {
	return s.store.BroadcastCounts(s.cfg.Journal.Partitions, host, id)
}

// openAudit opens the log of administrative acts: one JSON object a line, beside
// the data, kept for as long as its operator keeps it.
func (s *system) openAudit() (*slog.Logger, error) {
	f, err := os.OpenFile(filepath.Join(s.cfg.Data, "audit.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, dataFault(s.cfg.Data, err)
	}
	s.stages = append(s.stages, stage{name: "audit log", close: f.Close})
	return slog.New(slog.NewJSONHandler(f, nil)), nil
}

// keySource is where the keys of a configured issuer come from.
func (s *system) keySource(i *config.Issuer) (auth.KeySource, error) {
	if i.JWKSFile != "" {
		return auth.NewJWKSFile(i.Issuer, i.JWKSFile)
	}
	src, err := auth.NewOIDC(i.Issuer, i.OIDCConfig, s.clock, s.log)
	if err != nil {
		return nil, err
	}
	s.stages = append(s.stages, stage{name: "keys of " + i.Alias, run: src.Run})
	return src, nil
}

// openVerifier gathers the sources of keys: the issuers of the configuration
// and, where it may exist, the development issuer.
func (s *system) openVerifier() error {
	var sources []auth.KeySource
	for _, i := range s.cfg.Issuers {
		src, err := s.keySource(&i)
		if err != nil {
			return err
		}
		sources = append(sources, src)
	}
	if !s.cfg.NoDevIssuer {
		listen := s.cfg.HTTP.WithDefaults().Listen
		if err := auth.DevAllowed(httpapi.IsLoopback(listen), realCredential(s.cfg.Onboarded())); err != nil {
			return err
		}
		var err error
		if s.issuer, err = auth.NewDevIssuer(s.master, s.clock); err != nil {
			return err
		}
		sources = append(sources, s.issuer)
	}
	admins, err := auth.NewAdminIssuer(s.master, s.clock)
	if err != nil {
		return err
	}
	sources = append(sources, admins)
	s.verifier, err = auth.NewVerifier(s.cfg.Auth, s.clock, sources...)
	return err
}
