package store

import (
	"encoding/binary"

	"carillon"
)

// AppendIdem appends what is remembered of a keyed request; its RID stands in
// the key.
func AppendIdem(dst []byte, m *carillon.Idem) []byte {
	dst = append(dst, rowFormat)
	dst = append(dst, m.BodyHash[:]...)
	dst = append(dst, m.ID[:]...)
	dst = binary.AppendUvarint(dst, uint64(m.Seq))
	dst = binary.AppendVarint(dst, m.Expires)
	if m.Refused != 0 {
		dst = append(dst, byte(m.Refused))
	}
	return dst
}

// DecodeIdem reads the row of the keyed request rid.
func DecodeIdem(b []byte, rid carillon.RequestID, m *carillon.Idem) error {
	r := reader{b: b}
	r.format()
	*m = carillon.Idem{RID: rid}
	copy(m.BodyHash[:], r.bytes(len(m.BodyHash)))
	copy(m.ID[:], r.bytes(len(m.ID)))
	m.Seq = carillon.Seq(r.uvarint())
	m.Expires = r.varint()
	if len(r.b) > 0 { // rows of before there were refusals end here
		m.Refused = carillon.Code(r.byte())
	}
	return r.err("idem")
}
