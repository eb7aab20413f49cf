package bench

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// Stage is the CPU time of one stage of the walk, a notification.
type Stage struct {
	Name   string  `json:"name"`
	Micros float64 `json:"microsPerNotification"`
	Share  float64 `json:"share"`
}

// rule gives samples to a stage by the package of a frame.
type rule struct{ prefix, stage string }

// whole rules look at all frames of a sample, before the rules do.
func wholeRules() []rule {
	return []rule{
		{"github.com/cockroachdb/pebble/v2.(*DB).compact", "store: flush and compaction"},
		{"github.com/cockroachdb/pebble/v2.(*DB).flush", "store: flush and compaction"},
		{"github.com/cockroachdb/pebble/v2/record.(*LogWriter).flush", "store: log"},
		{"runtime.gcBgMarkWorker", "runtime: garbage collection"},
		{"runtime.bgsweep", "runtime: garbage collection"},
	}
}

// rules are tried for each frame from the leaf up; the first that fits decides.
func rules() []rule {
	return []rule{
		{"carillon/gateway.", "ingress: decode and validate"},
		{"carillon/internal/", "ingress: HTTP and TLS"},
		{"github.com/valyala/fasthttp", "ingress: HTTP and TLS"},
		{"github.com/twmb/franz-go/", "journal: embedded broker"},
		{"carillon/journal/embedded.", "journal: embedded broker"},
		{"carillon/journal.", "journal: client"},
		{"github.com/segmentio/kafka-go", "journal: client"},
		{"github.com/dgraph-io/ristretto", "dispatch: directory cache"},
		{"carillon/dispatch.", "dispatch: apply, plan, hand off, settle"},
		{"carillon/provider/h2.", "provider: HTTP/2 and TLS"},
		{"carillon/provider/", "provider: payload and answers"},
		{"carillon/store", "store: rows"},
		{"github.com/cockroachdb/", "store: rows"},
	}
}

const (
	stageRuntime = "runtime: scheduling"
	stageGC      = "runtime: garbage collection"
)

// stagesOf deals CPU profiles of the gateway over the stages; cpu is what the
// operating system counted for the same run of n notifications, so that the
// stages add up to it.
func stagesOf(pprofs [][]byte, cpu time.Duration, n int64) ([]Stage, error) {
	sums := map[string]int64{}
	var total int64
	for _, b := range pprofs {
		p, err := profile.Parse(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("bench: the CPU profile: %w", err)
		}
		value := len(p.SampleType) - 1 // nanoseconds stand last
		for _, s := range p.Sample {
			sums[stageOf(s)] += s.Value[value]
			total += s.Value[value]
		}
	}
	var stages []Stage
	for name, ns := range sums {
		share := float64(ns) / float64(max(total, 1))
		stages = append(stages, Stage{Name: name, Share: share, Micros: share * float64(cpu.Microseconds()) / float64(max(n, 1))})
	}
	slices.SortFunc(stages, func(a, b Stage) int { return strings.Compare(a.Name, b.Name) })
	return stages, nil
}

func stageOf(s *profile.Sample) string {
	frames := functions(s)
	for _, r := range wholeRules() {
		for _, f := range frames {
			if strings.HasPrefix(f, r.prefix) {
				return r.stage
			}
		}
	}
	for _, f := range frames {
		for _, r := range rules() {
			if strings.HasPrefix(f, r.prefix) {
				return r.stage
			}
		}
	}
	for _, f := range frames {
		if strings.HasPrefix(f, "runtime.gc") || strings.HasPrefix(f, "runtime.bg") {
			return stageGC
		}
	}
	return stageRuntime
}

// functions are the names of a sample's frames, the leaf first.
func functions(s *profile.Sample) []string {
	var names []string
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function != nil {
				names = append(names, line.Function.Name)
			}
		}
	}
	return names
}
