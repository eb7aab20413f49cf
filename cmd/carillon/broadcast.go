package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// castsPath is where broadcasts are.
const castsPath = "/api/v1/broadcasts"

// castStatus is how a broadcast stands.
type castStatus struct {
	ID            string           `json:"id"`
	Host          string           `json:"targetHostName"`
	Key           string           `json:"key,omitempty"`
	State         string           `json:"state"`
	Accepted      int64            `json:"accepted"`
	Whole         bool             `json:"whole"`
	Notifications int64            `json:"notifications"`
	Scheduled     int64            `json:"scheduled,omitempty"`
	Planned       int64            `json:"planned"`
	Waiting       int64            `json:"waiting"`
	Outcomes      map[string]int64 `json:"outcomes"`
	MaxPerSecond  int              `json:"maxPerSecond,omitempty"`
	PerSecond     float64          `json:"ratePerSecond"`
	ETA           string           `json:"etaDateTime,omitempty"`
	Bound         string           `json:"boundBy,omitempty"`
	Recall        *struct {
		State         string `json:"state"`
		Notifications int64  `json:"notifications"`
		Asked         string `json:"askedDateTime"`
	} `json:"recall,omitempty"`
	Created string `json:"createdDateTime"`
	Expires string `json:"expirationDateTime"`
}

func (c *castStatus) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("broadcast", "%s of %s, key %s", c.ID, c.Host, c.Key)
	state := c.State
	if !c.Whole {
		state += ", not posted to its end"
	}
	if c.Bound != "" && c.Bound != c.State {
		state += ", held up by " + c.Bound
	}
	line("state", "%s", state)
	line("users", "%d journalled, %d reached, %d of them later", c.Accepted, c.Notifications, c.Scheduled)
	line("deliveries", "%d planned, %d waiting", c.Planned, c.Waiting)
	for _, class := range slices.Sorted(maps.Keys(c.Outcomes)) {
		line("", "%d %s", c.Outcomes[class], class)
	}
	rate := fmt.Sprintf("%.1f a second", c.PerSecond)
	if c.MaxPerSecond > 0 {
		rate += fmt.Sprintf(", at most %d", c.MaxPerSecond)
	}
	if c.ETA != "" {
		rate += ", done about " + c.ETA
	}
	line("rate", "%s", rate)
	if c.Recall != nil {
		line("recall", "%s, asked for at %s, %d taken back", c.Recall.State, c.Recall.Asked, c.Recall.Notifications)
	}
	line("posted", "%s, expires %s", c.Created, c.Expires)
	_ = t.Flush()
}

// castCommand makes a command about one broadcast, which PATCHes it unless change
// is nil.
func castCommand(c command, change func(fs *flag.FlagSet) func(args []string) (id string, body map[string]any, err error)) command {
	c.setup = func(fs *flag.FlagSet) runner {
		d := &door{}
		d.flags(fs)
		do := change(fs)
		return func(ctx context.Context, e *env, args []string) error {
			id, body, err := do(args)
			if err != nil {
				return err
			}
			if err := d.open(ctx, e); err != nil {
				return err
			}
			defer d.close()
			method, in := http.MethodGet, any(nil)
			if body != nil {
				method, in = http.MethodPatch, body
			}
			var status castStatus
			if err := d.administer(ctx, method, castsPath+"/"+url.PathEscape(id), in, &status); err != nil {
				return err
			}
			return e.answer(status, status.print)
		}
	}
	return c
}

// castTo makes a command that says one thing of a broadcast.
func castTo(c command, body map[string]any) command {
	return castCommand(c, func(*flag.FlagSet) func([]string) (string, map[string]any, error) {
		return func(args []string) (string, map[string]any, error) {
			if len(args) != 1 || args[0] == "" {
				return "", nil, usagef("name the broadcast by its id: `carillon broadcast list` has them")
			}
			return args[0], body, nil
		}
	})
}

