package bench

import "math"

// Interval is a mean with its 95 % confidence interval.
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// ratioOf compares two series of one measure, paired by round: the geometric
// mean of the rounds' ratios a/b, with the 95 % interval of Student's t over
// their logarithms. Pairing takes out what the machine did to a whole round.
func ratioOf(a, b []float64) Interval {
	n := min(len(a), len(b))
	if n == 0 {
		return Interval{math.NaN(), math.NaN(), math.NaN()}
	}
	logs := make([]float64, n)
	mean := 0.0
	for i := range n {
		logs[i] = math.Log(a[i] / b[i])
		mean += logs[i] / float64(n)
	}
	if n == 1 {
		return Interval{math.Exp(mean), 0, math.Inf(1)}
	}
	squares := 0.0
	for _, l := range logs {
		squares += (l - mean) * (l - mean)
	}
	half := student95(n-1) * math.Sqrt(squares/float64(n-1)/float64(n))
	return Interval{math.Exp(mean), math.Exp(mean - half), math.Exp(mean + half)}
}

// student95 is the two-sided 95 % point of Student's t with df degrees of
// freedom (beyond 30 the normal distribution's, a little too small).
func student95(df int) float64 {
	table := [...]float64{
		12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
		2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
	}
	if df > len(table) {
		return 1.96
	}
	return table[df-1]
}

// Verdict tells whether a bar is met: the whole interval is on its side, none
// of it is, or these rounds cannot tell.
func (i Interval) verdict(bar float64, atMost bool) string {
	low, high := i.Low, i.High
	if !atMost {
		low, high = -i.High, -i.Low
		bar = -bar
	}
	switch {
	case high <= bar:
		return "met"
	case low > bar:
		return "missed"
	default:
		return "not resolvable here"
	}
}
