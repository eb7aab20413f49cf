package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"carillon"
	"carillon/config"
	"carillon/internal/auth"
	"carillon/provider/sandbox"
)

const (
	demoUser    = "alice"
	demoWait    = 20 * time.Second // for all devices to have rung
	demoPoll    = 5 * time.Millisecond
	demoRequest = 10 * time.Second
	demoAnswer  = 1 << 20
)

// demoDevice is one of the demo user's devices.
type demoDevice struct {
	installation, platform, appID string
	vendor                        sandbox.Vendor
}

func demoDevices() []demoDevice {
	return []demoDevice{
		{"pc", "windows", sampleAUMID, sandbox.WNS},
		{"iphone", "ios", sampleBundle, sandbox.APNs},
		{"pixel", "android", sampleBundle, sandbox.FCM},
	}
}

func (d demoDevice) address() string {
	return sandbox.NewAddress(d.vendor, demoUser+"-"+d.installation)
}

func demoCommand() command {
	return command{
		name:    "demo",
		args:    "[--stay] [--data DIR | --ephemeral]",
		summary: "run everything, register three devices, ring them, show how",
		about: "Starts what `serve` starts with the sample app, registers a demo user with a Windows, an iOS and an\n" +
			"Android sandbox device, sends one notification through the front door, dismisses it on the Android one and prints what\n" +
			"became of it. Exits 0 when all three rang and the other two were cleared, 1 when not; with --stay it serves until Ctrl-C then.",
		examples: []string{"carillon demo --ephemeral", "carillon demo --stay --data ./carillon-data"},
		setup: func(fs *flag.FlagSet) runner {
			var o config.Options
			o.Flags(fs)
			stay := fs.Bool("stay", false, "serve until Ctrl-C after the demonstration")
			verbose := fs.Bool("v", false, "log at debug")
			return func(ctx context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				cfg, err := e.load(o)
				if err != nil {
					return err
				}
				log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
				if *verbose {
					log = e.logger(true)
				}
				return e.serve(ctx, cfg, log, func(ctx context.Context, s *system) error {
					if err := e.demo(ctx, s, *stay); err != nil || !*stay {
						return err
					}
					<-ctx.Done()
					return nil
				})
			}
		},
	}
}

// demo plays the demonstration against a running system.
func (e *env) demo(ctx context.Context, s *system, stay bool) error {
	if s.sandbox == nil || s.issuer == nil || len(s.apps.Apps().All()) != 1 {
		return errors.New("the demonstration needs one app, sandbox vendors and the development issuer: run it without --config, or without real credentials")
	}
	d := &demonstration{s: s, app: s.apps.Apps().All()[0], http: &http.Client{Timeout: demoRequest, Transport: &http.Transport{}}}
	defer d.http.CloseIdleConnections()
	if err := d.play(ctx); err != nil {
		return err
	}
	v := map[string]any{"url": s.doors.URL(), "ops": "http://" + s.ops.Addr(), "before": d.before, "notification": d.report, "trays": d.trays, "dismissal": d.dismissed}
	return e.answer(v, func(w io.Writer) { d.write(w, stay) })
}

// demonstration is one demo from token to tray.
type demonstration struct {
	s     *system
	app   *carillon.App
	http  *http.Client
	token string // of the app

	before    int    // notifications that an earlier start had accepted
	acting    string // subscription id of the device that dismisses
	report    *report
	trays     map[string][]sandbox.Shown
	dismissed *dismissal
}

func (d *demonstration) play(ctx context.Context) error {
	var err error
	if d.token, err = d.s.issuer.Issue(auth.DevClaims{Client: d.app.Clients[0]}); err != nil {
		return err
	}
	user := auth.DevAlias + "." + demoUser
	for _, dev := range demoDevices() {
		path := "/api/v1/users/" + user + "/endpoints/" + dev.installation
		body := map[string]string{"host": d.app.Host, "platform": dev.platform, "address": dev.address(), "appId": dev.appID}
		var registered struct {
			SubscriptionID string `json:"subscriptionId"`
		}
		if err := d.call(ctx, http.MethodPut, path, body, &registered); err != nil {
			return fmt.Errorf("registering the %s device: %w", dev.platform, err)
		}
		if dev.platform == demoActing {
			d.acting = registered.SubscriptionID
		}
	}
	var history struct {
		Value []json.RawMessage `json:"value"`
	}
	if err := d.call(ctx, http.MethodGet, "/beta/users/"+user+"/notifications?$top=1000", nil, &history); err != nil {
		return fmt.Errorf("reading the history: %w", err)
	}
	d.before = len(history.Value)
	var sent struct {
		ID carillon.ID `json:"id"`
	}
	body := map[string]any{
		"targetHostName": d.app.Host,
		"payload":        map[string]any{"visualContent": map[string]string{"title": "Dinner is ready", "body": "Every bell in the house rings."}},
	}
	if err := d.call(ctx, http.MethodPost, "/beta/users/"+user+"/notifications", body, &sent); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if err := d.watch(ctx, carillon.User{Host: d.app.Host, ID: user}, sent.ID); err != nil {
		return err
	}
	return d.dismiss(ctx, user, sent.ID)
}

