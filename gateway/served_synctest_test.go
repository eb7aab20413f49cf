package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
	"carillon/internal/auth"
	"carillon/journal"
)

// ledger is a journal that keeps acknowledgements.
type ledger struct {
	mu    sync.Mutex
	acks  []string
	calls int
	fault error
}

func (l *ledger) Append(_ context.Context, entries []journal.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	for _, e := range entries {
		var rec journal.Record
		if err := rec.Decode(e.Value); err != nil {
			return err
		}
		a := &rec.Ack
		l.acks = append(l.acks, fmt.Sprintf("%s %s@%s %s %d", e.Key, a.Installation, a.Incarnation, a.Position, len(a.Fetched)))
	}
	return l.fault
}

func (l *ledger) fails(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = err
}

func (l *ledger) appends() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

func servedRig(t *testing.T, test func(l *ledger, s *Served, sub func(id string) *auth.Subscription)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		s := NewServed(l, &carillon.Clock{}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		test(l, s, func(id string) *auth.Subscription {
			return &auth.Subscription{User: carillon.User{Host: "a.example", ID: "dev.alice"}, Installation: id, Incarnation: 5, Expires: time.Now().UnixMilli()}
		})
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestServedIsAcknowledgedByTheNextCall: not by the same call again, which may
// mean that the answer was lost; once for all that arrived in two seconds.
func TestServedIsAcknowledgedByTheNextCall(t *testing.T) {
	servedRig(t, func(l *ledger, s *Served, sub func(string) *auth.Subscription) {
		want := func(acks ...string) {
			t.Helper()
			time.Sleep(3 * time.Second)
			synctest.Wait()
			l.mu.Lock()
			defer l.mu.Unlock()
			if !slices.Equal(l.acks, acks) {
				t.Errorf("%q, want %q", l.acks, acks)
			}
			l.acks = nil
		}
		phone := sub("phone")
		call := func(uri string) { s.Came(phone, "GET "+uri) }
		list := func(to, newest carillon.Seq) {
			call("/list")
			s.All(phone, "GET /list", to, newest)
		}
		list(10, 8)
		list(12, 8)
		want()
		call("/delta")
		want("a.example/dev.alice phone@0/5 0/12 0")
		list(14, 8) // nothing changed
		call("/delta")
		want()
		list(15, 13)
		time.Sleep(2 * time.Minute) // no repetition
		list(20, 18)
		want("a.example/dev.alice phone@0/5 0/15 0")
		for i := range byte(3) {
			call(fmt.Sprint("/one/", i))
			s.One(phone, fmt.Sprint("GET /one/", i), carillon.ID{1, i})
			s.One(sub("desk"), "GET /one", carillon.ID{1, i})
		}
		calls := l.appends()
		want("a.example/dev.alice phone@0/5 0/20 2")
		if l.appends() != calls+1 {
			t.Errorf("%d appends", l.appends()-calls)
		}
		s.Got(phone, 30)
		s.Got(phone, 29)
		s.GotOne(phone, carillon.ID{2})
		s.GotOne(sub("desk"), carillon.ID{2})
		want("a.example/dev.alice phone@0/5 0/30 1", "a.example/dev.alice desk@0/5 0/0 1")
		s.Got(&auth.Subscription{}, 40)
		(*Served)(nil).Came(phone, "x")
		(*Served)(nil).Got(phone, 90)
		want()
		l.fails(errors.New("full"))
		s.Got(phone, 50)
		want("a.example/dev.alice phone@0/5 0/50 0")
		l.fails(nil)
		s.Got(phone, 50) // it is lost, and costs a clear
		want()
	})
}

// TestServedLive: a live feed acknowledges where it went on behind what the
// endpoint had, and no longer when it began anew.
func TestServedLive(t *testing.T) {
	servedRig(t, func(_ *ledger, s *Served, sub func(string) *auth.Subscription) {
		phone := sub("phone")
		got := func() (seq carillon.Seq) {
			s.with(phone, func(e *served) { seq = e.got })
			return seq
		}
		for _, c := range []struct{ after, got carillon.Seq }{
			{50, 0}, // nobody knows what it has
			{0, 0},
			{60, 0},
		} {
			if s.Live(phone, c.after); got() != c.got {
				t.Errorf("live behind %s: it has %s, want %s", c.after, got(), c.got)
			}
		}
		s.All(phone, "GET /list", 70, 65)
		for _, c := range []struct{ after, got carillon.Seq }{
			{70, 70}, {90, 90}, {80, 90}, {0, 90}, {99, 90}, {85, 90}, {95, 95},
		} {
			if s.Live(phone, c.after); got() != c.got {
				t.Errorf("live behind %s: it has %s, want %s", c.after, got(), c.got)
			}
		}
	})
}

// TestServedIsBounded: those forgotten first did not call for longest.
func TestServedIsBounded(t *testing.T) {
	servedRig(t, func(_ *ledger, s *Served, sub func(string) *auth.Subscription) {
		for i := range servedMost * 2 {
			s.One(sub(fmt.Sprint(i)), "GET /", carillon.ID{1})
			s.One(sub("often"), "GET /", carillon.ID{1})
		}
		if n := len(s.now) + len(s.old); n > servedMost {
			t.Errorf("%d endpoints are remembered", n)
		}
		s.with(sub("often"), func(e *served) {
			if len(e.reads) != servedReads {
				t.Errorf("of one that calls often %d reads are remembered", len(e.reads))
			}
		})
	})
}
