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
)

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
				patch, err := conductPatch(args)
				if err != nil {
					return err
				}
				method, body := http.MethodGet, any(nil)
				if len(patch) > 0 {
					method, body = http.MethodPatch, patch
				}
				now := conductJSON{}
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

// conductJSON is a value by vendor and name.
type conductJSON map[string]map[string]json.RawMessage

// conductPatch reads VENDOR.NAME=VALUE; what is no JSON is text.
func conductPatch(args []string) (conductJSON, error) {
	patch := conductJSON{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		vendor, key, dotted := strings.Cut(name, ".")
		if !ok || !dotted {
			return nil, usagef("%q is not VENDOR.NAME=VALUE", arg)
		}
		raw := json.RawMessage(value)
		if !json.Valid(raw) {
			var err error
			if raw, err = json.Marshal(value); err != nil {
				return nil, err
			}
		}
		if patch[vendor] == nil {
			patch[vendor] = map[string]json.RawMessage{}
		}
		patch[vendor][key] = raw
	}
	return patch, nil
}
