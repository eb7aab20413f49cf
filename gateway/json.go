package gateway

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"carillon"
)

// maxDepth bounds how deep a body may nest. Everything that the door knows
// nests four levels.
const maxDepth = 32

// cursor reads one JSON text (RFC 8259) in a single strict pass and makes no
// garbage: raw control characters, lone surrogates, NaN, leading zeros and
// deep nesting are faults, as are bytes behind the text. Whoever hands it the
// bytes has checked that they are UTF-8.
//
// A cursor stops at its first fault: every later call returns at once, and the
// caller looks at err when it is done.
type cursor struct {
	b     []byte
	i     int
	depth int
	// text takes the strings that had escapes. Earlier strings stay valid when
	// it grows, as they keep the old array.
	text []byte
	name []byte // the last member's name as it stands in b, with its quotes
	err  *carillon.Error
}

func (c *cursor) reset(b []byte) {
	c.b, c.i, c.depth, c.text, c.err = b, 0, 0, c.text[:0], nil
}

// fail keeps the first fault of the grammar.
func (c *cursor) fail(what string) {
	if c.err == nil {
		c.err = carillon.Errorf(carillon.CodeInvalidRequest, "", "not valid JSON at byte %d: %s", c.i, what)
	}
}

// maxTarget bounds the path of a property that is told: a name is as long as its
// sender likes.
const maxTarget = 200

// fault keeps the first fault of the content: target is the property's path.
func (c *cursor) fault(target, format string, args ...any) {
	if c.err == nil {
		if len(target) > maxTarget {
			target = target[:maxTarget] + "…"
		}
		c.err = carillon.Errorf(carillon.CodeInvalidRequest, target, format, args...)
	}
}

func (c *cursor) space() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return
		}
	}
}

// peek is the first byte of the next token, 0 at the end.
func (c *cursor) peek() byte {
	if c.i < len(c.b) && c.b[c.i] > ' ' {
		return c.b[c.i]
	}
	c.space()
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0
}

// open enters an object or array, whose first byte peek has shown.
func (c *cursor) open() {
	c.i++
	c.depth++
	if c.depth > maxDepth {
		c.fail("it nests deeper than " + strconv.Itoa(maxDepth) + " levels")
	}
}

// next stands before each member or element: it tells whether there is one and
// takes the comma or the closing byte. first is true on the first call.
func (c *cursor) next(first bool, closing byte) bool {
	if c.err != nil {
		return false
	}
	switch ch := c.peek(); {
	case ch == closing:
		c.i++
		c.depth--
		return false
	case first:
		return true
	case ch == ',':
		c.i++
		if c.peek() == closing {
			c.fail("a comma before the end")
			return false
		}
		return true
	}
	c.fail("a comma or '" + string(closing) + "' is missing")
	return false
}

// key reads a member's name and the colon behind it.
func (c *cursor) key() []byte {
	if c.peek() != '"' {
		c.fail("a member's name is missing")
		return nil
	}
	from := c.i
	k := c.string()
	c.name = c.b[from:c.i]
	if c.peek() != ':' {
		c.fail("a colon is missing")
		return nil
	}
	c.i++
	return k
}

// string reads a string whose opening quote peek has shown. The result aliases
// the input or c.text.
func (c *cursor) string() []byte {
	b := c.b
	from := c.i + 1
	i := plain(b, from)
	c.i = i
	switch {
	case i >= len(b):
		c.fail("a string does not end")
		return nil
	case b[i] == '"':
		c.i++
		return b[from:i:i]
	}
	return c.escaped(from)
}

// plain is the index, from i on, of the first byte that is not plain text
// within a string: a quote, a backslash, a control character; or len(b). It
// looks at eight bytes at a time (the haszero and hasless tricks of Bit
// Twiddling Hacks; a false alarm only ends the fast run early).
func plain(b []byte, i int) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		hit := (x - ones*' ') &^ x
		hit |= (quote - ones) &^ quote
		hit |= (slash - ones) &^ slash
		if hit &= highs; hit != 0 {
			// Borrows only travel upwards, so the lowest mark is a true one.
			return i + bits.TrailingZeros64(hit)/8
		}
		i += 8
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// escaped reads on from the first byte that is not plain text.
func (c *cursor) escaped(from int) []byte {
	start := len(c.text)
	c.text = append(c.text, c.b[from:c.i]...)
	for c.i < len(c.b) {
		ch := c.b[c.i]
		switch {
		case ch == '"':
			c.i++
			return c.text[start:len(c.text):len(c.text)]
		case ch < ' ':
			c.fail("a control character stands in a string, escape it")
			return nil
		case ch == '\\':
			if !c.escape() {
				return nil
			}
		default:
			run := c.i
			c.i = plain(c.b, c.i)
			c.text = append(c.text, c.b[run:c.i]...)
		}
	}
	c.fail("a string does not end")
	return nil
}

