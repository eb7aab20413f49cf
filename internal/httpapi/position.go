package httpapi

import (
	"encoding/base64"
	"encoding/binary"

	"carillon"
)

const (
	positionVersion = 1
	positionBytes   = 1 + 2 + 8
)

// EncodePosition makes the opaque token of a position: base64url of a version
// byte, the partition (16 bits) and the seq (64 bits), big-endian.
func EncodePosition(p carillon.Position) string {
	var b [positionBytes]byte
	b[0] = positionVersion
	binary.BigEndian.PutUint16(b[1:], uint16(p.Partition)) //nolint:gosec // journal.Config holds partitions to 16 bits
	binary.BigEndian.PutUint64(b[3:], uint64(p.Seq))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// DecodePosition reads what [EncodePosition] made; anything else is an
// invalidRequest error.
func DecodePosition(s string) (carillon.Position, error) {
	var b [positionBytes]byte
	if len(s) == base64.RawURLEncoding.EncodedLen(positionBytes) {
		n, err := base64.RawURLEncoding.Strict().Decode(b[:], []byte(s))
		seq := carillon.Seq(binary.BigEndian.Uint64(b[3:]))
		if err == nil && n == positionBytes && b[0] == positionVersion && seq.Epoch() <= carillon.MaxEpoch && uint64(seq)>>56 == 0 {
			return carillon.Position{Partition: int32(binary.BigEndian.Uint16(b[1:])), Seq: seq}, nil
		}
	}
	return carillon.Position{}, carillon.Errorf(carillon.CodeInvalidRequest, "position", "%.40q is not a position of this service", s)
}
