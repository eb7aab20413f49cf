package feed

import (
	"slices"
	"strings"
	"time"

	"carillon"
)

// Bounds of a $filter.
const (
	maxFilter      = 2 << 10 // bytes
	maxClauses     = 64      // comparisons and joins
	maxFilterDepth = 16      // parentheses in one another
)

// parseFilter reads a $filter. Its errors tell the byte at fault, counted from
// 1: 400 for what is no filter, 501 for OData that is not built.
func parseFilter(text string) (filter, error) {
	if len(text) > maxFilter {
		return filter{}, carillon.Errorf(carillon.CodeInvalidRequest, "$filter", "has %d bytes, at most %d are allowed", len(text), maxFilter)
	}
	p := filterParser{text: text}
	p.next()
	if p.tok.kind == tokEnd {
		return filter{}, p.bad("is empty")
	}
	if _, err := p.or(0); err != nil {
		return filter{}, err
	}
	if p.tok.kind != tokEnd {
		return filter{}, p.bad("and, or or the end is wanted here, not %s", p.tok)
	}
	return filter{text: text, nodes: p.nodes}, nil
}

type filterParser struct {
	text  string
	at    int   // behind the token
	tok   token // the one at hand
	nodes []clause
}

type tokenKind uint8

const (
	tokEnd  tokenKind = iota
	tokWord           // a name, an operator, a date, a number, true, false, null
	tokText           // 'quoted', without the quotes
	tokOpen
	tokClose
	tokBad
)

// token is one word of a filter; at is its first byte.
type token struct {
	kind tokenKind
	text string
	at   int
}

func (t token) String() string {
	switch t.kind {
	case tokEnd:
		return "the end"
	case tokText:
		return "a text"
	case tokOpen:
		return "("
	case tokClose:
		return ")"
	case tokWord, tokBad:
	}
	if len(t.text) > 40 {
		return t.text[:40] + "…"
	}
	return t.text
}

// next reads the next token.
func (p *filterParser) next() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
	t := token{at: p.at}
	switch {
	case p.at == len(p.text):
	case p.text[p.at] == '(':
		t.kind, t.text = tokOpen, "("
		p.at++
	case p.text[p.at] == ')':
		t.kind, t.text = tokClose, ")"
		p.at++
	case p.text[p.at] == '\'':
		t.kind, t.text = p.quoted()
	default:
		from := p.at
		for p.at < len(p.text) && !strings.ContainsRune(" \t()',", rune(p.text[p.at])) {
			p.at++
		}
		t.kind, t.text = tokWord, p.text[from:p.at]
		if from == p.at { // a comma
			t.kind, t.text = tokBad, p.text[from:from+1]
			p.at++
		}
	}
	p.tok = t
}

