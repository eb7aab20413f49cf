package store

import (
	"encoding/binary"

	"carillon"
)

// The log of outcomes of a partition: each row is what one batch ended, under a
// number that grows. The row 0 is how far the log was cut off.

// endedShift is how many bits of a row's number tell rows of one millisecond
// apart.
const endedShift = 16

// EndedRowAt is the lowest number of a row that is written at a time
// (milliseconds since 1970).
func EndedRowAt(at int64) uint64 { return uint64(max(at, 0)) << endedShift }

// AppendEndedKey appends the key of a row of a partition's log of outcomes.
func AppendEndedKey(dst []byte, partition int32, row uint64) []byte {
	return binary.BigEndian.AppendUint64(AppendPartitionKey(dst, KindEnded, partition), row)
}

// ReadEndedKey takes such a key apart.
func ReadEndedKey(key []byte) (partition int32, row uint64, ok bool) {
	partition, rest, ok := PartitionOf(key)
	if !ok || PartitionKind(key[1]) != KindEnded || len(rest) != seqBytes {
		return 0, 0, false
	}
	return partition, binary.BigEndian.Uint64(rest), true
}

// AppendEndedFrom appends the row 0 of a log: the number below which nothing is
// kept.
func AppendEndedFrom(dst []byte, from uint64) []byte {
	return binary.AppendUvarint(append(dst, rowFormat), from)
}

// DecodeEndedFrom reads it.
func DecodeEndedFrom(b []byte) (uint64, error) {
	r := reader{b: b}
	r.format()
	from := r.uvarint()
	return from, r.err("log of outcomes")
}

// Bits of an entry. Pinned.
const (
	endedHost    = 1 << iota // of another app than the entry before
	endedID                  // a derived id
	endedContent             // Content differs from Created
	endedReason
	endedStatus
	endedHanded
	endedAnswered
)

// EndedRun is a row of a log of outcomes as it fills up; the zero value is
// empty.
type EndedRun struct {
	// Value is the row so far.
	Value   []byte
	written int64
	host    string
	created carillon.Seq
}

// Begin empties the run, whose entries are written at now.
func (n *EndedRun) Begin(now int64) {
	*n = EndedRun{Value: append(n.Value[:0], rowFormat), written: now}
	n.Value = binary.AppendVarint(n.Value, now)
}

// Add appends an entry: bits, class, platform and kind (4 bits each), attempts,
// created (against the entry before), written − accepted, and what the bits
// tell: content − created, id, reason, status, handed − accepted, answered −
// handed (or accepted); then host, user and installation.
func (n *EndedRun) Add(row *carillon.EndedRow) {
	it, d := row.Item, row.Delivery
	var bits byte
	set := func(bit byte, on bool) {
		if on {
			bits |= bit
		}
	}
	set(endedHost, n.host == "" || n.host != row.User.Host)
	set(endedID, !it.ID.IsZero())
	set(endedContent, it.Content != it.Created)
	set(endedReason, d.Outcome.Reason != "")
	set(endedStatus, d.Outcome.Status != 0)
	set(endedHanded, d.Handed != 0)
	set(endedAnswered, d.Answered != 0)
	dst := n.Value
	dst = append(dst, bits, byte(d.Outcome.Class), byte(d.Platform)<<4|byte(d.Kind)&0x0f, d.Attempts)
	dst = appendSeq(dst, it.Created, n.created)
	dst = binary.AppendVarint(dst, n.written-it.Accepted)
	if bits&endedContent != 0 {
		dst = appendSeq(dst, it.Content, it.Created)
	}
	if bits&endedID != 0 {
		dst = append(dst, it.ID[:]...)
	}
	if bits&endedReason != 0 {
		code := reasonCode(d.Outcome.Reason)
		dst = append(dst, code)
		if code == 0 {
			dst = appendString(dst, d.Outcome.Reason)
		}
	}
	if bits&endedStatus != 0 {
		dst = binary.AppendUvarint(dst, uint64(d.Outcome.Status))
	}
	at := it.Accepted
	if bits&endedHanded != 0 {
		dst = binary.AppendVarint(dst, d.Handed-at)
		at = d.Handed
	}
	if bits&endedAnswered != 0 {
		dst = binary.AppendVarint(dst, d.Answered-at)
	}
	if bits&endedHost != 0 {
		dst = appendString(dst, row.User.Host)
	}
	dst = appendString(dst, row.User.ID)
	n.Value = appendString(dst, d.Endpoint)
	n.host, n.created = row.User.Host, it.Created
}

// DecodeEnded calls fn for the entries of a partition's row in order, behind the
// first skip ones, until it returns false. The entry is fn's until then. It tells
// how many were passed, with the one that fn did not want. Entries of who was
// forgotten are passed over.
func DecodeEnded(b []byte, partition int32, skip uint32, fn func(e *carillon.Ended) bool) (passed uint32, err error) {
	r := reader{b: b}
	r.format()
	written := r.varint()
	host, created := "", carillon.Seq(0)
	for !r.bad && len(r.b) > 0 {
		e := carillon.Ended{Partition: partition, Written: written}
		r.ended(&e, host, created)
		host, created = e.User.Host, e.Created
		if r.bad {
			break
		}
		if passed++; passed > skip && e.User.ID != "" && !fn(&e) {
			return passed, nil
		}
	}
	return passed, r.err("log of outcomes")
}

func (r *reader) ended(e *carillon.Ended, host string, created carillon.Seq) {
	d := &e.Delivery
	bits := r.byte()
	d.Outcome.Class = carillon.Class(r.byte())
	how := r.byte()
	d.Platform, d.Kind = carillon.Platform(how>>4), carillon.Kind(how&0x0f)
	d.Attempts = r.byte()
	e.Created = r.seq(created)
	e.Accepted = e.Written - r.varint()
	e.Content = e.Created
	if bits&endedContent != 0 {
		e.Content = r.seq(e.Created)
	}
	if bits&endedID != 0 {
		copy(e.ID[:], r.bytes(len(e.ID)))
	}
	if bits&endedReason != 0 {
		d.Outcome.Reason = r.reason()
	}
	if bits&endedStatus != 0 {
		d.Outcome.Status = uint16(r.uvarint()) //nolint:gosec // as written
	}
	at := e.Accepted
	if bits&endedHanded != 0 {
		d.Handed = at + r.varint()
		at = d.Handed
	}
	if bits&endedAnswered != 0 {
		d.Answered = at + r.varint()
	}
	e.User.Host = host
	if bits&endedHost != 0 {
		e.User.Host = r.string()
	}
	e.User.ID = r.string()
	d.Endpoint = r.string()
}

// ForgetEnded is a row without what it says of a user: his entries keep
// their places and say nothing. It tells how many they are.
func ForgetEnded(b []byte, u carillon.User) (row []byte, forgot int, err error) {
	r := reader{b: b}
	r.format()
	n := EndedRun{}
	n.Begin(r.varint())
	host, created := "", carillon.Seq(0)
	for !r.bad && len(r.b) > 0 {
		e := carillon.Ended{Written: n.written}
		r.ended(&e, host, created)
		host, created = e.User.Host, e.Created
		it := carillon.Item{Created: e.Created, Content: e.Content, ID: e.ID, Accepted: e.Accepted}
		if e.User == u {
			forgot++
			it = carillon.Item{Created: created, Content: created, Accepted: n.written}
			e.User.ID, e.Delivery = "", carillon.Delivery{}
		}
		n.Add(&carillon.EndedRow{User: e.User, Item: &it, Delivery: &e.Delivery})
	}
	return n.Value, forgot, r.err("log of outcomes")
}
