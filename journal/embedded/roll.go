package embedded

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Roll has write append to new segments of a topic: what stands before it leaves
// the disk when it is trimmed, as segments go whole. Whoever appends meanwhile
// begins small segments, which does no harm.
func (b *Broker) Roll(ctx context.Context, topic string, write func(context.Context) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.ClientID("carillon-roll"))
	if err != nil {
		return fmt.Errorf("embedded broker: roll: %w", err)
	}
	defer client.Close()
	one := "1"
	if err := segmentBytes(ctx, client, topic, kmsg.IncrementalAlterConfigOpSet, &one); err != nil {
		return err
	}
	err = write(ctx)
	if e := segmentBytes(context.WithoutCancel(ctx), client, topic, kmsg.IncrementalAlterConfigOpDelete, nil); err == nil {
		err = e
	}
	return err
}

// segmentBytes sets a topic's own size of segments, or takes it back.
func segmentBytes(ctx context.Context, client *kgo.Client, topic string, op kmsg.IncrementalAlterConfigOp, value *string) error {
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Op, c.Value = "segment.bytes", op, value
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.Configs = kmsg.ConfigResourceTypeTopic, topic, append(r.Configs, c)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, r)
	res, err := req.RequestWith(ctx, client)
	if err == nil {
		for _, one := range res.Resources {
			if err = kerr.ErrorForCode(one.ErrorCode); err != nil {
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("embedded broker: the size of %s's segments: %w", topic, err)
	}
	return nil
}
