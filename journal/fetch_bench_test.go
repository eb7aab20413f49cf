package journal_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"carillon/journal"
)

const fetchRecords = 200_000

func filled(b *testing.B) journal.Config {
	cfg := benchBroker(b, false)
	cfg.Partitions = 1
	cfg.Topic = "one"
	if err := journal.Ensure(testContext(b), cfg); err != nil {
		b.Fatal(err)
	}
	w, stop := startWriter(b, cfg)
	es := benchEntries(1000)
	for range fetchRecords / len(es) {
		if err := w.Append(b.Context(), es); err != nil {
			b.Fatal(err)
		}
	}
	stop()
	return cfg
}

// BenchmarkFetch reads 200,000 records of one partition, in big batches.
func BenchmarkFetch(b *testing.B) {
	cfg := filled(b)
	b.Run("claim", func(b *testing.B) {
		ctx, cancel := context.WithCancel(b.Context())
		g := journal.NewGroup(cfg, testLog(b))
		err := g.Run(ctx, func(ctx context.Context, c *journal.Claim) error {
			defer cancel()
			start := cpu()
			b.ReportAllocs()
			for b.Loop() {
				read := 0
				for from := c.Start(); read < fetchRecords; {
					batch, err := c.Fetch(ctx, from)
					if err != nil {
						return err
					}
					read += len(batch.Records)
					from = batch.Next
				}
			}
			perRecord(b, start, b.N*fetchRecords)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	})
	b.Run("kafka-go", func(b *testing.B) {
		transport := &kafka.Transport{}
		defer transport.CloseIdleConnections()
		client := &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: transport}
		start := cpu()
		b.ReportAllocs()
		for b.Loop() {
			for from := int64(0); from < fetchRecords; {
				from = drain(b, client, cfg.TopicName(), from)
			}
		}
		perRecord(b, start, b.N*fetchRecords)
	})
}

// drain fetches by kafka-go's Client.Fetch and copies keys and values out.
func drain(b *testing.B, client *kafka.Client, topic string, from int64) int64 {
	res, err := client.Fetch(b.Context(), &kafka.FetchRequest{
		Topic: topic, Offset: from, MinBytes: 1, MaxBytes: 4 << 20, MaxWait: time.Second,
	})
	if err != nil {
		b.Fatal(err)
	}
	for {
		r, err := res.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return from
		}
		if err != nil {
			b.Fatal(err)
		}
		for _, v := range []kafka.Bytes{r.Key, r.Value} {
			if _, err := kafka.ReadAll(v); err != nil {
				b.Fatal(err)
			}
			_ = v.Close()
		}
		from = r.Offset + 1
	}
}
