package provider_test

import (
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carillon"
	"carillon/provider"
	"carillon/provider/sandbox"
)

// counter is a Receiver that counts, and wakes the sender of the benchmark.
type counter struct {
	answered, refused atomic.Int64
	wake              chan struct{}
}

func (c *counter) Answers(batch []carillon.Answer) {
	for i := range batch {
		if batch[i].Outcome.Class != carillon.Accepted {
			c.refused.Add(1)
		}
	}
	c.answered.Add(int64(len(batch)))
	c.RoomAgain()
}

func (c *counter) RoomAgain() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// BenchmarkSend is a push from value to answer, the vendor's fast sandbox on the
// same processors included.
func BenchmarkSend(b *testing.B) {
	for _, w := range ways()[:4] {
		b.Run(w.name, func(b *testing.B) { benchmarkSend(b, w) })
	}
}

func benchmarkSend(b *testing.B, w way) {
	r := &rig{way: w, clock: &carillon.Clock{}, inbox: newInbox()}
	r.serve(b, sandbox.Fast)
	apps, err := carillon.NewApps([]carillon.App{r.app})
	if err != nil {
		b.Fatal(err)
	}
	to := &counter{wake: make(chan struct{}, 1)}
	s, err := provider.New(r.cfg, func() *carillon.Apps { return apps }, r.clock, discard()).Open(carillon.Lane{Platform: w.platform, Host: host}, to)
	if err != nil {
		b.Fatal(err)
	}
	run(b, r.server.Run)
	run(b, s.Run)
	pushes := make([]carillon.Push, 4096)
	for i := range pushes {
		pushes[i] = r.push(strconv.Itoa(i), carillon.KindAlert, nil)
		pushes[i].Ref = &pushes[i]
	}
	hand := func(total int) {
		goal := to.answered.Load() + int64(total)
		for sent := 0; to.answered.Load() < goal; {
			if n := min(s.Room(), total-sent, 64); n > 0 {
				at := sent % (len(pushes) - 64)
				s.Send(pushes[at : at+n])
				sent += n
				continue
			}
			<-to.wake
		}
	}
	hand(len(pushes)) // tokens, connections, buffers
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	hand(b.N)
	cpu = cpuTime() - cpu
	b.StopTimer()
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op") // both ends
	if n := to.refused.Load(); n > 0 {
		b.Errorf("%d not accepted", n)
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
