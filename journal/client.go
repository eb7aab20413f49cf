package journal

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go"
)

// Everything here is on the system's clock: leases, socket deadlines and
// connection back-off do not move with carillon.Clock.

// metadataTTL is an upper bound, kafka-go takes a random time below it. It
// never asks anew on NOT_LEADER (segmentio/kafka-go#1221), so this is how long
// a moved leader can go unnoticed.
const metadataTTL = 500 * time.Millisecond

// newTransport follows the named topics, or all when none is named.
func newTransport(cfg *Config, topics ...string) *kafka.Transport {
	return &kafka.Transport{
		ClientID:       clientID,
		Dial:           cfg.Dial,
		DialTimeout:    cfg.RequestTimeout,
		IdleTimeout:    time.Minute,
		MetadataTTL:    metadataTTL,
		MetadataTopics: topics,
	}
}

func newClient(cfg *Config, transport *kafka.Transport) *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: transport}
}

func now() time.Time {
	return time.Now() //nolint:forbidigo // socket deadlines, leases and back-off stay on real time
}

// pause waits d or until ctx ends, whose error it returns.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d) //nolint:forbidigo // connection back-off stays on real time
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

const (
	backoffFirst = 20 * time.Millisecond
	backoffMost  = 500 * time.Millisecond
)

// backoff is the pause before try n, counted from 0.
func backoff(n int) time.Duration { return min(backoffFirst<<min(n, 10), backoffMost) }

const (
	// joinBackoff replaces kafka-go's 5 s, which a first join on a fresh
	// cluster always meets.
	joinBackoff = 200 * time.Millisecond
	listTimeout = 5 * time.Second
)
