package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"carillon"
)

// appsPath is where apps are onboarded.
const appsPath = "/api/v1/apps"

// appAnswer is what the gateway tells of an app.
type appAnswer struct {
	Host     string `json:"host"`
	State    string `json:"state"`
	Verified bool   `json:"verified"`
	Source   string `json:"source"`
	Proof    *struct {
		TXT struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"txt"`
		WellKnown struct {
			URL  string          `json:"url"`
			Body json.RawMessage `json:"body"`
		} `json:"wellKnown"`
		Last string `json:"last"`
	} `json:"proof"`
	Quota       struct{ PerSecond, PerDay int64 }
	Clients     []string `json:"clients"`
	Identities  []struct{ Platform, AppID string }
	Credentials []struct {
		Platform, Set, KeyID, TeamID, Environment, PackageSID, TenantID, ClientID, Fingerprint, UpdatedDateTime, Fault string
		AppIDs                                                                                                         []string
		Certificate                                                                                                    bool
	}
}

// appDoor is a door that is asked as an administrator.
func appDoor(fs *flag.FlagSet) *door {
	d := &door{admin: true}
	d.flags(fs)
	return d
}

// appCommand makes a command about apps: it opens the door and runs do.
func appCommand(c command, setup func(fs *flag.FlagSet) func(ctx context.Context, e *env, d *door, args []string) error) command {
	c.setup = func(fs *flag.FlagSet) runner {
		d := appDoor(fs)
		do := setup(fs)
		return func(ctx context.Context, e *env, args []string) error {
			if err := d.open(ctx, e); err != nil {
				return err
			}
			defer d.close()
			return do(ctx, e, d, args)
		}
	}
	return c
}

// hostArg is the one argument of most of these commands.
func hostArg(args []string) (string, error) {
	if len(args) != 1 || args[0] == "" {
		return "", usagef("name the app's host, such as news.example.com")
	}
	return strings.ToLower(args[0]), nil
}

func appListCommand() command {
	return appCommand(command{
		name: "app list", args: "[--url URL]", summary: "list the apps that may send",
		examples: []string{"carillon app list"},
	}, func(*flag.FlagSet) func(context.Context, *env, *door, []string) error {
		return func(ctx context.Context, e *env, d *door, args []string) error {
			if err := none(args); err != nil {
				return err
			}
			var list struct {
				Value []appAnswer `json:"value"`
			}
			if err := d.administer(ctx, http.MethodGet, appsPath, nil, &list); err != nil {
				return err
			}
			return e.answer(list, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
				fmt.Fprintln(t, "HOST\tPROVEN\tFROM\tCLIENTS\tCREDENTIALS")
				for _, a := range list.Value {
					var creds []string
					for _, c := range a.Credentials {
						creds = append(creds, c.Platform)
					}
					fmt.Fprintf(t, "%s\t%v\t%s\t%s\t%s\n", a.Host, a.Verified, a.Source, strings.Join(a.Clients, " "), strings.Join(creds, " "))
				}
				_ = t.Flush()
			})
		}
	})
}

func appShowCommand() command {
	return appCommand(command{
		name: "app show", args: "HOST", summary: "show an app: who may act for it, and its credentials without their secrets",
		examples: []string{"carillon app show news.example.com"},
	}, func(*flag.FlagSet) func(context.Context, *env, *door, []string) error {
		return func(ctx context.Context, e *env, d *door, args []string) error {
			host, err := hostArg(args)
			if err != nil {
				return err
			}
			return d.tell(ctx, e, http.MethodGet, appsPath+"/"+url.PathEscape(host), nil)
		}
	})
}

func appAddCommand() command {
	return appCommand(command{
		name: "app add", args: "HOST [--client ID …] [--identity PLATFORM=ID …]",
		summary: "onboard an app, or change who may act for it",
		about: "Its host must be proven, by a DNS record or a file that the answer names; run the command again when it is there.\n" +
			"Hosts that end in .localhost need no proof. --client and --identity replace what was there.",
		examples: []string{
			"carillon app add news.example.com --client 11112222-bbbb-3333-cccc-4444dddd5555",
			"carillon app add news.example.com --identity ios=com.example.news --identity android=com.example.news",
		},
	}, func(fs *flag.FlagSet) func(context.Context, *env, *door, []string) error {
		var clients, identities texts
		fs.Var(&clients, "client", "a client `ID` (azp or appid of tokens) that may act for it; at most 10")
		fs.Var(&identities, "identity", "the app's `PLATFORM=ID`: ios=BUNDLE, android=PACKAGE, windows=AUMID, web=ORIGIN")
		return func(ctx context.Context, e *env, d *door, args []string) error {
			host, err := hostArg(args)
			if err != nil {
				return err
			}
			steps, err := addSteps(appsPath+"/"+url.PathEscape(host), clients, identities)
			if err != nil {
				return err
			}
			for _, s := range steps[:len(steps)-1] {
				if err := d.administer(ctx, http.MethodPut, s.path, s.body, nil); err != nil {
					return err
				}
			}
			last := steps[len(steps)-1]
			return d.tell(ctx, e, http.MethodPut, last.path, last.body)
		}
	})
}

// addStep is one of the calls that onboard an app.
type addStep struct {
	path string
	body any
}

// addSteps are the calls that onboard an app as the flags say.
func addSteps(path string, clients, identities texts) ([]addStep, error) {
	steps := []addStep{{path: path}}
	if len(clients) > 0 {
		steps = append(steps, addStep{path + "/clients", map[string]any{"clients": clients}})
	}
	var ids []map[string]string
	for _, text := range identities {
		platform, id, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usagef("--identity %s is not of the form ios=com.example.news", text)
		}
		ids = append(ids, map[string]string{"platform": platform, "appId": id})
	}
	if len(ids) > 0 {
		steps = append(steps, addStep{path + "/identities", map[string]any{"identities": ids}})
	}
	return steps, nil
}

func appQuotaCommand() command {
	return appCommand(command{
		name: "app quota", args: "HOST [--per-second N] [--per-day N]", summary: "say how many notifications an app may send",
		about: "What is not named has no limit. Beyond its quota an app is answered 429 and when to come again; a bulk request\n" +
			"counts its good lines, and passes as a whole or not at all.",
		examples: []string{"carillon app quota news.example.com --per-second 5000 --per-day 20000000", "carillon app quota news.example.com"},
	}, func(fs *flag.FlagSet) func(context.Context, *env, *door, []string) error {
		second := fs.Int64("per-second", 0, "`N` notifications a second; 0: no limit")
		day := fs.Int64("per-day", 0, "`N` notifications a day; 0: no limit")
		return func(ctx context.Context, e *env, d *door, args []string) error {
			host, err := hostArg(args)
			if err != nil {
				return err
			}
			return d.tell(ctx, e, http.MethodPut, appsPath+"/"+url.PathEscape(host)+"/quota", map[string]int64{"perSecond": *second, "perDay": *day})
		}
	})
}

func appRemoveCommand() command {
	return appCommand(command{
		name: "app remove", args: "HOST", summary: "take an app away; what its users have of it expires",
		examples: []string{"carillon app remove news.example.com"},
	}, func(*flag.FlagSet) func(context.Context, *env, *door, []string) error {
		return func(ctx context.Context, e *env, d *door, args []string) error {
			host, err := hostArg(args)
			if err != nil {
				return err
			}
			if err := d.administer(ctx, http.MethodDelete, appsPath+"/"+url.PathEscape(host), nil, nil); err != nil {
				return err
			}
			return e.answer(map[string]string{"removed": host}, func(w io.Writer) { fmt.Fprintf(w, "%s is removed\n", host) })
		}
	})
}

// texts is a flag that may stand several times.
type texts []string

// String shows the values.
func (l *texts) String() string { return strings.Join(*l, ",") }

// Set takes one more.
func (l *texts) Set(v string) error {
	*l = append(*l, v)
	return nil
}

// tell makes a call that answers with an app, and prints it.
func (d *door) tell(ctx context.Context, e *env, method, path string, body any) error {
	var raw json.RawMessage
	if err := d.administer(ctx, method, path, body, &raw); err != nil {
		return err
	}
	var a appAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("the gateway's answer cannot be read: %w", err)
	}
	return e.answer(raw, func(w io.Writer) { a.print(w) })
}

func (a *appAnswer) print(w io.Writer) {
	fmt.Fprintf(w, "%s  (%s)\n", a.Host, map[bool]string{true: "proven", false: "not proven yet: nobody can send for it"}[a.Verified])
	if a.State == "paused" {
		fmt.Fprintf(w, "  paused: its deliveries wait; `carillon app resume %s` lets them go\n", a.Host)
	}
	if a.Proof != nil {
		fmt.Fprintf(w, "  prove it by a DNS record:  %s TXT %s\n  or by a file:              %s with %s\n  then run `carillon app add %s` again\n",
			a.Proof.TXT.Name, a.Proof.TXT.Value, a.Proof.WellKnown.URL, a.Proof.WellKnown.Body, a.Host)
		for line := range strings.SplitSeq(a.Proof.Last, "\n") {
			if line != "" {
				fmt.Fprintf(w, "  not found: %s\n", line)
			}
		}
	}
	if q := (carillon.Quota{PerSecond: a.Quota.PerSecond, PerDay: a.Quota.PerDay}); q != (carillon.Quota{}) {
		fmt.Fprintf(w, "  quota       %s\n", q)
	}
	for _, c := range a.Clients {
		fmt.Fprintf(w, "  client      %s\n", c)
	}
	for _, i := range a.Identities {
		fmt.Fprintf(w, "  identity    %-8s %s\n", i.Platform, i.AppID)
	}
	for _, c := range a.Credentials {
		names := []string{c.Set, map[bool]string{true: "certificate"}[c.Certificate], strings.Join(c.AppIDs, " "), c.KeyID, c.TeamID, c.Environment, c.PackageSID, c.TenantID, c.ClientID}
		fmt.Fprintf(w, "  credential  %-8s %s  fingerprint %s  %s %s\n", c.Platform, strings.Join(strings.Fields(strings.Join(names, " ")), " "), c.Fingerprint, c.UpdatedDateTime, c.Fault)
	}
}

// administer makes one call. An error of the gateway is told in its own words.
func (d *door) administer(ctx context.Context, method, path string, body, out any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := d.http.Do(req)
	if err != nil {
		return d.unreachable(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, opsAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		var fault struct{ Error struct{ Message string } }
		if json.Unmarshal(b, &fault) == nil && fault.Error.Message != "" {
			return errors.New(fault.Error.Message)
		}
		return fmt.Errorf("%s %s answered %s", method, path, res.Status)
	}
	if out == nil || len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, out)
}
