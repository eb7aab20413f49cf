package sandbox

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"
)

// dice decides what a script leaves to chance, the same way for the same seed.
type dice struct {
	seed uint64

	mu  sync.Mutex
	rnd *rand.Rand
}

func newDice(seed uint64) *dice {
	return &dice{seed: seed, rnd: rand.New(rand.NewPCG(seed, 0x63_61_72))} //nolint:gosec // a test's chance, not a secret
}

// Seed is what decides the chances of this server: print it with a failed test.
func (s *Server) Seed() uint64 { return s.cfg.Seed }

// chance is even in [0, 1).
func (s *Server) chance() float64 {
	s.rnd.mu.Lock()
	defer s.rnd.mu.Unlock()
	return s.rnd.rnd.Float64()
}

// lot is even in [0, 1) over the devices, and always the same for one.
func (d *dice) lot(key string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	x := h.Sum64() ^ d.seed*0x9e3779b97f4a7c15
	x ^= x >> 30 // SplitMix64's finish
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	x ^= x >> 31
	return float64(x>>11) / (1 << 53)
}

// slow adds a vendor's latency to an answer.
func (s *Server) slow(l *Latency, rep *reply, now time.Time) {
	if *l == (Latency{}) {
		return
	}
	s.rnd.mu.Lock()
	delay, never := l.sample(s.rnd.rnd, now)
	s.rnd.mu.Unlock()
	rep.delay += delay
	rep.hold = rep.hold || never
}

// watch tells Fast mode whether it must look beyond counting.
func (s *Server) watch() {
	special := s.script.active.Load()
	for _, d := range s.doors {
		how := d.conduct.Load()
		special = special || how != nil && d.vendor != Token && (how.Latency != Latency{} || how.RequestsPerConnection > 0)
	}
	s.special.Store(special)
}
