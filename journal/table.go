package journal

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"sync"

	"github.com/segmentio/kafka-go"

	"carillon"
)

// Row is one entry of a [Table]. A nil Value removes the key.
type Row struct {
	Key   string
	Value []byte
}

// Table is a small map that every process of an installation follows: a
// compacted topic of one partition beside the journal, "<Topic>.<name>". The
// newest value of a key wins, in the order of the topic; what Put was told is
// durable stays until the key is put again. It is for what changes by the hands
// of people (apps and their credentials), not for users.
type Table struct {
	cfg       Config
	topic     string
	log       *slog.Logger
	transport *kafka.Transport
	fetcher   fetcher
	crc       *crc32.Table
	apply     func([]Row)

	mu    sync.Mutex
	next  int64         // offset of the next record to follow
	moved chan struct{} // closed and made anew when next moves
}

const (
	tableTries = 6
	// maxTableValue bounds a value; batches of the journal may have a megabyte.
	maxTableValue = 256 << 10
)

// NewTable makes a table; nothing runs until Open. Apply takes changes in the
// order of the topic, from one goroutine at a time; it may keep the rows.
func NewTable(cfg Config, name string, apply func([]Row), log *slog.Logger) *Table {
	cfg = cfg.withDefaults()
	t := &Table{
		topic: cfg.Topic + "." + name, log: log, crc: castagnoli(), apply: apply, moved: make(chan struct{}),
	}
	cfg.Partitions = 1
	cfg.SegmentBytes = 0
	t.cfg = cfg
	t.transport = newTransport(&t.cfg, t.topic)
	t.fetcher = fetcher{cfg: &t.cfg, topic: t.topic, client: newClient(&t.cfg, t.transport)}
	return t
}

// Open creates the topic if it is missing and reads all that it holds now, so
// that whoever starts after it starts with the present state. It tries until ctx
// ends while no broker answers.
func (t *Table) Open(ctx context.Context) error {
	transport := newTransport(&t.cfg) // all topics: this one may be missing
	defer transport.CloseIdleConnections()
	if err := ensure(ctx, newClient(&t.cfg, transport), &t.cfg, t.topic, compacted); err != nil {
		return err
	}
	ends, err := t.ends(ctx)
	if err != nil {
		return err
	}
	t.next = ends.FirstOffset
	for t.next < ends.LastOffset {
		if err := t.follow(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) ends(ctx context.Context) (kafka.PartitionOffsets, error) {
	for try := 0; ; try++ {
		o, err := listOffsets(ctx, t.fetcher.client, t.topic, []int{0})
		if err == nil {
			return o[0], nil
		}
		if fatal(err) || pause(ctx, backoff(try)) != nil {
			return kafka.PartitionOffsets{}, fmt.Errorf("journal: the ends of topic %s: %w", t.topic, err)
		}
	}
}

// Run follows the topic until ctx ends.
func (t *Table) Run(ctx context.Context) error {
	defer t.transport.CloseIdleConnections()
	defer t.fetcher.close()
	for {
		if err := t.follow(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// follow applies what one fetch brings; trouble with the broker is tried again
// until ctx ends.
func (t *Table) follow(ctx context.Context) error {
	for try := 0; ; try++ {
		p, err := t.fetcher.poll(ctx, t.next)
		switch {
		case err == nil:
			return t.take(p)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, kafka.OffsetOutOfRange), fatal(err):
			return fmt.Errorf("journal: topic %s cannot be followed from offset %d: %w", t.topic, t.next, err)
		}
		t.log.Debug("journal: a table's fetch is tried again", "topic", t.topic, "error", err)
		t.fetcher.close()
		if err := pause(ctx, backoff(try)); err != nil {
			return err
		}
	}
}

func (t *Table) take(p page) error {
	records, next, err := decodeBatches(p.batches, t.cfg.Epoch, t.next, t.crc)
	if err != nil {
		return fmt.Errorf("journal: topic %s: %w", t.topic, err)
	}
	if len(records) > 0 {
		rows := make([]Row, len(records))
		for i, r := range records {
			rows[i] = Row{Key: string(r.Key), Value: r.Value}
		}
		t.apply(rows)
	}
	// Compaction may leave a gap up to the end: nothing comes from it.
	if len(p.batches) == 0 && p.start > next {
		next = p.start
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if next != t.next {
		t.next = next
		close(t.moved)
		t.moved = make(chan struct{})
	}
	return nil
}

// Put writes rows as one batch and waits until this process has applied them.
// The error is a *carillon.Error unavailable: nothing was written, or whether it
// was is unknown; putting the same rows again does no harm.
func (t *Table) Put(ctx context.Context, rows ...Row) error {
	for _, r := range rows {
		if len(r.Value) > maxTableValue {
			return carillon.Errorf(carillon.CodeTooLarge, "", "%s takes %d bytes, at most %d are kept", r.Key, len(r.Value), maxTableValue)
		}
	}
	offset, err := t.produce(ctx, rows)
	if err != nil {
		return &carillon.Error{
			Code: carillon.CodeUnavailable, RetryAfter: retryAfter, Cause: err,
			Message: "the journal did not acknowledge the change in time: it may or may not have been made; send it again, that does no harm",
		}
	}
	return t.wait(ctx, offset+int64(len(rows)))
}

// produce writes one batch and gives its first offset.
func (t *Table) produce(ctx context.Context, rows []Row) (int64, error) {
	var last error
	for try := range tableTries {
		if try > 0 && pause(ctx, backoff(try)) != nil {
			break
		}
		attempt, cancel := context.WithTimeout(ctx, t.cfg.RequestTimeout)
		res, err := t.fetcher.client.Produce(attempt, &kafka.ProduceRequest{
			Topic: t.topic, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(kafkaRecords(rows)...),
		})
		cancel()
		if err == nil {
			err = res.Error
		}
		if err == nil {
			return res.BaseOffset, nil
		}
		if last = err; fatal(err) {
			break
		}
	}
	return 0, errors.Join(last, ctx.Err())
}

// kafkaRecords makes records with readers of their own, which an attempt uses up.
func kafkaRecords(rows []Row) []kafka.Record {
	records := make([]kafka.Record, len(rows))
	for i, r := range rows {
		records[i] = kafka.Record{Key: kafka.NewBytes([]byte(r.Key))}
		if r.Value != nil {
			records[i].Value = kafka.NewBytes(r.Value)
		}
	}
	return records
}

// wait waits until everything below offset was applied here.
func (t *Table) wait(ctx context.Context, offset int64) error {
	for {
		t.mu.Lock()
		next, moved := t.next, t.moved
		t.mu.Unlock()
		if next >= offset {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return &carillon.Error{
				Code: carillon.CodeUnavailable, RetryAfter: retryAfter, Cause: ctx.Err(),
				Message: "the change is durable, but this gateway has not applied it yet; read it again in a moment",
			}
		}
	}
}
