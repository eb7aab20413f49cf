package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

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
	k, err := findKnown(store, &ids, u, id)
	if err != nil {
		return nil, err
	}
	r := explain(u, id, k, (&carillon.Clock{}).UnixMilli())
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

// shelves is what telling of a notification needs of the store.
type shelves interface {
	Find(u carillon.User, id carillon.ID) (created carillon.Seq, ok bool, err error)
	Item(u carillon.User, created carillon.Seq) (*carillon.Item, error)
	Items(u carillon.User, before carillon.Seq, n int) ([]*carillon.Item, error)
	Endpoints(dst []carillon.Endpoint, u carillon.User) ([]carillon.Endpoint, error)
	Sync(u carillon.User) (carillon.Sync, error)
}

// findKnown looks a notification up by its id, with what its user's endpoints
// told. The error of one that is not there is a [carillon.Error] with
// [carillon.CodeNotFound] that says what is known.
func findKnown(store shelves, ids *carillon.IDKey, u carillon.User, id carillon.ID) (*known, error) {
	pos, positional := ids.Position(u.Hash(), id)
	if !positional {
		seq, ok, err := store.Find(u, id)
		if err != nil {
			return nil, err
		}
		if ok {
			pos.Seq = seq
		}
	}
	k := &known{}
	var err error
	if k.endpoints, err = store.Endpoints(nil, u); err != nil {
		return nil, err
	}
	if k.sync, err = store.Sync(u); err != nil {
		return nil, err
	}
	if pos.Seq != 0 {
		if k.item, err = store.Item(u, pos.Seq); k.item != nil || err != nil {
			return k, err
		}
	}
	newest, err := store.Items(u, 0, 1)
	if err != nil {
		return nil, err
	}
	return nil, unknownID(u, id, pos, positional, k, newest)
}

// unknownID says what is known of a notification that is not there, and of its
// user.
func unknownID(u carillon.User, id carillon.ID, pos carillon.Position, positional bool, k *known, newest []*carillon.Item) error {
	why := "never sent with that key, expired, or of another user"
	if positional {
		why = fmt.Sprintf("the id is of the record at %s of partition %d, which was journalled for this user: it expired, was the oldest of too many, or is not applied yet", pos.Seq, pos.Partition)
	}
	has := "no notification"
	if len(newest) > 0 {
		has = "newer notifications, the last accepted " + time.UnixMilli(newest[0].Accepted).UTC().Format(time.RFC3339)
		if !positional || newest[0].Created < pos.Seq {
			has = "other notifications, the last accepted " + time.UnixMilli(newest[0].Accepted).UTC().Format(time.RFC3339)
		}
	}
	return carillon.Errorf(carillon.CodeNotFound, "notification", "%s has no notification %s: %s. The user has %d endpoints and %s", u, id, why, len(k.endpoints), has)
}
