package bench

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

// turns are two rounds of all tools, with easy figures.
func turns() []Turn {
	var ts []Turn
	for round := 1; round <= 2; round++ {
		for i, tool := range []string{toolCarillon, toolH2load, toolPushy, toolTransport, toolAPNs2} {
			ts = append(ts, Turn{Round: round, Tool: tool, Pushes: 1000, Seconds: 0.001 * float64(1+i), CPUMicros: 1.5 * float64(1+i*i) * float64(round)})
		}
		ts[len(ts)-5].Latency, ts[len(ts)-5].BytesPerPush = &Latency{P50: 1, P90: 2, P99: 3, P999: 4}, 391
	}
	return ts
}

// TestH2Report holds how a comparison is shown, to people and to benchstat.
func TestH2Report(t *testing.T) {
	r := (&H2{Connections: 1, InFlight: 500, Body: 230}).Report(turns())
	r.Machine = Machine{CPUs: 2, Model: "some CPU", Kernel: "6.1", Go: "go1.26", Commit: "0123456789abcdef"}
	var people, stat bytes.Buffer
	r.Write(&people)
	r.WriteGo(&stat)
	golden(t, "h2report.txt", people.Bytes())
	golden(t, "h2report.bench", stat.Bytes())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestParseH2load reads summaries of nghttp2 1.52.
func TestParseH2load(t *testing.T) {
	out := "starting benchmark...\nTLS Protocol: TLSv1.3\n\nfinished in 931.70ms, 321992.75 req/s, 3.07MB/s\n" +
		"requests: 300000 total, 300000 started, 300000 done, 299990 succeeded, 10 failed, 0 errored, 0 timeout\n" +
		"status codes: 299990 2xx, 0 3xx, 10 4xx, 0 5xx\n"
	got, err := parseH2load([]byte(out))
	if err != nil || got.pushes != 300000 || got.failed != 10 || got.took.Microseconds() != 931700 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parseH2load([]byte("Could not connect to the host\n")); err == nil {
		t.Error("no summary, and no error")
	}
}
