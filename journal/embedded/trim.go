package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TrimTo deletes what a partition holds before offset (DeleteRecords, which
// kafka-go does not speak): whole segments leave the disk at once, and the
// partition's start moves to offset for good. Trimming below the start does
// nothing.
func (b *Broker) TrimTo(ctx context.Context, topic string, partition int32, offset int64) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.ClientID("carillon-trim"))
	if err != nil {
		return fmt.Errorf("embedded broker: trim: %w", err)
	}
	defer client.Close()

	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Topics = append(req.Topics, t)
	req.TimeoutMillis = int32((10 * time.Second).Milliseconds())

	res, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("embedded broker: trim %s/%d to %d: %w", topic, partition, offset, err)
	}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("embedded broker: trim %s/%d to %d: %w", topic, p.Partition, offset, err)
			}
		}
	}
	return nil
}
