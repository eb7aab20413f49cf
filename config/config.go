package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"carillon"
	"carillon/dispatch"
	"carillon/feed"
	"carillon/gateway"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
	"carillon/journal/embedded"
	"carillon/provider"
	"carillon/store/pebble"
)

// Config is everything that a process can be told. Each section is the Config
// of one room, which documents its keys; a zero value is a good default.
type Config struct {
	// Data is the data directory; default ./carillon-data.
	Data string `yaml:"data"`
	// Ephemeral keeps everything in a temporary directory that goes away at the
	// end.
	Ephemeral bool `yaml:"ephemeral"`

	// HTTP is how the doors listen, Ops how the ops listener does.
	HTTP httpapi.Config    `yaml:"http"`
	Ops  httpapi.OpsConfig `yaml:"ops"`
	// Gateway is how the doors take requests.
	Gateway gateway.Config `yaml:"gateway"`
	// Feed bounds the live feeds.
	Feed feed.Config `yaml:"feed"`
	// Auth is how tokens are judged.
	Auth auth.Config `yaml:"auth"`
	// NoDevIssuer turns the development issuer off.
	NoDevIssuer bool `yaml:"noDevIssuer"`
	// Issuers are those whose tokens are taken beside the development issuer's.
	Issuers []Issuer `yaml:"issuers"`
	// Journal says which Kafka is used; without brokers it is the embedded one,
	// which Embedded describes.
	Journal  journal.Config  `yaml:"journal"`
	Embedded embedded.Config `yaml:"embedded"`
	// Store is where rows are kept.
	Store pebble.Config `yaml:"store"`
	// Dispatch tunes the dispatcher.
	Dispatch dispatch.Config `yaml:"dispatch"`
	// Provider says how the vendors are reached.
	Provider provider.Config `yaml:"provider"`
	// Sandbox is what stands in for the vendors while no credential is real.
	Sandbox Sandbox `yaml:"sandbox"`
	// Apps are the onboarded apps.
	Apps []App `yaml:"apps"`

	onboarded []carillon.App
	origins   map[string]Origin
}

// Sandbox is the sandbox vendors of a process whose apps have no real
// credential.
type Sandbox struct {
	// Off leaves such apps without vendors.
	Off bool `yaml:"off"`
	// Fast makes the vendors accept everything and only count.
	Fast bool `yaml:"fast"`
	// Script is a JSON file that says how the vendors are at first: docs/testing.md.
	// It stands relative to the configuration file.
	Script string `yaml:"script"`
	// Seed repeats what a script leaves to chance; 0: the script's, or the clock's.
	Seed uint64 `yaml:"seed"`
}

// DefaultData is the data directory when none is named.
const DefaultData = "./carillon-data"

// Setting is one key=value of the command line, with the flag that brought it.
type Setting struct{ Key, Value, Flag string }

// Options says where a configuration comes from. The later sources override
// the earlier: the file, then Environ, then Set.
type Options struct {
	// File is the YAML file; empty: what CARILLON_CONFIG names, or none.
	File string
	// Environ holds NAME=value, as [os.Environ] gives it.
	Environ []string
	// Set holds the settings of the command line, in order.
	Set []Setting
}

// Load gathers the configuration. The error is a [Problems] when it is the
// configuration that is wrong: every unknown key and bad value, with its place
// and path.
func Load(o Options) (*Config, error) {
	cfg := &Config{Data: DefaultData}
	in, file, err := o.load(reflect.ValueOf(cfg).Elem())
	if err != nil {
		return nil, err
	}
	cfg.origins = in.origins
	dir := filepath.Dir(file)
	cfg.onboard(in, dir, lookup(o.Environ))
	cfg.checkIssuers(in, dir)
	if cfg.Sandbox.Script != "" && !filepath.IsAbs(cfg.Sandbox.Script) {
		cfg.Sandbox.Script = filepath.Join(dir, cfg.Sandbox.Script)
	}
	cfg.check(in)
	if len(in.problems) > 0 {
		return nil, in.problems
	}
	return cfg, nil
}

// load fills root from the sources; what is wrong stands in the intake. The
// error is a file that cannot be read.
func (o *Options) load(root reflect.Value) (in *intake, file string, err error) {
	in = newIntake()
	file = o.File
	if file == "" {
		file = lookup(o.Environ)(EnvFile)
	}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, "", unreadable(file, err)
		}
		(&fileReader{name: file, in: in}).read(text, root)
	}
	in.env(o.Environ, root)
	for _, s := range o.Set {
		in.assign(s, root)
	}
	return in, file, nil
}

func unreadable(file string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return fmt.Errorf("config: %s cannot be read (%w); name another with --config FILE", file, err)
}

// check asks the rooms that judge their own section. They name the key at the
// start of the error.
func (c *Config) check(in *intake) {
	log := c.Journal
	if len(log.Brokers) == 0 {
		log = log.Embedded("127.0.0.1:0")
	}
	if err := log.Validate(); err != nil {
		key, message, ok := strings.Cut(err.Error(), ": ")
		if !ok || strings.ContainsAny(key, " ") {
			key, message = "journal", err.Error()
		}
		in.problem(in.place(key), key, message)
	}
	if (c.HTTP.TLSCert == "") != (c.HTTP.TLSKey == "") {
		in.problem(in.place("http.tlsCert"), "http.tlsCert", "and http.tlsKey: give both or none")
	}
}

func lookup(environ []string) func(string) string {
	return func(name string) string {
		for _, entry := range environ {
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// effective is c with the defaults that rooms tell filled in.
func (c *Config) effective() *Config {
	e := *c
	e.Ops.Listen = cmp.Or(e.Ops.Listen, httpapi.DefaultOpsListen)
	fillDefaults(reflect.ValueOf(&e).Elem())
	return &e
}

// fillDefaults asks every section below v that has a method WithDefaults, which
// gives it with its zero values replaced.
func fillDefaults(v reflect.Value) {
	m := v.MethodByName("WithDefaults")
	if m.IsValid() && m.Type().NumIn() == 0 && m.Type().NumOut() == 1 && m.Type().Out(0) == v.Type() {
		v.Set(m.Call(nil)[0])
	}
	for _, k := range keys(v.Type()) {
		if member := v.FieldByIndex(k.index); isSection(member.Type()) {
			fillDefaults(member)
		}
	}
}

// Onboarded is the set of apps, with their secrets read.
func (c *Config) Onboarded() []carillon.App { return c.onboarded }

// Origin tells where the value of a key came from.
func (c *Config) Origin(path string) Origin { return c.origins[path] }
