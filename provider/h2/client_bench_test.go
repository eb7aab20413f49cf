package h2_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carillon/provider/h2"
)

// load drives a client in batches, with distinct paths and ids.
type load struct {
	c    *h2.Client
	kick chan struct{}
	done atomic.Int64
	bad  atomic.Int64
	reqs []h2.Request
	next int
}

const batch = 256

func newLoad(addr string, t *tls.Config) *load {
	l := &load{kick: make(chan struct{}, 1)}
	kick := func() {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
	static := []h2.Field{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "api.push.apple.com"},
		{Name: "user-agent", Value: "carillon/0.1"},
		{Name: "apns-push-type", Value: "alert"},
	}
	l.c = h2.New(h2.Config{
		Addr: addr, TLS: t, Static: static,
		OnResults: func(rs []h2.Result) {
			for i := range rs {
				if rs[i].Status != 200 {
					l.bad.Add(1)
				}
			}
			l.done.Add(int64(len(rs)))
			kick()
		},
		OnRoom: kick,
	})
	body := make([]byte, 230)
	jwt := fmt.Sprintf("bearer %0180d", 7)
	const distinct = 8192
	for i := range distinct {
		l.reqs = append(l.reqs, h2.Request{
			Path: fmt.Sprintf("/3/device/%064x", uint64(i)*0x9e3779b97f4a7c15), Body: body,
			Fields: []h2.Field{
				{Name: "authorization", Value: jwt},
				{Name: "apns-topic", Value: "com.example.app"},
				{Name: "apns-priority", Value: "10"},
				{Name: "apns-id", Value: fmt.Sprintf("%08x-0000-4000-8000-%012x", i*7919, i), Mode: h2.NoIndex},
				{Name: "apns-expiration", Value: fmt.Sprint(1790000000 + i), Mode: h2.NoIndex},
			},
		})
	}
	return l
}

// send puts n requests through and waits for all answers.
func (l *load) send(n int) {
	want := l.done.Load() + int64(n)
	for n > 0 {
		k := min(l.c.Room(), n, batch, len(l.reqs)-l.next)
		if k == 0 {
			<-l.kick
			continue
		}
		l.c.Send(l.reqs[l.next : l.next+k])
		l.next = (l.next + k) % len(l.reqs)
		n -= k
	}
	for l.done.Load() < want {
		<-l.kick
	}
}

func BenchmarkClient(b *testing.B) {
	for _, kind := range []string{"tcp", "tls"} {
		b.Run(kind, func(b *testing.B) {
			addr, t := listen(b, kind == "tls", func(nc net.Conn) { echo(nc, 1000) })
			l := newLoad(addr, t)
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- l.c.Run(ctx) }()
			l.send(10_000)
			b.ReportAllocs()
			b.ResetTimer()
			before, cpu := l.c.Stats(), cpuTime()
			l.send(b.N)
			cpu = cpuTime() - cpu
			after := l.c.Stats()
			b.StopTimer()
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op") // both ends
			b.ReportMetric(float64(after.BytesWritten-before.BytesWritten)/float64(b.N), "B-out/op")
			b.ReportMetric(float64(b.N)/float64(after.Writes-before.Writes), "reqs/write")
			cancel()
			<-done
			if n := l.bad.Load(); n > 0 {
				b.Fatalf("%d bad answers", n)
			}
		})
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestAllocs: one allocation a request, which is the string of the answer's
// only literal field value.
func TestAllocs(t *testing.T) {
	addr, tc := listen(t, true, func(nc net.Conn) { echo(nc, 1000) })
	l := newLoad(addr, tc)
	run(t, l.c)
	l.send(20_000)
	const n = 5000
	if per := testing.AllocsPerRun(5, func() { l.send(n) }) / n; per > 1.05 {
		t.Errorf("%.3f allocations a request, want 1", per)
	} else {
		t.Logf("%.3f allocations a request", per)
	}
}
