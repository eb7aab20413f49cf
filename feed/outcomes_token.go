package feed

import (
	"encoding/base64"
	"encoding/binary"

	"carillon"
)

// outcomePlaces is where a reader of the outcomes is: a place in each
// partition's log.
type outcomePlaces []carillon.LogPlace

const outcomesVersion = 1

// appendTo appends the places as an opaque token: base64url of a version byte,
// and for each partition the row (against the one before) and what is skipped of
// it. It is no secret, and leads nobody to what he may not read.
func (ps outcomePlaces) appendTo(dst []byte) []byte {
	b := append(make([]byte, 0, 1+10*len(ps)), outcomesVersion)
	last := uint64(0)
	for _, p := range ps {
		b = binary.AppendVarint(b, int64(p.Row-last)) //nolint:gosec // wraps and unwraps the same way
		b = binary.AppendUvarint(b, uint64(p.Skip))
		last = p.Row
	}
	return base64.RawURLEncoding.AppendEncode(dst, b)
}

// parseOutcomePlaces reads what appendTo made for so many partitions; anything
// else is an invalidRequest error.
func parseOutcomePlaces(text string, partitions int) (outcomePlaces, error) {
	bad := carillon.Errorf(carillon.CodeInvalidRequest, "after", "%.40q is no position of this stream: bring the last one that it gave, %s, or none", text, latest)
	if len(text) > maxToken {
		return nil, bad
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) == 0 || b[0] != outcomesVersion {
		return nil, bad
	}
	r := tokenReader{b: b[1:]}
	ps := make(outcomePlaces, partitions)
	last := uint64(0)
	for i := range ps {
		last += uint64(r.varint()) //nolint:gosec // wraps and unwraps the same way
		skip := r.uvarint()
		ps[i] = carillon.LogPlace{Row: last, Skip: uint32(skip)} //nolint:gosec // looked at below
		if skip > 1<<31 || last > 1<<62 {
			return nil, bad
		}
	}
	if r.bad || len(r.b) != 0 {
		return nil, bad
	}
	return ps, nil
}
