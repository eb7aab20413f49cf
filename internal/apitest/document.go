package apitest

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"carillon/internal/httpapi"
)

// Document is the description, ready to hold answers to. Safe for concurrent
// use.
type Document struct {
	root  map[string]any
	paths []path

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
	// open takes what the schemas say, closed refuses members that they do not
	// name: a caller may send more, an answer is described whole.
	open, closed *jsonschema.Compiler
}

// path is one path of the document; a segment "" is a parameter.
type path struct {
	pattern  string
	segments []string
	params   int
	item     map[string]any
}

// Load reads the description once for all tests of a process.
func Load() (*Document, error) { return load() }

var load = sync.OnceValues(func() (*Document, error) { //nolint:gochecknoglobals // read once, as said
	text, err := httpapi.Description()
	if err != nil {
		return nil, err
	}
	return Parse(text)
})

const resource = "openapi.json"

// Parse reads a description in JSON and compiles every schema of it.
func Parse(text []byte) (*Document, error) {
	plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	strict, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	root, ok := plain.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the description is a %T", plain)
	}
	d := &Document{root: root, schemas: make(map[string]*jsonschema.Schema)}
	if d.open, err = compiler(loosen(plain)); err != nil {
		return nil, err
	}
	if d.closed, err = compiler(shut(strict)); err != nil {
		return nil, err
	}
	for name := range object(object(root["components"])["schemas"]) {
		if _, err := d.schema(pointer("components", "schemas", name), false); err != nil {
			return nil, err
		}
	}
	for pattern, item := range object(root["paths"]) {
		p := path{pattern: pattern, segments: segments(pattern), item: object(d.resolve(item))}
		for i, s := range p.segments {
			if strings.HasPrefix(s, "{") {
				p.segments[i] = ""
				p.params++
			}
		}
		d.paths = append(d.paths, p)
	}
	// A fixed segment beats a parameter, as in the router.
	slices.SortFunc(d.paths, func(a, b path) int { return a.params - b.params })
	return d, nil
}

func compiler(doc any) (*jsonschema.Compiler, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	return c, c.AddResource(resource, doc)
}

// shut closes every object that names its members and does not say that there
// may be others.
func shut(v any) any {
	switch v := v.(type) {
	case map[string]any:
		// Without a type it is a branch of anyOf and the like, which names a part.
		if v["properties"] != nil && v["type"] != nil && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, child := range v {
			shut(child)
		}
	case []any:
		for _, child := range v {
			shut(child)
		}
	}
	return v
}

// loosen lets words that say x-anyCase stand in any case.
func loosen(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v["x-anyCase"] == true {
			words, _ := v["enum"].([]any)
			if word, ok := v["const"]; ok {
				words = []any{word}
			}
			delete(v, "enum")
			delete(v, "const")
			v["pattern"] = anyCase(words)
		}
		for _, child := range v {
			loosen(child)
		}
	case []any:
		for _, child := range v {
			loosen(child)
		}
	}
	return v
}

func anyCase(words []any) string {
	var text []string
	for _, w := range words {
		if s, ok := w.(string); ok {
			text = append(text, regexp.QuoteMeta(s))
		}
	}
	return "^(?i:" + strings.Join(text, "|") + ")$"
}

// schema compiles what a pointer leads to.
func (d *Document) schema(at string, closed bool) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := fmt.Sprint(closed, at)
	if s := d.schemas[key]; s != nil {
		return s, nil
	}
	c := d.open
	if closed {
		c = d.closed
	}
	s, err := c.Compile(resource + at)
	if err != nil {
		return nil, err
	}
	d.schemas[key] = s
	return s, nil
}

// Operations lists "METHOD /path" of everything that is described, sorted.
func (d *Document) Operations() []string {
	var all []string
	for _, p := range d.paths {
		for method := range p.item {
			if strings.Contains(methods, " "+method+" ") {
				all = append(all, strings.ToUpper(method)+" "+p.pattern)
			}
		}
	}
	slices.Sort(all)
	return all
}

const methods = " get put post delete options head patch trace "

// find is the path item of a URL's path, nil for one that is not described, and
// its pattern.
func (d *Document) find(raw string) (item map[string]any, pattern string) {
	want := segments(raw)
	for i := range d.paths {
		p := &d.paths[i]
		if slices.EqualFunc(p.segments, want, func(a, b string) bool { return a == "" && b != "" || a != "" && a == b }) {
			return p.item, p.pattern
		}
	}
	return nil, ""
}

// segments takes a path apart; "name('key')" is two, as in the router.
func segments(raw string) (all []string) {
	for s := range strings.SplitSeq(strings.Trim(raw, "/"), "/") {
		if plain, err := url.PathUnescape(s); err == nil {
			s = plain
		}
		name, key, ok := strings.Cut(s, "(")
		if !ok || name == "" || !strings.HasSuffix(key, ")") {
			all = append(all, s)
			continue
		}
		all = append(all, name)
		if key = strings.TrimSuffix(key, ")"); key != "" {
			if strings.Contains(key, "{") {
				key = "{key}"
			}
			all = append(all, strings.Trim(key, "'"))
		}
	}
	return all
}

// resolve follows a $ref within the document.
func (d *Document) resolve(v any) any {
	for {
		ref, ok := object(v)["$ref"].(string)
		if !ok {
			return v
		}
		v = d.at(ref)
	}
}

// at is what a reference points to; nil for nothing.
func (d *Document) at(ref string) any {
	var v any = d.root
	text, _ := url.PathUnescape(strings.TrimPrefix(ref, "#/"))
	for name := range strings.SplitSeq(text, "/") {
		v = object(v)[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	return v
}

// pointer is a URL's fragment that leads to a place in the document.
func pointer(names ...string) string {
	var b strings.Builder
	b.WriteByte('#')
	for _, n := range names {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(n)))
	}
	return b.String()
}

// object is v as an object; empty for anything else.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// names are an object's, sorted.
func names(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
