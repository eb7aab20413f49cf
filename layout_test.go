package carillon_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "carillon"

// room says what one folder may import of ours. Folders are named from the
// module's root; "" is package carillon. A trailing "/..." means the folder and
// all below it.
type room struct {
	imports []string
	// tests lists what its tests may import beside that.
	tests []string
}

// all marks the rooms that may import everything of ours.
const all = "*"

// partners are the parts that a room's tests run against: the sandbox, the
// embedded broker and the embedded store are products of their own, and a test
// that meets the real thing is worth more than one that meets a mock.
var partners = []string{"", "journal", "journal/embedded", "provider/sandbox", "store", "store/pebble", "store/conformance", "internal/auth", "internal/httpapi", "internal/apitest"}

// rooms is the import map: who may import what of ours. Nothing else may.
func rooms() map[string]room {
	doors := room{imports: []string{"", "journal", "internal/httpapi", "internal/auth"}, tests: partners}
	vendor := room{imports: []string{"", "provider/h2", "provider/wire"}, tests: partners}
	engine := room{imports: []string{"", "store"}, tests: partners}
	return map[string]room{
		"":                  {},
		"gateway":           doors,
		"feed":              doors,
		"console":           doors,
		"journal":           {imports: []string{""}, tests: partners},
		"journal/embedded":  {},
		"dispatch":          {imports: []string{"", "journal"}, tests: partners},
		"provider":          {imports: []string{"", "provider/apns", "provider/fcm", "provider/wns", "provider/h2"}, tests: partners},
		"provider/apns":     vendor,
		"provider/fcm":      vendor,
		"provider/wns":      vendor,
		"provider/h2":       {tests: []string{"provider/sandbox"}},
		"provider/sandbox":  {},
		"provider/wire":     {},
		"store":             {imports: []string{""}, tests: partners},
		"store/conformance": {imports: []string{"", "store"}},
		"store/pebble":      engine,
		"store/cassandra":   engine,
		"client":            {imports: []string{""}, tests: partners},
		"internal/httpapi":  {imports: []string{""}, tests: []string{"internal/apitest"}},
		"internal/apitest":  {imports: []string{"internal/httpapi"}},
		"internal/auth":     {imports: []string{""}},
		"config": {imports: []string{
			"", "gateway", "feed", "console", "journal", "journal/embedded", "dispatch", "provider", "provider/sandbox",
			"store/pebble", "store/cassandra", "internal/httpapi", "internal/auth",
		}},
		"bench":        {imports: []string{"", "client", "provider/...", "provider"}, tests: partners},
		"acceptance":   {imports: []string{"", "client"}, tests: []string{"internal/apitest"}},
		"cmd/carillon": {imports: []string{all}},
	}
}

// homes says where a library may be imported, tests of ours aside. A library
// that is not listed may be imported anywhere.
func homes() map[string][]string {
	return map[string][]string{
		"github.com/valyala/fasthttp":                 {"gateway", "feed", "console", "internal/httpapi", "provider/wns"},
		"github.com/segmentio/kafka-go":               {"journal"},
		"golang.org/x/net/http2":                      {"provider/h2", "provider/sandbox"},
		"github.com/dgraph-io/ristretto/v2":           {"dispatch", "internal/auth"},
		"github.com/cockroachdb/pebble/v2":            {"store/pebble"},
		"github.com/twmb/franz-go":                    {"journal/embedded"},
		"github.com/goccy/go-yaml":                    {"config", "internal/httpapi"},
		"gopkg.in/yaml.v3":                            {},
		"github.com/spf13/pflag":                      {},
		"github.com/santhosh-tekuri/jsonschema/v6":    {"internal/apitest"},
		"github.com/rogpeppe/go-internal":             {},
		"go.uber.org/goleak":                          {"store/conformance"},
		"pgregory.net/rapid":                          {"store/conformance"},
		"github.com/google/go-cmp":                    {"store/conformance"},
		"github.com/HdrHistogram/hdrhistogram-go":     {"bench"},
		"github.com/apache/cassandra-gocql-driver/v2": {"store/cassandra"},
	}
}

const maxDepth = 4

// source is one Go file as the rules see it.
type source struct {
	dir, name string
	test      bool
	pkg       string
	imports   []string
	inits     int
}