// escape reads one escape sequence into c.text.
func (c *cursor) escape() bool {
	if c.i+1 >= len(c.b) {
		c.i = len(c.b)
		return true // the caller finds the missing end
	}
	ch := c.b[c.i+1]
	switch ch {
	case '"', '\\', '/':
	case 'b':
		ch = '\b'
	case 'f':
		ch = '\f'
	case 'n':
		ch = '\n'
	case 'r':
		ch = '\r'
	case 't':
		ch = '\t'
	case 'u':
		return c.unicode()
	default:
		c.fail("an unknown escape sequence")
		return false
	}
	c.i += 2
	c.text = append(c.text, ch)
	return true
}

// unicode reads \uXXXX, or the two of a surrogate pair (RFC 8259 §7).
func (c *cursor) unicode() bool {
	r, ok := hex4(c.b, c.i+2)
	if !ok {
		c.fail("\\u needs four hexadecimal digits")
		return false
	}
	n := 6
	if r >= 0xd800 && r < 0xe000 {
		var low rune
		if c.i+7 < len(c.b) && c.b[c.i+6] == '\\' && c.b[c.i+7] == 'u' {
			low, _ = hex4(c.b, c.i+8)
		}
		if r >= 0xdc00 || low < 0xdc00 || low > 0xdfff {
			c.fail("half a surrogate pair")
			return false
		}
		r, n = (r-0xd800)<<10+(low-0xdc00)+0x10000, 12
	}
	c.i += n
	c.text = utf8.AppendRune(c.text, r)
	return true
}

func hex4(b []byte, at int) (rune, bool) {
	if at+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, ch := range b[at : at+4] {
		r <<= 4
		switch {
		case ch >= '0' && ch <= '9':
			r |= rune(ch - '0')
		case ch|0x20 >= 'a' && ch|0x20 <= 'f':
			r |= rune(ch|0x20-'a') + 10
		default:
			return 0, false
		}
	}
	return r, true
}

// number reads a number and returns its own text.
func (c *cursor) number() []byte {
	from := c.i
	if c.i < len(c.b) && c.b[c.i] == '-' {
		c.i++
	}
	lead := c.i
	ok := c.digits()
	if ok && c.b[lead] == '0' && c.i-lead > 1 {
		ok = false
	}
	if ok && c.i < len(c.b) && c.b[c.i] == '.' {
		c.i++
		ok = c.digits()
	}
	if ok && c.i < len(c.b) && c.b[c.i]|0x20 == 'e' {
		c.i++
		if c.i < len(c.b) && (c.b[c.i] == '+' || c.b[c.i] == '-') {
			c.i++
		}
		ok = c.digits()
	}
	if !ok {
		c.fail("a value is missing or a number is malformed")
		return nil
	}
	return c.b[from:c.i]
}

func (c *cursor) digits() bool {
	from := c.i
	for c.i < len(c.b) && c.b[c.i] >= '0' && c.b[c.i] <= '9' {
		c.i++
	}
	return c.i > from
}

func (c *cursor) literal(word string) bool {
	if len(c.b)-c.i < len(word) || string(c.b[c.i:c.i+len(word)]) != word {
		c.fail("an unknown word, or a value is missing")
		return false
	}
	c.i += len(word)
	return true
}

// null takes a null and tells whether there was one. A known property that is
// null counts as left out, as OData clients send those.
func (c *cursor) null() bool {
	return c.peek() == 'n' && c.literal("null")
}

// skip reads over one value of any type and returns its own text.
func (c *cursor) skip() []byte {
	ch := c.peek()
	from := c.i
	switch ch {
	case '{':
		c.open()
		for first := true; c.next(first, '}'); first = false {
			text := len(c.text)
			c.key()
			c.text = c.text[:text]
			c.skip()
		}
	case '[':
		c.open()
		for first := true; c.next(first, ']'); first = false {
			c.skip()
		}
	case '"':
		text := len(c.text)
		c.string()
		c.text = c.text[:text]
	case 't':
		c.literal("true")
	case 'f':
		c.literal("false")
	case 'n':
		c.literal("null")
	default:
		c.number()
	}
	if c.err != nil {
		return nil
	}
	return c.b[from:c.i]
}

// end makes sure that nothing but white space is left.
func (c *cursor) end() {
	if c.err != nil {
		return
	}
	c.space()
	if c.i != len(c.b) {
		c.fail("something stands behind the value")
	}
}
