package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"carillon"
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
				a.Vendor, a.Streams = sandbox.Vendor(vendor), uint32(min(streams, 1<<31)) //nolint:gosec // bounded here
				return c.ask(ctx, e, *ops, "/sandbox/acts", a)
			}
		},
	}
}

func sandboxConductCommand() command {
	return command{
		name:    "sandbox conduct",
		args:    "[VENDOR.NAME=VALUE …]",
		summary: "show or change how sandbox vendors always are",
		about: "Without arguments it lists what there is. latency is \"published\", \"off\", a duration or an object. What\n" +
			"concerns streams and SETTINGS holds for connections made from now on (`carillon sandbox act streams`\n" +
			"moves the open ones).\n" + sandboxDocs + "The same by HTTP: GET, PATCH /sandbox/conduct.",
		examples: []string{
			"carillon sandbox conduct",
			"carillon sandbox conduct apns.latency=published fcm.latency=published fcm.quotaPerMinute=10000",
			"carillon sandbox conduct apns.overrunReset=true apns.settingsDelay=30ms",
		},
		setup: func(fs *flag.FlagSet) runner {
			ops := opsFlag(fs)
			return func(ctx context.Context, e *env, args []string) error {
				method, patch := http.MethodGet, map[string]map[string]json.RawMessage{}
				for _, arg := range args {
					name, value, ok := strings.Cut(arg, "=")
					vendor, key, dotted := strings.Cut(name, ".")
					if !ok || !dotted {
						return usagef("%q is not VENDOR.NAME=VALUE", arg)
					}
					raw := json.RawMessage(value)
					if !json.Valid(raw) {
						raw, _ = json.Marshal(value) //nolint:errchkjson // a string
					}
					if patch[vendor] == nil {
						patch[vendor] = map[string]json.RawMessage{}
					}
					patch[vendor][key] = raw
				}
				var body any
				if len(patch) > 0 {
					method, body = http.MethodPatch, patch
				}
				now := map[string]map[string]json.RawMessage{}
				if err := newOpsClient(*ops).call(ctx, method, "/sandbox/conduct", nil, body, &now); err != nil {
					return err
				}
				return e.answer(now, func(w io.Writer) {
					for _, vendor := range slices.Sorted(maps.Keys(now)) {
						for _, key := range slices.Sorted(maps.Keys(now[vendor])) {
							fmt.Fprintf(w, "%s.%s=%s\n", vendor, key, now[vendor][key])
						}
					}
				})
			}
		},
	}
}

func sandboxDeviceCommand() command {
	return command{
		name:    "sandbox device",
		args:    "[ADDRESS [--offline | --online | --gone | --alive] [--wait N | --wait-accepted N]]",
		summary: "show sandbox devices, switch one off or on, let it die",
		about: "Shows what the device shows and what it got, in its order. A device that is offline gets what its vendor\n" +
			"kept when it is online again; one that is gone is answered 410 (APNs, WNS) or UNREGISTERED (FCM).\n" + sandboxDocs +
			"The same by HTTP: GET, PATCH /sandbox/devices/{percent-encoded address}.",
		examples: []string{"carillon sandbox device", "carillon sandbox device $ADDRESS --offline", "carillon sandbox device $ADDRESS --wait 2 --json"},
		setup: func(fs *flag.FlagSet) runner {
			ops := opsFlag(fs)
			var offline, online, gone, alive bool
			fs.BoolVar(&offline, "offline", false, "it cannot be reached")
			fs.BoolVar(&online, "online", false, "it can again")
			fs.BoolVar(&gone, "gone", false, "the app is gone from it")
			fs.BoolVar(&alive, "alive", false, "it is back")
			wait := fs.Int("wait", 0, "wait until it got `N` pushes; exit code 1 if not in time")
			accepted := fs.Int("wait-accepted", 0, "wait until its vendor took `N` pushes for it")
			timeout := fs.Duration("timeout", 10*time.Second, "how `LONG` --wait and --wait-accepted wait")
			return func(ctx context.Context, e *env, args []string) error {
				if offline && online || gone && alive || len(args) > 1 || len(args) == 0 && (offline || online || gone || alive) {
					return usagef("give one address, and not a state with its opposite")
				}
				if len(args) == 0 {
					return e.devices(ctx, *ops)
				}
				var body any
				method, p := http.MethodGet, devicePatch{}
				if offline || online {
					p.Offline = &offline
				}
				if gone || alive {
					p.Gone = &gone
				}
				if p != (devicePatch{}) {
					method, body = http.MethodPatch, p
				}
				var d deviceView
				client := newOpsClient(*ops)
				if err := client.call(ctx, method, devicePath(args[0]), nil, body, &d); err != nil {
					return err
				}
				enough := func() bool { return d.Delivered >= *wait && d.Accepted >= *accepted }
				slept, clock := time.Duration(0), carillon.Clock{}
				for ; !enough() && slept < *timeout; slept += devicePoll {
					if err := clock.Sleep(ctx, devicePoll); err != nil {
						return err
					}
					d = deviceView{}
					if err := client.call(ctx, http.MethodGet, devicePath(args[0]), nil, nil, &d); err != nil {
						return err
					}
				}
				if err := e.answer(d, d.write); err != nil || enough() {
					return err
				}
				return fmt.Errorf("within %s it got %d pushes and its vendor took %d", *timeout, d.Delivered, d.Accepted)
			}
		},
	}
}

