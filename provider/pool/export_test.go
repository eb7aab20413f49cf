package pool

import "time"

// The rules, for tests of their properties.
var (
	Failures   = failures
	Backoff    = backoff
	TooLate    = tooLate
	Choose     = choose
	Fullest    = fullest
	ShareAfter = shareAfter
)

// Offered is the rule of that name; the arrays are regular and quarantine.
func Offered(free, waiting [2]int, mostly bool) int { return offered(free, waiting, mostly) }

// Sizing is sizing.
type Sizing struct {
	Open, Opening, Cold, Least, Most, Capacity, All, Budget, Peak int
	Pressed, Grown, Quiet                                         time.Duration
}

// Change is the rule of that name.
func (s Sizing) Change(growEvery, idleAfter time.Duration) int {
	z := sizing{
		open: s.Open, opening: s.Opening, cold: s.Cold, least: s.Least, most: s.Most, capacity: s.Capacity, all: s.All,
		budget: s.Budget, peak: s.Peak, pressed: s.Pressed, grown: s.Grown, quiet: s.Quiet,
	}
	return z.change(growEvery, idleAfter)
}
