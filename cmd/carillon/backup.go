package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"carillon"
	"carillon/config"
	"carillon/internal/httpapi"
	"carillon/store/pebble"
)

// A backup is a directory: the store as a checkpoint, the master key, the
// onboarded apps with their sealed credentials, and a manifest, which is written last: without it the backup is not whole.
const (
	manifestFile   = "backup.json"
	manifestFormat = 1
	backupStore    = "store"
)

// manifest tells what a backup holds.
type manifest struct {
	Format int       `json:"format"`
	Made   time.Time `json:"made"`
	// Epoch is that of the journal whose records the store holds.
	Epoch uint16 `json:"epoch"`
	// Partitions are how far the store is.
	Partitions []manifestPartition `json:"partitions"`
}

type manifestPartition struct {
	Partition int32        `json:"partition"`
	Applied   carillon.Seq `json:"applied"`
	Settled   carillon.Seq `json:"settled"`
}

// backupOrder is the body of POST /backup.
type backupOrder struct {
	To string `json:"to"`
}

// backupAnswer tells where a backup is.
type backupAnswer struct {
	Path string `json:"path"`
	manifest
}

func backupCommand() command {
	return command{
		name:    "backup",
		args:    "--to PATH [--ops ADDR | --data DIR]",
		summary: "copy the store and the master key of an all-in-one process to a new directory",
		about: "Asks a running process over its ops listener, which goes on meanwhile; the path is one of its machine.\n" +
			"With --data it copies the data directory of one that is stopped. The journal is not in it: what was\n" +
			"accepted later than the backup is lost to whoever goes back to it. The master key is: keep it safe.",
		examples: []string{
			"carillon backup --to /var/backups/carillon/monday",
			"carillon backup --data ./carillon-data --to ./carillon-backup --json",
		},
		setup: func(fs *flag.FlagSet) runner {
			to := fs.String("to", "", "`PATH` of the directory to make")
			ops := opsFlag(fs)
			var o config.Options
			o.Flags(fs, "data")
			return func(ctx context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				if *to == "" {
					return usagef("--to: name a directory that is to be made")
				}
				path, err := filepath.Abs(*to)
				if err != nil {
					return err
				}
				r := &backupAnswer{}
				if given(o, "data") {
					r, err = e.backupData(ctx, o, path)
				} else {
					err = newOpsClient(*ops).patient().call(ctx, http.MethodPost, "/backup", nil, backupOrder{To: path}, r)
				}
				if err != nil {
					return err
				}
				return e.answer(r, func(w io.Writer) {
					fmt.Fprintf(w, "backed up to %s\n", r.Path)
					for _, p := range r.Partitions {
						fmt.Fprintf(w, "partition %-3d applied %s, settled %s\n", p.Partition, p.Applied, p.Settled)
					}
				})
			}
		},
	}
}

// backupData copies the data directory of a process that is not running.
func (e *env) backupData(ctx context.Context, o config.Options, to string) (_ *backupAnswer, err error) {
	cfg, err := e.load(o)
	if err != nil {
		return nil, err
	}
	if len(cfg.Journal.Brokers) > 0 {
		return nil, errKafkaBackup
	}
	store, err := openStopped(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	epoch, err := epochOf(cfg.Data, cfg.Journal.Epoch)
	if err != nil {
		return nil, err
	}
	apps, err := stoppedApps(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return makeBackup(store, cfg.Data, to, epoch, apps, &carillon.Clock{})
}

var errKafkaBackup = errors.New("the journal is a Kafka of its own, and a store without the records that came after it is no backup: this command is for the embedded journal")

// backup answers POST /backup.
func (s *system) backup(_ context.Context, r httpapi.OpsRequest) (any, error) {
	if r.Method != http.MethodPost {
		return nil, carillon.Errorf(carillon.CodeMethodNotAllowed, "", `POST {"to":"/path"}`)
	}
	if s.broker == nil {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", "%v", errKafkaBackup)
	}
	var order backupOrder
	if err := json.Unmarshal(r.Body, &order); err != nil || !filepath.IsAbs(order.To) {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "to", `want {"to":"/path"}, a full path of a directory to be made`)
	}
	if !s.auditing.TryLock() {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", "another audit or backup is under way: wait for it")
	}
	defer s.auditing.Unlock()
	answer, err := makeBackup(s.store, s.cfg.Data, order.To, max(s.cfg.Journal.Epoch, 1), s.tableRows(), s.clock)
	if err != nil {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "to", "%v", err)
	}
	return answer, nil
}

// makeBackup makes the directory to. The manifest's positions are read from the
// copy, which shows as well that the copy opens.
func makeBackup(store *pebble.Store, data, to string, epoch uint16, apps map[string]json.RawMessage, clock *carillon.Clock) (*backupAnswer, error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil { //nolint:gosec // the operator names it
		return nil, err
	}
	if err := os.Mkdir(to, 0o700); err != nil { //nolint:gosec // the operator names it
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%s is there already: name a directory that is not", to)
		}
		return nil, err
	}
	copied := filepath.Join(to, backupStore)
	if err := store.Checkpoint(copied); err != nil {
		return nil, err
	}
	m := manifest{Format: manifestFormat, Made: clock.Now().UTC(), Epoch: epoch}
	if err := inStore(copied, clock, func(s *pebble.Store) (err error) {
		m.Partitions, err = positions(s)
		return err
	}); err != nil {
		return nil, err
	}
	for _, p := range m.Partitions {
		m.Epoch = max(m.Epoch, p.Applied.Epoch(), p.Settled.Epoch())
	}
	if err := copyFile(filepath.Join(data, masterFile), filepath.Join(to, masterFile)); err != nil {
		return nil, err
	}
	if err := writeApps(to, apps); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := writeSynced(filepath.Join(to, manifestFile), append(b, '\n')); err != nil {
		return nil, err
	}
	return &backupAnswer{Path: to, manifest: m}, errors.Join(syncDir(to), syncDir(filepath.Dir(to)))
}

// positions are how far a store's partitions are.
func positions(s *pebble.Store) (all []manifestPartition, err error) {
	v, err := s.Snapshot()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	progress, err := v.Partitions()
	for _, p := range progress {
		all = append(all, manifestPartition{Partition: p.Partition, Applied: p.Applied, Settled: p.Settled})
	}
	return all, err
}

// smallCache is enough for a look at a store.
const smallCache = 8 << 20

// inStore opens a store for fn.
func inStore(dir string, clock *carillon.Clock, fn func(*pebble.Store) error) (err error) {
	s, err := pebble.Open(pebble.Config{Dir: dir, CacheBytes: smallCache}, clock, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return fn(s)
}

// copyFile copies into a new private file that is on the disk when it returns.
func copyFile(from, to string) error {
	in, err := os.Open(from) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