func castShowCommand() command {
	return castTo(command{
		name: "broadcast show", args: "ID", summary: "how a broadcast stands: counts, rate, what holds it up",
		examples: []string{"carillon broadcast show 5c1d2a10-8c7b-8f00-9a51-b0d2b5d1c001"},
	}, nil)
}

func castPauseCommand() command {
	return castTo(command{
		name: "broadcast pause", args: "ID", summary: "stop a broadcast for a while",
		about:    "What no vendor has waits, also over a restart; other sends do not wait with it.",
		examples: []string{"carillon broadcast pause 5c1d2a10-8c7b-8f00-9a51-b0d2b5d1c001"},
	}, map[string]any{"state": "paused"})
}

func castResumeCommand() command {
	return castTo(command{
		name: "broadcast resume", args: "ID", summary: "let a paused broadcast go on",
		about:    "What was read, deleted or expired meanwhile does not ring.",
		examples: []string{"carillon broadcast resume 5c1d2a10-8c7b-8f00-9a51-b0d2b5d1c001"},
	}, map[string]any{"state": "running"})
}

func castCancelCommand() command {
	return castTo(command{
		name: "broadcast cancel", args: "ID", summary: "end a broadcast for good",
		about:    "What no vendor has is suppressed within a second. Who has it keeps it: `carillon broadcast recall` takes it away.",
		examples: []string{"carillon broadcast cancel 5c1d2a10-8c7b-8f00-9a51-b0d2b5d1c001"},
	}, map[string]any{"state": "cancelled"})
}

func castRecallCommand() command {
	return castTo(command{
		name: "broadcast recall", args: "ID", summary: "cancel a broadcast and take it back from who has it",
		about:    "Each user's notification is deleted, and his devices clear it. It goes on over a restart; show tells how far it is.",
		examples: []string{"carillon broadcast recall 5c1d2a10-8c7b-8f00-9a51-b0d2b5d1c001"},
	}, map[string]any{"recall": true})
}

func castPaceCommand() command {
	return castCommand(command{
		name: "broadcast pace", args: "ID (PER-SECOND | none)", summary: "bound how many deliveries of a broadcast go out a second",
		about:    "It may be said at any time, also while the broadcast is paused or posted.",
		examples: []string{"carillon broadcast pace 5c1d2a10-8c7b-8f00-9a51-b0d2b5d1c001 2000"},
	}, func(*flag.FlagSet) func([]string) (string, map[string]any, error) {
		return func(args []string) (string, map[string]any, error) {
			if len(args) != 2 || args[0] == "" {
				return "", nil, usagef("name the broadcast by its id, and a number of deliveries a second or none")
			}
			if args[1] == "none" {
				return args[0], map[string]any{"maxPerSecond": nil}, nil
			}
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 1 {
				return "", nil, usagef("%q is neither a number of deliveries a second nor none", args[1])
			}
			return args[0], map[string]any{"maxPerSecond": n}, nil
		}
	})
}

func castListCommand() command {
	return command{
		name: "broadcast list", args: "[--app HOST]", summary: "the broadcasts of an app, the newest first",
		examples: []string{"carillon broadcast list"},
		setup: func(fs *flag.FlagSet) runner {
			d := &door{}
			d.flags(fs)
			most := fs.Int("n", 20, "the most that are listed, up to 100")
			return func(ctx context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				if *most < 1 || *most > 100 {
					return usagef("-n %d is not from 1 to 100", *most)
				}
				if err := d.open(ctx, e); err != nil {
					return err
				}
				defer d.close()
				q := url.Values{"$top": {strconv.Itoa(*most)}}
				if d.app != "" {
					q.Set("host", d.app)
				}
				var list struct {
					Value []castStatus `json:"value"`
				}
				if err := d.administer(ctx, http.MethodGet, castsPath+"?"+q.Encode(), nil, &list); err != nil {
					return err
				}
				return e.answer(list, func(w io.Writer) {
					t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
					fmt.Fprintln(t, "ID\tSTATE\tUSERS\tWAITING\tA SECOND\tKEY\tPOSTED")
					for _, c := range list.Value {
						fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.1f\t%s\t%s\n", c.ID, c.State, c.Notifications, c.Waiting, c.PerSecond, c.Key, c.Created)
					}
					_ = t.Flush()
				})
			}
		},
	}
}

