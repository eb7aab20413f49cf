package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"carillon"
)

// work is one partition's worker: it sends one batch after the other.
func (w *Writer) work(ctx context.Context, p int32) {
	s := session{pid: -1}
	part := &w.parts[p]
	for {
		b, done := part.take()
		switch {
		case done:
			return
		case b == nil:
			<-part.wake
			continue
		}
		w.send(ctx, p, &s, b)
		w.room.Release(int64(b.bytes))
		if !b.leaked {
			w.batches.Put(b)
		}
	}
}

// send gets one batch acknowledged, or fails its entries. After it, s is ready
// for the next batch.
func (w *Writer) send(ctx context.Context, p int32, s *session, b *batch) {
	ctx, cancel := context.WithDeadline(ctx, b.born.Add(w.cfg.ProduceTimeout))
	defer cancel()
	var last error
	at, maybe := w.clock.UnixMilli(), false
	for try := 0; ; try++ {
		if try > 1 && pause(ctx, backoff(try-2)) != nil || ctx.Err() != nil { // once more at once: a connection may have idled away
			w.timeUp(p, s, b, maybe, last)
			return
		}
		if s.pid < 0 {
			if last = w.open(ctx, s); last != nil {
				continue
			}
		}
		res, err := w.attempt(ctx, p, b.stamp(w.table, *s, at))
		if err == nil {
			err = res.Error
		} else if !unsent(err) {
			b.leaked = true
		}
		if err == nil {
			w.acknowledge(p, b, res, at)
			s.advance(b.count())
			return
		}
		if w.decide(p, s, b, err, maybe) {
			return
		}
		maybe = maybe || mayHaveAppended(err)
		last = err
	}
}

// decide ends a batch whose attempt failed for good. It reports false when the
// batch is to be sent again, under the same session or the one that decide
// began.
func (w *Writer) decide(p int32, s *session, b *batch, err error, maybe bool) bool {
	switch judge(err) {
	case again:
		w.log.Debug("journal: produce is tried again", "partition", p, "records", b.count(), "error", err)
		return false
	case lost:
		w.log.Warn("journal: the broker lost track of this producer", "partition", p, "records", b.count(), "error", err, "unknown", maybe)
		s.renew(err)
		if !maybe {
			return false // nothing of this batch was appended under the old session
		}
		w.refuse(p, b, unknown("the broker lost track of this producer after an attempt without an answer", err))
	case broken:
		s.renew(kafka.OutOfOrderSequenceNumber)
		w.refuse(p, b, unknown("the broker met a fault of its own, such as a full disk", err))
	case refused:
		if maybe {
			s.renew(kafka.OutOfOrderSequenceNumber)
			w.refuse(p, b, unknown("refused after an attempt without an answer", err))
			break
		}
		w.refuse(p, b, &carillon.Error{Code: carillon.CodeInternal, Message: "the journal refused the record; nothing was appended", Cause: err})
	}
	return true
}

// timeUp fails a batch whose time is over. What may have been appended under
// its sequence must not clash with the next batch: a new epoch fences it off.
func (w *Writer) timeUp(p int32, s *session, b *batch, maybe bool, last error) {
	if !maybe {
		w.refuse(p, b, &carillon.Error{
			Code:       carillon.CodeUnavailable,
			Message:    "the journal is not available: nothing was appended, try again in a second",
			RetryAfter: retryAfter,
			Cause:      last,
		})
		return
	}
	s.renew(kafka.OutOfOrderSequenceNumber)
	w.refuse(p, b, unknown(fmt.Sprintf("the journal did not answer within %s", w.cfg.ProduceTimeout), last))
}

// renew starts a new sequence. After a gap the next epoch of the same producer
// does: the first batch under it fences off what is still under way under the
// old one (KIP-360). A producer that the broker does not know or want is
// given up.
func (s *session) renew(why error) {
	if errors.Is(why, kafka.OutOfOrderSequenceNumber) && s.epoch < math.MaxInt16 {
		s.epoch++
		s.seq = 0
		return
	}
	*s = session{pid: -1}
}

// open gets a producer id. A fresh broker answers COORDINATOR_LOAD_IN_PROGRESS
// for a moment; every error is tried again by the caller.
func (w *Writer) open(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.RequestTimeout)
	defer cancel()
	res, err := w.client.InitProducerID(ctx, &kafka.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return fmt.Errorf("no producer id: %w", err)
	}
	*s = session{pid: int64(res.Producer.ProducerID), epoch: int16(res.Producer.ProducerEpoch)} //nolint:gosec // int16 on the wire
	return nil
}

