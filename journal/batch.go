package journal

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/segmentio/kafka-go"
	"google.golang.org/protobuf/encoding/protowire"
)

// Layout of a record batch, format v2 (kafka.apache.org/documentation, "Record
// Batch"). In front stands the size that kafka-go's RawRecordSet expects its
// reader to bring.
const (
	sizePrefix      = 4
	batchHeader     = 61
	batchLengthAt   = 8
	batchMagicAt    = 16
	batchCRCAt      = 17
	batchAttrsAt    = 21
	batchLastAt     = 23
	batchBaseTimeAt = 27
	batchMaxTimeAt  = 35
	batchPIDAt      = 43
	batchEpochAt    = 51
	batchSeqAt      = 53
	batchCountAt    = 57

	// recordOverhead is the most that a record adds to its key and value: its
	// length, attributes, two deltas, two lengths and the header count.
	recordOverhead = 5 + 1 + 1 + 5 + 5 + 5 + 1
	// maxBatchRecords bounds the sequence numbers that one batch takes.
	maxBatchRecords = 1 << 16
)

// run is a stretch of a batch's records that came from one call of Append.
type run struct {
	w *waiter
	n int32
}

// batch is one record batch in the making. Records are encoded into it as they
// are appended; producer, sequence, times and checksum are stamped when it is
// sent. Batches are reused.
type batch struct {
	buf     []byte // size prefix, header, records
	entries []int32
	runs    []run
	bytes   int // what it counts for in the writer's bound
	born    time.Time
	// leaked is set when an attempt ended without an answer: kafka-go may still
	// be reading buf, so it is never written again.
	leaked bool
}

func (b *batch) reset() {
	if cap(b.buf) < sizePrefix+batchHeader {
		b.buf = make([]byte, 0, 16<<10)
	}
	b.buf = b.buf[:sizePrefix+batchHeader]
	b.entries = b.entries[:0]
	clear(b.runs)
	b.runs = b.runs[:0]
	b.bytes, b.leaked = 0, false
}

func (b *batch) count() int { return len(b.entries) }

// room tells whether a record that takes up to so many bytes may join.
func (b *batch) room(bytes, most int) bool {
	return b.count() == 0 || len(b.buf)-sizePrefix+bytes <= most && b.count() < maxBatchRecords
}

// add encodes entry i of w's call.
func (b *batch) add(w *waiter, i int32, key, value []byte) {
	if n := len(b.runs); n > 0 && b.runs[n-1].w == w {
		b.runs[n-1].n++
	} else {
		b.runs = append(b.runs, run{w: w, n: 1})
	}
	delta := zigzag(len(b.entries))
	klen, vlen := zigzag(len(key)), zigzag(len(value))
	size := 1 + 1 + protowire.SizeVarint(delta) + protowire.SizeVarint(klen) + len(key) + protowire.SizeVarint(vlen) + len(value) + 1

	buf := binary.AppendUvarint(b.buf, zigzag(size))
	buf = append(buf, 0, 0) // attributes, timestamp delta
	buf = binary.AppendUvarint(buf, delta)
	buf = binary.AppendUvarint(buf, klen)
	buf = append(buf, key...)
	buf = binary.AppendUvarint(buf, vlen)
	buf = append(buf, value...)
	buf = append(buf, 0) // headers
	b.buf = buf
	b.entries = append(b.entries, i)
	b.bytes += entryBytes(key, value)
}

func zigzag(n int) uint64 { return uint64(n) << 1 } //nolint:gosec // lengths and deltas are never negative

// entryBytes is what an entry counts for in the writer's bound.
func entryBytes(key, value []byte) int { return len(key) + len(value) + recordOverhead }

// stamp completes the header. Stamping again, with another producer or
// sequence, is fine as long as no request reads the bytes.
func (b *batch) stamp(table *crc32.Table, s session, at int64) []byte {
	h := b.buf[sizePrefix:]
	n := uint32(b.count())                                                        //nolint:gosec // at most maxBatchRecords
	binary.BigEndian.PutUint32(b.buf, uint32(len(h)))                             //nolint:gosec // bounded by MaxBatchBytes
	binary.BigEndian.PutUint64(h, 0)                                              // base offset: the broker's to give
	binary.BigEndian.PutUint32(h[batchLengthAt:], uint32(len(h)-batchLengthAt-4)) //nolint:gosec // bounded by MaxBatchBytes
	binary.BigEndian.PutUint32(h[12:], 0xffffffff)                                // leader epoch: unknown
	h[batchMagicAt] = 2
	binary.BigEndian.PutUint16(h[batchAttrsAt:], 0) // not compressed, create time
	binary.BigEndian.PutUint32(h[batchLastAt:], n-1)
	binary.BigEndian.PutUint64(h[batchBaseTimeAt:], uint64(at))   //nolint:gosec // milliseconds since 1970
	binary.BigEndian.PutUint64(h[batchMaxTimeAt:], uint64(at))    //nolint:gosec // likewise
	binary.BigEndian.PutUint64(h[batchPIDAt:], uint64(s.pid))     //nolint:gosec // as Kafka has it
	binary.BigEndian.PutUint16(h[batchEpochAt:], uint16(s.epoch)) //nolint:gosec // as Kafka has it
	binary.BigEndian.PutUint32(h[batchSeqAt:], uint32(s.seq))     //nolint:gosec // as Kafka has it
	binary.BigEndian.PutUint32(h[batchCountAt:], n)
	binary.BigEndian.PutUint32(h[batchCRCAt:], crc32.Checksum(h[batchAttrsAt:], table))
	return b.buf
}

// session is a partition's idempotent producer: the broker takes a batch only
// when its sequence follows the last one of the same producer and epoch.
type session struct {
	pid   int64
	epoch int16
	seq   int32 // of the next record
}

// seqEnough is where a session starts a new epoch by itself, long before
// sequences would wrap round: brokers differ there (Kafka wraps at 2³¹, kfake at
// 2³¹-1).
const seqEnough = 1 << 30

// advance moves on by n acknowledged records.
func (s *session) advance(n int) {
	s.seq += int32(n) //nolint:gosec // at most maxBatchRecords
	if s.seq >= seqEnough {
		s.renew(kafka.OutOfOrderSequenceNumber)
	}
}

// castagnoli is the polynomial of record batches; making its table is free
// after the first time.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
