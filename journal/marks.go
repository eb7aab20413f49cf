package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"carillon"
)

// Mark is where a partition of the journal and the group that reads it stand.
type Mark struct {
	Partition int32
	// Start is the first seq that the log holds, End that of the record to be
	// written next, Committed the next one to read by the group's commit; 0 when
	// there is none.
	Start, Committed, End carillon.Seq
}

// Marks asks where the partitions of the journal of cfg's epoch stand, in their
// order: none when the brokers have no such topic. It makes nothing.
func Marks(ctx context.Context, cfg Config) ([]Mark, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	topic := cfg.TopicName()
	transport := newTransport(&cfg)
	defer transport.CloseIdleConnections()
	client := newClient(&cfg, transport)
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, fmt.Errorf("journal: topic %s: %w", topic, err)
	}
	var partitions []int
	for _, t := range meta.Topics {
		if errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
			return nil, nil
		}
		for i := range t.Partitions {
			partitions = append(partitions, i)
		}
	}
	ends, err := listOffsets(ctx, client, topic, partitions)
	if err != nil {
		return nil, fmt.Errorf("journal: topic %s: %w", topic, err)
	}
	commits, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: cfg.Group, Topics: map[string][]int{topic: partitions}})
	if err == nil {
		err = commits.Error
	}
	if err != nil {
		return nil, fmt.Errorf("journal: commits of group %s: %w", cfg.Group, err)
	}
	marks := make([]Mark, len(partitions))
	for i := range marks {
		marks[i] = Mark{
			Partition: int32(i),
			Start:     carillon.MakeSeq(cfg.Epoch, ends[i].FirstOffset), End: carillon.MakeSeq(cfg.Epoch, ends[i].LastOffset),
		}
	}
	for _, c := range commits.Topics[topic] {
		if c.Error != nil {
			return nil, fmt.Errorf("journal: commit of partition %d: %w", c.Partition, c.Error)
		}
		if c.Partition < len(marks) && c.CommittedOffset >= 0 {
			marks[c.Partition].Committed = carillon.MakeSeq(cfg.Epoch, c.CommittedOffset)
		}
	}
	return marks, nil
}
