package main

import (
	"context"
	"flag"
	"os"

	"carillon/bench"
)

func benchCommand() command {
	return command{
		name:    "bench",
		args:    "[--users N] [--notifications N] [--rounds N] [--peer BIN]",
		summary: "measure the whole gateway on this machine",
		about: "W1: notifications in bulk over TLS for users with one endpoint each, with the broker, the store and a\n" +
			"fast sandbox vendor on the same machine. Prints every round, CPU µs a notification by stage, and the\n" +
			"ratio to a loop over apns2 against the same sandbox (--peer, built by `make bench`).",
		examples: []string{"make bench", "carillon bench --users 10000 --notifications 200000 --rounds 1 --json"},
		setup: func(fs *flag.FlagSet) runner {
			w := bench.W1{}
			fs.IntVar(&w.Users, "users", 1_000_000, "`N` users")
			fs.IntVar(&w.Notifications, "notifications", 2_000_000, "`N` notifications a round")
			fs.IntVar(&w.Rounds, "rounds", 3, "`N` rounds")
			fs.IntVar(&w.Connections, "connections", 8, "`N` connections that send")
			fs.IntVar(&w.Lines, "lines", 1000, "`N` notifications a request")
			fs.StringVar(&w.Peer, "peer", "", "`BIN` of bench/peers; empty: no comparison")
			return func(ctx context.Context, e *env, args []string) (err error) {
				if err := none(args); err != nil {
					return err
				}
				if w.Bin, err = os.Executable(); err != nil {
					return err
				}
				if w.Dir, err = os.MkdirTemp("", "carillon-bench-"); err != nil {
					return err
				}
				w.Progress = e.stderr
				joined, rounds, err := w.Run(ctx)
				if err != nil {
					return err // the directory stays: it holds the logs
				}
				report := bench.NewReport("W1", joined, rounds)
				if err := os.RemoveAll(w.Dir); err != nil {
					return err
				}
				return e.answer(report, report.Write)
			}
		},
	}
}
