package embedded

import (
	"context"
	"errors"
	"fmt"

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
	req.TimeoutMillis = 10_000

	res, err := req.RequestWith(ctx, client)
	if err == nil {
		err = faultOf(res)
	}
	if errors.Is(err, kerr.OffsetOutOfRange) {
		if start, e := startOf(ctx, client, topic, partition); e == nil && offset < start {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("embedded broker: trim %s/%d to %d: %w", topic, partition, offset, err)
	}
	return nil
}

func faultOf(res *kmsg.DeleteRecordsResponse) error {
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

// startOf is a partition's first offset.
func startOf(ctx context.Context, client *kgo.Client, topic string, partition int32) (int64, error) {
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, -2 // earliest
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, t)
	res, err := req.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			return p.Offset, kerr.ErrorForCode(p.ErrorCode)
		}
	}
	return 0, kerr.UnknownTopicOrPartition
}
