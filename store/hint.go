package store

import (
	"bytes"
	"encoding/binary"
	"math"

	"carillon"
)

// timeBias makes times sort by their bytes.
const timeBias = 1 << 63

// A delivery in the key of a hint: content seq, user, created seq, turn (1),
// installation id. So hints of one time, and those of a lane, stand in the
// order of the journal.
func appendDelivered(dst []byte, ref *carillon.Ref) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(ref.Content))
	dst = appendUser(dst, ref.User)
	dst = binary.BigEndian.AppendUint64(dst, uint64(ref.Created))
	dst = append(dst, byte(TurnOf(ref.Kind)))
	return append(dst, ref.Endpoint...)
}

// AppendDueKey appends the key of a due row.
func AppendDueKey(dst []byte, row *carillon.DueRow) []byte {
	dst = AppendPartitionKey(dst, KindDue, row.Partition)
	dst = binary.BigEndian.AppendUint64(dst, uint64(row.At)^timeBias) //nolint:gosec // bits are kept
	return appendDelivered(dst, &row.Ref)
}

// ReadDueKey reads into row all that stands in its key. The kind of the push
// stands in the row.
func ReadDueKey(key []byte, row *carillon.DueRow) bool {
	partition, rest, ok := PartitionOf(key)
	if !ok || PartitionKind(key[1]) != KindDue {
		return false
	}
	r := keyReader{b: rest}
	row.Partition = partition
	row.At = int64(r.uint64() ^ timeBias) //nolint:gosec // as written
	r.delivered(&row.Ref)
	return !r.bad
}

// What stands behind the host in the key of a parked row. Pinned.
const (
	parkedLow  = 1 << iota // low priority
	parkedCast             // a broadcast's id follows
)

// AppendLaneKey appends what the keys of all rows share that a partition parked by
// one lane, priority and broadcast.
func AppendLaneKey(dst []byte, partition int32, by *carillon.ParkedLane) []byte {
	dst = append(AppendPartitionKey(dst, KindParked, partition), byte(by.Lane.Platform))
	dst = append(appendEscaped(dst, by.Lane.Host), escape, terminator)
	var bits byte
	if by.Low {
		bits |= parkedLow
	}
	if by.Broadcast == "" {
		return append(dst, bits)
	}
	return append(appendEscaped(append(dst, bits|parkedCast), by.Broadcast), escape, terminator)
}

// AppendParkedKey appends the key of a parked row.
func AppendParkedKey(dst []byte, row *carillon.ParkedRow) []byte {
	return appendDelivered(AppendLaneKey(dst, row.Partition, &row.ParkedLane), &row.Ref)
}

// ReadParkedKey is as [ReadDueKey].
func ReadParkedKey(key []byte, row *carillon.ParkedRow) bool {
	r, ok := readLane(key, row)
	if ok {
		r.delivered(&row.Ref)
	}
	return ok && !r.bad
}

// LaneOfKey is the length of a parked row's key that [AppendLaneKey] makes, and
// what the row is parked by; the length is 0 for other keys.
func LaneOfKey(key []byte) (n int, by carillon.ParkedLane) {
	var row carillon.ParkedRow
	r, ok := readLane(key, &row)
	if !ok {
		return 0, carillon.ParkedLane{}
	}
	return len(key) - len(r.b), row.ParkedLane
}

func readLane(key []byte, row *carillon.ParkedRow) (r keyReader, ok bool) {
	partition, rest, ok := PartitionOf(key)
	if !ok || PartitionKind(key[1]) != KindParked {
		return r, false
	}
	r.b = rest
	row.Partition = partition
	row.Lane.Platform = carillon.Platform(r.byte())
	row.Lane.Host = r.escaped()
	bits := r.byte()
	if bits > parkedLow|parkedCast {
		r.fail()
	}
	row.Low, row.Broadcast = bits&parkedLow != 0, ""
	if bits&parkedCast != 0 {
		if row.Broadcast = r.escaped(); row.Broadcast == "" {
			r.fail()
		}
	}
	return r, !r.bad
}

// AppendHint appends the row of a hint: the kind of the push, and when its item
// expires.
func AppendHint(dst []byte, kind carillon.Kind, expires int64) []byte {
	return binary.AppendVarint(append(dst, rowFormat, byte(kind)), expires)
}

// DecodeHint reads the row of a hint.
func DecodeHint(b []byte) (kind carillon.Kind, expires int64, err error) {
	r := reader{b: b}
	r.format()
	kind = carillon.Kind(r.byte())
	expires = r.varint()
	return kind, expires, r.err("hint")
}

// keyReader takes a key apart. After the first fault it is bad and gives zeros.
type keyReader struct {
	b   []byte
	bad bool
}

func (r *keyReader) fail() {
	r.b, r.bad = nil, true
}

func (r *keyReader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *keyReader) uint64() uint64 {
	if len(r.b) < seqBytes {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[seqBytes:]
	return v
}

// escaped reads what appendEscaped and a terminator wrote.
func (r *keyReader) escaped() string {
	for i := 0; ; {
		j := bytes.IndexByte(r.b[i:], escape)
		if j < 0 || i+j+1 >= len(r.b) {
			r.fail()
			return ""
		}
		i += j + 2
		switch r.b[i-1] {
		case escaped:
		case terminator:
			s := unescape(r.b[:i-2])
			r.b = r.b[i:]
			return s
		default:
			r.fail()
			return ""
		}
	}
}

func (r *keyReader) user() carillon.User {
	u, ok := UserOf(r.escaped())
	if !ok {
		r.fail()
	}
	return u
}

func (r *keyReader) delivered(ref *carillon.Ref) {
	ref.Content = carillon.Seq(r.uint64())
	ref.User = r.user()
	ref.Created = carillon.Seq(r.uint64())
	if turn := r.byte(); turn > byte(TurnRelease) {
		r.fail()
	}
	ref.Endpoint = string(r.b)
}

// UserOf takes a journal key apart. No host has a slash.
func UserOf(key string) (u carillon.User, ok bool) {
	for i := range len(key) {
		if key[i] == '/' {
			return carillon.User{Host: key[:i], ID: key[i+1:]}, true
		}
	}
	return u, false
}

// unescape undoes what keys do to a zero byte.
func unescape(b []byte) string {
	if bytes.IndexByte(b, escape) < 0 {
		return string(b)
	}
	return string(bytes.ReplaceAll(b, []byte{escape, escaped}, []byte{escape}))
}

// ReadUser reads the user of a user row's key, whose prefix is split long.
func ReadUser(key []byte, split int) (u carillon.User, ok bool) {
	if split < userAt+3 || split > len(key) {
		return u, false
	}
	return UserOf(unescape(key[userAt : split-3]))
}

// After is the lowest key above key.
func After(dst, key []byte) []byte { return append(append(dst, key...), 0) }

// Above is the lowest key above all that begin with prefix, nil when there is
// none.
func Above(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < math.MaxUint8 {
			above := bytes.Clone(prefix[:i+1])
			above[i]++
			return above
		}
	}
	return nil
}
