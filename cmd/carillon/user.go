package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"carillon/internal/auth"
)

func userEraseCommand() command {
	return command{
		name: "user erase", args: "USER [--app HOST]",
		summary: "forget everything that is kept of a user in one app",
		about: "USER is the full user key, such as dev.alice. It is durable when the command answers, and done within a minute.\n" +
			"That the user was erased, and when, is kept for 30 days. Backups that were made before still hold him.",
		examples: []string{"carillon user erase dev.alice"},
		setup: func(fs *flag.FlagSet) runner {
			d := &door{}
			d.flags(fs)
			return func(ctx context.Context, e *env, args []string) error {
				path, err := userPath(args)
				if err != nil {
					return err
				}
				if err := d.open(ctx, e); err != nil {
					return err
				}
				defer d.close()
				var answer struct {
					Position      string  `json:"position"`
					JournalGoneBy *string `json:"journalGoneBy"`
				}
				if err := d.administer(ctx, http.MethodDelete, path, nil, &answer); err != nil {
					return err
				}
				return e.answer(answer, func(w io.Writer) {
					fmt.Fprintf(w, "%s is forgotten within a minute; ", args[0])
					if answer.JournalGoneBy == nil {
						fmt.Fprintln(w, "when the journal's copies are gone is not known")
					} else {
						fmt.Fprintf(w, "the journal's copies are gone by %s\n", *answer.JournalGoneBy)
					}
				})
			}
		},
	}
}

func userExportCommand() command {
	return command{
		name: "user export", args: "USER [--app HOST]",
		summary: "print everything that is kept of a user in one app",
		about: "USER is the full user key, such as dev.alice. A JSON object a line: his devices, and each notification with its state\n" +
			"and what became of it.",
		examples: []string{"carillon user export dev.alice > alice.ndjson"},
		setup: func(fs *flag.FlagSet) runner {
			d := &door{}
			d.flags(fs)
			return func(ctx context.Context, e *env, args []string) error {
				path, err := userPath(args)
				if err != nil {
					return err
				}
				if err := d.open(ctx, e); err != nil {
					return err
				}
				defer d.close()
				return d.copy(ctx, path+"/export", e.stdout)
			}
		},
	}
}

func userPath(args []string) (string, error) {
	if len(args) != 1 || args[0] == "" {
		return "", usagef("name the user, such as %s.alice", auth.DevAlias)
	}
	if !strings.Contains(args[0], ".") { // one who mistypes shall not be told that somebody is forgotten
		return "", usagef("%q is no user key, which is an issuer's alias, a dot and the user's id: did you mean %s.%s?", args[0], auth.DevAlias, args[0])
	}
	return "/api/v1/users/" + url.PathEscape(args[0]), nil
}

// copy writes what a call answers.
func (d *door) copy(ctx context.Context, path string, to io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	res, err := d.http.Do(req)
	if err != nil {
		return d.unreachable(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s answered %s", path, res.Status)
	}
	if _, err := io.Copy(to, res.Body); err != nil {
		return fmt.Errorf("the export broke off and is not whole: %w", err)
	}
	return nil
}
