package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"carillon/config"
	"carillon/provider/sandbox"
)

func serveCommand() command {
	return command{
		name:    "serve",
		args:    "[--data DIR] [--listen ADDR] [--ops ADDR] [--ephemeral] [--config FILE]",
		summary: "run the gateway",
		about: "All in one process unless the configuration says otherwise: an embedded journal and store under the\n" +
			"data directory, and sandbox vendors for apps without credentials. Port 0 takes a free one; what was\n" +
			"taken is printed. Ctrl-C stops it in order: nothing that was accepted is lost.",
		examples: []string{
			"carillon serve",
			"carillon serve --data /var/lib/carillon --config carillon.yaml",
			"carillon serve --ephemeral --listen 127.0.0.1:0 --ops 127.0.0.1:0 --json",
		},
		setup: func(fs *flag.FlagSet) runner {
			var o config.Options
			o.Flags(fs)
			verbose := fs.Bool("v", false, "log at debug")
			return func(ctx context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				cfg, err := e.load(o)
				if err != nil {
					return err
				}
				return e.serve(ctx, cfg, e.logger(*verbose), func(ctx context.Context, s *system) error {
					if err := e.announce(s); err != nil {
						return err
					}
					<-ctx.Done()
					return nil
				})
			}
		},
	}
}

// logger writes to stderr, as JSON with --json.
func (e *env) logger(verbose bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbose {
		o.Level = slog.LevelDebug
	}
	if e.json {
		return slog.New(slog.NewJSONHandler(e.stderr, o))
	}
	return slog.New(slog.NewTextHandler(e.stderr, o))
}

// serve runs the system that cfg describes until ctx ends or while returns,
// which starts when everything is started and consumes.
func (e *env) serve(ctx context.Context, cfg *config.Config, log *slog.Logger, while func(context.Context, *system) error) error {
	if cfg.Ephemeral {
		dir, err := os.MkdirTemp("", "carillon-")
		if err != nil {
			return fmt.Errorf("a temporary directory: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		cfg.Data = dir
	}
	s, err := openSystem(ctx, cfg, log)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	err = runStages(ctx, s.stages, func() {
		go func() {
			if s.settled(ctx) { // else something failed, or Ctrl-C came first
				ended <- while(ctx, s)
			} else {
				ended <- nil
			}
			stop()
		}()
	})
	stop()
	if failed := <-ended; failed != nil {
		return failed
	}
	return err
}

// readyPoll spaces the looks at the dispatcher while it takes its partitions.
const readyPoll = 2 * time.Millisecond

// settled waits until every partition is consumed, so that whoever is told
// "ready" finds it so; false when ctx ends first.
func (s *system) settled(ctx context.Context) bool {
	for s.dispatcher.Ready(s.cfg.Journal.Partitions) != nil {
		if s.clock.Sleep(ctx, readyPoll) != nil {
			return false
		}
	}
	return ctx.Err() == nil
}

// announcement is what `serve --json` prints when it is ready.
type announcement struct {
	URL  string `json:"url"`
	Ops  string `json:"ops"`
	Data string `json:"data"`
	// Sandbox is where the sandbox vendors listen, when there are any.
	Sandbox *sandboxAnnouncement `json:"sandbox,omitempty"`
}

type sandboxAnnouncement struct {
	sandbox.Addrs
	CAFile string `json:"caFile"`
	Seed   uint64 `json:"seed"`
}

func (e *env) announce(s *system) error {
	a := announcement{URL: s.doors.URL(), Ops: "http://" + s.ops.Addr(), Data: s.cfg.Data}
	if box := s.sandbox; box != nil {
		a.Sandbox = &sandboxAnnouncement{Addrs: box.Addrs(), CAFile: box.CAFile(), Seed: box.Seed()}
	}
	return e.answer(a, func(w io.Writer) {
		if a.Sandbox != nil {
			fmt.Fprintf(w, "vendors apns %s, fcm %s, wns %s (sandbox, seed %d)\n", a.Sandbox.APNs, a.Sandbox.FCM, a.Sandbox.WNS, a.Sandbox.Seed)
		}
		fmt.Fprintf(w, "data   %s\nops    %s\nready  %s\n", a.Data, a.Ops, a.URL)
	})
}
