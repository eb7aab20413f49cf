package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"

	"carillon/provider/sandbox"
)

const sandboxDocs = "docs/testing.md has recipes. "

// change asks the ops listener for a list: GET with --list, DELETE with --clear, else
// POST with body. The answer is what is in force after it.
type change struct{ list, clear bool }

func (c *change) flags(fs *flag.FlagSet, what string) {
	fs.BoolVar(&c.list, "list", false, "only list the "+what+" in force")
	fs.BoolVar(&c.clear, "clear", false, "forget all "+what)
}

func (c *change) ask(ctx context.Context, e *env, ops, path string, body any) error {
	method := http.MethodPost
	switch {
	case c.list && c.clear:
		return usagef("--list or --clear, not both")
	case c.list:
		method, body = http.MethodGet, nil
	case c.clear:
		method, body = http.MethodDelete, nil
	}
	var now []json.RawMessage
	if err := newOpsClient(ops).call(ctx, method, path, nil, body, &now); err != nil {
		return err
	}
	return e.answer(now, func(w io.Writer) {
		for _, one := range now {
			fmt.Fprintf(w, "%s\n", one)
		}
		if len(now) == 0 {
			fmt.Fprintln(w, "none in force")
		}
	})
}

func sandboxFaultCommand() command {
	return command{
		name:    "sandbox fault",
		args:    "[--vendor V] [--address A] [--status N] [--rate F] [--for D] … | --list | --clear",
		summary: "make sandbox vendors answer wrongly, late or not at all",
		about: "The fault meets requests that are valid otherwise; the first that fits wins. It stays until --clear, or\n" +
			"for --times requests, or for a window of the sandbox's clock. --clear also answers what was held.\n" + sandboxDocs +
			"The same by HTTP: POST, GET, DELETE /sandbox/faults.",
		examples: []string{
			"carillon sandbox fault --vendor apns --share 0.05 --status 410",
			"carillon sandbox fault --vendor fcm --status 503 --retry-after 30 --for 60s",
			"carillon sandbox fault --vendor wns --status 200 --reason channelthrottled --times 3",
			"carillon sandbox fault --clear",
		},
		setup: func(fs *flag.FlagSet) runner {
			var f sandbox.Fault
			var c change
			var vendor string
			ops := opsFlag(fs)
			fs.StringVar(&vendor, "vendor", "", "apns, fcm, wns or token `V`; all push vendors when not given")
			fs.StringVar(&f.Address, "address", "", "only this device `A`")
			fs.IntVar(&f.Status, "status", 0, "HTTP status `N`; 0: what the vendor would answer anyway")
			fs.StringVar(&f.Reason, "reason", "", "the vendor's `WORD`: Unregistered, UNREGISTERED, HTML, channelthrottled …")
			fs.StringVar(&f.RetryAfter, "retry-after", "", "Retry-After as it stands: seconds or an HTTP date `S`")
			fs.DurationVar(&f.Delay, "delay", 0, "answer so `LONG` after")
			fs.BoolVar(&f.Hold, "hold", false, "do not answer until --clear")
			fs.BoolVar(&f.Disconnect, "disconnect", false, "take it, then cut the connection instead of answering")
			fs.BoolVar(&f.GoAway, "go-away", false, "answer, then GOAWAY; with --disconnect the push is not taken")
			fs.BoolVar(&f.Reset, "reset", false, "RST_STREAM REFUSED_STREAM, not taken")
			fs.IntVar(&f.Times, "times", 0, "so often `N`; 0: until --clear")
			fs.Float64Var(&f.Rate, "rate", 0, "share of the requests `F`, by chance; 0: all")
			fs.Float64Var(&f.Share, "share", 0, "share of the devices `F`, always the same; 0: all")
			fs.DurationVar(&f.After, "after", 0, "begin so `LATE`")
			fs.DurationVar(&f.For, "for", 0, "last so `LONG`; 0: until --clear")
			fs.DurationVar(&f.Every, "every", 0, "begin again every so `OFTEN`; needs --for")
			c.flags(fs, "faults")
			return func(ctx context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				f.Vendor = sandbox.Vendor(vendor)
				if f == (sandbox.Fault{}) && !c.list && !c.clear {
					return usagef("say what shall go wrong, or --list or --clear")
				}
				return c.ask(ctx, e, *ops, "/sandbox/faults", f)
			}
		},
	}
}

func sandboxActCommand() command {
	return command{
		name:    "sandbox act",
		args:    "KIND [--vendor V] [--streams N] [--after D] [--every D] … | --list | --clear",
		summary: "make sandbox vendors do something to their open connections",
		about: "KIND is streams (move the limit of concurrent streams), goaway, close (FIN), reset (RST), silence (reads\n" +
			"on, answers nothing), stall (does not read either) or halfclose. Without --after and --every: now. The\n" +
			"time is real time. --clear also ends silence and stall.\n" + sandboxDocs +
			"The same by HTTP: POST, GET, DELETE /sandbox/acts.",
		examples: []string{
			"carillon sandbox act streams --vendor apns --streams 1",
			"carillon sandbox act goaway --vendor apns --reason Shutdown --every 2s",
			"carillon sandbox act silence --for 30s",
			"carillon sandbox act --clear",
		},
		setup: func(fs *flag.FlagSet) runner {
			var a sandbox.Act
			var c change
			var vendor string
			var streams uint
			ops := opsFlag(fs)
			fs.StringVar(&vendor, "vendor", "", "apns, fcm or wns `V`; all when not given")
			fs.UintVar(&streams, "streams", 0, "the new limit `N`")
			fs.StringVar(&a.Reason, "reason", "", "`WORD` of a GOAWAY's debug text")
			fs.DurationVar(&a.After, "after", 0, "do it so `LATE`")
			fs.DurationVar(&a.Every, "every", 0, "again every so `OFTEN`")
			fs.IntVar(&a.Times, "times", 0, "with --every: so often `N`; 0: until --clear")
			fs.DurationVar(&a.For, "for", 0, "how `LONG` silence and stall last; 0: to the connection's end")
			fs.Float64Var(&a.Share, "share", 0, "share of the connections `F`; 0: all")
			c.flags(fs, "planned acts")
			return func(ctx context.Context, e *env, args []string) error {
				if want := !c.list && !c.clear; want != (len(args) == 1) {
					return usagef("say which one thing: streams, goaway, close, reset, silence, stall or halfclose; or --list or --clear")
				} else if want {
					a.Kind = sandbox.ActKind(args[0])
				}
				a.Vendor, a.Streams = sandbox.Vendor(vendor), uint32(min(streams, 1<<31))
				return c.ask(ctx, e, *ops, "/sandbox/acts", a)
			}
		},
	}
}
