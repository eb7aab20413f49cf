package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"carillon"
)

// Config is everything that a process can be told. Each section is the Config
// of one room, which documents its keys; a zero value is a good default.
type Config struct {
	// Data is the data directory; default ./carillon-data.
	Data string `yaml:"data"`
	// Ephemeral keeps everything in a temporary directory that goes away at the
	// end.
	Ephemeral bool `yaml:"ephemeral"`
	// Apps are the onboarded apps.
	Apps []App `yaml:"apps"`

	onboarded []carillon.App
	origins   map[string]Origin
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
	cfg.onboard(in, filepath.Dir(file), lookup(o.Environ))
	check(in, reflect.ValueOf(cfg).Elem())
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

// check asks each section that has a Validate method. A [carillon.Error] names
// the key by its Target.
func check(in *intake, root reflect.Value) {
	for _, k := range keys(root.Type()) {
		v, ok := reflect.TypeAssert[interface{ Validate() error }](root.FieldByIndex(k.index).Addr())
		if !ok {
			continue
		}
		err := v.Validate()
		var fault *carillon.Error
		switch {
		case err == nil:
		case errors.As(err, &fault) && fault.Target != "":
			in.problem(in.place(join(k.name, fault.Target)), join(k.name, fault.Target), fault.Message)
		default:
			in.problem(in.place(k.name), k.name, strings.TrimPrefix(err.Error(), k.name+": "))
		}
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

// Onboarded is the set of apps, with their secrets read.
func (c *Config) Onboarded() []carillon.App { return c.onboarded }

// Origin tells where the value of a key came from.
func (c *Config) Origin(path string) Origin { return c.origins[path] }
