package bench

import (
	"fmt"
	"io"
	"runtime"
	"slices"
)

// Report is a workload's rounds with what they ran on.
type Report struct {
	Workload string       `json:"workload"`
	CPUs     int          `json:"cpus"`
	Go       string       `json:"go"`
	Users    int          `json:"users"`
	Joined   Registration `json:"joined"`
	Rounds   []Round      `json:"rounds"`
}

// NewReport gathers rounds.
func NewReport(workload string, joined Registration, rounds []Round) Report {
	return Report{Workload: workload, CPUs: runtime.NumCPU(), Go: runtime.Version(), Users: joined.Users, Joined: joined, Rounds: rounds}
}

// Write prints every round, and the stages of the median one.
func (r Report) Write(w io.Writer) {
	fmt.Fprintf(w, "%s: %d users, %d CPUs shared by gateway, broker, store, sandbox and load, %s\n\n", r.Workload, r.Users, r.CPUs, r.Go)
	fmt.Fprintf(w, "  registered: answered in %.1f s, applied in %.1f s (%.0f/s), gateway %.1f µs each\n\n",
		r.Joined.AnsweredSeconds, r.Joined.Seconds, float64(r.Users)/r.Joined.Seconds, r.Joined.GatewayMicros)
	fmt.Fprintf(w, "  round    notifications/s  per minute   gateway µs  sandbox µs  load µs  duplicates  apns2/s   apns2 µs  ratio\n")
	for i, x := range r.Rounds {
		fmt.Fprintf(w, "  %-8d %15.0f  %9.2f M  %10.2f  %10.2f  %7.2f  %10d", i+1, x.PerSecond, x.PerSecond*60/1e6,
			x.GatewayMicros, x.SandboxMicros, x.LoadMicros, x.Duplicates)
		if x.Peer != nil {
			fmt.Fprintf(w, "  %8.0f  %8.2f  %5.2f", x.Peer.perSecond(), x.Peer.CPUMicros, x.Ratio)
		}
		fmt.Fprintln(w)
	}
	if len(r.Rounds) == 0 {
		return
	}
	byRate := slices.SortedFunc(slices.Values(r.Rounds), func(a, b Round) int { return int(a.PerSecond - b.PerSecond) })
	median := byRate[len(byRate)/2]
	fmt.Fprintf(w, "\n  stage of the gateway (round with the median rate)     µs  share\n")
	for _, s := range median.Stages {
		fmt.Fprintf(w, "  %-48s %8.2f  %4.0f %%\n", s.Name, s.Micros, s.Share*100)
	}
	fmt.Fprintf(w, "  %-48s %8.2f\n", "sum", median.GatewayMicros)
}
