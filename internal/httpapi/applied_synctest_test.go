package httpapi_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
	"carillon/internal/httpapi"
)

type fakeProgress struct {
	applied [4]atomic.Uint64
	reads   atomic.Int64
	fail    atomic.Bool
}

func (f *fakeProgress) read(p int32) (carillon.Progress, error) {
	f.reads.Add(1)
	if f.fail.Load() {
		return carillon.Progress{}, errors.New("the store is gone")
	}
	return carillon.Progress{Partition: p, Applied: carillon.Seq(f.applied[p].Load())}, nil
}

func TestAppliedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fakeProgress
		a := httpapi.NewApplied(f.read, &carillon.Clock{})
		if err := a.Wait(t.Context(), carillon.Position{Seq: 5}); carillon.AsError(err).Code != carillon.CodeUnavailable {
			t.Error("before Run:", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx) }()
		synctest.Wait()
		got := make(chan error, 100)
		for i := range 100 {
			go func() { got <- a.Wait(t.Context(), carillon.Position{Partition: int32(i % 2), Seq: 5}) }()
		}
		synctest.Wait()
		f.applied[0].Store(5) // the next to apply: 5 itself is not
		f.applied[1].Store(6)
		time.Sleep(time.Millisecond * 6)
		synctest.Wait()
		if len(got) != 50 {
			t.Errorf("%d of 50 were let go", len(got))
		}
		before := f.reads.Load()
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if n := f.reads.Load() - before; n < 9 || n > 11 {
			t.Errorf("%d reads in 50 ms by one loop for 50 waiters", n)
		}
		f.applied[0].Store(6)
		time.Sleep(6 * time.Millisecond)
		synctest.Wait()
		for range 100 {
			if err := <-got; err != nil {
				t.Error(err)
			}
		}
		before = f.reads.Load()
		time.Sleep(time.Second)
		if n := f.reads.Load() - before; n != 0 {
			t.Errorf("%d reads while nobody waits", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAppliedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fakeProgress
		a := httpapi.NewApplied(f.read, &carillon.Clock{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx) }()
		synctest.Wait()
		from := time.Now()
		e := carillon.AsError(a.Wait(t.Context(), carillon.Position{Seq: 5}))
		if e.Code != carillon.CodeUnavailable || e.RetryAfter == 0 || time.Since(from) != 2*time.Second {
			t.Error(e, time.Since(from))
		}
		brief, done := context.WithTimeout(t.Context(), time.Millisecond)
		defer done()
		if err := a.Wait(brief, carillon.Position{Seq: 5}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		got := make(chan error, 2)
		go func() { got <- a.Wait(t.Context(), carillon.Position{Partition: 1, Seq: 5}) }()
		synctest.Wait()
		f.fail.Store(true)
		if err := <-got; err == nil || err.Error() != "the store is gone" {
			t.Error(err)
		}
		f.fail.Store(false)
		go func() { got <- a.Wait(t.Context(), carillon.Position{Partition: 2, Seq: 5}) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if e := carillon.AsError(<-got); e.Code != carillon.CodeUnavailable {
			t.Error("at stop:", e)
		}
	})
}
