package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carillon"
	"carillon/config"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

// masterFile is the master key's name in the data directory.
const masterFile = "master.key"

func tokenCommand() command {
	return command{
		name:    "token",
		args:    "[--user USER] [--app HOST | --client ID] | --admin",
		summary: "print a bearer token of the development issuer",
		about: "Reads the master key of a data directory that `carillon serve` has made. The token is good for 8 hours,\n" +
			"an administrator's for one, at the processes that share this key. USER is the user's name (alice) or full key (dev.alice); without\n" +
			"--app the token acts for the only app there is. Where a process with this key answers at --ops, the token\n" +
			"begins by its clock, which `carillon sandbox clock` may have moved; else by the machine's.",
		examples: []string{
			"carillon token --user alice",
			"carillon token --app demo.localhost",
			`curl -H "Authorization: Bearer $(carillon token --admin)" …`,
		},
		setup: func(fs *flag.FlagSet) runner {
			var o config.Options
			o.Flags(fs, "data")
			var want wantedToken
			fs.StringVar(&want.user, "user", "", "a token of this `USER`")
			fs.StringVar(&want.app, "app", "", "a token of the app with this `HOST`, or of a user in it")
			fs.StringVar(&want.client, "client", "", "act as this client `ID`, of an app that was onboarded at the gateway")
			fs.BoolVar(&want.admin, "admin", false, "a token with the admin role")
			ops := opsFlag(fs)
			return func(ctx context.Context, e *env, args []string) error {
				if err := errors.Join(none(args), want.check()); err != nil {
					return err
				}
				cfg, err := e.load(o)
				if err != nil {
					return err
				}
				return e.token(ctx, cfg, want, *ops)
			}
		},
	}
}

// wantedToken is what a token shall be for.
type wantedToken struct {
	user, app, client string
	admin             bool
}

func (w wantedToken) check() error {
	switch {
	case w.user == "" && w.app == "" && w.client == "" && !w.admin:
		return usagef("say whose token: --user USER, --app HOST, --client ID or --admin")
	case w.admin && (w.user != "" || w.app != "" || w.client != ""):
		return usagef("--admin stands alone")
	case w.app != "" && w.client != "":
		return usagef("--client already says which app")
	}
	return nil
}

func (e *env) token(ctx context.Context, cfg *config.Config, want wantedToken, ops string) error {
	claims := auth.DevClaims{User: strings.TrimPrefix(want.user, auth.DevAlias+"."), Admin: want.admin}
	if !want.admin {
		if realCredential(cfg.Onboarded()) {
			return auth.DevAllowed(true, true)
		}
		claims.Client = want.client
		if claims.Client == "" {
			client, err := clientOf(cfg.Onboarded(), want.app)
			if err != nil {
				return err
			}
			claims.Client = client
		}
	}
	master, err := loadMaster(cfg.Data)
	if err != nil {
		return err
	}
	clock := &carillon.Clock{}
	issuer, err := auth.NewDevIssuer(master, clock)
	if err != nil {
		return err
	}
	if err := follow(ctx, clock, ops, issuer.KeyID()); err != nil {
		return err
	}
	life := auth.DevLife
	issue := func() (string, error) { return issuer.Issue(claims) }
	if want.admin {
		admins, err := auth.NewAdminIssuer(master, clock)
		if err != nil {
			return err
		}
		life, issue = auth.AdminLife, admins.Issue
	}
	token, err := issue()
	if err != nil {
		return err
	}
	expires := clock.Now().Add(life).Truncate(time.Second)
	return e.answer(map[string]any{"token": token, "expiresDateTime": expires}, func(w io.Writer) {
		fmt.Fprintln(w, token)
	})
}

// follow sets the clock to that of the process that answers at ops, when it is
// one of this installation: only its sandbox clock can differ from the
// machine's. Another one, or none at all, is a fault only where somebody named
// it.
func follow(ctx context.Context, clock *carillon.Clock, ops, key string) error {
	ctx, done := context.WithTimeout(ctx, followTimeout)
	defer done()
	var theirs clockAnswer
	err := newOpsClient(ops).call(ctx, http.MethodGet, "/sandbox/clock", nil, nil, &theirs)
	switch {
	case err == nil && theirs.Key == key:
		if by := theirs.Now.Sub(clock.Now()); by > time.Second {
			clock.Move(by)
		}
		return nil
	case ops == httpapi.DefaultOpsListen:
		return nil
	case err == nil:
		return fmt.Errorf("the process at %s has another master key: name the data directory that it uses with --data", ops)
	}
	return err
}

const followTimeout = time.Second

// loadMaster reads the key that the first `carillon serve` made.
func loadMaster(data string) (*auth.Master, error) {
	file := filepath.Join(data, masterFile)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: start `carillon serve --data %s` first, or name its directory with --data", file, data)
	}
	return auth.LoadMaster(file, false)
}

// clientOf finds the client id that acts for an app: the one with this host, or
// the only one.
func clientOf(apps []carillon.App, host string) (string, error) {
	if len(apps) == 0 {
		apps = []carillon.App{sampleApp()}
	}
	hosts := make([]string, len(apps))
	for i, a := range apps {
		hosts[i] = a.Host
		if a.Host != host && (host != "" || len(apps) > 1) {
			continue
		}
		if len(a.Clients) == 0 {
			return "", fmt.Errorf("the app %s has no client id; give it one under apps: clients", a.Host)
		}
		return a.Clients[0], nil
	}
	if host == "" {
		return "", usagef("there are several apps: name one with --app (%s)", strings.Join(hosts, ", "))
	}
	return "", fmt.Errorf("there is no app %s; the configuration has %s", host, strings.Join(hosts, ", "))
}