func (w *Writer) attempt(ctx context.Context, p int32, records []byte) (*kafka.ProduceResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.RequestTimeout)
	defer cancel()
	return w.client.RawProduce(ctx, &kafka.RawProduceRequest{
		Topic:        w.topic,
		Partition:    int(p),
		RequiredAcks: kafka.RequireAll,
		RawRecords:   protocol.RawRecordSet{Reader: bytes.NewReader(records)},
	})
}

func (w *Writer) acknowledge(p int32, b *batch, res *kafka.ProduceResponse, at int64) {
	if t := res.LogAppendTime; !t.IsZero() && t.UnixMilli() > 0 {
		at = t.UnixMilli()
	}
	i := 0
	for _, r := range b.runs {
		w.settle(r, func(entries []Entry) {
			for j, e := range b.entries[i : i+int(r.n)] {
				offset := res.BaseOffset + int64(i+j)
				entries[e].Position = carillon.Position{Partition: p, Seq: carillon.MakeSeq(w.cfg.Epoch, offset)}
				entries[e].Journalled = at
			}
		})
		i += int(r.n)
	}
}

func (w *Writer) refuse(p int32, b *batch, err *carillon.Error) {
	w.log.Warn("journal: records were not acknowledged", "partition", p, "records", b.count(), "error", err)
	i := 0
	for _, r := range b.runs {
		w.settle(r, func(entries []Entry) {
			for _, e := range b.entries[i : i+int(r.n)] {
				entries[e].Err = err
			}
		})
		i += int(r.n)
	}
}

func (w *Writer) settle(r run, f func([]Entry)) {
	if r.w.settle(int(r.n), f) {
		w.waiters.Put(r.w)
	}
}

// answer is what an attempt's error means.
type answer uint8

const (
	again   answer = iota // the same bytes again
	lost                  // the broker does not follow this producer's sequence
	broken                // the broker does not know itself what became of it
	refused               // never
)

func judge(err error) answer {
	var code kafka.Error
	if !errors.As(err, &code) {
		return again // the network, or a broker that is not known yet
	}
	switch code {
	case kafka.OutOfOrderSequenceNumber, kafka.UnknownProducerId, kafka.InvalidProducerEpoch,
		kafka.InvalidProducerIDMapping, kafka.ProducerFenced, kafka.DuplicateSequenceNumber:
		return lost
	case kafka.Unknown:
		// The embedded broker answers this when it cannot write, but counts the
		// sequence as taken: the same bytes again would be acknowledged as a
		// repeat of what is not there.
		return broken
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidRecord, kafka.InvalidTimestamp,
		kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.InvalidTopic,
		kafka.InvalidRequiredAcks, kafka.UnsupportedForMessageFormat, kafka.UnsupportedVersion, kafka.PolicyViolation:
		return refused
	default:
		return again
	}
}

// mayHaveAppended tells whether the broker may hold the batch in spite of the
// error: nothing came back, or what came back is said after appending, too.
func mayHaveAppended(err error) bool {
	var code kafka.Error
	if !errors.As(err, &code) {
		return !unsent(err)
	}
	switch code {
	case kafka.LeaderNotAvailable, kafka.NotEnoughReplicas, kafka.InvalidMessage, kafka.BrokerNotAvailable,
		kafka.ReplicaNotAvailable, kafka.ThrottlingQuotaExceeded, kafka.OutOfOrderSequenceNumber, kafka.UnknownProducerId,
		kafka.InvalidProducerEpoch, kafka.InvalidProducerIDMapping, kafka.ProducerFenced, kafka.DuplicateSequenceNumber:
		return false
	default:
		return true
	}
}

// unsent tells whether the request never left: no broker to send it to, or no
// connection.
func unsent(err error) bool {
	var dial *net.OpError
	return errors.Is(err, protocol.ErrNoTopic) || errors.Is(err, protocol.ErrNoPartition) || errors.Is(err, protocol.ErrNoLeader) ||
		errors.As(err, &dial) && dial.Op == "dial" || errors.Is(err, kafka.BrokerNotAvailable)
}
