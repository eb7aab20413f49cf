package store

import (
	"encoding/binary"

	"carillon"
)

// Ref is the row of a derived id, and the head of a feed entry's: it leads to an
// item.
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

// AppendPlace appends the row of an item's place in the feed: the reference, and
// behind it the item's own row without what a feed does not tell, its deliveries
// and its next version. It is written whenever the item's row is, so that they
// say the same, and who follows the feed reads one row for each change.
func AppendPlace(dst []byte, it *carillon.Item) []byte {
	content := *it
	content.Deliveries, content.Next = nil, carillon.Next{}
	return AppendItem(AppendRef(dst, Ref{Created: it.Created, Expires: it.Expires}), &content)
}

// DecodePlace reads the row of a place in the feed. Whole is false for rows of
// before they held the item: it is at the reference then. Its body aliases b.
func DecodePlace(b []byte, it *carillon.Item) (f Ref, whole bool, err error) {
	r := reader{b: b}
	if f = r.ref(); r.bad || len(r.b) == 0 {
		return f, false, r.err("place")
	}
	return f, true, DecodeContent(r.b, f.Created, it)
}

// DecodeRef reads the row of a reference, or the head of a place's.
func DecodeRef(b []byte) (Ref, error) {
	r := reader{b: b}
	f := r.ref()
	return f, r.err("reference")
}

func (r *reader) ref() Ref {
	r.format()
	return Ref{Created: carillon.Seq(r.uvarint()), Expires: r.varint()}
}
