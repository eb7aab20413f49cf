package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"carillon"
	"carillon/store/pebble"
)

func restoreCommand() command {
	return command{
		name:    "restore",
		args:    "--from PATH --data DIR",
		summary: "make a data directory from a backup",
		about: "The directory must be empty or missing. The journal starts anew in the next epoch. Deliveries that were\n" +
			"under way when the backup was made may have rung since: they end as unconfirmed (storeLost); those that\n" +
			"waited for a retry or for their vendor go on. What was accepted after the backup is lost.",
		examples: []string{"carillon restore --from /var/backups/carillon/monday --data /var/lib/carillon"},
		setup: func(fs *flag.FlagSet) runner {
			from := fs.String("from", "", "`PATH` of the backup")
			data := fs.String("data", "", "`DIR` to make")
			return func(_ context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				if *from == "" || *data == "" {
					return usagef("name the backup with --from and the directory to make with --data")
				}
				r, err := restore(*from, *data, &carillon.Clock{})
				if err != nil {
					return err
				}
				return e.answer(r, func(w io.Writer) {
					fmt.Fprintf(w, "restored %s as of %s; the journal goes on in epoch %d\n", r.Data, r.Made.Format("2006-01-02 15:04:05 MST"), r.Epoch)
					fmt.Fprintf(w, "%s under way then; of their deliveries %d unconfirmed (storeLost)\n", counted(r.UnderWay, "notification"), r.Unconfirmed)
				})
			}
		},
	}
}

// restored tells what restoring did.
type restored struct {
	Data string `json:"data"`
	manifest
	// UnderWay are the notifications that were not settled, Unconfirmed their
	// deliveries that nothing is known of.
	UnderWay    int64 `json:"underWay"`
	Unconfirmed int64 `json:"unconfirmed"`
}

// restore makes data from a backup, whole or not at all: it works beside it and
// takes its name at the end.
func restore(from, data string, clock *carillon.Clock) (*restored, error) {
	m, err := readManifest(from)
	if err != nil {
		return nil, err
	}
	data, err = filepath.Abs(data)
	if err != nil {
		return nil, err
	}
	names, err := os.ReadDir(data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(names) > 0 {
		return nil, fmt.Errorf("%s is not empty: move it away, or name another with --data", data)
	}
	work := data + ".restoring"
	if err := os.RemoveAll(work); err != nil { //nolint:gosec // the operator names it
		return nil, err
	}
	r := &restored{Data: data, manifest: *m}
	if err := r.build(from, work, clock); err != nil {
		return nil, errors.Join(err, os.RemoveAll(work)) //nolint:gosec // the operator names it
	}
	if err := os.Remove(data); err != nil && !errors.Is(err, fs.ErrNotExist) { //nolint:gosec // the operator names it
		return nil, err
	}
	if err := os.Rename(work, data); err != nil { //nolint:gosec // the operator names it
		return nil, err
	}
	return r, syncDir(filepath.Dir(data))
}

func readManifest(from string) (*manifest, error) {
	path := filepath.Join(from, manifestFile)
	b, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no whole backup: it has no %s", from, manifestFile)
	}
	if err != nil {
		return nil, err
	}
	m := &manifest{}
	switch err := json.Unmarshal(b, m); {
	case err != nil || m.Format < 1 || m.Epoch < 1:
		return nil, fmt.Errorf("%s is damaged: take another backup", path)
	case m.Format > manifestFormat:
		return nil, fmt.Errorf("%s is of a newer version (format %d): use that version", path, m.Format)
	case m.Epoch >= carillon.MaxEpoch:
		return nil, fmt.Errorf("%s: there is no epoch after %d", path, m.Epoch)
	}
	return m, nil
}

func (r *restored) build(from, work string, clock *carillon.Clock) error {
	to := filepath.Join(work, backupStore)
	if err := os.MkdirAll(to, 0o700); err != nil { //nolint:gosec // the operator names it
		return err
	}
	names, err := os.ReadDir(filepath.Join(from, backupStore))
	if err != nil {
		return err
	}
	for _, n := range names {
		if !n.Type().IsRegular() {
			continue
		}
		if err := copyFile(filepath.Join(from, backupStore, n.Name()), filepath.Join(to, n.Name())); err != nil {
			return err
		}
	}
	if err := copyFile(filepath.Join(from, masterFile), filepath.Join(work, masterFile)); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(from, appsFile), filepath.Join(work, appsFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := inStore(to, clock, r.giveUp); err != nil {
		return err
	}
	r.Epoch++
	if err := writeEpoch(work, r.Epoch); err != nil {
		return err
	}
	return errors.Join(syncDir(to), syncDir(work))
}

// giveUp ends what was under way when the backup was made: the journal that
// would tell is gone. The ledger closes with a last range for it.
func (r *restored) giveUp(s *pebble.Store) (err error) {
	v, err := s.Snapshot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	progress, err := v.Partitions()
	if err != nil {
		return err
	}
	last := make(map[int32]*carillon.LedgerRow)
	for _, p := range progress {
		last[p.Partition] = &carillon.LedgerRow{Partition: p.Partition, From: p.Settled, To: max(p.Applied, p.Settled), Expires: v.Now() + carillon.MaxLife.Milliseconds()}
	}
	rows := &carillon.Rows{}
	walked := v.EachItem(func(u carillon.User, it *carillon.Item) bool {
		row := last[it.Partition]
		if row == nil { // its partition's first position was not written yet
			row = &carillon.LedgerRow{Partition: it.Partition, Expires: v.Now() + carillon.MaxLife.Milliseconds()}
			last[it.Partition] = row
		}
		if it.Content < row.From {
			return true
		}
		row.To = max(row.To, it.Content+1)
		r.end(u, it, row, rows)
		if len(rows.Outcomes) >= 1000 {
			err = s.Write(rows, false)
			rows.Outcomes, rows.Ended = rows.Outcomes[:0], rows.Ended[:0]
		}
		return err == nil
	})
	if err = errors.Join(err, walked); err != nil {
		return err
	}
	for _, row := range last {
		if row.From == 0 && row.To > 0 {
			row.From = carillon.MakeSeq(row.To.Epoch(), 0)
		}
		if row.To > row.From {
			rows.Ledger = append(rows.Ledger, *row)
			rows.Positions = append(rows.Positions, carillon.Progress{Partition: row.Partition, Applied: row.To, Settled: row.To})
		}
	}
	return s.Write(rows, true)
}

// end counts an item that was under way, and ends its deliveries that wait
// nowhere.
func (r *restored) end(u carillon.User, it *carillon.Item, row *carillon.LedgerRow, rows *carillon.Rows) {
	r.UnderWay++
	row.Records++
	row.Planned += int64(len(it.Deliveries))
	for i := range it.Deliveries {
		d := &it.Deliveries[i]
		switch {
		case d.Outcome.Class.Terminal():
		case d.Hint != carillon.HintNone:
			row.Open++
			continue
		default:
			r.Unconfirmed++
			d.Outcome = carillon.Outcome{Class: carillon.Unconfirmed, Reason: "storeLost"}
			rows.Outcomes = append(rows.Outcomes, carillon.OutcomeRow{User: u, Created: it.Created, Content: it.Content, Expires: it.Expires, Delivery: *d})
			rows.Ended = append(rows.Ended, carillon.EndedRow{User: u, Item: it, Delivery: d})
		}
		row.Terminal[d.Outcome.Class]++
	}
}
