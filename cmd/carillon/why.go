package main

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"net/url"
	"path/filepath"

	"carillon"
	"carillon/config"
)

func whyCommand() command {
	return command{
		name:    "why",
		args:    "--user HOST/USER --notification ID [--ops ADDR | --data DIR]",
		summary: "tell what became of a notification, endpoint by endpoint",
		about: "Asks a running process over its ops listener; with --data it reads the data directory of one that is\n" +
			"stopped.",
		examples: []string{
			"carillon why --user demo.localhost/dev.alice --notification 0b7c0f0e-…",
			"carillon why --user demo.localhost/dev.alice --notification 0b7c0f0e-… --ops 127.0.0.1:8411 --json",
			"carillon why --user demo.localhost/dev.alice --notification 0b7c0f0e-… --data ./carillon-data",
		},
		setup: func(fs *flag.FlagSet) runner {
			user := fs.String("user", "", "whose it is: `HOST/USER`, as demo.localhost/dev.alice")
			id := fs.String("notification", "", "the `ID` that the send answered")
			ops := opsFlag(fs)
			var o config.Options
			o.Flags(fs, "data")
			return func(ctx context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				u, err := carillon.ParseUser(*user)
				if err != nil {
					return usagef("--user: %s", carillon.AsError(err).Message)
				}
				nid, err := carillon.ParseID(*id)
				if err != nil {
					return usagef("--notification: %s", carillon.AsError(err).Message)
				}
				var r *report
				if given(o, "data") {
					r, err = e.readWhy(o, u, nid)
				} else {
					r, err = askWhy(ctx, *ops, u, nid)
				}
				if err != nil {
					return err
				}
				return e.answer(r, r.write)
			}
		},
	}
}

// askWhy asks the process whose ops listener is at ops.
func askWhy(ctx context.Context, ops string, u carillon.User, id carillon.ID) (*report, error) {
	var r report
	query := url.Values{"user": {u.Key()}, "notification": {id.String()}}
	if err := newOpsClient(ops).call(ctx, http.MethodGet, "/why", query, nil, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// readWhy looks into the data directory of a process that is not running.
func (e *env) readWhy(o config.Options, u carillon.User, id carillon.ID) (_ *report, err error) {
	cfg, err := e.load(o)
	if err != nil {
		return nil, err
	}
	master, err := loadMaster(cfg.Data)
	if err != nil {
		return nil, err
	}
	ids := carillon.IDKey(master.Derive(idsLabel))
	store, err := openStopped(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	it, err := findItem(store, &ids, u, id)
	if err != nil {
		return nil, err
	}
	r := explain(u, id, it, (&carillon.Clock{}).UnixMilli())
	return &r, nil
}

// idsLabel derives the key of notification ids from the master key.
const idsLabel = "ids"

// storeDir is where the embedded store lies.
func storeDir(cfg *config.Config) string {
	if cfg.Store.Dir != "" {
		return cfg.Store.Dir
	}
	return filepath.Join(cfg.Data, "store")
}

// items is what finding a notification needs of the store.
type items interface {
	Find(u carillon.User, id carillon.ID) (created carillon.Seq, ok bool, err error)
	Item(u carillon.User, created carillon.Seq) (*carillon.Item, error)
}

// findItem looks a notification up by its id. The error of one that is not there
// is a [carillon.Error] with [carillon.CodeNotFound].
func findItem(store items, ids *carillon.IDKey, u carillon.User, id carillon.ID) (*carillon.Item, error) {
	created := carillon.Seq(0)
	if p, ok := ids.Position(u.Hash(), id); ok {
		created = p.Seq
	} else if seq, ok, err := store.Find(u, id); err != nil {
		return nil, err
	} else if ok {
		created = seq
	}
	if created != 0 {
		it, err := store.Item(u, created)
		if it != nil || err != nil {
			return it, err
		}
	}
	return nil, carillon.Errorf(carillon.CodeNotFound, "notification", "%s has no notification %s: never sent, expired, or of another user", u, id)
}