// watch waits until every device has an outcome.
func (d *demonstration) watch(ctx context.Context, u carillon.User, id carillon.ID) error {
	ctx, done := context.WithTimeout(ctx, demoWait)
	defer done()
	ops := newOpsClient(d.s.ops.Addr())
	defer ops.http.CloseIdleConnections()
	for {
		r := &report{}
		err := ops.call(ctx, http.MethodGet, "/why", url.Values{"user": {u.Key()}, "notification": {id.String()}}, nil, r)
		if err == nil && r.Open == 0 {
			d.report = r
			return d.check()
		}
		if d.s.clock.Sleep(ctx, demoPoll) != nil {
			if err != nil {
				return fmt.Errorf("what became of %s could not be read within %s: %w", id, demoWait, err)
			}
			return fmt.Errorf("%d of %d devices have not rung within %s", r.Open, len(demoDevices()), demoWait)
		}
	}
}

// check tells whether every device shows the notification.
func (d *demonstration) check() error {
	d.trays = map[string][]sandbox.Shown{}
	for _, dev := range demoDevices() {
		tray := d.s.sandbox.Tray(dev.address())
		d.trays[dev.platform] = tray
		if len(tray) == 0 {
			return fmt.Errorf("the %s device shows nothing; `carillon why --user %s --notification %s` tells more", dev.platform, d.report.User, d.report.ID)
		}
	}
	return nil
}

func (d *demonstration) write(w io.Writer, stay bool) {
	if d.before > 0 {
		fmt.Fprintf(w, "Found %d notification(s) that earlier starts had accepted.\n\n", d.before)
	}
	d.report.write(w)
	fmt.Fprintln(w, "\nWhat the devices show:")
	for _, dev := range demoDevices() {
		for _, shown := range d.trays[dev.platform] {
			fmt.Fprintf(w, "  %-8s %s: %s\n", dev.platform, shown.Title, shown.Body)
		}
	}
	d.dismissed.write(w)
	if !stay {
		return
	}
	base, ops := d.s.doors.URL(), d.s.ops.Addr()
	fmt.Fprintf(w, "\nNext, in another terminal:\n\n"+
		"  TOKEN=%s\n"+
		"  curl -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\\n"+
		"    -d '{\"targetHostName\":\"%s\",\"payload\":{\"visualContent\":{\"title\":\"Hello\"}}}' \\\n"+
		"    %s/beta/users/dev.%s/notifications\n"+
		"  bin/carillon why --ops %s --user %s --notification %s\n"+
		"  curl 'http://%s/sandbox/devices/%s/tray'\n"+
		"  kill -9 %d   # and start again: what was accepted is still there\n\n",
		d.token, d.app.Host, base, demoUser, ops, d.report.User, d.report.ID,
		ops, url.PathEscape(demoDevices()[1].address()), os.Getpid())
	fmt.Fprintf(w, "ready %s\n", base)
}

// call asks the front door as the app.
func (d *demonstration) call(ctx context.Context, method, path string, body, out any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	return d.ask(ctx, method, path, in, "", out)
}

// ask is call with a body that is JSON already, from an endpoint that a
// subscription id names.
func (d *demonstration) ask(ctx context.Context, method, path string, in io.Reader, endpoint string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, d.s.doors.URL()+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if endpoint != "" {
		req.Header.Set("X-Uns-Id", endpoint)
	}
	res, err := d.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, demoAnswer))
	switch {
	case err != nil:
		return err
	case res.StatusCode/100 != 2:
		return refusal(res.Status, text)
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}
