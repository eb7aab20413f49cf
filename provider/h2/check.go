package h2

import (
	"encoding/binary"
	"strconv"
	"unsafe"
)

// One malformed request can make a server drop the connection and with it the
// requests of others, so what callers hand over is checked before it is encoded.

// check returns why the server would not take r, or "".
func (c *conn) check(r *Request) string {
	size := c.staticSize + len(r.Path) + len(":path") + fieldOverhead
	if why := checkPath(r.Path); why != "" {
		return why
	}
	for i := range r.Fields {
		f := &r.Fields[i]
		size += len(f.Name) + len(f.Value) + fieldOverhead
		if c.enc.known(i, f) {
			continue
		}
		if why := checkField(*f); why != "" {
			return why
		}
	}
	if size > c.peerHeaderList {
		return "the header fields are " + strconv.Itoa(size) + " bytes, the server takes " + strconv.Itoa(c.peerHeaderList)
	}
	return ""
}

const fieldOverhead = 32 // of a field in a header list (RFC 9113 §6.5.2)

func listSize(fields []Field) int {
	n := 0
	for i := range fields {
		n += len(fields[i].Name) + len(fields[i].Value) + fieldOverhead
	}
	return n
}

func checkPath(p string) string {
	if p == "" || p[0] != '/' {
		return "the path does not begin with /"
	}
	if plain(p) == len(p) {
		return ""
	}
	for i := range len(p) {
		if p[i] <= ' ' || p[i] >= 0x7f {
			return "the path has a byte that a URL cannot have"
		}
	}
	return ""
}

// plain returns the length of a front part of s of which every byte is a
// printable ASCII character other than the space: eight at a time, since most
// strings are that throughout.
func plain(s string) int {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	b := unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // read only
	n := 0
	for ; n+8 <= len(b); n += 8 {
		x := binary.LittleEndian.Uint64(b[n:])
		low := x - 0x21*ones          // borrows where a byte is below 0x21
		del := (x ^ 0x7f*ones) - ones // borrows where it is 0x7f
		if (low|del|x)&high != 0 {
			return n
		}
	}
	for ; n < len(b); n++ {
		if b[n] <= ' ' || b[n] >= 0x7f {
			break
		}
	}
	return n
}

func checkField(f Field) string {
	if f.Name == "" {
		return "a field has no name"
	}
	for i := range len(f.Name) {
		if ch := f.Name[i]; ch <= ' ' || ch >= 0x7f || ch == ':' || ('A' <= ch && ch <= 'Z') {
			return "the field name " + strconv.Quote(f.Name) + " is not a lower-case token"
		}
	}
	for i := plain(f.Value); i < len(f.Value); i++ {
		if ch := f.Value[i]; (ch < ' ' && ch != '\t') || ch == 0x7f {
			return "the value of " + f.Name + " has a control character"
		}
	}
	return ""
}
