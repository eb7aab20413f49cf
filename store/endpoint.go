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
