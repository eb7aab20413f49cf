package journal

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"

	"github.com/segmentio/kafka-go"

	"carillon"
)

// ErrOutOfRange is in the chain of Fetch's error when the journal does not hold
// the seq that was asked for. Nothing is reset: who goes on elsewhere loses or
// repeats records, so that is somebody's decision.
var ErrOutOfRange = errors.New("the journal does not hold that position")

// ErrNotCommitted is in the chain of Commit's error when the group did not take
// it: the generation is over, or its coordinator moved, restarted or cannot be
// reached. A consumer may return it: the group is then joined anew.
var ErrNotCommitted = errors.New("the group did not take the commit")

// Claim is the right to consume one partition for one generation of the group.
// Fetch is for one goroutine; Commit is safe beside it.
type Claim struct {
	cfg        *Config
	topic      string
	log        *slog.Logger
	table      *crc32.Table
	generation *kafka.Generation
	fetcher    fetcher

	committed, start, end int64 // offsets; committed is -1 when there is none
}

// Partition is the claimed partition.
func (c *Claim) Partition() int32 { return c.fetcher.partition }

// Committed is the next seq to read by the group's commit; 0 when there is none.
func (c *Claim) Committed() carillon.Seq {
	if c.committed < 0 {
		return 0
	}
	return c.seq(c.committed)
}

// Start is the first seq that the log held at assignment.
func (c *Claim) Start() carillon.Seq { return c.seq(c.start) }

// End is the log's end at assignment: the seq of the record to be written next.
func (c *Claim) End() carillon.Seq { return c.seq(c.end) }

func (c *Claim) seq(offset int64) carillon.Seq { return carillon.MakeSeq(c.cfg.Epoch, offset) }

// Fetch waits until there are records from seq from on (0: from the log's
// start), or until ctx ends, whose error it returns at once. Trouble with the
// broker is tried again until then. Other errors are final: [ErrOutOfRange],
// another epoch, a malformed batch, no permission.
func (c *Claim) Fetch(ctx context.Context, from carillon.Seq) (Batch, error) {
	if from == 0 {
		from = c.Start()
	}
	if from.Epoch() != c.cfg.Epoch {
		return Batch{}, fmt.Errorf("journal: partition %d: position %s is of another epoch than topic %s", c.Partition(), from, c.topic)
	}
	offset := from.Offset()
	for try := 0; ; try++ {
		p, err := c.fetcher.poll(ctx, offset)
		switch {
		case err == nil && len(p.batches) == 0:
			try = -1
			continue
		case err == nil:
			return c.batch(p, offset)
		case ctx.Err() != nil:
			return Batch{}, ctx.Err()
		case errors.Is(err, kafka.OffsetOutOfRange):
			return Batch{}, c.outOfRange(ctx, from)
		case fatal(err):
			return Batch{}, fmt.Errorf("journal: partition %d: fetch from %s: %w", c.Partition(), from, err)
		}
		c.log.Debug("journal: fetch is tried again", "partition", c.Partition(), "try", try+1, "error", err)
		c.fetcher.close() // look the leader up anew
		if err := pause(ctx, backoff(try)); err != nil {
			return Batch{}, err
		}
	}
}

func (c *Claim) batch(p page, offset int64) (Batch, error) {
	records, next, err := decodeBatches(p.batches, c.cfg.Epoch, offset, c.table)
	if err != nil {
		return Batch{}, fmt.Errorf("journal: partition %d: %w", c.Partition(), err)
	}
	if next == offset {
		return Batch{}, fmt.Errorf("journal: partition %d: the batch at offset %d is larger than maxFetchBytes (%d) and the broker cut it", c.Partition(), offset, c.cfg.MaxFetchBytes)
	}
	return Batch{Records: records, Next: c.seq(next), HighWater: c.seq(p.highWater)}, nil
}

func (c *Claim) outOfRange(ctx context.Context, from carillon.Seq) error {
	ends := "its ends are not known"
	if o, err := listOffsets(ctx, c.fetcher.client, c.topic, []int{int(c.Partition())}); err == nil {
		ends = fmt.Sprintf("it holds %s up to %s", c.seq(o[0].FirstOffset), c.seq(o[0].LastOffset))
	}
	return fmt.Errorf("journal: partition %d of %s: position %s: %w: %s. Either the log was lost or cut, or this data directory belongs to another one; `carillon journal new-epoch` starts afresh",
		c.Partition(), c.topic, from, ErrOutOfRange, ends)
}

// Commit tells the group that everything before next is settled. It is checked
// against the generation: a claim that ended cannot overwrite its successor's
// commit. It works until the consumer has returned, also when its ctx ended.
func (c *Claim) Commit(ctx context.Context, next carillon.Seq) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if next.Epoch() != c.cfg.Epoch {
		return fmt.Errorf("journal: partition %d: cannot commit %s, topic %s has another epoch", c.Partition(), next, c.topic)
	}
	err := c.generation.CommitOffsets(map[string]map[int]int64{c.topic: {int(c.Partition()): next.Offset()}})
	if err != nil {
		return fmt.Errorf("journal: partition %d: commit of %s: %w: %w", c.Partition(), next, ErrNotCommitted, err)
	}
	return nil
}

// fatal tells whether trying again cannot help.
func fatal(err error) bool {
	var code kafka.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed, kafka.ClusterAuthorizationFailed,
		kafka.UnsupportedVersion, kafka.InvalidTopic, kafka.UnsupportedCompressionType, kafka.InvalidRequest:
		return true
	default:
		return false
	}
}