func TestImportMap(t *testing.T) {
	known := rooms()
	for _, s := range sources(t) {
		r, ok := known[s.dir]
		if !ok {
			t.Errorf("%s: folder %q is no room of the map in layout_test.go: give it a line there, or a place in a room that has one", s.file(), s.dir)
			continue
		}
		allowed := r.imports
		if s.test {
			allowed = slices.Concat(allowed, r.tests, []string{s.dir})
		}
		for _, imp := range s.imports {
			if ours, ok := within(module, imp); ok && !permits(allowed, ours) {
				t.Errorf("%s: %q may not import %q of ours: rooms do not know each other, cmd/carillon ties them together", s.file(), s.dir, ours)
			}
		}
	}
}

func TestLibraryHomes(t *testing.T) {
	homes := homes()
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, imp := range s.imports {
			for lib, where := range homes {
				if _, ok := within(lib, imp); ok && !slices.Contains(where, s.dir) {
					t.Errorf("%s: %s lives in %q only, not in %q", s.file(), lib, where, s.dir)
				}
			}
		}
	}
}

func TestImportDepth(t *testing.T) {
	edges := map[string][]string{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, imp := range s.imports {
			if ours, ok := within(module, imp); ok {
				edges[s.dir] = append(edges[s.dir], ours)
			}
		}
	}
	memo := map[string][]string{}
	var chain func(dir string) []string
	chain = func(dir string) []string {
		if c, ok := memo[dir]; ok {
			return c
		}
		memo[dir] = []string{dir} // cycles do not compile; this only ends the recursion
		var longest []string
		for _, to := range edges[dir] {
			if c := chain(to); len(c) > len(longest) {
				longest = c
			}
		}
		memo[dir] = append([]string{dir}, longest...)
		return memo[dir]
	}
	for _, dir := range slices.Sorted(maps.Keys(edges)) {
		if c := chain(dir); len(c)-1 > maxDepth {
			t.Errorf("import depth %d > %d: %s", len(c)-1, maxDepth, strings.Join(c, " → "))
		}
	}
}

func TestNamesAndInits(t *testing.T) {
	unnamed := []string{"util", "utils", "common", "helper", "helpers", "misc", "types", "models", "shared"}
	for _, s := range sources(t) {
		if slices.Contains(unnamed, strings.TrimSuffix(s.pkg, "_test")) || slices.Contains(unnamed, path.Base(s.dir)) {
			t.Errorf("%s: %q names the absence of an idea; name the noun", s.file(), s.pkg)
		}
		if s.inits > 0 {
			t.Errorf("%s: func init hides the order of events; call it from a constructor", s.file())
		}
	}
}

func (s *source) file() string { return path.Join(s.dir, s.name) }

// within tells whether imp is root or below it, and its path from there.
func within(root, imp string) (rest string, ok bool) {
	if imp == root {
		return "", true
	}
	return strings.CutPrefix(imp, root+"/")
}

func permits(allowed []string, dir string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		if below, ok := strings.CutSuffix(a, "/..."); ok {
			return dir == below || strings.HasPrefix(dir, below+"/")
		}
		return a == all || a == dir
	})
}

// sources reads the heads of all Go files of this module, whatever their build
// tags are. Folders with a go.mod of their own are other modules.
func sources(t *testing.T) []source {
	t.Helper()
	var found []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(p, d)
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		s, err := read(p)
		found = append(found, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no Go files found: is the test run in the module's root?")
	}
	return found
}

func skip(p string, d fs.DirEntry) error {
	if p == "." {
		return nil
	}
	name := d.Name()
	if strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "build", "bin", "node_modules", "carillon-data"}, name) {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func read(p string) (source, error) {
	f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
	if err != nil {
		return source{}, fmt.Errorf("layout: %w", err)
	}
	p = filepath.ToSlash(p)
	s := source{dir: strings.TrimSuffix(path.Dir(p), "."), name: path.Base(p), test: strings.HasSuffix(p, "_test.go"), pkg: f.Name.Name}
	for _, spec := range f.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, fmt.Errorf("layout: %s: %w", p, err)
		}
		s.imports = append(s.imports, imp)
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			s.inits++
		}
	}
	return s, nil
}
