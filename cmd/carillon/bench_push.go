package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"runtime/pprof"

	"carillon/bench"
)

func benchPushCommand() command {
	return command{
		name:    "bench push",
		args:    "--provider apns|fcm|wns --target URL [--ca FILE] [-n N] [-c IN_FLIGHT] [--connections K]",
		summary: "push to any HTTP/2 server and measure what a request costs",
		about: "A closed loop of pushes with distinct device addresses and ids, by the gateway's own senders: payload,\n" +
			"header fields, HTTP/2 and TLS are what a real vendor would get. Credentials are made up for the run.\n" +
			"CPU is this process' own, user and system. `make bench-h2` compares it with others.",
		examples: []string{
			"carillon bench push --provider apns --target https://127.0.0.1:9443 --ca sandbox/ca.pem -n 300000 -c 500 --json",
			"carillon bench push --provider fcm --target https://127.0.0.1:9444 --ca sandbox/ca.pem --connections 4",
		},
		setup: func(fs *flag.FlagSet) runner {
			p := bench.Push{}
			vendor := fs.String("provider", "apns", "whose protocol: `apns|fcm|wns`")
			fs.StringVar(&p.Target, "target", "", "base `URL` of the server; for wns its host and port are dialled")
			fs.StringVar(&p.CA, "ca", "", "PEM `FILE` of the certificates to trust; empty: the system's")
			fs.IntVar(&p.Pushes, "n", 300_000, "`N` pushes")
			fs.IntVar(&p.Warmup, "warmup", 0, "`N` pushes before that are not measured (default a quarter, at most 20000)")
			fs.IntVar(&p.InFlight, "c", 500, "`N` pushes without an answer at most, over all connections")
			fs.IntVar(&p.Connections, "connections", 1, "`N` connections")
			fs.IntVar(&p.Body, "size", 230, "`BYTES` of a payload, where the vendor's frame is not longer by itself")
			profile := fs.String("cpuprofile", "", "write a CPU profile to this `FILE`")
			return func(ctx context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				var ok bool
				if p.Platform, ok = bench.ParseProvider(*vendor); !ok {
					return usagef("--provider is apns, fcm or wns, not %q", *vendor)
				}
				if p.Target == "" {
					return usagef("--target says where to push to, as in https://127.0.0.1:9443")
				}
				return e.benchPush(ctx, p, *profile)
			}
		},
	}
}

func (e *env) benchPush(ctx context.Context, p bench.Push, profile string) (err error) {
	if p.Dir, err = os.MkdirTemp("", "carillon-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(p.Dir)) }()
	if profile != "" {
		f, err := os.Create(profile) //nolint:gosec // named by the operator
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	res, err := p.Run(ctx)
	if err != nil {
		return err
	}
	return e.answer(res, res.Write)
}
