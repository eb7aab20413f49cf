package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/segmentio/kafka-go/protocol"

	"carillon"
)

// Fetched is one record as it was fetched. Key and Value are slices of the
// response's one buffer: whoever keeps a little of a batch keeps all of it.
type Fetched struct {
	Seq        carillon.Seq
	Key, Value []byte
	// Time is the time stamped on the record, milliseconds since 1970.
	Time int64
}

// Batch is what one fetch brought: records in order of their seqs.
type Batch struct {
	Records []Fetched
	// Next is where to go on.
	Next carillon.Seq
	// HighWater is the partition's end as the broker told it with this batch:
	// the seq that the next record to be acknowledged gets.
	HighWater carillon.Seq
}

const (
	attrCodec      = 7
	attrAppendTime = 1 << 3
	attrControl    = 1 << 5
)

var errBatch = errors.New("malformed record batch")

// decodeBatches reads the record batches of one response, from offset on. A
// batch that the response's limit cut off is left for the next fetch. next is
// the offset to go on from.
func decodeBatches(b []byte, epoch uint16, offset int64, table *crc32.Table) (records []Fetched, next int64, err error) {
	next = offset
	records = make([]Fetched, 0, countRecords(b))
	for len(b) >= batchHeader {
		size := int64(int32(binary.BigEndian.Uint32(b[batchLengthAt:]))) + batchLengthAt + 4 //nolint:gosec // signed on the wire
		if size < batchHeader {
			return nil, 0, fmt.Errorf("%w: length %d", errBatch, size)
		}
		if size > int64(len(b)) {
			break
		}
		h := b[:size:size]
		b = b[size:]
		if h[batchMagicAt] != 2 {
			return nil, 0, fmt.Errorf("%w: format v%d, want v2", errBatch, h[batchMagicAt])
		}
		if crc32.Checksum(h[batchAttrsAt:], table) != binary.BigEndian.Uint32(h[batchCRCAt:]) {
			return nil, 0, fmt.Errorf("%w: checksum differs", errBatch)
		}
		base := int64(binary.BigEndian.Uint64(h))                             //nolint:gosec // signed on the wire
		last := base + int64(int32(binary.BigEndian.Uint32(h[batchLastAt:]))) //nolint:gosec // likewise
		if binary.BigEndian.Uint16(h[batchAttrsAt:])&attrControl == 0 && last >= offset {
			if records, err = decodeBatch(records, h, base, epoch, offset); err != nil {
				return nil, 0, fmt.Errorf("batch at offset %d: %w", base, err)
			}
		}
		next = max(next, last+1)
	}
	return records, next, nil
}

// countRecords adds up what the batches' headers say, within what their bytes
// can hold.
func countRecords(b []byte) int {
	n := 0
	for len(b) >= batchHeader {
		size := int64(int32(binary.BigEndian.Uint32(b[batchLengthAt:]))) + batchLengthAt + 4 //nolint:gosec // signed on the wire
		if size < batchHeader || size > int64(len(b)) {
			break
		}
		n += min(int(binary.BigEndian.Uint32(b[batchCountAt:])), int(size-batchHeader)/7+1)
		b = b[size:]
	}
	return n
}

func decodeBatch(dst []Fetched, h []byte, base int64, epoch uint16, from int64) ([]Fetched, error) {
	attrs := binary.BigEndian.Uint16(h[batchAttrsAt:])
	body := h[batchHeader:]
	if attrs&attrCodec != 0 {
		var err error
		if body, err = decompress(protocol.Attributes(attrs), body); err != nil { //nolint:gosec // bits
			return nil, err
		}
	}
	baseTime := int64(binary.BigEndian.Uint64(h[batchBaseTimeAt:])) //nolint:gosec // signed on the wire
	maxTime := int64(binary.BigEndian.Uint64(h[batchMaxTimeAt:]))   //nolint:gosec // likewise
	for range binary.BigEndian.Uint32(h[batchCountAt:]) {
		size, n := binary.Varint(body)
		if n <= 0 || size < 0 || size > int64(len(body)-n) {
			return nil, errBatch
		}
		r := body[n : n+int(size)]
		body = body[n+int(size):]
		if len(r) == 0 {
			return nil, errBatch
		}
		v := varints{b: r[1:]} // after the attributes
		time := baseTime + v.next()
		at := base + v.next()
		key := v.bytes()
		value := v.bytes()
		if v.bad {
			return nil, errBatch
		}
		if attrs&attrAppendTime != 0 {
			time = maxTime
		}
		if at >= from {
			dst = append(dst, Fetched{Seq: carillon.MakeSeq(epoch, at), Key: key, Value: value, Time: time})
		}
	}
	return dst, nil
}

func decompress(attrs protocol.Attributes, b []byte) ([]byte, error) {
	codec := attrs.Compression().Codec()
	if codec == nil {
		return nil, fmt.Errorf("%w: unknown compression %d", errBatch, attrs&attrCodec)
	}
	r := codec.NewReader(bytes.NewReader(b))
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, maxResponse+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errBatch, codec.Name(), err)
	}
	if len(out) > maxResponse {
		return nil, fmt.Errorf("%w: %s swells to more than %d bytes", errBatch, codec.Name(), maxResponse)
	}
	return out, nil
}

// varints reads zigzag varints and the bytes that they measure.
type varints struct {
	b   []byte
	bad bool
}

func (v *varints) next() int64 {
	x, n := binary.Varint(v.b)
	if n <= 0 {
		v.b, v.bad = nil, true
		return 0
	}
	v.b = v.b[n:]
	return x
}

func (v *varints) bytes() []byte {
	n := v.next()
	if n < 0 { // null
		return nil
	}
	if n > int64(len(v.b)) {
		v.b, v.bad = nil, true
		return nil
	}
	b := v.b[:n:n]
	v.b = v.b[n:]
	return b
}
