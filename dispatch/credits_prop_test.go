package dispatch

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Whatever lanes want, in whatever order they take and give: no more credits are
// out than there are; beside another lane one that gets some holds no more than
// it leaves free; low priority leaves an eighth; the only lane may have all; and
// somebody who waits always gets some when nothing is out.
func TestCreditsAreShared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.OneOf(rapid.IntRange(1, 20), rapid.Just(512), rapid.Just(4096)).Draw(t, "total")
		lanes := rapid.IntRange(1, 5).Draw(t, "lanes")
		c := newCredits(total)
		held := make([]int, lanes)
		type queue struct {
			lane int
			low  bool
		}
		waits := map[queue]int{} // what each still wants
		s := &shard{in: inbox{wake: make(chan struct{}, 1)}}
		used := map[int]bool{}
		out := func() (n int) {
			for _, h := range held {
				n += h
			}
			return n
		}
		take := func(q queue, want int) int {
			used[q.lane] = true
			others, before := len(used) > 1, out()
			got, waiting := c.take(s, q.lane, q.low, want, waits[q] > 0)
			held[q.lane] += got
			waits[q] = want - got
			free := total - out()
			switch {
			case got < 0 || got > want || free < 0:
				t.Fatalf("%+v wants %d of %d with %d out and gets %d", q, want, total, before, got)
			case waiting != (got < want):
				t.Fatalf("%+v waits %v, got %d of %d", q, waiting, got, want)
			case got > 0 && q.low && free < total/8:
				t.Fatalf("low leaves %d of %d", free, total)
			case got > 0 && others && held[q.lane] > free+1:
				t.Fatalf("%+v holds %d, leaves %d, and is not alone", q, held[q.lane], free)
			case !others && !q.low && got != min(want, total-before):
				t.Fatalf("%+v is alone, wants %d with %d of %d out and gets %d", q, want, before, total, got)
			case before == 0 && got == 0:
				t.Fatalf("nothing is out and %+v gets nothing", q)
			}
			if c.out() != out() {
				t.Fatalf("%d out, counted %d", out(), c.out())
			}
			return got
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			q := queue{rapid.IntRange(0, lanes-1).Draw(t, "lane"), rapid.Bool().Draw(t, "low")}
			switch rapid.SampledFrom([]string{"take", "take", "give", "quit"}).Draw(t, "step") {
			case "take":
				take(q, waits[q]+rapid.IntRange(1, 2*total).Draw(t, "want"))
			case "give":
				if n := held[q.lane]; n > 0 {
					n = rapid.IntRange(1, n).Draw(t, "n")
					c.give(q.lane, n)
					held[q.lane] -= n
				}
			case "quit":
				if waits[q] > 0 {
					c.quit(s)
					waits[q] = 0
				}
			}
		}
		// Everything that waits is served in the end, whoever asks first.
		for round := 0; ; round++ {
			left := 0
			for lane := range lanes {
				c.give(lane, held[lane])
				held[lane] = 0
			}
			for q, n := range waits {
				if n > 0 {
					take(q, n)
					left += waits[q]
				}
			}
			if left == 0 {
				break
			}
			if round > 200*lanes {
				t.Fatal(fmt.Sprint("they starve: ", waits))
			}
		}
		if len(c.shards) != 0 {
			t.Fatalf("nobody waits, counted are %d queues", len(c.shards))
		}
	})
}
