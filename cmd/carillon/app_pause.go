package main

import (
	"context"
	"flag"
	"net/http"
	"net/url"
)

func appPauseCommand() command {
	return appStateCommand(command{
		name: "app pause", args: "HOST", summary: "stop an app: nothing of it is handed to a vendor",
		about: "Sends are still taken and their deliveries wait, up to gateway.maxParked; then the app is answered 429. What a\n" +
			"vendor has already is not called back. The stop outlives a restart; `carillon app resume` ends it.",
		examples: []string{"carillon app pause news.example.com"},
	}, "paused")
}

func appResumeCommand() command {
	return appStateCommand(command{
		name: "app resume", args: "HOST", summary: "let a paused app go on",
		about:    "What waited goes out in its order, but for what was read, deleted or expired meanwhile.",
		examples: []string{"carillon app resume news.example.com"},
	}, "running")
}

func appStateCommand(c command, state string) command {
	return appCommand(c, func(*flag.FlagSet) func(context.Context, *env, *door, []string) error {
		return func(ctx context.Context, e *env, d *door, args []string) error {
			host, err := hostArg(args)
			if err != nil {
				return err
			}
			return d.tell(ctx, e, http.MethodPatch, appsPath+"/"+url.PathEscape(host), map[string]string{"state": state})
		}
	})
}