func castSendCommand() command {
	return command{
		name: "broadcast send", args: "--notification FILE [--key KEY] [USERS|-]", summary: "send one content to many users",
		about: "FILE is a notification as POST /beta/users/{id}/notifications takes it, as JSON. USERS has a user a line: dev.alice, or as\n" +
			"JSON; packed (.gz) too; without it standard input is read. A run that was cut off is run again as a whole under its\n" +
			"key: that rings nobody twice.",
		examples: []string{"carillon broadcast send --notification spring.json --key spring-2026 users.txt"},
		setup: func(fs *flag.FlagSet) runner {
			d := &door{}
			d.flags(fs)
			note := fs.String("notification", "", "JSON `FILE` with the notification")
			key := fs.String("key", "", "the broadcast's `KEY`; else a random one, which is told")
			return func(ctx context.Context, e *env, args []string) error {
				name := "-"
				if len(args) == 1 {
					name = args[0]
				}
				if len(args) > 1 || *note == "" {
					return usagef("name a file with the notification (--notification) and at most one with users")
				}
				content, err := os.ReadFile(*note) //nolint:gosec // the caller names it
				if err != nil {
					return err
				}
				if *key == "" {
					*key = rand.Text()
				}
				if err := d.open(ctx, e); err != nil {
					return err
				}
				defer d.close()
				return e.castSend(ctx, d, *key, content, name)
			}
		},
	}
}

// castSend posts a broadcast as a stream.
func (e *env) castSend(ctx context.Context, d *door, key string, content []byte, name string) error {
	if !json.Valid(content) {
		return errors.New("the notification is no JSON: it is what POST /beta/users/{id}/notifications takes")
	}
	var head bytes.Buffer
	err := json.NewEncoder(&head).Encode(map[string]any{"key": key, "notification": json.RawMessage(content)})
	if err != nil {
		return err
	}
	in, err := openInput(e, name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+castsPath, io.MultiReader(&head, &userLines{in: bufio.NewReader(in)}))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Content-Type", "application/x-ndjson")
	again := fmt.Sprintf("run it again with --key %s: that rings nobody twice", key)
	res, err := d.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w; %s", d.unreachable(err), again)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, opsAnswer))
	if err != nil {
		return fmt.Errorf("%w; %s", d.unreachable(err), again)
	}
	switch {
	case res.StatusCode == http.StatusAccepted:
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("%w\n%s", refusal(res.Status, text), again)
	default:
		return fmt.Errorf("%w\n(the notification is line 1, so the first user is on line 2; key %s)", refusal(res.Status, text), key)
	}
	var status castStatus
	if err := json.Unmarshal(text, &status); err != nil {
		return err
	}
	return e.answer(status, status.print)
}

// userLines makes lines of JSON of users that stand a line each, as JSON or bare.
type userLines struct {
	in   *bufio.Reader
	line []byte
}

// Read gives the next of it.
func (u *userLines) Read(b []byte) (int, error) {
	for len(u.line) == 0 {
		text, err := u.in.ReadString('\n')
		switch text = strings.TrimSpace(text); {
		case text == "" && err != nil:
			return 0, err
		case text == "": // it counts
			u.line = []byte("\n")
		case text[0] == '"' || text[0] == '{':
			u.line = append([]byte(text), '\n')
		default:
			quoted, err := json.Marshal(text)
			if err != nil {
				return 0, err
			}
			u.line = slices.Concat(quoted, []byte("\n"))
		}
	}
	n := copy(b, u.line)
	u.line = u.line[n:]
	return n, nil
}
