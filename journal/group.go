package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/segmentio/kafka-go"
)

// Group is membership in the consumer group that shares the journal's
// partitions. It is kafka-go's ConsumerGroup without its Reader, which mixes
// generations and may commit an old one's offsets under a new one.
type Group struct {
	cfg    Config
	topic  string
	log    *slog.Logger
	sticky *sticky
	late   map[int32]chan struct{} // consumers, by partition; closed when returned. Only Run's goroutines of one generation at a time touch it
}

// NewGroup makes a membership; it joins when Run runs.
func NewGroup(cfg Config, log *slog.Logger) *Group {
	cfg = cfg.withDefaults()
	topic := cfg.TopicName()
	return &Group{cfg: cfg, topic: topic, log: log, sticky: &sticky{topic: topic}, late: make(map[int32]chan struct{})}
}

// Consumer consumes one claimed partition until ctx ends.
type Consumer func(ctx context.Context, c *Claim) error

// Run is a member until ctx ends: for each generation it calls consume once per
// assigned partition, each in its own goroutine. The ctx given to consume ends
// with the generation; consume then has DrainTimeout to finish, commit and
// return, and heartbeats stop meanwhile, so it must stay below SessionTimeout. A
// partition's next consume starts only after its last one returned.
//
// An error that consume returns while its generation lives ends Run with it, but
// for one with [ErrNotCommitted] in its chain: then the group is joined anew and
// all partitions are consumed again. On ctx's end Run waits for the consumers, leaves the group and returns nil.
func (g *Group) Run(ctx context.Context, consume func(ctx context.Context, c *Claim) error) error {
	if err := g.cfg.Validate(); err != nil {
		return err
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                g.cfg.Group,
		Brokers:           g.cfg.Brokers,
		Dialer:            &kafka.Dialer{ClientID: clientID, Timeout: g.cfg.RequestTimeout, DialFunc: g.cfg.Dial},
		Topics:            []string{g.topic},
		GroupBalancers:    []kafka.GroupBalancer{g.sticky},
		HeartbeatInterval: g.cfg.HeartbeatInterval,
		SessionTimeout:    g.cfg.SessionTimeout,
		RebalanceTimeout:  g.cfg.SessionTimeout,
		JoinGroupBackoff:  joinBackoff,
		StartOffset:       kafka.FirstOffset,
		Timeout:           g.cfg.RequestTimeout,
	})
	if err != nil {
		return fmt.Errorf("journal: group %s: %w", g.cfg.Group, err)
	}
	transport := newTransport(&g.cfg, g.topic)
	client := newClient(&g.cfg, transport)
	defer transport.CloseIdleConnections()
	defer g.await()
	defer group.Close() // leaves the group

	var said string
	for {
		generation, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if said != err.Error() { // five a second while no broker is there
				said = err.Error()
				g.log.Warn("journal: cannot join the group yet", "group", g.cfg.Group, "error", err)
			}
			continue
		}
		said = ""
		if err := g.serve(ctx, client, generation, consume); err != nil {
			return err
		}
	}
}

// serve runs one generation to its end.
func (g *Group) serve(ctx context.Context, client *kafka.Client, generation *kafka.Generation, consume Consumer) error {
	fault := make(chan error, 1)
	generation.Start(func(ends context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(ends, cancel)()
		err := g.drive(ctx, client, generation, consume)
		if errors.Is(err, ErrNotCommitted) {
			g.log.Warn("journal: joining the group anew", "group", g.cfg.Group, "generation", generation.ID, "error", err)
			_ = pause(ctx, joinBackoff)
			fault <- nil
			return // which ends the generation, and kafka-go joins again
		}
		fault <- err
		<-ends.Done()
	})
	return <-fault
}

