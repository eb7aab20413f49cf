package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxFile bounds a configuration file; a larger one is some other file.
const maxFile = 4 << 20

// maxNesting bounds how deep a file may nest; ours nests five deep.
const maxNesting = 64

// fileReader reads one YAML document into a configuration. It knows every key
// by the yaml tags of what it fills: any other key is a problem, and so is a
// value that does not fit. All problems of a file are found in one go.
type fileReader struct {
	name string
	in   *intake
}

// read parses and applies the text of a file.
func (r *fileReader) read(text []byte, into reflect.Value) {
	if len(text) > maxFile {
		r.in.problem(r.name, "", fmt.Sprintf("has %d bytes; a configuration has at most %d", len(text), maxFile))
		return
	}
	doc, err := parse(text)
	if err != nil {
		r.syntax(err)
		return
	}
	switch {
	case len(doc.Docs) > 1 && doc.Docs[1].Body != nil:
		r.in.problem(r.at(doc.Docs[1].Body), "", "a second document (---) begins here; one is allowed")
	case len(doc.Docs) == 0 || doc.Docs[0].Body == nil:
	case doc.Docs[0].Body.Type() == ast.CommentType || doc.Docs[0].Body.Type() == ast.NullType:
	default:
		r.node(doc.Docs[0].Body, into, "", 0)
	}
}

// parse keeps the parser's panics, if it has any, from ending the process.
func parse(text []byte) (doc *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			doc, err = nil, fmt.Errorf("is not YAML that can be read: %v", p)
		}
	}()
	return parser.ParseBytes(text, 0)
}

func (r *fileReader) syntax(err error) {
	var at interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
		r.in.problem(r.name+":"+strconv.Itoa(at.GetToken().Position.Line), "", at.GetMessage())
		return
	}
	r.in.problem(r.name, "", err.Error())
}

// at is file:line of a node.
func (r *fileReader) at(n ast.Node) string {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return r.name
	}
	return r.name + ":" + strconv.Itoa(n.GetToken().Position.Line)
}

func (r *fileReader) node(n ast.Node, v reflect.Value, path string, depth int) {
	r.in.lines[path] = r.at(n)
	switch {
	case depth > maxNesting:
		r.in.problem(r.at(n), path, "nests too deep")
	case isAlias(n):
		r.in.problem(r.at(n), path, "anchors, aliases and tags (& * << !) are not read; write the value out")
	case n.Type() == ast.NullType:
		if isScalar(v.Type()) {
			r.in.problem(r.at(n), path, "has no value; remove the key to get the default")
		}
	case v.Kind() == reflect.Pointer && !isScalar(v.Type()):
		p := reflect.New(v.Type().Elem())
		r.node(n, p.Elem(), path, depth+1)
		v.Set(p)
	case isScalar(v.Type()):
		r.scalar(n, v, path)
	case v.Kind() == reflect.Struct:
		r.section(n, v, path, depth)
	case v.Kind() == reflect.Slice:
		r.list(n, v, path, depth)
	case v.Kind() == reflect.Map:
		r.table(n, v, path, depth)
	default:
		r.in.problem(r.at(n), path, "cannot be set from a file")
	}
}

func isAlias(n ast.Node) bool {
	switch n.Type() {
	case ast.AnchorType, ast.AliasType, ast.TagType, ast.MergeKeyType:
		return true
	default:
		return false
	}
}

func (r *fileReader) scalar(n ast.Node, v reflect.Value, path string) {
	var text string
	switch n := n.(type) {
	case *ast.LiteralNode:
		text = n.Value.Value
	case ast.ScalarNode:
		text = n.GetToken().Value
	default:
		r.in.problem(r.at(n), path, "is "+shape(n)+", a single value is expected")
		return
	}
	r.in.set(r.at(n), path, v, text)
}

// entries lists the members of a mapping; a mapping with one member is a node
// of another type.
func entries(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	default:
		return nil, false
	}
}

func (r *fileReader) section(n ast.Node, v reflect.Value, path string, depth int) {
	members, ok := entries(n)
	if !ok {
		r.in.problem(r.at(n), path, "is "+shape(n)+", a section with keys is expected")
		return
	}
	known := keys(v.Type())
	seen := map[string]bool{}
	for _, m := range members {
		name := m.Key.GetToken().Value
		at := join(path, name)
		if seen[name] {
			r.in.problem(r.at(m.Key), at, "stands twice")
			continue
		}
		seen[name] = true
		if k, ok := find(known, name); ok {
			r.node(m.Value, v.FieldByIndex(k.index), at, depth+1)
			continue
		}
		r.in.problem(r.at(m.Key), at, unknown(path, name, known))
	}
}

func find(known []key, name string) (key, bool) {
	for _, k := range known {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}

func unknown(path, name string, known []key) string {
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = k.name
	}
	if near := nearest(name, names); near != "" {
		return "unknown key; did you mean " + join(path, near) + "?"
	}
	return "unknown key; `carillon config print` shows those that exist"
}

func (r *fileReader) list(n ast.Node, v reflect.Value, path string, depth int) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.in.problem(r.at(n), path, "is "+shape(n)+", a list is expected")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		r.node(item, list.Index(i), path+"["+strconv.Itoa(i)+"]", depth+1)
	}
	v.Set(list)
	r.in.came(path, r.at(n), FromFile)
}

func (r *fileReader) table(n ast.Node, v reflect.Value, path string, depth int) {
	members, ok := entries(n)
	if !ok || v.Type().Key().Kind() != reflect.String {
		r.in.problem(r.at(n), path, "is "+shape(n)+", names with values are expected")
		return
	}
	table := reflect.MakeMap(v.Type())
	for _, m := range members {
		name := m.Key.GetToken().Value
		item := reflect.New(v.Type().Elem()).Elem()
		r.node(m.Value, item, join(path, name), depth+1)
		table.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), item)
	}
	v.Set(table)
	r.in.came(path, r.at(n), FromFile)
}

func shape(n ast.Node) string {
	switch n.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "a section"
	case ast.SequenceType:
		return "a list"
	case ast.NullType:
		return "empty"
	default:
		return "a single value"
	}
}
