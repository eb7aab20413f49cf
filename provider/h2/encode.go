package h2

import (
	"golang.org/x/net/http2/hpack"
)

const (
	tableSize = 4096 // the dynamic table we keep, at most; the protocol's default
	memoSize  = 16   // leading request fields whose encoding is remembered
	namesSize = 32   // names of unindexed fields whose encoding is remembered
)

// encoder turns the fields of a request into a header block.
//
// It wraps hpack's encoder with two memories. A field that is in the dynamic
// table is an index of one or two bytes, and that index holds until the next
// insertion: gen counts insertions, and what was encoded in this gen is copied
// instead of searched for. Values that must not be indexed are written here,
// since hpack's encoder indexes whatever is not sensitive.
type encoder struct {
	hp      *hpack.Encoder
	out     sink
	limit   uint32 // the table size in use
	resized bool   // a table size update comes before the next field

	gen          uint32
	pseudo, rest []Field // the static fields, before and after :path
	pseudoBlock  []byte  // their encoding
	restBlock    []byte
	blockGen     uint32 // gen of the two blocks; 0: none
	memo         [memoSize]memo
	names        []literalName
}

type memo struct {
	name, value string
	gen         uint32
	n           uint8
	enc         [4]byte
}

// literalName is the encoding of a name before a literal value: the pattern
// byte with the index of the name, or the name itself.
type literalName struct {
	name string
	enc  []byte
}

type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

func newEncoder(static []Field) *encoder {
	e := &encoder{gen: 1, limit: tableSize}
	e.hp = hpack.NewEncoder(&e.out)
	for _, f := range static {
		if f.Name[0] == ':' {
			f.Mode = Indexed // the block must begin with hpack's own output, see setTableSize
			e.pseudo = append(e.pseudo, f)
		} else {
			e.rest = append(e.rest, f)
		}
	}
	return e
}

// setTableSize follows the server's SETTINGS_HEADER_TABLE_SIZE. hpack writes the
// update before the next field it encodes, which is the first of the block since
// a new gen voids what is remembered. A table that shrinks and grows again
// between two blocks stays small: two updates in a row, though lawful, are
// refused by some decoders (x/net's for one).
func (e *encoder) setTableSize(n uint32) {
	n = min(n, tableSize)
	if n == e.limit || (e.resized && n > e.limit) {
		return
	}
	e.limit = n
	e.hp.SetMaxDynamicTableSizeLimit(n)
	e.hp.SetMaxDynamicTableSize(n)
	e.resized = true
	e.gen++
}

// appendBlock appends the header block of one request to dst.
func (e *encoder) appendBlock(dst []byte, path string, fields []Field) []byte {
	e.out.b = dst
	if e.blockGen == e.gen {
		e.out.b = append(e.out.b, e.pseudoBlock...)
		e.path(path)
		e.out.b = append(e.out.b, e.restBlock...)
	} else {
		e.static(path)
	}
	for i := range fields {
		e.field(i, &fields[i])
	}
	dst, e.out.b = e.out.b, nil
	return dst
}

// static encodes the static fields around :path, and remembers the bytes if
// they are indexes only.
func (e *encoder) static(path string) {
	gen, from := e.gen, len(e.out.b)
	for i := range e.pseudo {
		e.field(-1, &e.pseudo[i])
	}
	mid := len(e.out.b)
	e.path(path)
	tail := len(e.out.b)
	for i := range e.rest {
		e.field(-1, &e.rest[i])
	}
	if e.gen == gen && !e.resized {
		e.pseudoBlock = append(e.pseudoBlock[:0], e.out.b[from:mid]...)
		e.restBlock = append(e.restBlock[:0], e.out.b[tail:]...)
		e.blockGen = gen
	}
}

// path writes :path (static index 4) as a literal without indexing.
func (e *encoder) path(path string) {
	e.out.b = appendString(append(e.out.b, 4), path)
}

// field encodes f; slot is its place among the request's fields, or -1.
func (e *encoder) field(slot int, f *Field) {
	if f.Mode != Indexed {
		e.literal(f)
		return
	}
	var m *memo
	if uint(slot) < memoSize {
		m = &e.memo[slot]
		if m.gen == e.gen && m.value == f.Value && m.name == f.Name {
			e.out.b = append(e.out.b, m.enc[:m.n]...)
			return
		}
	}
	from := len(e.out.b)
	_ = e.hp.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value}) // sink never fails
	b := e.out.b[from:]
	if e.resized {
		b = skipResize(b)
		e.resized = false
		e.gen++ // whoever remembers these bytes would repeat the update
	}
	switch {
	case b[0]&0xc0 == 0x40: // inserted: all indexes have moved
		e.gen++
	case m != nil && b[0]&0x80 != 0 && len(b) <= len(m.enc):
		m.name, m.value, m.gen = f.Name, f.Value, e.gen
		m.n = uint8(copy(m.enc[:], b)) //nolint:gosec // at most 4
	}
}

// skipResize cuts table size updates (RFC 7541 §6.3) off the front of b.
func skipResize(b []byte) []byte {
	for b[0]&0xe0 == 0x20 {
		long := b[0]&0x1f == 0x1f
		b = b[1:]
		for ; long; b = b[1:] {
			long = b[0]&0x80 != 0
		}
	}
	return b
}

// known tells whether the field in that place was checked and sent before.
func (e *encoder) known(slot int, f *Field) bool {
	if slot >= memoSize || f.Mode != Indexed {
		return false
	}
	m := &e.memo[slot]
	return m.value == f.Value && m.name == f.Name
}

// literal writes f without touching the table (RFC 7541 §6.2.2 and §6.2.3).
func (e *encoder) literal(f *Field) {
	from := len(e.out.b)
	e.out.b = append(e.out.b, e.literalName(f.Name)...)
	if f.Mode == NeverIndex {
		e.out.b[from] |= 0x10
	}
	e.out.b = appendString(e.out.b, f.Value)
}

func (e *encoder) literalName(name string) []byte {
	for i := range e.names {
		if e.names[i].name == name {
			return e.names[i].enc
		}
	}
	enc := encodeName(name)
	if len(e.names) < namesSize {
		e.names = append(e.names, literalName{name, enc})
	}
	return enc
}

// encodeName has hpack write a sensitive field with a fresh table, which finds
// the name in the static table if it is there, and takes the value off again.
func encodeName(name string) []byte {
	var s sink
	_ = hpack.NewEncoder(&s).WriteField(hpack.HeaderField{Name: name, Sensitive: true})
	enc := s.b[:len(s.b)-1] // the empty value is one byte
	enc[0] &^= 0x10
	return enc
}

// appendString appends a string literal (RFC 7541 §5.2), in the Huffman code
// when that is shorter.
func appendString(b []byte, s string) []byte {
	n := hpack.HuffmanEncodeLength(s)
	if n >= uint64(len(s)) {
		return append(appendInt7(b, 0, uint64(len(s))), s...)
	}
	return hpack.AppendHuffmanString(appendInt7(b, 0x80, n), s)
}

// appendInt7 appends n as an integer with a prefix of 7 bits (RFC 7541 §5.1).
func appendInt7(b []byte, pattern byte, n uint64) []byte {
	if n < 127 {
		return append(b, pattern|byte(n))
	}
	b = append(b, pattern|127)
	for n -= 127; n >= 128; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}
