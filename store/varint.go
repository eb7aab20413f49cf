package store

import (
	"encoding/binary"

	"carillon"
)

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendSeq appends a seq by its distance from base: near ones take few bytes.
func appendSeq(dst []byte, s, base carillon.Seq) []byte {
	return binary.AppendVarint(dst, int64(s-base)) //nolint:gosec // wraps and unwraps the same way
}

// reader takes a row apart. After the first fault it is bad and gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() {
	r.b, r.bad = nil, true
}

func (r *reader) format() {
	if r.byte() != rowFormat {
		r.fail()
	}
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) seq(base carillon.Seq) carillon.Seq {
	return base + carillon.Seq(r.varint()) //nolint:gosec // wraps and unwraps the same way
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	return string(r.bytes(int(n))) //nolint:gosec // not above a length
}

func (r *reader) skipString() {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return
	}
	r.bytes(int(n)) //nolint:gosec // not above a length
}
