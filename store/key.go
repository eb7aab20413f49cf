package store

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"carillon"
)

// DefaultGeneration is how much expiry time one generation spans: a quarter of
// the 30 days that anything is kept, so that reads merge at most five.
const DefaultGeneration = 30 * 24 * time.Hour / 4

// Area is the first byte of a key. Values are pinned.
type Area byte

// The areas of the key space.
const (
	// AreaDirectory lists which generations hold rows of which kind:
	// generation (4 bytes), kind (1). No value.
	AreaDirectory Area = 0x01
	// AreaPartition holds rows of a journal partition, outside the
	// generations: kind (1), partition (4), and what the kind adds.
	AreaPartition Area = 0x02
	// AreaHash is reserved.
	AreaHash Area = 0x03
	// AreaUser holds rows of users: generation (4), user, kind (1), and what
	// the kind adds.
	AreaUser Area = 0x10
)

// Kind tells the rows of a user apart. Values are pinned.
type Kind byte

// The kinds of user rows, and what follows the kind in the key. Seqs are eight
// bytes, big-endian; "newest first" means all their bits are flipped.
const (
	KindEndpoint Kind = 0x01 // installation id
	KindItem     Kind = 0x02 // created seq, newest first
	KindID       Kind = 0x03 // derived id (16): its created seq
	KindFeed     Kind = 0x04 // seq of an item's last change, when that is not the created one, and its created seq
	KindOutcome  Kind = 0x05 // created seq newest first, content seq, turn (1), installation id
	KindIdem     Kind = 0x06 // request id (16)

	KindFloor  Kind = 0x07 // nothing: what was said of everything before a seq
	KindSync   Kind = 0x08 // nothing: what endpoints were told and are owed
	KindErased Kind = 0x09 // nothing: the seq that erased the user
	// KindOwner stands by address, not by user: its user's host is empty and his
	// id is the hash of the address.
	KindOwner Kind = 0x0a // nothing: whose the address is

	// Kinds is one above the highest kind.
	Kinds = 0x0b
)

// PartitionKind tells the rows of a partition apart. Values are pinned.
type PartitionKind byte

// The kinds of partition rows, and what follows the partition in the key.
const (
	KindProgress  PartitionKind = 0x01 // nothing
	KindLedger    PartitionKind = 0x02 // from seq
	KindDue       PartitionKind = 0x03 // time, delivery
	KindParked    PartitionKind = 0x04 // platform (1), host, bits (1), broadcast if there is one, delivery
	KindEnded     PartitionKind = 0x05 // number of the row: the log of outcomes
	KindBroadcast PartitionKind = 0x06 // host, broadcast, and 0, shard (1): counts; or 1, created seq: a user that has it
	KindErasing   PartitionKind = 0x07 // seq: a user whose rows are gone and whose bytes are not yet
)

// Turn tells the deliveries of one notification to one endpoint apart: the push
// itself, whatever kind it went out as in the end (a push too large for its
// vendor goes as a tap), and the fallback that may follow it.
type Turn byte

// The turns. Values are pinned.
const (
	TurnPush Turn = iota
	TurnFallback
	TurnClear   // of hints only: a clear is in no item's deliveries
	TurnRelease // likewise: a scheduled notification's
)

// TurnOf is the turn that a kind of push belongs to.
func TurnOf(k carillon.Kind) Turn {
	switch k {
	case carillon.KindFallback:
		return TurnFallback
	case carillon.KindClear:
		return TurnClear
	case carillon.KindRelease:
		return TurnRelease
	case carillon.KindNone, carillon.KindAlert, carillon.KindData, carillon.KindTap:
	}
	return TurnPush
}

// Generation numbers a span of expiry time: all rows that expire within it
// stand together and go together.
type Generation uint32

// GenerationOf is the generation of width in which a row with this expiry
// (milliseconds since 1970) stands. Rows of a generation g are all expired at
// (g+1) × width.
func GenerationOf(expires int64, width time.Duration) Generation {
	g := max(expires, 0) / width.Milliseconds()
	return Generation(min(g, math.MaxUint32-1)) //nolint:gosec // clamped
}

