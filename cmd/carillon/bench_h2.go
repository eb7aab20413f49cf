package main

import (
	"context"
	"errors"
	"flag"
	"os"

	"carillon/bench"
)

func benchH2Command() command {
	return command{
		name:    "bench h2",
		args:    "[--peers BIN] [--pushy CLASSPATH] [--h2load CMD] [--nghttpd CMD] [--rounds N]",
		summary: "compare `carillon bench push` with other HTTP/2 clients",
		about: "All tools push to one server in turn, round for round: the fast sandbox as a process of its own, or\n" +
			"nghttpd. Prints every round, and the ratios with 95 % intervals. `make bench-h2` installs what it needs;\n" +
			"docs/benchmarks.md says what is compared and what is not.",
		examples: []string{"make bench-h2", "carillon bench h2 --h2load h2load --rounds 3"},
		setup: func(fs *flag.FlagSet) runner {
			h := bench.H2{}
			fs.StringVar(&h.Peers, "peers", "", "`BIN` of bench/peers: http2.Transport and apns2; empty: without")
			fs.StringVar(&h.Pushy, "pushy", "", "`CLASSPATH` of bench/peers/pushy; empty: without")
			fs.StringVar(&h.H2load, "h2load", "", "`CMD` of h2load; empty: without")
			fs.StringVar(&h.Nghttpd, "nghttpd", "", "`CMD` of nghttpd, to push to it instead of the sandbox")
			fs.IntVar(&h.Rounds, "rounds", 10, "`N` rounds")
			fs.IntVar(&h.Pushes, "n", 300_000, "`N` pushes a round; slow tools send a part of it")
			fs.IntVar(&h.InFlight, "c", 500, "`N` pushes without an answer at most, over all connections")
			fs.IntVar(&h.Connections, "connections", 1, "`N` connections")
			fs.IntVar(&h.Body, "size", 230, "`BYTES` of a payload")
			out := fs.String("out", "", "also write the rounds to this `FILE`, as Go benchmark results for benchstat")
			return func(ctx context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				if h.Rounds < 1 || h.Pushes < 1 || h.Connections < 1 || h.InFlight < h.Connections || h.Body < 1 {
					return usagef("--rounds, -n, --connections and --size are 1 or more, -c is at least --connections")
				}
				return e.benchH2(ctx, &h, *out)
			}
		},
	}
}

func (e *env) benchH2(ctx context.Context, h *bench.H2, out string) (err error) {
	if h.Bin, err = os.Executable(); err != nil {
		return err
	}
	if h.Dir, err = os.MkdirTemp("", "carillon-bench-"); err != nil {
		return err
	}
	h.Progress = e.stderr
	turns, err := h.Run(ctx)
	if err == nil {
		err = os.RemoveAll(h.Dir) // else it stays: it holds the logs
	}
	if len(turns) == 0 {
		return err
	}
	report := h.Report(turns) // of an interrupted run too
	return errors.Join(err, writeGoBench(out, &report), e.answer(report, report.Write))
}

func writeGoBench(file string, report *bench.H2Report) error {
	if file == "" {
		return nil
	}
	f, err := os.Create(file) //nolint:gosec // named by the operator
	if err != nil {
		return err
	}
	report.WriteGo(f)
	return f.Close()
}
