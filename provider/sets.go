package provider

import (
	"context"
	"errors"
	"sync"

	"carillon"
)

// sets is the sender of a lane whose app has several credential sets for the
// platform: each push goes out under the one that serves its endpoint. The lane
// stays one: its breaker judges the answers of all sets together.
type sets struct {
	creds   []carillon.Credential
	senders []carillon.Sender // one a set

	mu    sync.Mutex // Send's scratch
	parts [][]carillon.Push
}

func newSets(creds []carillon.Credential, senders []carillon.Sender) *sets {
	return &sets{creds: creds, senders: senders, parts: make([][]carillon.Push, len(senders))}
}

// Room is the most that any set takes. What comes for one that takes less is
// answered unsent: a set without a connection must not hold up the others.
func (s *sets) Room() int {
	room := 0
	for _, one := range s.senders {
		room = max(room, one.Room())
	}
	return room
}

// Send deals the pushes out, in their order.
func (s *sets) Send(pushes []carillon.Push) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range pushes {
		at := carillon.ChooseCredential(s.creds, pushes[i].Endpoint)
		s.parts[at] = append(s.parts[at], pushes[i])
	}
	for i, part := range s.parts {
		if len(part) > 0 {
			s.senders[i].Send(part)
			clear(part)
			s.parts[i] = part[:0]
		}
	}
}

// Run runs the sets' senders until ctx ends, or one of them fails.
func (s *sets) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	faults := make([]error, len(s.senders))
	var running sync.WaitGroup
	for i, one := range s.senders {
		running.Go(func() {
			defer stop()
			faults[i] = one.Run(ctx)
		})
	}
	running.Wait()
	for _, err := range faults {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(faults...)
}
