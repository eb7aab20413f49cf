package dispatch

import (
	"sync/atomic"

	"carillon"
)

const (
	// slowAnswer is from when on an answer counts as late, milliseconds.
	slowAnswer = slowAfter / 2
	// briskCredits is how many times a partition's credits a vendor takes within
	// slowAfter when nobody waits for it, however long its queue is.
	briskCredits = 2
)

// tempo tells a vendor that is late from a machine that is: a lane's queue grows
// old in both cases, but parking for the latter makes it later. The lane writes,
// shards read.
type tempo struct {
	full  atomic.Bool  // the sender had less room than a batch, and that was used
	out   atomic.Int64 // pushes without an answer
	last  atomic.Int64 // when the last answer came, or the first push after all were answered, ms
	spent atomic.Int64 // how long the last answer took, ms

	// Pushes are counted by windows of slowAfter: the present one, since when, and
	// the one before.
	since, now, before atomic.Int64
}

// sent counts what goes out; one goroutine calls it.
func (t *tempo) sent(n int, at int64) {
	if t.out.Add(int64(n)) == int64(n) {
		t.last.Store(at)
	}
	if age := at - t.since.Load(); age >= slowAfter {
		t.before.Store(0)
		if age < 2*slowAfter {
			t.before.Store(t.now.Load())
		}
		t.now.Store(0)
		t.since.Store(at)
	}
	t.now.Add(int64(n))
}

// heard counts what came back.
func (t *tempo) heard(batch []carillon.Answer, now int64) {
	if len(batch) == 0 {
		return
	}
	first := batch[0].Ref.(*delivery) //nolint:forcetypeassert // every push of ours carries one
	t.spent.Store(now - first.handed)
	t.last.Store(now)
	t.out.Add(-int64(len(batch)))
}

// slow tells whether it is the vendor for whom deliveries wait: it does not
// answer, or answers late, or has no room, and takes little.
func (t *tempo) slow(now int64, credits int) bool {
	if t.out.Load() > 0 && now-t.last.Load() > slowAnswer {
		return true
	}
	return (t.full.Load() || t.spent.Load() > slowAnswer) && !t.brisk(now, credits)
}

func (t *tempo) brisk(now int64, credits int) bool {
	return now-t.since.Load() < 2*slowAfter && max(t.now.Load(), t.before.Load()) >= int64(briskCredits*credits)
}
