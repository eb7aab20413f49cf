package main

import (
	"cmp"
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
	"sync"

	"carillon/config"
	"carillon/gateway"
	"carillon/journal"
	"carillon/journal/embedded"
)

// appsFile holds the rows of onboarded apps: in a backup, and in a data
// directory that was made from one until its first start has put them into the
// new journal.
const appsFile = "apps.json"

func writeApps(dir string, rows map[string]json.RawMessage) error {
	b, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(dir, appsFile), append(b, '\n'))
}

// stoppedApps reads the onboarded apps of a data directory whose process is
// stopped: they stand in its journal.
func stoppedApps(ctx context.Context, cfg *config.Config) (map[string]json.RawMessage, error) {
	rows := make(map[string]json.RawMessage)
	err := withStoppedJournal(ctx, cfg, func(ctx context.Context, j journal.Config) error {
		table := journal.NewTable(j, gateway.AppsTable, func(changes []journal.Row) {
			for _, r := range changes {
				if r.Value == nil {
					delete(rows, r.Key)
				} else {
					rows[r.Key] = r.Value
				}
			}
		}, slog.New(slog.DiscardHandler))
		if err := table.Open(ctx); err != nil {
			return err
		}
		stop, cancel := context.WithCancel(ctx)
		cancel()
		return table.Run(stop) // closes its connections
	})
	return rows, err
}

// journalDir is where the embedded journal lies.
func journalDir(cfg *config.Config) string {
	return cmp.Or(cfg.Embedded.Dir, filepath.Join(cfg.Data, "journal"))
}

// withStoppedJournal lets do ask the embedded journal of a process that is not
// running.
func withStoppedJournal(ctx context.Context, cfg *config.Config, do func(ctx context.Context, j journal.Config) error) (err error) {
	b := cfg.Embedded
	b.Dir = journalDir(cfg)
	broker, err := embedded.Open(b, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	ctx, done := context.WithTimeout(ctx, openTimeout)
	defer done()
	return do(ctx, cfg.Journal.Embedded(broker.Addr()))
}

// restoreApps puts what a backup kept of apps into the journal, once, unless
// somebody onboarded them anew since.
func (s *system) restoreApps(ctx context.Context) error {
	path := filepath.Join(s.cfg.Data, appsFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var kept map[string]json.RawMessage
	if err := json.Unmarshal(b, &kept); err != nil {
		return fmt.Errorf("%s is damaged (%w): take it from the backup again, or delete it to start without its apps", path, err)
	}
	var rows []journal.Row
	present := s.tableRows()
	for _, key := range slices.Sorted(maps.Keys(kept)) {
		if _, is := present[key]; !is {
			rows = append(rows, journal.Row{Key: key, Value: kept[key]})
		}
	}
	if err := s.putApps(ctx, rows); err != nil {
		return err
	}
	return os.Remove(path)
}

// putApps puts rows before the stages run: the table is followed meanwhile.
func (s *system) putApps(ctx context.Context, rows []journal.Row) error {
	if len(rows) == 0 {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	var followed error
	var following sync.WaitGroup
	following.Go(func() { followed = s.table.Run(ctx) })
	err := s.table.Put(ctx, rows...)
	stop()
	following.Wait()
	return errors.Join(err, followed)
}
