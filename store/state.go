package store

import (
	"encoding/binary"

	"carillon"
)

// Bits of a floor's mark.
const (
	markAction = 1 << iota
)

// AppendFloor appends a user's floor: format, expires, the number of marks, and
// for each its bits, read, action, before, at − before and when.
func AppendFloor(dst []byte, f carillon.Floor, expires int64) []byte {
	dst = append(dst, rowFormat)
	dst = binary.AppendVarint(dst, expires)
	dst = binary.AppendUvarint(dst, uint64(len(f)))
	for i := range f {
		m := &f[i]
		var bits byte
		if m.HasAction {
			bits |= markAction
		}
		dst = append(dst, bits, byte(m.Read), byte(m.Action))
		dst = binary.AppendUvarint(dst, uint64(m.Before))
		dst = appendSeq(dst, m.At, m.Before)
		dst = binary.AppendVarint(dst, m.When)
	}
	return dst
}

// DecodeFloor reads a floor's row.
func DecodeFloor(b []byte) (f carillon.Floor, expires int64, err error) {
	r := reader{b: b}
	r.format()
	expires = r.varint()
	n := r.uvarint()
	if n > uint64(len(r.b)) { // a mark takes several bytes
		r.fail()
	}
	if !r.bad && n > 0 {
		f = make(carillon.Floor, n)
		for i := range f {
			m := &f[i]
			bits := r.byte()
			m.Read, m.Action, m.HasAction = carillon.Mark(r.byte()), carillon.UserAction(r.byte()), bits&markAction != 0
			m.Before = carillon.Seq(r.uvarint())
			m.At = r.seq(m.Before)
			m.When = r.varint()
		}
	}
	return f, expires, r.err("floor")
}

// Bits of an endpoint in a sync row.
const (
	syncBehind = 1 << iota
	syncSeen
	syncTold
)

// AppendSync appends what a user's endpoints are owed: format, expires, lost,
// the recent ones (id, at − lost), then the endpoints (id, incarnation, and
// against that owed, cleared and acked; until, due, attempts, bits, and the
// trails that these tell).
func AppendSync(dst []byte, y *carillon.Sync) []byte {
	dst = append(dst, rowFormat)
	dst = binary.AppendVarint(dst, y.Expires)
	dst = binary.AppendUvarint(dst, uint64(y.Lost))
	dst = binary.AppendUvarint(dst, uint64(len(y.Recent)))
	last := y.Lost
	for i := range y.Recent {
		c := &y.Recent[i]
		dst = append(dst, c.ID[:]...)
		dst = appendSeq(dst, c.At, last)
		last = c.At
	}
	dst = binary.AppendUvarint(dst, uint64(len(y.Endpoints)))
	for i := range y.Endpoints {
		e := &y.Endpoints[i]
		dst = appendString(dst, e.Endpoint)
		dst = binary.AppendUvarint(dst, uint64(e.Incarnation))
		dst = appendSeq(dst, e.Owed, e.Incarnation)
		dst = appendSeq(dst, e.Cleared, e.Owed)
		dst = appendSeq(dst, e.Acked, e.Owed)
		dst = binary.AppendVarint(dst, e.Until)
		dst = binary.AppendVarint(dst, e.Due)
		var bits byte
		if e.Behind {
			bits |= syncBehind
		}
		if len(e.Seen) > 0 {
			bits |= syncSeen
		}
		if len(e.Told) > 0 {
			bits |= syncTold
		}
		dst = append(dst, e.Attempts, bits)
		for _, t := range []carillon.Trail{e.Seen, e.Told} {
			if len(t) > 0 {
				dst = appendTrail(dst, t, e.Incarnation)
			}
		}
	}
	return dst
}

// appendTrail appends a trail: the number of its moments, and for each how far
// and when, against the one before.
func appendTrail(dst []byte, t carillon.Trail, base carillon.Seq) []byte {
	dst = append(dst, byte(len(t))) //nolint:gosec // eight at most
	at := int64(0)
	for _, m := range t {
		dst = appendSeq(dst, m.Seq, base)
		dst = binary.AppendVarint(dst, m.At-at)
		base, at = m.Seq, m.At
	}
	return dst
}

func (r *reader) trail(base carillon.Seq) (t carillon.Trail) {
	at := int64(0)
	for range r.byte() {
		if r.bad {
			return nil
		}
		base = r.seq(base)
		at += r.varint()
		t = append(t, carillon.Moment{Seq: base, At: at})
	}
	return t
}

// DecodeSync reads what [AppendSync] wrote.
func DecodeSync(b []byte, y *carillon.Sync) error {
	r := reader{b: b}
	r.format()
	*y = carillon.Sync{Expires: r.varint(), Lost: carillon.Seq(r.uvarint())}
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
	}
	last := y.Lost
	if !r.bad && n > 0 {
		y.Recent = make([]carillon.ClearedID, n)
		for i := range y.Recent {
			copy(y.Recent[i].ID[:], r.bytes(len(carillon.ID{})))
			last = r.seq(last)
			y.Recent[i].At = last
		}
	}
	n = r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
	}
	if !r.bad && n > 0 {
		y.Endpoints = make([]carillon.EndpointSync, n)
		for i := range y.Endpoints {
			e := &y.Endpoints[i]
			e.Endpoint = r.string()
			e.Incarnation = carillon.Seq(r.uvarint())
			e.Owed = r.seq(e.Incarnation)
			e.Cleared, e.Acked = r.seq(e.Owed), r.seq(e.Owed)
			e.Until, e.Due = r.varint(), r.varint()
			e.Attempts = r.byte()
			bits := r.byte()
			e.Behind = bits&syncBehind != 0
			if bits&syncSeen != 0 {
				e.Seen = r.trail(e.Incarnation)
			}
			if bits&syncTold != 0 {
				e.Told = r.trail(e.Incarnation)
			}
		}
	}
	return r.err("sync")
}

// AppendOwner appends the row of a push address.
func AppendOwner(dst []byte, o *carillon.Owner) []byte {
	dst = append(dst, rowFormat)
	dst = binary.AppendVarint(dst, o.Expires)
	dst = binary.AppendUvarint(dst, uint64(o.Claimed))
	dst = binary.AppendUvarint(dst, uint64(o.Version))
	dst = appendString(dst, o.User)
	dst = appendString(dst, o.Installation)
	dst = append(dst, byte(len(o.Past))) //nolint:gosec // four at most
	for _, p := range o.Past {
		dst = binary.AppendUvarint(dst, uint64(p.Version))
		dst = appendString(dst, p.User)
		dst = appendString(dst, p.Installation)
	}
	return dst
}

// DecodeOwner reads what [AppendOwner] wrote.
func DecodeOwner(b []byte, o *carillon.Owner) error {
	r := reader{b: b}
	r.format()
	*o = carillon.Owner{Expires: r.varint(), Claimed: carillon.Seq(r.uvarint()), Version: carillon.Seq(r.uvarint())}
	o.User, o.Installation = r.string(), r.string()
	for range r.byte() {
		if r.bad {
			break
		}
		p := carillon.PastOwner{Version: carillon.Seq(r.uvarint())}
		p.User, p.Installation = r.string(), r.string()
		o.Past = append(o.Past, p)
	}
	return r.err("owner")
}

// AddressUser is the user under whom an address's row stands.
func AddressUser(h carillon.AddressHash) carillon.User { return carillon.User{ID: h.String()} }
