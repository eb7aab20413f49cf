package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"carillon"
	"carillon/config"
	"carillon/internal/httpapi"
	"carillon/provider/sandbox"
)

func sandboxCommand() command {
	return command{
		name:    "sandbox",
		args:    "--dir DIR [--fast] [--apns ADDR] [--fcm ADDR] [--wns ADDR] [--token ADDR] [--ops ADDR] [--script FILE]",
		summary: "run APNs, FCM and WNS as servers on loopback",
		about: "The vendors' own protocols with a CA of their own; credentials that an app can onboard are made in DIR.\n" +
			"Strict by default: every request is judged as the vendor documents it. With --ops, `carillon sandbox fault`,\n" +
			"act, conduct and device script a running one; docs/testing.md has the vocabulary.",
		examples: []string{
			"carillon sandbox --dir ./sandbox",
			"carillon sandbox --dir ./sandbox --fast --apns 127.0.0.1:9443 --json",
			"carillon sandbox --ops 127.0.0.1:8421 --script outage.json --seed 7",
			"carillon sandbox clock +31d",
		},
		setup: func(fs *flag.FlagSet) runner {
			cfg := sandbox.Config{}
			fs.StringVar(&cfg.Dir, "dir", "carillon-sandbox", "`DIR` for CA and credentials; made when missing")
			fs.StringVar(&cfg.APNsAddr, "apns", "127.0.0.1:0", "listen `ADDR` of APNs")
			fs.StringVar(&cfg.FCMAddr, "fcm", "127.0.0.1:0", "listen `ADDR` of FCM")
			fs.StringVar(&cfg.WNSAddr, "wns", "127.0.0.1:0", "listen `ADDR` of WNS")
			fs.StringVar(&cfg.TokenAddr, "token", "127.0.0.1:0", "listen `ADDR` of the token endpoints")
			fs.BoolVar(&cfg.WNSHTTP1Only, "wns-http1", false, "WNS offers HTTP/1.1 only")
			ops := fs.String("ops", "", "answer /sandbox/devices, counts, received, faults, acts, conduct and keys at this `ADDR`")
			fs.Uint64Var(&cfg.Seed, "seed", 0, "`N` that repeats shares, rates and latencies; 0: from the clock")
			script := fs.String("script", "", "JSON `FILE` with seed, conduct, faults, acts, offline and gone to begin with")
			fast := fs.Bool("fast", false, "accept everything and only count, for benches")
			return func(ctx context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				if *fast {
					cfg.Mode = sandbox.Fast
				}
				cfg.Logger = slog.New(slog.NewTextHandler(e.stderr, nil))
				return e.sandbox(ctx, cfg, *script, *ops)
			}
		},
	}
}

// sandbox runs the vendors until ctx ends; with an ops address it answers there
// what they saw.
func (e *env) sandbox(ctx context.Context, cfg sandbox.Config, script, opsAddr string) error {
	s, err := newSandbox(cfg, script)
	if err != nil {
		return err
	}
	stages := []stage{{name: "sandbox", run: s.Run}}
	at := ""
	if opsAddr != "" {
		ops := httpapi.NewOps(httpapi.OpsConfig{Listen: opsAddr}, cfg.Logger, &carillon.Clock{})
		vendors{s}.register(ops)
		if err := ops.Listen(); err != nil {
			return errors.Join(err, s.Close())
		}
		at = "http://" + ops.Addr()
		stages = append(stages, stage{name: "ops listener", run: ops.Run})
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var told error
	err = runStages(ctx, stages, func() {
		if told = e.tellSandbox(s, at); told != nil {
			stop()
		}
	})
	return errors.Join(told, err)
}

// newSandbox makes the vendors and plays the script that a file holds, if one is
// named.
func newSandbox(cfg sandbox.Config, script string) (*sandbox.Server, error) {
	var sc sandbox.Scenario
	if script != "" {
		var err error
		if sc, err = sandbox.ReadScenario(script); err != nil {
			return nil, err
		}
		if cfg.Seed == 0 {
			cfg.Seed = sc.Seed
		}
	}
	s, err := sandbox.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.Play(sc); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", script, err), s.Close())
	}
	return s, nil
}

func (e *env) tellSandbox(s *sandbox.Server, ops string) error {
	addrs, creds := s.Addrs(), s.Credentials()
	v := map[string]any{"mode": s.Mode().String(), "addrs": addrs, "caFile": s.CAFile(), "credentials": creds, "ops": ops, "seed": s.Seed()}
	return e.answer(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s sandbox, seed %d; clients must trust %s\n", s.Mode(), s.Seed(), s.CAFile())
		fmt.Fprintf(w, "  apns   %s  key %s, key id %s, team %s\n", addrs.APNs, creds.APNs.KeyFile, creds.APNs.KeyID, creds.APNs.TeamID)
		fmt.Fprintf(w, "  fcm    %s  service account %s\n", addrs.FCM, creds.FCM.File)
		fmt.Fprintf(w, "  wns    %s  package %s, secret %s\n", addrs.WNS, creds.WNS.PackageSID, creds.WNS.SecretFile)
		fmt.Fprintf(w, "         or Entra tenant %s, app %s, secret %s\n", creds.Entra.TenantID, creds.Entra.AppID, creds.Entra.SecretFile)
		fmt.Fprintf(w, "  token  %s\n", addrs.Token)
		if ops != "" {
			fmt.Fprintf(w, "  ops    %s\n", ops)
		}
		fmt.Fprintf(w, "ready; Ctrl-C ends it\n")
	})
}

// clockMove is the body of POST /sandbox/clock.
type clockMove struct {
	// By is how far the clock shall move, as [config.ParseDuration] reads it.
	By string `json:"by"`
}

// clockAnswer is what it answers.
type clockAnswer struct {
	Now time.Time `json:"now"`
	// Key is the id of the development issuer's key: it tells installations apart.
	Key string `json:"key"`
}

func sandboxClockCommand() command {
	return command{
		name:    "sandbox clock",
		args:    "[--ops ADDR] +DURATION",
		summary: "move the clock of a running process that knows sandbox vendors only",
		about: "Everything of ours that waits or expires follows; broker retention and TLS stay on real time. It only\n" +
			"goes forward. Tokens that were made before expire as they would; `carillon token --ops ADDR` makes new ones\n" +
			"by the moved clock.",
		examples: []string{"carillon sandbox clock +31d", "carillon sandbox clock --ops 127.0.0.1:8411 +2h30m"},
		setup: func(fs *flag.FlagSet) runner {
			ops := opsFlag(fs)
			return func(ctx context.Context, e *env, args []string) error {
				if len(args) != 1 {
					return usagef("say how far: +31d, +2h30m")
				}
				if d, err := config.ParseDuration(args[0]); err != nil {
					return usagef("%v", err)
				} else if d < 0 {
					return usagef("the clock only goes forward: what waits for a time that is over would wait again")
				}
				var now clockAnswer
				err := newOpsClient(*ops).call(ctx, http.MethodPost, "/sandbox/clock", nil, clockMove{By: args[0]}, &now)
				if err != nil {
					return err
				}
				return e.answer(now, func(w io.Writer) { fmt.Fprintf(w, "it is now %s\n", now.Now.Format(time.RFC3339)) })
			}
		},
	}
}

// opsFlag registers --ops for the commands that ask a running process.
func opsFlag(fs *flag.FlagSet) *string {
	return fs.String("ops", httpapi.DefaultOpsListen, "`ADDR` of the ops listener of the process to ask")
}
