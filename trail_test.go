package carillon_test

import (
	"testing"

	"pgregory.net/rapid"

	"carillon"
)

// TestTrail: a trail stays short, knows the latest exactly and never tells a time
// too early.
func TestTrail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var trail carillon.Trail
		var all []carillon.Moment
		now := int64(1_795_000_000_000)
		for seq := carillon.Seq(0); len(all) < 60; {
			seq += carillon.Seq(rapid.IntRange(1, 5).Draw(t, "seqs"))
			now += rapid.Int64Range(1, 100_000).Draw(t, "ms")
			before := len(trail)
			next := trail.Add(seq, now)
			if len(trail) != before {
				t.Fatal("Add changed its receiver")
			}
			trail = next
			all = append(all, carillon.Moment{Seq: seq, At: now})
			if again := trail.Add(seq, now+1); len(again) != len(trail) {
				t.Fatal("what is known is no news")
			}
		}
		if len(trail) > 8 || trail.When(all[len(all)-1].Seq) != now || trail.When(all[len(all)-1].Seq+1) != 0 {
			t.Fatalf("%v ends wrong, or is long", trail)
		}
		for _, m := range all {
			if got := trail.When(m.Seq); got < m.At {
				t.Fatalf("it was at %d at %d at the earliest, says the trail; that was %d", m.Seq, got, m.At)
			}
		}
	})
}

// TestTrailForgets: what is older than any notification makes room.
func TestTrailForgets(t *testing.T) {
	var trail carillon.Trail
	for i := range int64(9) {
		trail = trail.Add(carillon.Seq(i+1), i*carillon.MaxLife.Milliseconds()/4)
	}
	if len(trail) != 8 || trail[0].Seq != 2 {
		t.Error(trail)
	}
}
