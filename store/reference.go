package store

import (
	"encoding/binary"

	"carillon"
)

// Ref is the row of a derived id or of a feed entry: it leads to an item.
type Ref struct {
	Created carillon.Seq
	Expires int64 // milliseconds since 1970
}

// AppendRef appends the row of a reference.
func AppendRef(dst []byte, f Ref) []byte {
	dst = append(dst, rowFormat)
	dst = binary.AppendUvarint(dst, uint64(f.Created))
	return binary.AppendVarint(dst, f.Expires)
}

// DecodeRef reads the row of a reference.
func DecodeRef(b []byte) (Ref, error) {
	r := reader{b: b}
	r.format()
	f := Ref{Created: carillon.Seq(r.uvarint()), Expires: r.varint()}
	return f, r.err("reference")
}
