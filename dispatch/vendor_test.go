package dispatch

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"carillon"
)

// vendor is every lane's sender: it keeps pushes until the test answers them,
// or answers at once by reply.
type vendor struct {
	mu     sync.Mutex
	to     map[carillon.Lane]carillon.Receiver
	pushes []carillon.Push // unanswered, in hand-off order
	log    []carillon.Push // all of them
	reply  func(p carillon.Push) carillon.Outcome
	room   int
	now    func() int64
	width  int // when set, room is what is left of it beside a lane's unanswered pushes
}

func (v *vendor) Open(lane carillon.Lane, to carillon.Receiver) (carillon.Sender, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if lane.Host != host {
		return nil, carillon.Errorf(carillon.CodeNotFound, "apps", "no credential")
	}
	v.to[lane] = to
	return &sender{v: v, to: to, lane: lane}, nil
}

type sender struct {
	v    *vendor
	to   carillon.Receiver
	lane carillon.Lane
}

func (s *sender) Room() int {
	s.v.mu.Lock()
	defer s.v.mu.Unlock()
	if s.v.width > 0 {
		room := s.v.width
		for _, p := range s.v.pushes {
			if p.Endpoint.Platform == s.lane.Platform {
				room--
			}
		}
		return max(room, 0)
	}
	return s.v.room
}

func (s *sender) Send(pushes []carillon.Push) {
	s.v.mu.Lock()
	reply := s.v.reply
	for _, p := range pushes {
		n := *p.Notification // what a push points to is reused after its answer
		p.Notification, p.Cleared = &n, slices.Clone(p.Cleared)
		s.v.log = append(s.v.log, p)
		if reply == nil {
			s.v.pushes = append(s.v.pushes, p)
		}
	}
	s.v.mu.Unlock()
	if reply == nil {
		return
	}
	var as []carillon.Answer
	for _, p := range pushes {
		as = append(as, carillon.Answer{Ref: p.Ref, Outcome: reply(p), At: s.v.now(), Kind: p.Kind})
	}
	s.to.Answers(as)
}

func (s *sender) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// answer answers the oldest unanswered push to an endpoint.
func (v *vendor) answer(t *testing.T, endpoint string, o carillon.Outcome) carillon.Push {
	t.Helper()
	v.mu.Lock()
	i := slices.IndexFunc(v.pushes, func(p carillon.Push) bool { return p.Endpoint.ID == endpoint })
	if i < 0 {
		v.mu.Unlock()
		t.Fatalf("no unanswered push to %s", endpoint)
	}
	p := v.pushes[i]
	v.pushes = slices.Delete(v.pushes, i, i+1)
	to := v.to[carillon.Lane{Platform: p.Endpoint.Platform, Host: p.User.Host}]
	v.mu.Unlock()
	to.Answers([]carillon.Answer{{Ref: p.Ref, Outcome: o, At: v.now(), Kind: p.Kind}})
	synctest.Wait()
	return p
}

// answerIf accepts a push that is not answered yet.
func (v *vendor) answerIf(p carillon.Push) {
	v.mu.Lock()
	i := slices.IndexFunc(v.pushes, func(q carillon.Push) bool { return q.Ref == p.Ref && q.Seq == p.Seq })
	if i < 0 {
		v.mu.Unlock()
		return
	}
	v.pushes = slices.Delete(v.pushes, i, i+1)
	to := v.to[carillon.Lane{Platform: p.Endpoint.Platform, Host: p.User.Host}]
	v.mu.Unlock()
	to.Answers([]carillon.Answer{{Ref: p.Ref, Outcome: accept(p), At: v.now(), Kind: p.Kind}})
}

// unanswered are those pushes, in hand-off order.
func (v *vendor) unanswered() []carillon.Push {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.pushes)
}

// all are the pushes so far, in hand-off order.
func (v *vendor) all() []carillon.Push {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.log)
}

// waiting lists the endpoints with an unanswered push, in hand-off order.
func (v *vendor) waiting() []string {
	var ids []string
	for _, p := range v.unanswered() {
		ids = append(ids, p.Endpoint.ID)
	}
	return ids
}

func (v *vendor) replies(f func(p carillon.Push) carillon.Outcome) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reply = f
}

// narrow lets each lane have n unanswered pushes.
func (v *vendor) narrow(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.width = n
}

// rooms sets how many pushes each lane takes now.
func (v *vendor) rooms(n int) {
	v.mu.Lock()
	v.room = n
	v.mu.Unlock()
	v.tellRoom()
}

// tellRoom wakes every lane.
func (v *vendor) tellRoom() {
	v.mu.Lock()
	to := slices.Collect(maps.Values(v.to))
	v.mu.Unlock()
	for _, r := range to {
		r.RoomAgain()
	}
}

func accept(carillon.Push) carillon.Outcome {
	return carillon.Outcome{Class: carillon.Accepted, Status: 200}
}
