package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

// Ensure makes sure that the topic "<Topic>.<Epoch>" exists with the pinned
// number of partitions: it creates a missing one (records stamped by the
// broker) and waits until every partition has a leader. Another number of
// partitions is refused, because keys would change their partition and users
// their order. It tries until ctx ends while no broker answers.
func Ensure(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	topic := cfg.TopicName()
	transport := newTransport(&cfg) // all topics: this one may be missing
	defer transport.CloseIdleConnections()
	return ensure(ctx, newClient(&cfg, transport), &cfg, topic, trimmed)
}

// The cleanup policies of our topics: the journal's old records go by retention
// or trimming, a [Table] keeps each key's newest.
const (
	trimmed   = "delete"
	compacted = "compact"
)

func ensure(ctx context.Context, client *kafka.Client, cfg *Config, topic, cleanup string) error {
	var last error
	for try := 0; ; try++ {
		done, err := ensureOnce(ctx, client, cfg, topic, cleanup)
		if done {
			return err
		}
		if err != nil {
			last = err
		}
		if err := pause(ctx, backoff(try)); err != nil {
			return fmt.Errorf("journal: topic %s at %v is not ready: %w", topic, cfg.Brokers, errors.Join(last, err))
		}
	}
}

// ensureOnce looks, and creates when nothing is there; done tells that err is
// the last word.
func ensureOnce(ctx context.Context, client *kafka.Client, cfg *Config, topic, cleanup string) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return false, err
	}
	if len(meta.Topics) != 1 {
		return false, fmt.Errorf("metadata of %d topics, not 1", len(meta.Topics))
	}
	t := meta.Topics[0]
	switch {
	case errors.Is(t.Error, kafka.UnknownTopicOrPartition):
		return create(ctx, client, cfg, topic, cleanup)
	case t.Error != nil:
		return false, t.Error
	case len(t.Partitions) != cfg.Partitions:
		return true, fmt.Errorf("journal: topic %s has %d partitions, this configuration pins %d: set journal.partitions to %d, or start a new epoch (journal.epoch)",
			topic, len(t.Partitions), cfg.Partitions, len(t.Partitions))
	}
	for _, p := range t.Partitions {
		if p.Error != nil || p.Leader.Host == "" {
			return false, fmt.Errorf("partition %d has no leader yet: %w", p.ID, errors.Join(kafka.LeaderNotAvailable, p.Error))
		}
	}
	return true, nil
}

func create(ctx context.Context, client *kafka.Client, cfg *Config, topic, cleanup string) (done bool, err error) {
	retention := int64(-1)
	if cfg.Retention > 0 && cleanup == trimmed {
		retention = cfg.Retention.Milliseconds()
	}
	entries := []kafka.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: cleanup},
		{ConfigName: "message.timestamp.type", ConfigValue: "LogAppendTime"},
		{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(retention, 10)},
		{ConfigName: "retention.bytes", ConfigValue: "-1"},
	}
	if cfg.SegmentBytes > 0 {
		entries = append(entries, kafka.ConfigEntry{ConfigName: "segment.bytes", ConfigValue: strconv.Itoa(cfg.SegmentBytes)})
	}
	res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic:             topic,
		NumPartitions:     cfg.Partitions,
		ReplicationFactor: or(cfg.Replication, -1),
		ConfigEntries:     entries,
	}}})
	if err != nil {
		return false, err
	}
	switch err := res.Errors[topic]; {
	case err == nil, errors.Is(err, kafka.TopicAlreadyExists):
		return false, nil // look again: another process may have won with another count
	case errors.Is(err, kafka.InvalidReplicationFactor):
		return false, fmt.Errorf("replication factor %d, journal.replication: not so many brokers are there: %w", cfg.Replication, err)
	case errors.Is(err, kafka.InvalidConfiguration), errors.Is(err, kafka.PolicyViolation), errors.Is(err, kafka.TopicAuthorizationFailed),
		errors.Is(err, kafka.ClusterAuthorizationFailed), errors.Is(err, kafka.InvalidTopic):
		return true, fmt.Errorf("journal: topic %s cannot be created: %w", topic, err)
	default:
		return false, err
	}
}
