package main

import (
	"context"
	"flag"

	"carillon/config"
)

func configPrintCommand() command {
	return command{
		name:    "config print",
		args:    "[--config FILE] [--set key=value]...",
		summary: "print the effective configuration, secrets redacted",
		about: "The configuration is a YAML file, overridden by CARILLON_* variables (journal.brokers is\n" +
			"CARILLON_JOURNAL_BROKERS), overridden by flags. A value that is no default is followed by where it\n" +
			"came from. Nothing is started; a configuration with a fault is told line by line.",
		examples: []string{
			"carillon config print",
			"carillon config print --config carillon.yaml --set dispatch.shards=4",
			"CARILLON_OPS_LISTEN=127.0.0.1:0 carillon config print --json",
		},
		setup: func(fs *flag.FlagSet) runner {
			var o config.Options
			o.Flags(fs)
			return func(_ context.Context, e *env, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				cfg, err := e.load(o)
				if err != nil {
					return err
				}
				if e.json {
					return config.PrintJSON(e.stdout, cfg)
				}
				return config.Print(e.stdout, cfg)
			}
		},
	}
}

// load gathers the configuration with this process's environment.
func (e *env) load(o config.Options) (*config.Config, error) {
	o.Environ = e.environ
	return config.Load(o)
}
