package bench

import (
	"fmt"
	"io"
	"runtime"
	"slices"
)

// H2Report is the rounds of a comparison with their ratios.
type H2Report struct {
	Machine     Machine   `json:"machine"`
	Server      string    `json:"server"`
	Connections int       `json:"connections"`
	InFlight    int       `json:"inFlight"`
	Body        int       `json:"body"`
	Turns       []Turn    `json:"turns"`
	Ratios      []H2Ratio `json:"ratios"`
}

// H2Ratio is ours to another tool's, with its bar.
type H2Ratio struct {
	Measure string `json:"measure"`
	Tool    string `json:"tool"`
	Interval
	Bar     string `json:"bar,omitempty"`
	Verdict string `json:"verdict,omitempty"`
}

// Report puts the turns together.
func (h *H2) Report(turns []Turn) H2Report {
	server := "carillon sandbox --fast"
	if h.Nghttpd != "" {
		server = "nghttpd (answers 404)"
	}
	r := H2Report{
		Machine: ThisMachine(), Server: server, Connections: h.Connections, InFlight: h.InFlight, Body: h.Body, Turns: turns,
	}
	for _, b := range []struct {
		tool string
		bar  float64
		text string
	}{{toolH2load, 1, "<= h2load's"}, {toolPushy, 1.0 / 3, "<= 1/3"}, {toolTransport, 1.0 / 12, "<= 1/12"}, {toolAPNs2, 1.0 / 12, "<= 1/12"}} {
		if i, ok := r.ratio(b.tool, cpuOfTurn); ok {
			r.Ratios = append(r.Ratios, H2Ratio{"client CPU a request", b.tool, i, b.text, i.verdict(b.bar, true)})
		}
	}
	for _, tool := range []string{toolH2load, toolPushy, toolTransport, toolAPNs2} {
		i, ok := r.ratio(tool, Turn.PerSecond)
		switch {
		case !ok:
		case tool == toolH2load && h.Connections == 1:
			r.Ratios = append(r.Ratios, H2Ratio{"requests/s", tool, i, ">= h2load's", i.verdict(1, false)})
		default:
			r.Ratios = append(r.Ratios, H2Ratio{Measure: "requests/s", Tool: tool, Interval: i})
		}
	}
	return r
}

func cpuOfTurn(t Turn) float64 { return t.CPUMicros }

// ratio is ours to a tool's over the rounds.
func (r *H2Report) ratio(tool string, of func(Turn) float64) (Interval, bool) {
	series := func(tool string) (s []float64) {
		for _, t := range r.Turns {
			if t.Tool == tool {
				s = append(s, of(t))
			}
		}
		return s
	}
	ours, theirs := series(toolCarillon), series(tool)
	return ratioOf(ours, theirs), len(ours) > 0 && len(theirs) > 0
}

// Write prints every round, the ratios and their bars.
func (r *H2Report) Write(w io.Writer) {
	r.Machine.Write(w)
	fmt.Fprintf(w, "server: %s; %d connections, %d in flight, %d bytes of payload\n\n", r.Server, r.Connections, r.InFlight, r.Body)
	fmt.Fprintf(w, "  round  tool             requests     requests/s   client CPU µs a request\n")
	rounds := slices.Clone(r.Turns)
	slices.SortStableFunc(rounds, func(a, b Turn) int { return a.Round - b.Round })
	for _, t := range rounds {
		fmt.Fprintf(w, "  %5d  %-15s %9d  %13.0f  %24.3f\n", t.Round, t.Tool, t.Pushes, t.PerSecond(), t.CPUMicros)
	}
	fmt.Fprintf(w, "\nours : theirs, geometric mean of the rounds' ratios, 95 %% interval (Student's t over the logarithms of %d rounds)\n", r.rounds())
	for _, x := range r.Ratios {
		fmt.Fprintf(w, "  %-20s %-16s %8.4f  [%.4f, %.4f]", x.Measure, x.Tool, x.Mean, x.Low, x.High)
		if x.Mean < 1 {
			fmt.Fprintf(w, "  = 1/%.1f", 1/x.Mean)
		}
		if x.Bar != "" {
			fmt.Fprintf(w, "  bar %s: %s", x.Bar, x.Verdict)
		}
		fmt.Fprintln(w)
	}
	if l := r.worst(); l != nil {
		fmt.Fprintf(w, "\nour latency, median round's: p50 %.0f µs, p90 %.0f, p99 %.0f, p99.9 %.0f; %.1f bytes a request before TLS\n",
			l.Latency.P50, l.Latency.P90, l.Latency.P99, l.Latency.P999, l.BytesPerPush)
	}
}

func (r *H2Report) rounds() int {
	n := 0
	for _, t := range r.Turns {
		n = max(n, t.Round)
	}
	return n
}

// worst is our turn with the median p99.
func (r *H2Report) worst() *Turn {
	var ours []Turn
	for _, t := range r.Turns {
		if t.Latency != nil {
			ours = append(ours, t)
		}
	}
	if len(ours) == 0 {
		return nil
	}
	slices.SortFunc(ours, func(a, b Turn) int { return int(a.Latency.P99 - b.Latency.P99) })
	return &ours[len(ours)/2]
}

// WriteGo prints the turns as Go benchmark results, a line each, for
// `benchstat -col /tool`.
func (r *H2Report) WriteGo(w io.Writer) {
	fmt.Fprintf(w, "goos: %s\ngoarch: %s\npkg: carillon/bench\n", runtime.GOOS, runtime.GOARCH)
	if r.Machine.Model != "" {
		fmt.Fprintf(w, "cpu: %s\n", r.Machine.Model)
	}
	fmt.Fprintf(w, "Unit cpu-ns/op better=lower\nUnit req/s better=higher\n")
	for _, t := range r.Turns {
		fmt.Fprintf(w, "BenchmarkPush/conns=%d/inflight=%d/tool=%s-%d %d %.1f ns/op %.1f cpu-ns/op %.0f req/s\n",
			r.Connections, r.InFlight, t.Tool, r.Machine.CPUs, t.Pushes, t.Seconds*1e9/float64(t.Pushes), t.CPUMicros*1e3, t.PerSecond())
	}
}
