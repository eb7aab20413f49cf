package carillon

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// ID names a notification: a UUID of version 8 (RFC 9562 §5.8), whose 122 free
// bits are ours.
//
// A positional id says where the record stands: 16 bits of partition, 56 of
// seq, 50 of a keyed tag that binds them to the user. It is made from the
// produce acknowledgement, so an unkeyed record carries no id at all. A derived
// id is a keyed hash of (user, sender's key): the same key gives the same id.
type ID [16]byte

// IDKey makes and checks ids. Keep it secret: it stops one app from guessing
// another's ids.
type IDKey [32]byte

const tagBits = 50

// Positional makes the id of the unkeyed record at p of the user with this
// hash ([User.Hash]).
func (k *IDKey) Positional(userHash uint64, p Position) ID {
	return pack(uint16(p.Partition), uint64(p.Seq), k.tag(userHash, p)) //nolint:gosec // partitions fit 16 bits, journal.Config checks
}

// Position takes a positional id apart; ok is false for ids that are derived,
// foreign or another user's.
func (k *IDKey) Position(userHash uint64, id ID) (p Position, ok bool) {
	part, seq, tag := unpack(id)
	p = Position{Partition: int32(part), Seq: Seq(seq)}
	return p, tag == k.tag(userHash, p)
}

// Derived makes the id of a keyed notification. Space keeps keys of different
// origin apart (an appNotificationId never meets an idempotency key).
func (k *IDKey) Derived(u User, space byte, key string) ID {
	h := sha256.New()
	h.Write(k[:])
	h.Write([]byte{'d', space})
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(u.Host))<<32|uint64(len(u.ID)))
	h.Write(n[:])
	h.Write([]byte(u.Host))
	h.Write([]byte(u.ID))
	h.Write([]byte(key))
	var id ID
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// tag is the first 50 bits of SHA-256 over a fixed-length message that starts
// with the key. 51 bytes fit one block, which keeps it below 100 ns; a fixed
// length leaves no room for length extension.
func (k *IDKey) tag(userHash uint64, p Position) uint64 {
	var m [51]byte
	copy(m[:], k[:])
	m[32] = 'p'
	binary.BigEndian.PutUint16(m[33:], uint16(p.Partition)) //nolint:gosec // see Positional
	binary.BigEndian.PutUint64(m[35:], uint64(p.Seq))
	binary.BigEndian.PutUint64(m[43:], userHash)
	sum := sha256.Sum256(m[:])
	return binary.BigEndian.Uint64(sum[:]) >> (64 - tagBits)
}

// pack lays 16+56+50 bits round the version and variant bits: 48 bits, then 4
// of version, 12 bits, 2 of variant, 62 bits.
func pack(part uint16, seq, tag uint64) ID {
	var id ID
	a := uint64(part)<<32 | seq>>24                   // the first 48 bits: part, and the upper 32 of seq
	b := seq & 0xff_ffff                              // the next 24: 12 stand before the variant, 12 after
	binary.BigEndian.PutUint32(id[0:], uint32(a>>16)) //nolint:gosec // the parts are cut to width
	binary.BigEndian.PutUint16(id[4:], uint16(a))     //nolint:gosec // likewise
	binary.BigEndian.PutUint16(id[6:], 0x8000|uint16(b>>12))
	binary.BigEndian.PutUint64(id[8:], 1<<63|b&0xfff<<tagBits|tag)
	return id
}

func unpack(id ID) (part uint16, seq, tag uint64) {
	a := uint64(binary.BigEndian.Uint32(id[0:]))<<16 | uint64(binary.BigEndian.Uint16(id[4:]))
	lo := binary.BigEndian.Uint64(id[8:])
	b := uint64(binary.BigEndian.Uint16(id[6:])&0xfff)<<12 | lo>>tagBits&0xfff
	part = uint16(a >> 32) //nolint:gosec // 48 bits shifted by 32 leave 16
	seq = a&0xffff_ffff<<24 | b
	return part, seq, lo & (1<<tagBits - 1)
}

// IsZero tells whether the id is unset.
func (id ID) IsZero() bool { return id == ID{} }

// Append appends the canonical lower-case form, 36 bytes.
func (id ID) Append(dst []byte) []byte {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return append(dst, b[:]...)
}

// String is the canonical lower-case form.
func (id ID) String() string { return string(id.Append(nil)) }

// MarshalText is the canonical form.
func (id ID) MarshalText() ([]byte, error) { return id.Append(nil), nil }

// UnmarshalText reads what [ParseID] reads.
func (id *ID) UnmarshalText(b []byte) error {
	v, err := ParseID(string(b))
	*id = v
	return err
}

// ParseID reads the canonical 36-character form, in either case.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, Errorf(CodeInvalidRequest, "id", "%.40q is not a notification id (a UUID of 36 characters)", s)
	}
	hexed := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	if _, err := hex.Decode(id[:], []byte(hexed)); err != nil {
		return ID{}, Errorf(CodeInvalidRequest, "id", "%.40q is not a notification id: not hexadecimal", s)
	}
	return id, nil
}
