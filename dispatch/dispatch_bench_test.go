package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"carillon"
	"carillon/journal"
)

// sink is a store that forgets, with one iOS endpoint for every user.
type sink struct{ *memory }

func (sink) Endpoints(dst []carillon.Endpoint, _ carillon.User) ([]carillon.Endpoint, error) {
	return append(dst, carillon.Endpoint{
		ID: "phone", Platform: carillon.IOS, Address: "00ff", AppID: "com.example", Expires: 1 << 50,
		Incarnation: 1, Addressed: 1, Version: 1,
	}), nil
}

func (sink) Write(*carillon.Rows, bool) error { return nil }

// echo is a vendor that accepts at once.
type echo struct{ clock *carillon.Clock }

func (e echo) Open(_ carillon.Lane, to carillon.Receiver) (carillon.Sender, error) {
	return &echoSender{to: to, clock: e.clock}, nil
}

type echoSender struct {
	to      carillon.Receiver
	clock   *carillon.Clock
	answers []carillon.Answer
}

func (*echoSender) Room() int { return 1000 }

func (s *echoSender) Send(pushes []carillon.Push) {
	s.answers = s.answers[:0]
	at := s.clock.UnixMilli()
	for i := range pushes {
		s.answers = append(s.answers, carillon.Answer{Ref: pushes[i].Ref, Outcome: carillon.Outcome{Class: carillon.Accepted}, At: at, Kind: pushes[i].Kind})
	}
	s.to.Answers(s.answers)
}

func (*echoSender) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// BenchmarkDispatch is the dispatcher alone, per notification: records in,
// pushes and rows out, with users in the cache and a store and a vendor that
// cost nothing.
func BenchmarkDispatch(b *testing.B) {
	for _, users := range []int{1000, 100_000} {
		b.Run(fmt.Sprint("users=", users), func(b *testing.B) {
			clock := &carillon.Clock{}
			d, err := New(Config{}, Deps{Store: sink{newMemory()}, Vendors: echo{clock}, IDs: &carillon.IDKey{1}, Clock: clock, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			k := newKeeper(d, 0, 1)
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- d.Run(ctx, idleSource{}) }()
			next := carillon.MakeSeq(1, 0)
			k.from, k.applied, k.settled = next, next, next
			play := func(from, n int) {
				var batch journal.Batch
				for i := from; i < from+n; i++ {
					rec := journal.Record{Kind: journal.KindNotification, At: clock.UnixMilli(), Notification: carillon.Notification{
						HasVisual: true, Title: "Dinner is ready", Body: "Every bell in the house rings for all",
						TTL: -1, Badge: -1, Expires: clock.UnixMilli() + 3_600_000,
					}}
					u := user(fmt.Sprintf("dev.u%07d", i%users))
					batch.Records = append(batch.Records, journal.Fetched{Seq: next, Key: u.AppendKey(nil), Value: rec.Append(nil), Time: 1})
					next++
				}
				batch.Next = next
				_ = k.admit(ctx)
				k.deal(batch)
				k.advance()
			}
			b.ReportAllocs()
			i := 0
			for ; i < b.N; i += 1000 {
				play(i, 1000)
			}
			for !k.idle() {
				<-k.wake
				k.advance()
			}
			b.StopTimer()
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
}
