// Package embedded is a Kafka-speaking broker in this process: franz-go's kfake
// on a data directory. It is the journal of a single-node run; the same client
// code talks to it and to a real Kafka.
//
// What comes in are Kafka requests over a loopback listener; what goes out are
// their answers. Promised when stopped: [Broker.Close] writes its state down and
// closes its files; consumers should have left before, else their members are
// missed until their session ends. What was acknowledged survives a kill of the
// process in any case, and with synced writes (the default) a power loss as far
// as the disk keeps its word: kfake ignores fsync errors and never syncs
// directories, so no more is promised. One node, no replication. After a kill
// (not after Close) kfake has forgotten its idempotence windows: a producer's
// retry across it may double a batch.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config says where the broker keeps its data and where it listens.
type Config struct {
	// Dir is the data directory. Empty keeps everything in memory.
	Dir string `yaml:"dir"`
	// Addr is where to listen, "127.0.0.1:0" by default. Only loopback is taken:
	// the broker trusts what it reads. Name a port to keep it over restarts.
	Addr string `yaml:"addr"`
	// Sync makes every batch reach the disk before it is acknowledged; on by
	// default. Off survives a kill of the process, not of the machine.
	Sync *bool `yaml:"sync"`
	// SegmentBytes is the size of a log segment, 16 MiB by default: trimming
	// frees whole segments.
	SegmentBytes int `yaml:"segmentBytes"`
	// MaxMessageBytes bounds one record batch, 1,048,588 (Kafka's) by default.
	MaxMessageBytes int `yaml:"maxMessageBytes"`
	// OpenMemoryBytes is the soft limit of this process's memory while old data is
	// read, 512 MiB by default: reading makes garbage of several times its size. A
	// lower GOMEMLIMIT stays.
	OpenMemoryBytes int64 `yaml:"openMemoryBytes"`
	// MinSession is the shortest session a group member may ask for, 500 ms by
	// default.
	MinSession time.Duration `yaml:"minSession"`
}

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	lock    *os.File
}

// Open starts a broker on what Dir holds. A torn or damaged tail of a segment
// is cut off and logged, the rest is served. It fails when the port is taken,
// the directory cannot be written or another process has it open; the error
// says what to do.
func Open(cfg Config, log *slog.Logger) (*Broker, error) {
	addr, err := loopback(cfg.Addr)
	if err != nil {
		return nil, err
	}
	b := &Broker{}
	opts := options(&cfg, log)
	if cfg.Dir != "" {
		if b.lock, err = lockDir(cfg.Dir); err != nil {
			return nil, err
		}
		opts = append(opts, kfake.DataDir(cfg.Dir))
	}
	listener, err := net.Listen("tcp", addr) //nolint:noctx // binding a loopback port does not wait for anything
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded broker: cannot listen on %s: %w; choose another embedded.addr, or port 0 for any", addr, err), b.unlock())
	}
	b.addr = listener.Addr().String()
	opts = append(opts, kfake.ListenFn(func(string, string) (net.Listener, error) { return listener, nil }))
	defer limitMemory(cfg.OpenMemoryBytes)()
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		_ = listener.Close() // kfake may have closed it
		return nil, errors.Join(unopened(cfg.Dir, err), b.unlock())
	}
	return b, nil
}

// limitMemory keeps the garbage of reading old data small; the answer takes the
// limit away.
func limitMemory(limit int64) (restore func()) {
	if limit <= 0 {
		limit = 512 << 20
	}
	old := debug.SetMemoryLimit(-1)
	if old <= limit {
		return func() {}
	}
	debug.SetMemoryLimit(limit)
	return func() { debug.SetMemoryLimit(old) }
}

// unopened says what to do about a directory that kfake does not understand. A
// torn segment is none: its good part is served.
func unopened(dir string, err error) error {
	return fmt.Errorf("embedded broker: %s cannot be opened: %w: a file of it is damaged; restore the data directory from a backup, or move it away and start with an empty one", dir, err)
}

func options(cfg *Config, log *slog.Logger) []kfake.Opt {
	segment, message, session := cfg.SegmentBytes, cfg.MaxMessageBytes, cfg.MinSession
	if segment == 0 {
		segment = 16 << 20
	}
	if message == 0 {
		message = 1_048_588
	}
	if session == 0 {
		session = 500 * time.Millisecond
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("carillon-embedded"),
		kfake.WithLogger(logger{log}),
		kfake.GroupMinSessionTimeout(session),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes":         strconv.Itoa(segment),
			"message.max.bytes":         strconv.Itoa(message),
			"log.cleaner.backoff.ms":    "5000",
			"auto.create.topics.enable": "false",
		}),
	}
	if cfg.Sync == nil || *cfg.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	return opts
}

// Addr is where the broker listens, host:port.
func (b *Broker) Addr() string { return b.addr }

// Close writes the broker's state down and stops it.
func (b *Broker) Close() error {
	b.cluster.Close()
	return b.unlock()
}

func loopback(addr string) (string, error) {
	if addr == "" {
		return "127.0.0.1:0", nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("embedded broker: address %q: %w; write 127.0.0.1:port", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", fmt.Errorf("embedded broker: address %q is not loopback: the embedded broker trusts whoever reaches it, use a real Kafka across machines", addr)
	}
	return addr, nil
}

// logger passes kfake's lines on; its requests are nobody's business.
type logger struct{ log *slog.Logger }

// Logf implements kfake.Logger.
func (l logger) Logf(level kfake.LogLevel, msg string, args ...any) {
	at := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		at = slog.LevelError
	case kfake.LogLevelWarn:
		at = slog.LevelWarn
	case kfake.LogLevelInfo, kfake.LogLevelDebug, kfake.LogLevelNone:
	}
	ctx := context.Background() //nolint:forbidigo // kfake gives none
	if l.log.Enabled(ctx, at) {
		l.log.Log(ctx, at, "embedded broker", "says", fmt.Sprintf(msg, args...))
	}
}
