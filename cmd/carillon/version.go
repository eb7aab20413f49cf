package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"runtime"
)

// version is set by the Makefile (-ldflags -X).
var version = "unknown"

func versionCommand() command {
	return command{
		name:     "version",
		summary:  "print the version",
		examples: []string{"carillon version", "carillon version --json"},
		setup: func(*flag.FlagSet) runner {
			return func(_ context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				v := map[string]string{"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH}
				return e.answer(v, func(w io.Writer) {
					fmt.Fprintf(w, "carillon %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				})
			}
		},
	}
}
