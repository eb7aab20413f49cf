package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"carillon"
	"carillon/config"
	"carillon/internal/httpapi"
	"carillon/journal"
	"carillon/store/pebble"
)

func auditCommand() command {
	return command{
		name:    "audit",
		args:    "[--ops ADDR | --data DIR]",
		summary: "prove that every planned delivery ended, or waits where it is found",
		about: "Looks at everything that the store holds at one moment: the ledger's ranges follow each other up to\n" +
			"what is settled; in each, what was planned ended or waits; every open delivery of a settled notification\n" +
			"has one place where it waits, and nothing else waits there. Asks a running process over its ops listener;\n" +
			"with --data it reads the data directory of one that is stopped, and checks that its store holds what its\n" +
			"journal's readers have committed, too: a store that lost its last rows is consistent. Fails when it does not close.",
		examples: []string{
			"carillon audit",
			"carillon audit --ops 127.0.0.1:8411 --json",
			"carillon audit --data ./carillon-data",
		},
		setup: func(fs *flag.FlagSet) runner {
			ops := opsFlag(fs)
			var o config.Options
			o.Flags(fs, "data")
			return func(ctx context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				var r *auditReport
				var err error
				if given(o, "data") {
					r, err = e.auditData(ctx, o)
				} else {
					r = &auditReport{}
					err = newOpsClient(*ops).patient().call(ctx, http.MethodGet, "/audit", nil, nil, r)
				}
				if err != nil {
					return err
				}
				if err := e.answer(r, r.write); err != nil {
					return err
				}
				if !r.Closed {
					return fmt.Errorf("it does not close: %s", counted(r.ProblemCount, "problem"))
				}
				return nil
			}
		},
	}
}

// given tells whether a flag was on the command line.
func given(o config.Options, name string) bool {
	return slices.ContainsFunc(o.Set, func(s config.Setting) bool { return s.Flag == name })
}

func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// auditData looks into the data directory of a process that is not running.
func (e *env) auditData(ctx context.Context, o config.Options) (_ *auditReport, err error) {
	cfg, err := e.load(o)
	if err != nil {
		return nil, err
	}
	store, err := openStopped(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	marks, err := stoppedMarks(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return auditStore(ctx, store, marks...)
}

// stoppedMarks are where the embedded journal of a data directory stands whose
// process is not running: none when it was never started.
func stoppedMarks(ctx context.Context, cfg *config.Config) (marks []journal.Mark, err error) {
	if len(cfg.Journal.Brokers) > 0 {
		return nil, nil
	}
	if _, err := os.Stat(journalDir(cfg)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	epoch, err := epochOf(cfg.Data, cfg.Journal.Epoch)
	if err != nil {
		return nil, err
	}
	err = withStoppedJournal(ctx, cfg, func(ctx context.Context, j journal.Config) error {
		j.Epoch = epoch
		marks, err = journal.Marks(ctx, j)
		return err
	})
	return marks, err
}

// openStopped opens the store of a process that is not running.
func openStopped(cfg *config.Config) (*pebble.Store, error) {
	where := cfg.Store
	where.Dir = storeDir(cfg)
	if _, err := os.Stat(where.Dir); err != nil {
		return nil, fmt.Errorf("there is no store at %s: name the data directory of an all-in-one process with --data", where.Dir)
	}
	return pebble.Open(where, &carillon.Clock{}, slog.New(slog.DiscardHandler))
}

// audit answers GET /audit, one at a time.
func (s *system) audit(ctx context.Context, r httpapi.OpsRequest) (any, error) {
	if r.Method != http.MethodGet {
		return nil, carillon.Errorf(carillon.CodeMethodNotAllowed, "", "GET")
	}
	if !s.auditing.TryLock() {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", "another audit or backup is under way: wait for it")
	}
	defer s.auditing.Unlock()
	return auditStore(ctx, s.store)
}

func auditStore(ctx context.Context, store *pebble.Store, marks ...journal.Mark) (_ *auditReport, err error) {
	v, err := store.Snapshot()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	a := newAuditor(v)
	a.marks = marks
	if err := a.run(ctx); err != nil {
		return nil, err
	}
	return &a.report, nil
}

// auditReport is the answer of GET /audit and of `carillon audit --json`.
type auditReport struct {
	// Closed tells that there is no problem.
	Closed     bool             `json:"closed"`
	At         time.Time        `json:"at"`
	Partitions []auditPartition `json:"partitions"`
	// Items and Deliveries are a recount: live items whose record is settled,
	// and their deliveries by class. What expired or was replaced since is in
	// the ledger only, and what ended late is open there.
	Items      int64            `json:"items"`
	Deliveries map[string]int64 `json:"deliveries"`
	// Unsettled counts live items whose record is not settled yet.
	Unsettled int64 `json:"unsettled"`
	// Due and Parked are the places where deliveries wait, Stale those of
	// versions that were replaced, which go when their turn comes.
	Due    int64 `json:"due"`
	Parked int64 `json:"parked"`
	// Clears are the endpoints that wait to be told of changes, Scheduled the
	// notifications that wait for their time.
	Clears    int64 `json:"clears"`
	Scheduled int64 `json:"scheduled"`
	Stale     int64 `json:"stale"`
	// Problems are the first of them, a line each.
	Problems     []string `json:"problems"`
	ProblemCount int64    `json:"problemCount"`
}

// auditPartition sums up the ledger of a partition, From … Settled.
type auditPartition struct {
	Partition int32            `json:"partition"`
	From      string           `json:"from"`
	Settled   string           `json:"settled"`
	Applied   string           `json:"applied"`
	Ranges    int64            `json:"ranges"`
	Records   int64            `json:"records"`
	Planned   int64            `json:"planned"`
	Open      int64            `json:"open"` // when their range was settled
	Terminal  map[string]int64 `json:"terminal"`
}

func (r *auditReport) write(w io.Writer) {
	for _, p := range r.Partitions {
		fmt.Fprintf(w, "partition %-3d %s … %s: %s of %s, %d planned = %s\n", p.Partition, p.From, p.Settled,
			counted(p.Ranges, "range"), counted(p.Records, "record"), p.Planned, classes(p.Terminal, p.Open))
	}
	fmt.Fprintf(w, "live          %s, deliveries: %s\n", counted(r.Items, "settled item"), classes(r.Deliveries, 0))
	fmt.Fprintf(w, "waiting       %d due, %d parked, %d of replaced versions, %d clears, %d scheduled; %s not settled yet\n", r.Due, r.Parked, r.Stale, r.Clears, r.Scheduled, counted(r.Unsettled, "item"))
	for _, p := range r.Problems {
		fmt.Fprintf(w, "PROBLEM       %s\n", p)
	}
	if left := r.ProblemCount - int64(len(r.Problems)); left > 0 {
		fmt.Fprintf(w, "              and %d more\n", left)
	}
	if r.Closed {
		fmt.Fprintln(w, "closed        nothing is missing and nothing is counted twice")
	}
}

// classes is "3 accepted + 1 gone + 2 waiting".
func classes(terminal map[string]int64, open int64) string {
	var parts []string
	for _, c := range slices.Sorted(maps.Keys(terminal)) {
		parts = append(parts, fmt.Sprintf("%d %s", terminal[c], c))
	}
	if open > 0 || len(parts) == 0 {
		parts = append(parts, fmt.Sprintf("%d waiting", open))
	}
	return strings.Join(parts, " + ")
}
