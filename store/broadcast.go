package store

import (
	"encoding/binary"

	"carillon"
)

// What follows the broadcast in the keys of what is kept of it. Pinned.
const (
	castCounts  = 0
	castMembers = 1
)

// appendCast appends what the keys of all rows share that a partition keeps of a
// broadcast.
func appendCast(dst []byte, partition int32, host, id string) []byte {
	dst = AppendPartitionKey(dst, KindBroadcast, partition)
	dst = append(appendEscaped(dst, host), escape, terminator)
	return append(appendEscaped(dst, id), escape, terminator)
}

// AppendCountsKey appends the key of what a shard counted of a broadcast.
func AppendCountsKey(dst []byte, partition int32, host, id string, shard uint8) []byte {
	return append(AppendCountsPrefix(dst, partition, host, id), shard)
}

// AppendCountsPrefix appends what the keys of all counts of a broadcast share in a
// partition.
func AppendCountsPrefix(dst []byte, partition int32, host, id string) []byte {
	return append(appendCast(dst, partition, host, id), castCounts)
}

// AppendMembersPrefix appends what the keys of all members of a broadcast share in
// a partition.
func AppendMembersPrefix(dst []byte, partition int32, host, id string) []byte {
	return append(appendCast(dst, partition, host, id), castMembers)
}

// AppendMemberKey appends the key of a member, in the order of the journal.
func AppendMemberKey(dst []byte, row *carillon.MemberRow) []byte {
	return binary.BigEndian.AppendUint64(AppendMembersPrefix(dst, row.Partition, row.Host, row.ID), uint64(row.Created))
}

// AppendMember appends the row of a member: format, expires, user id.
func AppendMember(dst []byte, row *carillon.MemberRow) []byte {
	return append(binary.AppendVarint(append(dst, rowFormat), row.Expires), row.UserID...)
}

// DecodeMember reads such a row, whose key ends with the seq, into the rest of it.
func DecodeMember(key, b []byte, row *carillon.MemberRow) error {
	r := reader{b: b}
	r.format()
	row.Expires = r.varint()
	row.UserID = string(r.b)
	r.b = nil
	if len(key) < seqBytes {
		return ErrRow
	}
	row.Created = carillon.Seq(binary.BigEndian.Uint64(key[len(key)-seqBytes:]))
	return r.err("member")
}

// BroadcastExpires is when a row that a partition keeps of a broadcast expires.
func BroadcastExpires(b []byte) (int64, error) {
	r := reader{b: b}
	r.format()
	expires := r.varint()
	return expires, r.err("broadcast")
}

// AppendCounts appends the row of what a shard counted of a broadcast: format,
// expires, notifications, planned, then the number of classes that are
// counted and for each its class and count, then the scheduled ones.
func AppendCounts(dst []byte, c *carillon.BroadcastCounts, expires int64) []byte {
	dst = binary.AppendVarint(append(dst, rowFormat), expires)
	for _, n := range [...]int64{c.Notifications, c.Planned} {
		dst = binary.AppendVarint(dst, n)
	}
	return binary.AppendVarint(appendClasses(dst, &c.Terminal), c.Scheduled)
}

// DecodeCounts reads such a row.
func DecodeCounts(b []byte) (c carillon.BroadcastCounts, expires int64, err error) {
	r := reader{b: b}
	r.format()
	expires = r.varint()
	c.Notifications, c.Planned = r.varint(), r.varint()
	r.classes(&c.Terminal)
	if len(r.b) > 0 { // none in rows of before there were
		c.Scheduled = r.varint()
	}
	return c, expires, r.err("broadcast")
}

// appendClasses appends counts by class, without those that are 0.
func appendClasses(dst []byte, terminal *[carillon.Classes]int64) []byte {
	counted := 0
	for _, n := range terminal {
		if n != 0 {
			counted++
		}
	}
	dst = append(dst, byte(counted))
	for c, n := range terminal {
		if n != 0 {
			dst = binary.AppendVarint(append(dst, byte(c)), n)
		}
	}
	return dst
}

func (r *reader) classes(terminal *[carillon.Classes]int64) {
	for range r.byte() {
		c, n := r.byte(), r.varint()
		if int(c) >= len(terminal) {
			r.fail()
			return
		}
		terminal[c] = n
	}
}
