package carillon

import "strconv"

// Seq orders everything that happened to one user: a record's place in its
// journal partition, with the journal's epoch in front. It serves as feed
// sequence, row version and write timestamp alike. Seqs of different
// partitions are not comparable. Zero is no record: epochs start at 1.
type Seq uint64

const (
	seqOffsetBits = 44
	// MaxEpoch is the highest journal epoch a Seq can carry (12 bits).
	MaxEpoch = 1<<12 - 1
	// MaxOffset is the highest Kafka offset a Seq can carry (44 bits).
	MaxOffset = 1<<seqOffsetBits - 1
	// MaxSeq is above every record.
	MaxSeq Seq = MaxEpoch<<seqOffsetBits | MaxOffset
)

// MakeSeq joins a journal epoch (1 … [MaxEpoch]) and a Kafka offset
// (0 … [MaxOffset]).
func MakeSeq(epoch uint16, offset int64) Seq {
	return Seq(epoch)<<seqOffsetBits | Seq(offset)&MaxOffset //nolint:gosec // offsets are never negative and fit by the broker's own limits
}

// Epoch is the journal epoch, the suffix of the topic's name.
func (s Seq) Epoch() uint16 { return uint16(s >> seqOffsetBits) } //nolint:gosec // 12 bits are left after the shift

// Offset is the Kafka offset within the epoch's topic.
func (s Seq) Offset() int64 { return int64(s & MaxOffset) }

// String prints a seq as epoch/offset, for logs and people.
func (s Seq) String() string {
	return strconv.Itoa(int(s.Epoch())) + "/" + strconv.FormatInt(s.Offset(), 10)
}

// Position is a place in the whole journal: a partition and a seq in it.
type Position struct {
	Partition int32
	Seq       Seq
}
