package store

import (
	"encoding/binary"

	"carillon"
)

// Bits of an endpoint's row.
const (
	endpointLeft = 1 << iota
	endpointAddressed
)

// AppendEndpoint appends the row of an endpoint, or of a tombstone; its id
// stands in the key. A tombstone keeps the version and the expiry alone.
func AppendEndpoint(dst []byte, e *carillon.Endpoint, left bool) []byte {
	var bits byte
	if left {
		bits |= endpointLeft
	}
	if e.Addressed != e.Incarnation {
		bits |= endpointAddressed
	}
	dst = append(dst, rowFormat, bits)
	dst = binary.AppendUvarint(dst, uint64(e.Version))
	dst = binary.AppendVarint(dst, e.Expires)
	if left {
		return dst
	}
	dst = append(dst, byte(e.Platform), byte(e.Push))
	dst = appendSeq(dst, e.Incarnation, e.Version)
	if bits&endpointAddressed != 0 {
		dst = appendSeq(dst, e.Addressed, e.Incarnation)
	}
	dst = binary.AppendVarint(dst, e.Registered)
	dst = appendString(dst, e.Address)
	dst = appendString(dst, e.AppID)
	dst = appendString(dst, e.Environment)
	return appendString(dst, e.Locale)
}

// DecodeEndpoint reads a row of the endpoint named id.
func DecodeEndpoint(b []byte, id string, e *carillon.Endpoint) (left bool, err error) {
	r := reader{b: b}
	r.format()
	bits := r.byte()
	*e = carillon.Endpoint{ID: id}
	e.Version = carillon.Seq(r.uvarint())
	e.Expires = r.varint()
	if bits&endpointLeft != 0 {
		return true, r.err("endpoint")
	}
	e.Platform = carillon.Platform(r.byte())
	e.Push = carillon.Preference(r.byte())
	e.Incarnation = r.seq(e.Version)
	e.Addressed = e.Incarnation
	if bits&endpointAddressed != 0 {
		e.Addressed = r.seq(e.Incarnation)
	}
	e.Registered = r.varint()
	e.Address = r.string()
	e.AppID = r.string()
	e.Environment = r.string()
	e.Locale = r.string()
	return false, r.err("endpoint")
}

// AppendIdem appends what is remembered of a keyed request; its RID stands in
// the key.
func AppendIdem(dst []byte, m *carillon.Idem) []byte {
	dst = append(dst, rowFormat)
	dst = append(dst, m.BodyHash[:]...)
	dst = append(dst, m.ID[:]...)
	dst = binary.AppendUvarint(dst, uint64(m.Seq))
	return binary.AppendVarint(dst, m.Expires)
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
	return r.err("idem")
}

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

// AppendProgress appends the row of a partition's progress.
func AppendProgress(dst []byte, p carillon.Progress) []byte {
	dst = append(dst, rowFormat)
	dst = binary.AppendUvarint(dst, uint64(p.Applied))
	return binary.AppendUvarint(dst, uint64(p.Settled))
}

// DecodeProgress reads the progress of a partition.
func DecodeProgress(b []byte, partition int32) (carillon.Progress, error) {
	r := reader{b: b}
	r.format()
	p := carillon.Progress{Partition: partition, Applied: carillon.Seq(r.uvarint()), Settled: carillon.Seq(r.uvarint())}
	return p, r.err("progress")
}