const (
	userAt     = 1 + 4 // where the user begins
	escape     = 0x00
	escaped    = 0xff
	terminator = 0x01
	seqBytes   = 8
)

// AppendGeneration appends the lowest key of a generation.
func AppendGeneration(dst []byte, g Generation) []byte {
	return binary.BigEndian.AppendUint32(append(dst, byte(AreaUser)), uint32(g))
}

// AppendPrefix appends what all rows of one kind of one user share within a
// generation. Bloom filters are over these bytes. The user is his journal key
// with 00 written as 00 ff, ended by 00 01, so that no user's keys begin with
// another's.
func AppendPrefix(dst []byte, g Generation, u carillon.User, k Kind) []byte {
	return append(appendUser(AppendGeneration(dst, g), u), byte(k))
}

// appendUser appends a user as keys have him.
func appendUser(dst []byte, u carillon.User) []byte {
	dst = appendEscaped(dst, u.Host)
	dst = append(dst, '/')
	dst = appendEscaped(dst, u.ID)
	return append(dst, escape, terminator)
}

func appendEscaped(dst []byte, s string) []byte {
	from := len(dst)
	dst = append(dst, s...)
	if bytes.IndexByte(dst[from:], escape) < 0 {
		return dst
	}
	dst = dst[:from]
	for i := range len(s) {
		dst = append(dst, s[i])
		if s[i] == escape {
			dst = append(dst, escaped)
		}
	}
	return dst
}

// SplitKey is the length of the key's prefix as [AppendPrefix] makes it, or the
// whole length of keys that have none.
func SplitKey(key []byte) int {
	if len(key) <= userAt || Area(key[0]) != AreaUser {
		return len(key)
	}
	for i := userAt; ; {
		j := bytes.IndexByte(key[i:], escape)
		if j < 0 || i+j+2 >= len(key) {
			return len(key)
		}
		i += j + 2
		if key[i-1] == terminator {
			return i + 1
		}
	}
}

// AppendNewestFirst appends a seq so that higher ones sort first.
func AppendNewestFirst(dst []byte, s carillon.Seq) []byte {
	return binary.BigEndian.AppendUint64(dst, ^uint64(s))
}

// NewestFirst reads what [AppendNewestFirst] wrote at the start of b.
func NewestFirst(b []byte) (s carillon.Seq, rest []byte, ok bool) {
	if len(b) < seqBytes {
		return 0, nil, false
	}
	return carillon.Seq(^binary.BigEndian.Uint64(b)), b[seqBytes:], true
}

// AppendSeq appends a seq so that lower ones sort first.
func AppendSeq(dst []byte, s carillon.Seq) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(s))
}

// ReadSeq reads what [AppendSeq] wrote at the start of b.
func ReadSeq(b []byte) (s carillon.Seq, rest []byte, ok bool) {
	if len(b) < seqBytes {
		return 0, nil, false
	}
	return carillon.Seq(binary.BigEndian.Uint64(b)), b[seqBytes:], true
}

// AppendItemKey appends the key of an item.
func AppendItemKey(dst []byte, g Generation, u carillon.User, created carillon.Seq) []byte {
	return AppendNewestFirst(AppendPrefix(dst, g, u, KindItem), created)
}

// AppendIDKey appends the key of a derived id.
func AppendIDKey(dst []byte, g Generation, u carillon.User, id carillon.ID) []byte {
	return append(AppendPrefix(dst, g, u, KindID), id[:]...)
}

// AppendFeedKey appends the key of a feed entry.
func AppendFeedKey(dst []byte, g Generation, u carillon.User, at, created carillon.Seq) []byte {
	dst = binary.BigEndian.AppendUint64(AppendPrefix(dst, g, u, KindFeed), uint64(at))
	return binary.BigEndian.AppendUint64(dst, uint64(created))
}