// devicePoll spaces the looks of --wait.
const devicePoll = 10 * time.Millisecond

func (e *env) devices(ctx context.Context, ops string) error {
	var all []sandbox.Device
	if err := newOpsClient(ops).call(ctx, http.MethodGet, "/sandbox/devices", nil, nil, &all); err != nil {
		return err
	}
	return e.answer(all, func(w io.Writer) {
		for _, d := range all {
			fmt.Fprintf(w, "%-4s %4d delivered %4d held  %s%s\n", d.Vendor, d.Delivered, d.Held, d.Address, stateOf(d))
		}
	})
}

func stateOf(d sandbox.Device) string {
	out := ""
	if d.Offline {
		out += "  offline"
	}
	if d.Gone {
		out += "  gone"
	}
	return out
}

func (d deviceView) write(w io.Writer) {
	fmt.Fprintf(w, "%s %s%s\n%d received, %d accepted, %d delivered, %d held\n", d.Vendor, d.Address, stateOf(d.Device),
		d.Received, d.Accepted, d.Delivered, d.Held)
	for _, s := range d.Tray {
		fmt.Fprintf(w, "  shows  %s  %s: %s\n", s.ShownAt.Format(time.RFC3339), s.Title, s.Body)
	}
	for _, r := range d.Arrivals {
		fmt.Fprintf(w, "  got    %s  %s %s\n", r.DeliveredAt.Format(time.RFC3339), r.Kind, r.NotificationID)
	}
}

func sandboxAddressCommand() command {
	return command{
		name:    "sandbox address",
		args:    "--vendor V [--seed TEXT] [--status N]",
		summary: "print a device address that sandbox vendors take",
		about: "The same address for the same seed. With --status it always gets that answer, from every sandbox, without\n" +
			"a script: 410 or 400 (APNs), 404 (FCM), 410 (WNS) is a dead device, 429 or 406 a throttle, 503 an outage.",
		examples: []string{"carillon sandbox address --vendor apns --seed alice-phone", "carillon sandbox address --vendor fcm --status 404"},
		setup: func(fs *flag.FlagSet) runner {
			vendor := fs.String("vendor", "", "apns, fcm or wns `V`")
			seed := fs.String("seed", "", "any `TEXT`; another text, another device")
			status := fs.Int("status", 0, "what it is always answered `N`; 0: nothing special")
			return func(_ context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				v := sandbox.Vendor(*vendor)
				a := sandbox.NewAddress(v, *seed)
				if *status != 0 {
					a = sandbox.FaultyAddress(v, *seed, *status)
				}
				if a == "" {
					return usagef("--vendor is apns, fcm or wns")
				}
				if *status != 0 && (*status < 200 || *status > 599) {
					return usagef("--status is from 200 to 599")
				}
				return e.answer(map[string]string{"address": a}, func(w io.Writer) { fmt.Fprintln(w, a) })
			}
		},
	}
}
