package config

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// Redacted stands in the place of a secret.
const Redacted = "(secret)"

// Print writes the effective configuration as YAML, secrets redacted, each
// value that is no default with where it came from. A key that is 0, empty or
// not set takes its room's default.
func Print(w io.Writer, c *Config) error {
	p := &printer{origins: c.origins}
	p.out.WriteString("# A key that is 0, empty or not set takes the default that is documented for it.\n")
	p.section(reflect.ValueOf(c.effective()).Elem(), "", 0)
	if p.err != nil {
		return p.err
	}
	_, err := io.WriteString(w, p.out.String())
	return err
}

// PrintJSON writes what [Print] writes as JSON: {"config": …, "origins": {path:
// {"source", "where"}}}, the latter without defaults.
func PrintJSON(w io.Writer, c *Config) error {
	type origin struct {
		Source string `json:"source"`
		Where  string `json:"where"`
	}
	origins := map[string]origin{}
	for path, o := range c.origins {
		origins[path] = origin{Source: o.Source.String(), Where: o.Where}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(map[string]any{"config": tree(reflect.ValueOf(c.effective()).Elem(), ""), "origins": origins})
}

type printer struct {
	out     strings.Builder
	origins map[string]Origin
	err     error
}

func (p *printer) section(v reflect.Value, path string, depth int) {
	for _, k := range keys(v.Type()) {
		member := v.FieldByIndex(k.index)
		p.indent(depth)
		if member.Kind() == reflect.Pointer && member.IsNil() {
			p.out.WriteString("# " + k.name + ": not set\n")
			continue
		}
		p.out.WriteString(k.name)
		p.out.WriteByte(':')
		p.value(member, join(path, k.name), depth)
	}
}

func (p *printer) indent(depth int) { p.out.WriteString(strings.Repeat("  ", depth)) }

// value writes what follows "key:", its line end included.
func (p *printer) value(v reflect.Value, path string, depth int) {
	switch {
	case v.Kind() == reflect.Pointer && !isScalar(v.Type()):
		p.value(v.Elem(), path, depth)
	case isScalar(v.Type()):
		p.rest(" "+p.scalar(v, path), path)
	case v.Kind() == reflect.Struct && len(keys(v.Type())) == 0, v.Kind() == reflect.Map && v.Len() == 0:
		p.rest(" {}", path)
	case v.Kind() == reflect.Struct:
		p.rest("", path)
		p.section(v, path, depth+1)
	case isWords(v.Type()), v.Kind() == reflect.Slice && v.Len() == 0:
		words := make([]string, v.Len())
		for i := range words {
			words[i] = p.scalar(v.Index(i), path)
		}
		p.rest(" ["+strings.Join(words, ", ")+"]", path)
	case v.Kind() == reflect.Slice:
		p.rest("", path)
		p.list(v, path, depth)
	case v.Kind() == reflect.Map:
		p.rest("", path)
		for _, name := range sortedNames(v) {
			p.indent(depth + 1)
			p.out.WriteString(quote(name.String()) + ":")
			p.value(v.MapIndex(name), join(path, name.String()), depth+1)
		}
	default:
		p.err = fmt.Errorf("config: %s: a %s cannot be printed", path, v.Kind())
	}
}

func (p *printer) list(v reflect.Value, path string, depth int) {
	for i := range v.Len() {
		p.indent(depth + 1)
		p.out.WriteByte('-')
		p.value(v.Index(i), path+"["+strconv.Itoa(i)+"]", depth+1)
	}
}

// rest ends a line, with where its value came from.
func (p *printer) rest(value, path string) {
	p.out.WriteString(value)
	if o, ok := p.origins[path]; ok {
		p.out.WriteString(" # " + o.Source.String() + " " + strings.ReplaceAll(o.Where, "\n", " "))
	}
	p.out.WriteByte('\n')
}

func (p *printer) scalar(v reflect.Value, path string) string {
	s, err := text(v)
	if err != nil {
		p.err = err
	}
	if s != "" && isSecret(path) {
		return Redacted
	}
	return quote(s)
}

// quote writes a word as YAML: as it is where that reads back as the same text.
// Numbers and booleans need no quotes, for they are read by the key's type.
func quote(s string) string {
	plain := s != "" && !token.IsNeedQuoted(s)
	if _, err := strconv.ParseFloat(s, 64); err == nil || s == "true" || s == "false" {
		plain = true
	}
	if plain && !strings.ContainsAny(s, "\"'\\#,[]{}&*!|>%@`\n\r\t\x00") && strings.TrimSpace(s) == s && !strings.Contains(s, ": ") {
		return s
	}
	b, err := json.Marshal(s) // a JSON string is a YAML string
	if err != nil {
		return strconv.Quote(s)
	}
	return string(b)
}

// tree is v as encoding/json wants it: the same keys, secrets redacted.
func tree(v reflect.Value, path string) any {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil
	case v.Kind() == reflect.Pointer:
		return tree(v.Elem(), path)
	case isScalar(v.Type()):
		return plain(v, path)
	case v.Kind() == reflect.Struct:
		out := map[string]any{}
		for _, k := range keys(v.Type()) {
			out[k.name] = tree(v.FieldByIndex(k.index), join(path, k.name))
		}
		return out
	case v.Kind() == reflect.Map:
		out := map[string]any{}
		for _, name := range v.MapKeys() {
			out[name.String()] = tree(v.MapIndex(name), join(path, name.String()))
		}
		return out
	case v.Kind() == reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = tree(v.Index(i), path+"["+strconv.Itoa(i)+"]")
		}
		return out
	}
	return nil
}

func plain(v reflect.Value, path string) any {
	s, err := text(v)
	if err != nil {
		return nil
	}
	if s != "" && isSecret(path) {
		return Redacted
	}
	if bare := v.Type().PkgPath() == ""; bare && v.Kind() != reflect.String {
		return v.Interface() // a number or a bool of Go's own types
	}
	return s
}

func sortedNames(m reflect.Value) []reflect.Value {
	names := m.MapKeys()
	slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return names
}
