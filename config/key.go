package config

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// key is one member of a section: a struct field with a yaml tag. Fields
// without a tag are no configuration.
type key struct {
	name  string
	index []int
}

// keys lists the keys of a struct type, in the order of its fields. Embedded
// structs and `,inline` ones lend theirs.
func keys(t reflect.Type) []key {
	var found []key
	for f := range t.Fields() {
		tag, tagged := f.Tag.Lookup("yaml")
		name, opts, _ := strings.Cut(tag, ",")
		switch {
		case !f.IsExported() && !f.Anonymous, name == "-":
		case f.Type.Kind() == reflect.Struct && (opts == "inline" || f.Anonymous && !tagged):
			for _, k := range keys(f.Type) {
				found = append(found, key{name: k.name, index: slices.Concat(f.Index, k.index)})
			}
		case name != "":
			found = append(found, key{name: name, index: f.Index})
		}
	}
	return found
}

// walk calls leaf for every scalar and every list of scalars below v, with its
// path. Lists of sections and maps are given as leaves too: a text cannot set
// them.
func walk(v reflect.Value, path string, leaf func(path string, v reflect.Value)) {
	if !isSection(v.Type()) {
		leaf(path, v)
		return
	}
	for _, k := range keys(v.Type()) {
		walk(v.FieldByIndex(k.index), join(path, k.name), leaf)
	}
}

func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct && !readsText(t) }

func join(path, name string) string {
	switch {
	case path == "":
		return name
	case name == "":
		return path
	}
	return path + "." + name
}

// isSecret tells by its name whether a key's value must never be shown. A key
// that names a file or a variable shows where the secret is, not the secret.
func isSecret(path string) bool {
	name, _, _ := strings.Cut(strings.ToLower(path[strings.LastIndexByte(path, '.')+1:]), "[")
	name = strings.TrimSuffix(name, "s")
	for _, holder := range []string{"file", "env", "dir", "url", "addr", "path"} {
		if strings.HasSuffix(name, holder) {
			return false
		}
	}
	for _, word := range []string{"secret", "password", "passphrase", "token"} {
		if strings.HasSuffix(name, word) {
			return true
		}
	}
	return false
}

// envName is the variable that sets a key: gateway.maxBody is
// CARILLON_GATEWAY_MAX_BODY.
func envName(path string) string {
	var b strings.Builder
	b.WriteString(envPrefix)
	runes := []rune(path)
	for i, r := range runes {
		if r == '.' || r == '-' {
			r = '_'
		}
		if unicode.IsUpper(r) && i > 0 && startsWord(runes, i) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// startsWord tells whether the upper-case letter at i begins a word of a
// camelCase name; within an acronym only the last letter does, when a lower
// case one follows.
func startsWord(runes []rune, i int) bool {
	before := runes[i-1]
	if before == '.' || before == '_' || before == '-' {
		return false
	}
	return !unicode.IsUpper(before) || i+1 < len(runes) && unicode.IsLower(runes[i+1])
}

// nearest is the candidate that looks most like name, or "" when none does.
func nearest(name string, candidates []string) string {
	best, least := "", 1+len(name)/3
	for _, c := range candidates {
		if strings.EqualFold(c, name) {
			return c
		}
		if d := distance(name, c); d <= least {
			best, least = c, d-1
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
