package journal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"carillon"
)

// Config says where the journal is and how it is used. Only Brokers has no
// default.
type Config struct {
	// Brokers are Kafka's bootstrap addresses, host:port.
	Brokers []string `yaml:"brokers"`
	// Topic is the topic's name without its epoch; "carillon.journal" by default.
	Topic string `yaml:"topic"`
	// Epoch is the topic's suffix and the upper 12 bits of every seq; 1 by default.
	Epoch uint16 `yaml:"epoch"`
	// Partitions is chosen once and pinned; 64 by default.
	Partitions int `yaml:"partitions"`
	// Replication is the replication factor of a topic that Ensure creates;
	// 0 takes the broker's default.
	Replication int `yaml:"replication"`
	// Retention is how long Kafka keeps records, 7 days by default; negative
	// keeps them until they are trimmed. Only Ensure uses it, when it creates.
	Retention time.Duration `yaml:"retention"`
	// SegmentBytes is the size of the topic's segments; 0 takes the broker's
	// default. Only Ensure uses it, when it creates.
	SegmentBytes int `yaml:"segmentBytes"`
	// Group is the consumer group; "carillon.dispatch" by default.
	Group string `yaml:"group"`

	// MaxBufferedBytes bounds the keys and values that wait in the writer or
	// are under way, 64 MiB by default. Append waits for room.
	MaxBufferedBytes int `yaml:"maxBufferedBytes"`
	// MaxBatchBytes bounds one record batch, 1,000,000 by default: Kafka's
	// message.max.bytes (1,048,588) must not be below it.
	MaxBatchBytes int `yaml:"maxBatchBytes"`
	// ProduceTimeout is how long the writer tries to get a batch acknowledged
	// before its outcome is unknown; 30 s by default.
	ProduceTimeout time.Duration `yaml:"produceTimeout"`
	// RequestTimeout is how long one attempt waits for an answer before another
	// connection is tried with the same sequence; 3 s by default.
	RequestTimeout time.Duration `yaml:"requestTimeout"`

	// SessionTimeout is after how long without a heartbeat a dead member's
	// partitions are dealt anew; 10 s by default (Kafka's floor is 6 s).
	SessionTimeout time.Duration `yaml:"sessionTimeout"`
	// HeartbeatInterval is also how soon a member notices a rebalance; 250 ms
	// by default, at most a quarter of SessionTimeout.
	HeartbeatInterval time.Duration `yaml:"heartbeatInterval"`
	// DrainTimeout is how long consumers may take to return when a generation
	// ends before that is logged as a fault; half of SessionTimeout by default.
	DrainTimeout time.Duration `yaml:"drainTimeout"`
	// MaxFetchBytes bounds one fetch of one partition, 1 MiB by default; a
	// larger batch still comes whole.
	MaxFetchBytes int `yaml:"maxFetchBytes"`

	// Dial makes the connections to brokers, plain TCP by default: the place for
	// TLS, and for a net that fails on purpose.
	Dial func(ctx context.Context, network, address string) (net.Conn, error) `yaml:"-"`
}

// DefaultPartitions is what Config.Partitions is by default with a Kafka of its
// own.
const DefaultPartitions = 64

// DefaultRetention is what Config.Retention is by default.
const DefaultRetention = 7 * 24 * time.Hour

const (
	maxPartitions = 1 << 16 // an id holds 16 bits of partition
	clientID      = "carillon"
)

// Embedded is c for the broker of journal/embedded at addr: one node, 4
// partitions unless chosen otherwise, 16 MiB segments, no retention (what is
// settled is trimmed).
func (c Config) Embedded(addr string) Config {
	c.Brokers, c.Replication, c.Retention = []string{addr}, 1, -1
	c.Partitions = or(c.Partitions, 4)
	c.SegmentBytes = or(c.SegmentBytes, 16<<20)
	return c
}

// TopicName is the Kafka topic, "<Topic>.<Epoch>".
func (c Config) TopicName() string {
	c = c.withDefaults()
	return c.Topic + "." + strconv.Itoa(int(c.Epoch))
}

// Validate checks c; what it complains about is named by its YAML key.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case len(c.Brokers) == 0:
		return errors.New("journal.brokers: name at least one Kafka broker (host:port)")
	case c.Epoch > carillon.MaxEpoch:
		return fmt.Errorf("journal.epoch: %d is above %d", c.Epoch, carillon.MaxEpoch)
	case c.Partitions < 1 || c.Partitions > maxPartitions:
		return fmt.Errorf("journal.partitions: %d is not within 1 … %d", c.Partitions, maxPartitions)
	case c.MaxBatchBytes < 1<<10 || c.MaxBatchBytes > 64<<20:
		return fmt.Errorf("journal.maxBatchBytes: %d is not within 1 KiB … 64 MiB", c.MaxBatchBytes)
	case c.MaxBufferedBytes < c.MaxBatchBytes:
		return fmt.Errorf("journal.maxBufferedBytes: %d is below maxBatchBytes (%d)", c.MaxBufferedBytes, c.MaxBatchBytes)
	case c.HeartbeatInterval > c.SessionTimeout/2:
		return fmt.Errorf("journal.heartbeatInterval: %s is more than half of sessionTimeout (%s)", c.HeartbeatInterval, c.SessionTimeout)
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Topic = or(c.Topic, "carillon.journal")
	c.Epoch = or(c.Epoch, 1)
	c.Partitions = or(c.Partitions, DefaultPartitions)
	c.Retention = or(c.Retention, DefaultRetention)
	c.Group = or(c.Group, "carillon.dispatch")
	c.MaxBufferedBytes = or(c.MaxBufferedBytes, 64<<20)
	c.MaxBatchBytes = or(c.MaxBatchBytes, 1_000_000)
	c.ProduceTimeout = or(c.ProduceTimeout, 30*time.Second)
	c.RequestTimeout = or(c.RequestTimeout, 3*time.Second)
	c.SessionTimeout = or(c.SessionTimeout, 10*time.Second)
	c.HeartbeatInterval = or(c.HeartbeatInterval, min(250*time.Millisecond, c.SessionTimeout/4))
	c.DrainTimeout = or(c.DrainTimeout, c.SessionTimeout/2)
	c.MaxFetchBytes = or(c.MaxFetchBytes, 1<<20)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: c.RequestTimeout}).DialContext
	}
	return c
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