// quoted reads 'text', in which ” stands for one quote.
func (p *filterParser) quoted() (tokenKind, string) {
	var b strings.Builder
	for i := p.at + 1; i < len(p.text); i++ {
		if p.text[i] != '\'' {
			b.WriteByte(p.text[i])
			continue
		}
		if i+1 < len(p.text) && p.text[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		p.at = i + 1
		return tokText, b.String()
	}
	p.at = len(p.text)
	return tokBad, "a text without its closing quote"
}

func (p *filterParser) bad(format string, args ...any) error {
	e := carillon.Errorf(carillon.CodeInvalidRequest, "$filter", format, args...)
	e.Message = "at byte " + itoa(p.tok.at+1) + ": " + e.Message
	return e
}

// unbuilt is OData that this service does not have.
func (p *filterParser) unbuilt(what string) error {
	e := carillon.Errorf(carillon.CodeNotImplemented, "$filter", "at byte %d: %.60s is not supported; eq ne gt ge lt le, and, or and parentheses are", p.tok.at+1, what)
	return e
}

// or reads alternatives, the weakest join. It gives the place of their clause.
func (p *filterParser) or(depth int) (int, error) {
	return p.join("or", opOr, func() (int, error) { return p.and(depth) })
}

func (p *filterParser) and(depth int) (int, error) {
	return p.join("and", opAnd, func() (int, error) { return p.one(depth) })
}

func (p *filterParser) join(word string, o op, part func() (int, error)) (int, error) {
	left, err := part()
	for err == nil && p.tok.kind == tokWord && p.tok.text == word {
		p.next()
		var right int
		if right, err = part(); err == nil {
			left, err = p.add(clause{op: o, left: left, right: right})
		}
	}
	return left, err
}

func (p *filterParser) add(c clause) (int, error) {
	if len(p.nodes) == maxClauses {
		return 0, p.bad("more than %d comparisons, and and or", maxClauses)
	}
	p.nodes = append(p.nodes, c)
	return len(p.nodes) - 1, nil
}

// one reads what stands in parentheses, or a comparison.
func (p *filterParser) one(depth int) (int, error) {
	if p.tok.kind != tokOpen {
		return p.comparison()
	}
	if depth == maxFilterDepth {
		return 0, p.bad("parentheses stand more than %d deep", maxFilterDepth)
	}
	p.next()
	i, err := p.or(depth + 1)
	if err != nil {
		return 0, err
	}
	if p.tok.kind != tokClose {
		return 0, p.bad("and, or or ) is wanted here, not %s", p.tok)
	}
	p.next()
	return i, nil
}

// comparison reads `property op constant` or `constant op property`.
func (p *filterParser) comparison() (int, error) {
	first := p.tok
	left, leftProp, err := p.operand()
	if err != nil {
		return 0, err
	}
	o, err := p.operator()
	if err != nil {
		return 0, err
	}
	second := p.tok
	right, rightProp, err := p.operand()
	if err != nil {
		return 0, err
	}
	c := clause{op: o, property: leftProp}
	word := second
	switch {
	case left && right:
		p.tok = second
		return 0, p.unbuilt("comparing two properties")
	case !left && !right:
		p.tok = first
		return 0, p.bad("a property is wanted on one side: readState, userActionState, groupName, status, creationDateTime, expirationDateTime or lastModifiedDateTime")
	case right:
		c.op, c.property, word = mirrored(o), rightProp, first
	}
	after := p.tok
	p.tok = word // what an error is about
	if c.constant, err = p.constant(c.property, c.op, word); err != nil {
		return 0, err
	}
	p.tok = after
	return p.add(c)
}

// operand passes a property (isProperty) or a constant.
func (p *filterParser) operand() (isProperty bool, prop property, err error) {
	t := p.tok
	switch t.kind {
	case tokText:
		p.next()
		return false, 0, nil
	case tokWord:
	case tokEnd, tokOpen, tokClose, tokBad:
		return false, 0, p.bad("a property or a constant is wanted here, not %s", t)
	}
	if t.text == "not" {
		return false, 0, p.unbuilt("not")
	}
	p.next()
	if p.tok.kind == tokOpen && p.tok.at == t.at+len(t.text) {
		p.tok = t
		return false, 0, p.unbuilt("the function " + t.text)
	}
	if prop, ok := propertyNamed(t.text); ok {
		return true, prop, nil
	}
	if c := t.text[0]; (c < '0' || c > '9') && c != '-' && !slices.Contains([]string{"true", "false", "null"}, t.text) {
		p.tok = t
		return false, 0, p.bad("%s cannot be filtered by; readState, userActionState, groupName, status, creationDateTime, expirationDateTime and lastModifiedDateTime can", t)
	}
	return false, 0, nil
}

func (p *filterParser) operator() (op, error) {
	if p.tok.kind != tokWord {
		return 0, p.bad("eq, ne, gt, ge, lt or le is wanted here, not %s", p.tok)
	}
	word := p.tok.text
	for o, name := range [...]string{opEq: "eq", opNe: "ne", opGt: "gt", opGe: "ge", opLt: "lt", opLe: "le"} {
		if word == name {
			p.next()
			return op(o), nil
		}
	}
	if slices.Contains([]string{"in", "has", "add", "sub", "mul", "div", "mod"}, word) {
		return 0, p.unbuilt(word)
	}
	return 0, p.bad("eq, ne, gt, ge, lt or le is wanted here, not %s", p.tok)
}

// mirrored is the operator with its sides changed.
func mirrored(o op) op {
	switch o {
	case opGt:
		return opLt
	case opGe:
		return opLe
	case opLt:
		return opGt
	case opLe:
		return opGe
	case opEq, opNe, opAnd, opOr:
	}
	return o
}

// constant reads what a property is compared with.
func (p *filterParser) constant(prop property, o op, t token) (constant, error) {
	ordered := o != opEq && o != opNe
	if t.kind == tokWord && t.text == "null" {
		switch {
		case !prop.nullable():
			return constant{}, p.bad("%s is never null", prop)
		case ordered:
			return constant{}, p.bad("null is compared by eq and ne only")
		}
		return constant{null: true}, nil
	}
	switch prop.kind() {
	case kindBool:
		switch {
		case t.kind != tokWord || t.text != "true" && t.text != "false":
			return constant{}, p.bad("%s is true or false, not %s", prop, t)
		case ordered:
			return constant{}, p.bad("%s is compared by eq and ne only", prop)
		}
		return flag(t.text == "true"), nil
	case kindName:
		return p.name(prop, ordered, t)
	case kindText:
		if t.kind != tokText {
			return constant{}, p.bad("%s is compared with a 'text' in single quotes or null, not %s", prop, t)
		}
		return constant{text: t.text}, nil
	case kindTime:
	}
	at, err := time.Parse(time.RFC3339Nano, t.text)
	if t.kind != tokWord || err != nil {
		return constant{}, p.bad("%s is compared with a date such as 2026-11-01T00:00:00Z, without quotes, not %s", prop, t)
	}
	return constant{num: at.UnixMilli()}, nil
}

// name finds a 'Name' of a closed set, whatever its case.
func (p *filterParser) name(prop property, ordered bool, t token) (constant, error) {
	names := prop.names()
	if ordered {
		return constant{}, p.bad("%s is compared by eq and ne only", prop)
	}
	if t.kind == tokText {
		for i, n := range names {
			if strings.EqualFold(n, t.text) {
				return constant{num: int64(i)}, nil
			}
		}
	}
	return constant{}, p.bad("%s is one of '%s', in single quotes", prop, strings.Join(names, "', '"))
}

func flag(on bool) constant {
	if on {
		return constant{num: 1}
	}
	return constant{}
}
