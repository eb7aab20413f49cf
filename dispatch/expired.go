package dispatch

import "carillon"

const (
	// A shut lane's parked rows are looked through for expired ones, so many at
	// once and not more often.
	expiredBatch = 4 * recallBatch
	expiredEvery = 1000 // milliseconds
)

// dropExpired recalls parked deliveries of a shut lane that expired: they are
// over at their shard, and take neither the turn of a probe nor a place in what
// counts as parked. It gives the time of the next look.
func (k *keeper) dropExpired(w carillon.ParkedLane, now int64) (next int64) {
	h := k.hints
	h.mu.Lock()
	q := h.parked[w]
	if q == nil { // all of it went since
		h.mu.Unlock()
		return now + hintIdle.Milliseconds()
	}
	room, after, at := recallBatch-q.recalled, q.looked, q.nextLook
	h.mu.Unlock()
	if now < at {
		return at
	}
	rows, err := k.d.deps.Store.Parked(nil, k.partition, w, after, expiredBatch)
	if err != nil {
		k.d.storeFault("parked", err)
		return now + storeRetry.Milliseconds()
	}
	next = now + hintIdle.Milliseconds()
	if len(rows) == expiredBatch {
		next = now + expiredEvery
	}
	looked := after
	for i := range rows {
		if row := &rows[i]; row.Expires <= now {
			if room <= 0 {
				next = now + expiredEvery
				break
			}
			if r := (&recall{k: k, kind: carillon.HintParked, ref: row.Ref, lane: w}); h.found(r) {
				k.d.recall(r)
				room--
			}
		}
		looked = &rows[i]
	}
	if len(rows) < expiredBatch && (len(rows) == 0 || looked == &rows[len(rows)-1]) {
		looked = nil // from the first again
	}
	h.mu.Lock()
	q.looked, q.nextLook = looked, next
	h.mu.Unlock()
	return next
}
