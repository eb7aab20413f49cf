package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"carillon"
	"carillon/journal"
)

func TestBatchIsReadByKafkaGo(t *testing.T) {
	es := entries(300, 7, "value")
	b := journal.EncodeBatch(es, 1_790_000_000_000)
	var rs protocol.RecordSet
	size := []byte{byte(len(b) >> 24), byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}
	if _, err := rs.ReadFrom(bytes.NewReader(append(size, b...))); err != nil {
		t.Fatal(err)
	}
	for i := range es {
		r, err := rs.Records.ReadRecord()
		if err != nil {
			t.Fatal(err)
		}
		key, _ := kafka.ReadAll(r.Key)
		value, _ := kafka.ReadAll(r.Value)
		if r.Offset != int64(i) || !bytes.Equal(key, es[i].Key) || !bytes.Equal(value, es[i].Value) || r.Time.UnixMilli() != 1_790_000_000_000 {
			t.Fatalf("record %d: offset %d, %s %s at %s", i, r.Offset, key, value, r.Time)
		}
	}
}

func TestBatchRoundTrip(t *testing.T) {
	es := append(entries(3, 3, "value"), journal.Entry{Key: []byte("k")})
	b := journal.EncodeBatch(es, 5)
	got, next, err := journal.DecodeBatches(append(bytes.Clone(b), b[:70]...), 1)
	if err != nil || next != 4 || len(got) != 3 {
		t.Fatalf("%v: %d records, next %d", err, len(got), next)
	}
	for i, r := range got {
		e := es[i+1]
		if !bytes.Equal(r.Key, e.Key) || !bytes.Equal(r.Value, e.Value) || r.Seq != carillon.MakeSeq(1, int64(i+1)) || r.Time != 5 {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	for i := 17; i < len(b); i += 5 { // from the checksum on, every byte counts
		spoilt := bytes.Clone(b)
		spoilt[i] ^= 0x10
		if _, _, err := journal.DecodeBatches(spoilt, 0); err == nil {
			t.Errorf("byte %d spoilt, and nobody minds", i)
		}
	}
}

func TestSequencesNeverWrap(t *testing.T) {
	if epoch, seq := journal.WrapSession(100, 5); epoch != 5 || seq != 105 {
		t.Errorf("epoch %d, seq %d", epoch, seq)
	}
	if epoch, seq := journal.WrapSession(math.MaxInt32/2, 5); epoch != 6 || seq != 0 {
		t.Errorf("epoch %d, seq %d", epoch, seq)
	}
}

func TestProduceErrors(t *testing.T) {
	f := func(err error, want string, wantMaybe bool) {
		t.Helper()
		if got, maybe := journal.Judge(fmt.Errorf("produce: %w", err)); got != want || maybe != wantMaybe {
			t.Errorf("%v: %s, maybe appended %t", err, got, maybe)
		}
	}
	f(io.ErrUnexpectedEOF, "again", true)
	f(context.DeadlineExceeded, "again", true)
	f(&net.OpError{Op: "dial", Err: io.EOF}, "again", false)
	f(protocol.ErrNoLeader, "again", false)
	f(kafka.NotLeaderForPartition, "again", true) // also said after an append that was not replicated
	f(kafka.RequestTimedOut, "again", true)
	f(kafka.NotEnoughReplicasAfterAppend, "again", true)
	f(kafka.NotEnoughReplicas, "again", false)
	f(kafka.OutOfOrderSequenceNumber, "lost", false)
	f(kafka.UnknownProducerId, "lost", false)
	f(kafka.InvalidProducerEpoch, "lost", false)
	f(kafka.Unknown, "broken", true)
	f(kafka.MessageSizeTooLarge, "refused", true)
}

// FuzzFetch: an answer of any bytes is an error or records, never a panic. The
// length, format and checksum of the first batch are put right, so that what
// they guard is reached.
func FuzzFetch(f *testing.F) {
	f.Add(journal.EncodeBatch(entries(3, 3, "value"), 5))
	f.Add(make([]byte, 80))
	f.Fuzz(func(t *testing.T, b []byte) {
		if in, err := journal.ParsePage(b); err == nil && len(in) > len(b) {
			t.Error("more came out than went in")
		}
		_, _, _ = journal.DecodeBatches(b, 1)
		if len(b) < 61 {
			return
		}
		b = bytes.Clone(b)
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
		b[16], b[22] = 2, b[22]&^7 // not compressed: codecs are not ours
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
		if rs, _, err := journal.DecodeBatches(b, 1); err == nil && len(rs) > len(b) {
			t.Errorf("%d records in %d bytes", len(rs), len(b))
		}
	})
}
