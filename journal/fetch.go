package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
)

const (
	// fetchVersion is the last Fetch version without flexible fields: Kafka 2.3
	// to 4.x speak it.
	fetchVersion = 11
	// fetchWait is how long the broker holds a fetch that finds nothing. It adds
	// no latency: one byte ends it.
	fetchWait = time.Second
	// maxResponse bounds what a broker's size field can make us allocate.
	maxResponse = 256 << 20
)

// fetcher fetches one partition over a connection of its own: kafka-go's
// Client.Fetch copies every record into pages and hands it out through readers,
// here a response is one buffer and records are slices of it.
type fetcher struct {
	cfg       *Config
	topic     string
	partition int32
	client    *kafka.Client // looks the leader up

	conn net.Conn
	id   int32
}

// page is one response: its record batches, undecoded, and the partition's ends.
type page struct {
	batches   []byte
	highWater int64
	start     int64
}

// poll asks once for records from offset on, and waits up to fetchWait for them.
func (f *fetcher) poll(ctx context.Context, offset int64) (page, error) {
	if err := f.connect(ctx); err != nil {
		return page{}, err
	}
	body, err := f.roundTrip(ctx, offset)
	if err != nil {
		f.close()
		return page{}, err
	}
	p, code, err := parsePage(body)
	if err != nil {
		f.close()
		return page{}, fmt.Errorf("fetch from %s: %w", f.topic, err)
	}
	if code != 0 {
		return p, code
	}
	return p, nil
}

func (f *fetcher) connect(ctx context.Context) error {
	if f.conn != nil {
		return nil
	}
	addr, err := f.leader(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.cfg.RequestTimeout)
	defer cancel()
	f.conn, err = f.cfg.Dial(ctx, "tcp", addr)
	return err
}

func (f *fetcher) leader(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.RequestTimeout)
	defer cancel()
	meta, err := f.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{f.topic}})
	if err != nil {
		return "", err
	}
	for _, t := range meta.Topics {
		if t.Error != nil {
			return "", t.Error
		}
		for _, p := range t.Partitions {
			if p.ID == int(f.partition) && p.Leader.Host != "" {
				return net.JoinHostPort(p.Leader.Host, strconv.Itoa(p.Leader.Port)), nil
			}
		}
	}
	return "", kafka.LeaderNotAvailable
}

// roundTrip sends one fetch and reads its response into a fresh buffer. When
// ctx ends, the connection's deadline is moved into the past.
func (f *fetcher) roundTrip(ctx context.Context, offset int64) ([]byte, error) {
	conn := f.conn
	if err := conn.SetDeadline(now().Add(fetchWait + f.cfg.RequestTimeout)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	f.id++
	if err := protocol.WriteRequest(conn, fetchVersion, f.id, clientID, f.request(offset)); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	size, id := int64(int32(binary.BigEndian.Uint32(head[:])))-4, int32(binary.BigEndian.Uint32(head[4:])) //nolint:gosec // signed on the wire
	if size < 0 || size > maxResponse || id != f.id {
		return nil, fmt.Errorf("fetch answer %d of %d bytes does not belong to request %d", id, size, f.id)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	if !stop() && ctx.Err() != nil { // the deadline is spoilt
		f.close()
	}
	return body, nil
}

func (f *fetcher) request(offset int64) *fetchapi.Request {
	most := int32(f.cfg.MaxFetchBytes) //nolint:gosec // megabytes
	return &fetchapi.Request{
		ReplicaID:    -1,
		MaxWaitTime:  int32(fetchWait / time.Millisecond),
		MinBytes:     1,
		MaxBytes:     most,
		SessionEpoch: -1,
		Topics: []fetchapi.RequestTopic{{
			Topic: f.topic,
			Partitions: []fetchapi.RequestPartition{{
				Partition:          f.partition,
				CurrentLeaderEpoch: -1,
				FetchOffset:        offset,
				LogStartOffset:     -1,
				PartitionMaxBytes:  most,
			}},
		}},
	}
}

func (f *fetcher) close() {
	if f.conn != nil {
		_ = f.conn.Close()
		f.conn = nil
	}
}

var errShort = errors.New("answer ends early")

// parsePage reads a Fetch v11 response to a request for one partition.
func parsePage(b []byte) (page, kafka.Error, error) {
	r := wire{b: b}
	r.skip(4) // throttle
	code := kafka.Error(r.int16())
	r.skip(4) // session
	if topics := r.int32(); topics != 1 {
		if code != 0 && r.err == nil {
			return page{}, code, nil
		}
		return page{}, 0, fmt.Errorf("answer has %d topics: %w", topics, errors.Join(r.err, errShort))
	}
	r.skip(int(r.int16())) // topic
	if parts := r.int32(); parts != 1 {
		return page{}, 0, fmt.Errorf("answer has %d partitions: %w", parts, errors.Join(r.err, errShort))
	}
	r.skip(4) // partition
	if c := kafka.Error(r.int16()); c != 0 {
		code = c
	}
	var p page
	p.highWater = r.int64()
	r.skip(8) // last stable offset
	p.start = r.int64()
	if aborted := r.int32(); aborted > 0 {
		r.skip(int(aborted) * 16)
	}
	r.skip(4) // preferred read replica
	if n := r.int32(); n > 0 {
		p.batches = r.take(int(n))
	}
	return p, code, r.err
}

// wire reads Kafka's primitive types.
type wire struct {
	b   []byte
	err error
}

func (r *wire) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.err = nil, errShort
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *wire) skip(n int) { r.take(n) }

func (r *wire) int16() int16 {
	if v := r.take(2); v != nil {
		return int16(binary.BigEndian.Uint16(v)) //nolint:gosec // signed on the wire
	}
	return 0
}

func (r *wire) int32() int32 {
	if v := r.take(4); v != nil {
		return int32(binary.BigEndian.Uint32(v)) //nolint:gosec // signed on the wire
	}
	return 0
}

func (r *wire) int64() int64 {
	if v := r.take(8); v != nil {
		return int64(binary.BigEndian.Uint64(v)) //nolint:gosec // signed on the wire
	}
	return 0
}