// drive starts the consumers and waits for them.
func (g *Group) drive(ctx context.Context, client *kafka.Client, generation *kafka.Generation, consume Consumer) error {
	claims, err := g.claims(ctx, client, generation)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, c := range claims {
		before, returned := g.late[c.Partition()], make(chan struct{})
		g.late[c.Partition()] = returned
		running.Go(func() {
			defer close(returned)
			defer c.fetcher.close()
			if before != nil {
				<-before
			}
			switch err := consume(ctx, c); {
			case err == nil || errors.Is(err, ctx.Err()):
			case ctx.Err() == nil:
				cancel(fmt.Errorf("journal: partition %d: %w", c.Partition(), err))
			case failure(ctx) != nil: // that one is told; this one is mostly the same
				g.log.Info("journal: another consumer ended with an error", "partition", c.Partition(), "error", err)
			default: // the end of a generation is no time to stop for, but to know of
				g.log.Warn("journal: a consumer ended with an error after its generation had", "partition", c.Partition(), "error", err)
			}
		})
	}
	all := make(chan struct{})
	go func() {
		running.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-ctx.Done():
		g.drain(ctx, all, claims)
	}
	return failure(ctx)
}

// drain waits for the consumers of a generation that ended.
func (g *Group) drain(ctx context.Context, all <-chan struct{}, claims []*Claim) {
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.DrainTimeout)
	defer cancel()
	select {
	case <-all:
	case <-bound.Done():
		var left []int32
		for _, c := range claims {
			select {
			case <-g.late[c.Partition()]:
			default:
				left = append(left, c.Partition())
			}
		}
		g.log.Error("journal: consumers did not return when their generation ended; their partitions wait for them", "partitions", left, "after", g.cfg.DrainTimeout)
	}
}

// failure is the cause that a consumer gave, nil for any other end.
func failure(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ctx.Err()) {
		return cause
	}
	return nil
}

// await waits for consumers that outlived their generation.
func (g *Group) await() {
	for _, returned := range g.late {
		<-returned
	}
}

// claims makes the claims of a generation, with the partitions' ends.
func (g *Group) claims(ctx context.Context, client *kafka.Client, generation *kafka.Generation) ([]*Claim, error) {
	assigned := generation.Assignments[g.topic]
	slices.SortFunc(assigned, func(a, b kafka.PartitionAssignment) int { return a.ID - b.ID })
	partitions := make([]int, len(assigned))
	for i, a := range assigned {
		if a.ID >= g.cfg.Partitions {
			return nil, fmt.Errorf("journal: topic %s has a partition %d, this configuration pins %d partitions", g.topic, a.ID, g.cfg.Partitions)
		}
		partitions[i] = a.ID
	}
	g.sticky.hold(generation.ID, partitions)
	g.log.Info("journal: partitions assigned", "group", g.cfg.Group, "generation", generation.ID, "member", generation.MemberID, "partitions", partitions)
	if len(assigned) == 0 {
		return nil, nil
	}
	var offsets []kafka.PartitionOffsets
	for try := 0; ; try++ {
		var err error
		if offsets, err = listOffsets(ctx, client, g.topic, partitions); err == nil {
			break
		}
		g.log.Debug("journal: offsets are asked for again", "error", err)
		if err := pause(ctx, backoff(try)); err != nil {
			return nil, err
		}
	}
	table := castagnoli()
	claims := make([]*Claim, len(assigned))
	for i, a := range assigned {
		claims[i] = &Claim{
			cfg: &g.cfg, topic: g.topic, log: g.log, table: table, generation: generation,
			fetcher:   fetcher{cfg: &g.cfg, topic: g.topic, partition: int32(a.ID), client: client}, //nolint:gosec // below Partitions
			committed: max(a.Offset, -1), start: offsets[i].FirstOffset, end: offsets[i].LastOffset,
		}
	}
	return claims, nil
}

// listOffsets asks for the ends of partitions, in their order.
func listOffsets(ctx context.Context, client *kafka.Client, topic string, partitions []int) ([]kafka.PartitionOffsets, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	req := make([]kafka.OffsetRequest, 0, 2*len(partitions))
	for _, p := range partitions {
		req = append(req, kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
	}
	res, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: req}})
	if err != nil {
		return nil, err
	}
	found := make([]kafka.PartitionOffsets, len(partitions))
	n := 0
	for _, o := range res.Topics[topic] {
		if o.Error != nil {
			return nil, fmt.Errorf("partition %d: %w", o.Partition, o.Error)
		}
		if i := slices.Index(partitions, o.Partition); i >= 0 {
			found[i] = o
			n++
		}
	}
	if n != len(partitions) {
		return nil, fmt.Errorf("ends of %d partitions came, not of %d", n, len(partitions))
	}
	return found, nil
}
