package sandbox

import (
	"math/rand/v2"
	"time"
)

// Sampler draws from a latency.
func Sampler(l Latency, seed uint64) func(now time.Time) (time.Duration, bool) {
	rnd := rand.New(rand.NewPCG(seed, seed))
	return func(now time.Time) (time.Duration, bool) { return l.sample(rnd, now) }
}
