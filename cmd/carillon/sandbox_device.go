package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"carillon"
	"carillon/provider/sandbox"
)

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
				p := devicePatch{}
				if offline || online {
					p.Offline = &offline
				}
				if gone || alive {
					p.Gone = &gone
				}
				return e.device(ctx, newOpsClient(*ops), args[0], p, deviceWait{*wait, *accepted, *timeout})
			}
		},
	}
}

// deviceWait is what shall have happened to a device, and within what time.
type deviceWait struct {
	delivered, accepted int
	timeout             time.Duration
}

// device changes a device, waits for its pushes and shows it.
func (e *env) device(ctx context.Context, ops *opsClient, address string, p devicePatch, want deviceWait) error {
	var d deviceView
	method, body := http.MethodGet, any(nil)
	if p != (devicePatch{}) {
		method, body = http.MethodPatch, p
	}
	if err := ops.call(ctx, method, devicePath(address), nil, body, &d); err != nil {
		return err
	}
	enough := func() bool { return d.Delivered >= want.delivered && d.Accepted >= want.accepted }
	slept, clock := time.Duration(0), carillon.Clock{}
	for ; !enough() && slept < want.timeout; slept += devicePoll {
		if err := clock.Sleep(ctx, devicePoll); err != nil {
			return err
		}
		d = deviceView{}
		if err := ops.call(ctx, http.MethodGet, devicePath(address), nil, nil, &d); err != nil {
			return err
		}
	}
	if err := e.answer(d, d.write); err != nil || enough() {
		return err
	}
	return fmt.Errorf("within %s it got %d pushes and its vendor took %d", want.timeout, d.Delivered, d.Accepted)
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
