package config

import (
	"errors"
	"flag"
	"slices"
	"strings"

	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

// named is a flag that sets one key.
type named struct {
	flag, key, usage string
	isBool           bool
}

// namedFlags lists the flags with a name of their own; any other key is set by
// --set.
func namedFlags() []named {
	return []named{
		{flag: "data", key: "data", usage: "`DIR` with everything that is durable (default " + DefaultData + ")"},
		{flag: "listen", key: "http.listen", usage: "`ADDR` of the doors (default " + httpapi.DefaultListen + "); port 0 takes a free one"},
		{flag: "ops", key: "ops.listen", usage: "`ADDR` of the ops listener (default " + httpapi.DefaultOpsListen + "); port 0 takes a free one"},
		{flag: "tls-cert", key: "http.tlsCert", usage: "PEM `FILE` with the certificate of the doors; with --tls-key"},
		{flag: "tls-key", key: "http.tlsKey", usage: "PEM `FILE` with its key"},
		{flag: "brokers", key: "journal.brokers", usage: "Kafka's bootstrap `ADDRS`, with commas; none: the embedded broker"},
		{flag: strings.TrimPrefix(auth.DevOffFlag, "--"), key: "noDevIssuer", usage: "turn the development issuer off", isBool: true},
		{flag: "ephemeral", key: "ephemeral", usage: "keep everything in a temporary directory that goes away at the end", isBool: true},
	}
}

// Flags registers --config, --set and those named flags that are asked for
// (all of them when none is). What the flags bring is added to o.
func (o *Options) Flags(fs *flag.FlagSet, names ...string) {
	fs.StringVar(&o.File, "config", o.File, "configuration `FILE` (YAML); else the one that "+EnvFile+" names")
	fs.Func("set", "set any `key=value` of the configuration, e.g. dispatch.shards=4; may be repeated", func(s string) error {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want key=value")
		}
		o.Set = append(o.Set, Setting{Key: key, Value: value, Flag: "set"})
		return nil
	})
	for _, n := range namedFlags() {
		if len(names) > 0 && !slices.Contains(names, n.flag) {
			continue
		}
		take := func(s string) error {
			o.Set = append(o.Set, Setting{Key: n.key, Value: s, Flag: n.flag})
			return nil
		}
		if n.isBool {
			fs.BoolFunc(n.flag, n.usage, take)
		} else {
			fs.Func(n.flag, n.usage, take)
		}
	}
}
