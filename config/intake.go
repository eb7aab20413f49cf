package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Source is where a value came from.
type Source uint8

// The sources, the later overriding the earlier.
const (
	FromDefault Source = iota
	FromFile
	FromEnv
	FromFlag
)

// String is default, file, env or flag.
func (s Source) String() string {
	switch s {
	case FromFile:
		return "file"
	case FromEnv:
		return "env"
	case FromFlag:
		return "flag"
	case FromDefault:
	}
	return "default"
}

// Origin tells where a key's value came from: Where is file:line, the
// variable's or the flag's name.
type Origin struct {
	Source Source
	Where  string
}

// Problem is one fault of the configuration.
type Problem struct {
	// Where is file:line, or the name of the variable or flag.
	Where string
	// Key is the key's path, such as gateway.listen or apps[0].host; may be
	// empty.
	Key string
	// Message says what is wrong and what is expected.
	Message string
}

// String is one line.
func (p Problem) String() string {
	parts := make([]string, 0, 3)
	for _, s := range []string{p.Where, p.Key, p.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// Problems is the error of [Load]: everything that is wrong, not only the first.
type Problems []Problem //nolint:errname // a list, and the word is plain

// Error is one line a problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// intake takes values in from all sources and remembers where each came from.
type intake struct {
	origins  map[string]Origin
	lines    map[string]string // file:line of everything that stands in the file, sections too
	problems Problems
}

func newIntake() *intake {
	return &intake{origins: map[string]Origin{}, lines: map[string]string{}}
}

const maxProblems = 50

func (in *intake) problem(where, path, message string) {
	if len(in.problems) < maxProblems {
		in.problems = append(in.problems, Problem{Where: where, Key: path, Message: message})
	}
}

// place is where a key was set, or the line of the nearest section above it that
// stands in the file.
func (in *intake) place(path string) string {
	if o, ok := in.origins[path]; ok {
		return o.Where
	}
	for at := path; at != ""; at = at[:max(strings.LastIndexAny(at, ".["), 0)] {
		if line, ok := in.lines[at]; ok {
			return line
		}
	}
	return ""
}

func (in *intake) came(path, where string, s Source) {
	in.origins[path] = Origin{Source: s, Where: where}
}

func (in *intake) set(where, path string, v reflect.Value, text string) {
	in.setFrom(FromFile, where, path, v, text)
}

func (in *intake) setFrom(s Source, where, path string, v reflect.Value, text string) {
	if err := setText(v, text); err != nil {
		message := err.Error()
		if isSecret(path) {
			message = "has a value that cannot be read" // which would show it
		}
		in.problem(where, path, message)
		return
	}
	in.came(path, where, s)
}

const (
	envPrefix = "CARILLON_"
	// EnvFile names the configuration file when --config does not.
	EnvFile = "CARILLON_CONFIG"
)

// env applies CARILLON_* variables. A variable below a section that exists must
// name a key that exists; others are not ours to judge (CARILLON_BUILD, and what
// Kubernetes sets for a service called carillon).
func (in *intake) env(environ []string, root reflect.Value) {
	leaves := map[string]string{}
	values := map[string]reflect.Value{}
	var names []string
	walk(root, "", func(path string, v reflect.Value) {
		name := envName(path)
		leaves[name], values[name] = path, v
		names = append(names, name)
	})
	sorted := slices.Sorted(slices.Values(environ))
	for _, entry := range sorted {
		name, text, ok := strings.Cut(entry, "=")
		if !ok || !strings.HasPrefix(name, envPrefix) || name == EnvFile {
			continue
		}
		v, known := values[name]
		switch {
		case known && (isScalar(v.Type()) || isWords(v.Type())):
			in.setFrom(FromEnv, name, leaves[name], v, text)
		case known:
			in.problem(name, leaves[name], "is a list of sections; it can only stand in the file")
		case ofSection(name, root) && !serviceLink(name):
			message := "no key belongs to this variable"
			if near := nearest(name, names); near != "" {
				message += "; did you mean " + near + "?"
			}
			in.problem(name, "", message)
		}
	}
}

func ofSection(name string, root reflect.Value) bool {
	return slices.ContainsFunc(keys(root.Type()), func(k key) bool {
		return isSection(root.FieldByIndex(k.index).Type()) && strings.HasPrefix(name, envName(k.name)+"_")
	})
}

// serviceLink knows the variables that Kubernetes sets in every pod for a
// service: NAME_SERVICE_HOST, NAME_PORT, NAME_PORT_8410_TCP_ADDR and so on.
func serviceLink(name string) bool {
	return regexp.MustCompile(`_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`).MatchString(name)
}

// assign applies one key=value of the command line.
func (in *intake) assign(s Setting, root reflect.Value) {
	var names []string
	var target reflect.Value
	walk(root, "", func(path string, v reflect.Value) {
		names = append(names, path)
		if path == s.Key {
			target = v
		}
	})
	where := "--" + s.Flag
	switch {
	case !target.IsValid():
		message := "unknown key"
		if near := nearest(s.Key, names); near != "" {
			message += "; did you mean " + near + "?"
		}
		in.problem(where, s.Key, message)
	case !isScalar(target.Type()) && !isWords(target.Type()):
		in.problem(where, s.Key, "is a list of sections; it can only stand in the file")
	default:
		in.setFrom(FromFlag, where, s.Key, target, s.Value)
	}
}
