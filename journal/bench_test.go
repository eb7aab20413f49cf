package journal_test

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carillon"
	"carillon/journal"
	"carillon/journal/embedded"
)

// cpu is the processor time of this process: writer, broker and fetcher share it.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchBroker(b *testing.B, sync bool) journal.Config {
	broker := openBroker(b, embedded.Config{Dir: b.TempDir(), Sync: &sync})
	return ensure(b, broker.Addr(), journal.Config{SegmentBytes: 256 << 20})
}

func benchEntries(n int) []journal.Entry {
	es := make([]journal.Entry, n)
	for i := range es {
		es[i] = journal.Entry{Key: fmt.Appendf(nil, "app.example/dev.user%06d", i), Value: make([]byte, 300)}
	}
	return es
}

func perRecord(b *testing.B, start time.Duration, records int) {
	b.ReportMetric(float64((cpu()-start).Nanoseconds())/1000/float64(records), "cpu-µs/record")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1000/float64(records), "µs/record")
}

func BenchmarkAppend1000(b *testing.B) {
	for _, synced := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync=%t", synced), func(b *testing.B) {
			w, _ := startWriter(b, benchBroker(b, synced))
			es := benchEntries(1000)
			start := cpu()
			b.ReportAllocs()
			for b.Loop() {
				if err := w.Append(b.Context(), es); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, start, b.N*len(es))
		})
	}
}

func BenchmarkAppendSingle256(b *testing.B) {
	for _, synced := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync=%t", synced), func(b *testing.B) {
			w, _ := startWriter(b, benchBroker(b, synced))
			const callers = 256
			es := benchEntries(callers)
			start := cpu()
			b.ReportAllocs()
			b.ResetTimer()
			var group sync.WaitGroup
			for c := range callers {
				group.Go(func() {
					for i := c; i < b.N; i += callers {
						if err := w.Append(b.Context(), es[c:c+1]); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			perRecord(b, start, b.N)
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	usual := journal.Record{Version: 1, Kind: journal.KindNotification, At: 1_790_000_000_123, Notification: carillon.Notification{
		Accepted: 1_790_000_000_123, Expires: 1_790_604_800_123, Priority: carillon.PriorityHigh, TTL: -1, Badge: -1,
		HasVisual: true, Title: "Your order", Body: "is on its way", HasRaw: true, Raw: strings.Repeat("r", 150),
	}}
	for name, r := range map[string]journal.Record{"usual": usual, "full": samples()["notification"]} {
		dst := r.Append(nil)
		src := append([]byte{}, dst...)
		b.Run("append/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = r.Append(dst[:0])
			}
		})
		b.Run("decode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			var got journal.Record
			for b.Loop() {
				if err := got.Decode(src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