// ReadFeedKey is a feed entry by what follows the prefix in its key.
func ReadFeedKey(suffix []byte) (e carillon.FeedEntry, ok bool) {
	if len(suffix) != 2*seqBytes {
		return e, false
	}
	e.Seq = carillon.Seq(binary.BigEndian.Uint64(suffix))
	e.Created = carillon.Seq(binary.BigEndian.Uint64(suffix[seqBytes:]))
	return e, true
}

// AppendEndpointKey appends the key of an endpoint.
func AppendEndpointKey(dst []byte, g Generation, u carillon.User, installation string) []byte {
	return append(AppendPrefix(dst, g, u, KindEndpoint), installation...)
}

// AppendIdemKey appends the key of a keyed request.
func AppendIdemKey(dst []byte, g Generation, u carillon.User, rid carillon.RequestID) []byte {
	return append(AppendPrefix(dst, g, u, KindIdem), rid[:]...)
}

// AppendOutcomesKey appends what the keys of all outcomes of an item share.
func AppendOutcomesKey(dst []byte, g Generation, u carillon.User, created carillon.Seq) []byte {
	return AppendNewestFirst(AppendPrefix(dst, g, u, KindOutcome), created)
}

// AppendOutcomeKey appends the key of the outcome of one delivery.
func AppendOutcomeKey(dst []byte, g Generation, o *carillon.OutcomeRow) []byte {
	dst = AppendOutcomesKey(dst, g, o.User, o.Created)
	dst = binary.BigEndian.AppendUint64(dst, uint64(o.Content))
	dst = append(dst, byte(TurnOf(o.Kind)))
	return append(dst, o.Endpoint...)
}

// ReadOutcomeKey reads into o what follows the prefix in an outcome's key:
// created, content and installation; the kind stands in the row.
func ReadOutcomeKey(suffix []byte, o *carillon.OutcomeRow) bool {
	created, rest, ok := NewestFirst(suffix)
	if !ok || len(rest) < seqBytes+1 {
		return false
	}
	o.Created = created
	o.Content = carillon.Seq(binary.BigEndian.Uint64(rest))
	o.Endpoint = string(rest[seqBytes+1:])
	return true
}

// AppendPartitionKey appends what the keys of all rows of a kind and partition
// share; progress has no more than that.
func AppendPartitionKey(dst []byte, k PartitionKind, partition int32) []byte {
	dst = append(dst, byte(AreaPartition), byte(k))
	return binary.BigEndian.AppendUint32(dst, uint32(partition)) //nolint:gosec // partitions are never negative
}

// PartitionOf is the partition of a partition row's key, and what follows it.
func PartitionOf(key []byte) (partition int32, rest []byte, ok bool) {
	if len(key) < PartitionKeyBytes || Area(key[0]) != AreaPartition {
		return 0, nil, false
	}
	return int32(binary.BigEndian.Uint32(key[2:])), key[PartitionKeyBytes:], true //nolint:gosec // as written
}

// PartitionKeyBytes is the length of what [AppendPartitionKey] makes.
const PartitionKeyBytes = 1 + 1 + 4

// AppendProgressKey appends the key of a partition's progress.
func AppendProgressKey(dst []byte, partition int32) []byte {
	return AppendPartitionKey(dst, KindProgress, partition)
}

// AppendDirectoryKey appends the key that tells that generation g holds rows of
// kind k.
func AppendDirectoryKey(dst []byte, g Generation, k Kind) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, byte(AreaDirectory)), uint32(g))
	return append(dst, byte(k))
}

// ReadDirectoryKey takes a directory key apart.
func ReadDirectoryKey(key []byte) (g Generation, k Kind, ok bool) {
	if len(key) != 1+4+1 || Area(key[0]) != AreaDirectory {
		return 0, 0, false
	}
	return Generation(binary.BigEndian.Uint32(key[1:])), Kind(key[5]), true
}
