package main

import (
	"context"
	"errors"
	"flag"
	"os"

	"carillon/bench"
)

func benchClearsCommand() command {
	return command{
		name:    "bench clears",
		args:    "[--samples N] [--rate N] [--load SHARE]",
		summary: "measure how soon a dismissal reaches the other devices",
		about: "Users with three sandbox devices each dismiss on one of them; measured is the time from when the call is\n" +
			"due until the vendor of the last other device has the clear, while the gateway sends to other users at a\n" +
			"share of its peak, which is measured first. Open loop: a late call counts from when it was due.",
		examples: []string{"carillon bench clears", "carillon bench clears --samples 2000 --rate 200 --others 2000 --peak 20000 --json"},
		setup: func(fs *flag.FlagSet) runner {
			c := bench.Clears{}
			fs.IntVar(&c.Samples, "samples", 10_000, "`N` users who dismiss, once each")
			fs.IntVar(&c.Rate, "rate", 400, "`N` dismissals a second")
			fs.IntVar(&c.Others, "others", 20_000, "`N` users who get the load")
			fs.IntVar(&c.Peak, "peak", 100_000, "`N` notifications to measure the peak with, three deliveries each")
			fs.Float64Var(&c.Load, "load", 0.5, "`SHARE` of the peak that is sent meanwhile")
			return func(ctx context.Context, e *env, args []string) (err error) {
				if err := none(args); err != nil {
					return err
				}
				if c.Samples < 1 || c.Rate < 1 || c.Others < 1 || c.Peak < 1 || c.Load < 0 {
					return usagef("samples, rate, others and peak are at least 1, load at least 0")
				}
				if c.Bin, err = os.Executable(); err != nil {
					return err
				}
				if c.Dir, err = os.MkdirTemp("", "carillon-bench-"); err != nil {
					return err
				}
				c.Progress = e.stderr
				res, err := c.Run(ctx)
				if err != nil {
					return err // the directory stays: it holds the logs
				}
				return errors.Join(e.answer(res, res.Write), os.RemoveAll(c.Dir))
			}
		},
	}
}
