package bench

import (
	"math"
	"testing"
)

// TestRatioOf: figures by hand. Ratios 1/2 and 2 cancel out; the interval of
// three logarithms -ln2, 0, ln2 is ±4.303·ln2/√3.
func TestRatioOf(t *testing.T) {
	half := 4.303 * math.Ln2 / math.Sqrt(3)
	for _, c := range []struct {
		name            string
		a, b            []float64
		mean, low, high float64
	}{
		{"constant", []float64{1, 2, 3}, []float64{2, 4, 6}, 0.5, 0.5, 0.5},
		{"spread", []float64{1, 1, 2}, []float64{2, 1, 1}, 1, math.Exp(-half), math.Exp(half)},
		{"one round", []float64{3}, []float64{2}, 1.5, 0, math.Inf(1)},
		{"a round short", []float64{1, 1}, []float64{2}, 0.5, 0, math.Inf(1)},
	} {
		got := ratioOf(c.a, c.b)
		for i, pair := range [][2]float64{{got.Mean, c.mean}, {got.Low, c.low}, {got.High, c.high}} {
			if math.Abs(pair[0]-pair[1]) > 1e-9 {
				t.Errorf("%s: figure %d is %v, want %v", c.name, i, pair[0], pair[1])
			}
		}
	}
	if got := ratioOf(nil, nil); !math.IsNaN(got.Mean) {
		t.Errorf("no rounds: %v", got)
	}
}

func TestVerdict(t *testing.T) {
	i := Interval{Mean: 1, Low: 0.9, High: 1.1}
	for _, c := range []struct {
		bar    float64
		atMost bool
		want   string
	}{
		{1.2, true, "met"},
		{0.8, true, "missed"},
		{1, true, "not resolvable here"},
		{0.8, false, "met"},
		{1.2, false, "missed"},
		{1, false, "not resolvable here"},
	} {
		if got := i.verdict(c.bar, c.atMost); got != c.want {
			t.Errorf("bar %v, at most %v: %s, want %s", c.bar, c.atMost, got, c.want)
		}
	}
}
