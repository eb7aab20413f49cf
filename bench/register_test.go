package bench

import "testing"

func TestMetric(t *testing.T) {
	const text = "a_total_more 1\na_total{x=\"y\"} 2\na_total 600000\nb_total 3.5\n"
	if n, err := metric(text, "a_total"); n != 600_000 || err != nil {
		t.Errorf("a_total is %d, %v", n, err)
	}
	for _, name := range []string{"c_total", "b_total"} {
		if n, err := metric(text, name); err == nil {
			t.Errorf("%s is %d", name, n)
		}
	}
}
