package wns

import (
	"time"

	"carillon"
	"carillon/provider/h2"
	"carillon/provider/wire"
)

// results turns what a host brought into answers.
func (s *Sender) results(results []h2.Result) {
	now := s.clock.Now()
	s.delivering.Lock()
	answers := s.answers[:0]
	for i := range results {
		sh := results[i].Ref.(*shot) //nolint:forcetypeassert // every Ref is ours
		o := judge(&results[i], now)
		weigh(&o, s.taken.Load())
		s.consider(&o, sh.token)
		answers = append(answers, carillon.Answer{Ref: sh.ref, Outcome: o, At: now.UnixMilli(), Kind: sh.kind})
	}
	before := s.due.Add(-int64(len(results))) + int64(len(results))
	s.mu.Lock()
	for i := range results {
		s.free(results[i].Ref.(*shot), now) //nolint:forcetypeassert // every Ref is ours
	}
	s.mu.Unlock()
	s.deliver(answers)
	s.delivering.Unlock()
	s.deliverLocal()
	if before >= int64(s.cfg.MaxInFlight) {
		s.roomAgain()
	}
}

// deliver hands answers on. Delivering is held.
func (s *Sender) deliver(answers []carillon.Answer) {
	s.answers = answers
	s.to.Answers(answers)
	clear(answers)
}

// consider does what an answer asks of the access token.
func (s *Sender) consider(o *carillon.Outcome, t *wire.Token) {
	switch {
	case o.Class == carillon.Accepted:
		t.Prove()
		if !s.taken.Load() {
			s.taken.Store(true)
		}
	case o.Class == carillon.ThrottledSender:
		s.throttled()
	case o.Status == 401 && s.tokens.Refused(t):
		o.Class, o.After = carillon.Transient, time.Second // the credential is good
	}
}

// throttled has the connections to all hosts carry half for a while.
func (s *Sender) throttled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.hosts {
		p.conns.Throttle()
	}
}

// answerLocally answers shots whose outcome is set: from Run, or from here when
// that is not running.
func (s *Sender) answerLocally(shots []*shot) {
	if len(shots) == 0 {
		return
	}
	s.mu.Lock()
	s.local = append(s.local, shots...)
	running := s.running
	s.mu.Unlock()
	if !running {
		s.deliverLocal()
		return
	}
	select {
	case s.ring <- struct{}{}:
	default:
	}
}

// deliverLocal delivers what is in local. Where someone is delivering already,
// he or the next one to come does it: Answers may call Send.
func (s *Sender) deliverLocal() {
	for s.delivering.TryLock() {
		s.mu.Lock()
		now := s.clock.Now()
		n := len(s.local)
		answers := s.answers[:0]
		for _, sh := range s.local {
			answers = append(answers, carillon.Answer{Ref: sh.ref, Outcome: sh.local, At: now.UnixMilli(), Kind: sh.kind})
			s.free(sh, now)
		}
		s.local = s.local[:0]
		s.mu.Unlock()
		if n > 0 {
			s.due.Add(-int64(n))
			s.deliver(answers)
		}
		s.delivering.Unlock()
		if n == 0 {
			return
		}
		s.roomAgain()
	}
}

// free takes a shot back; s.mu is held. The number of shots is bounded by the
// most that ever were in flight.
func (s *Sender) free(sh *shot, now time.Time) {
	if sh.pool != nil {
		sh.pool.due--
		sh.pool.used = now
	}
	sh.ref, sh.token, sh.pool = nil, nil, nil
	sh.fields[0].Value = ""
	if cap(sh.buf) > maxKept {
		sh.buf = nil
	}
	s.idle = append(s.idle, sh)
}
