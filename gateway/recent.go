package gateway

import (
	"sync"

	"carillon"
)

// recent knows the keyed requests that are under way in this process, and those
// acknowledged a short while ago whose rows may not be written yet. It is best
// effort: another process, or a restart, does not know them, and then the shard
// suppresses the second one.
type recent struct {
	mu    sync.Mutex
	known map[carillon.RequestID]receipt
	// ring holds the acknowledged ones in the order in which they go.
	ring []carillon.RequestID
	next int
}

// receipt is what became of a keyed request.
type receipt struct {
	hash [16]byte
	// acknowledged is false while the first request is under way.
	acknowledged bool
	id           carillon.ID
	at           carillon.Position
	// accepted and expires are the first request's, milliseconds since 1970.
	accepted, expires int64
}

func newRecent(size int) *recent {
	return &recent{known: make(map[carillon.RequestID]receipt), ring: make([]carillon.RequestID, size)}
}

// begin claims a request. When somebody did so before, it says what is known of
// him; then nothing is claimed.
func (r *recent) begin(rid carillon.RequestID, hash [16]byte, now int64) (receipt, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, ok := r.known[rid]
	if ok && (!old.acknowledged || now-old.accepted < carillon.IdempotencyFor.Milliseconds()) {
		return old, true
	}
	r.known[rid] = receipt{hash: hash}
	return receipt{}, false
}

// end tells that a claimed request was acknowledged.
func (r *recent) end(rid carillon.RequestID, done receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done.acknowledged = true
	if old := r.ring[r.next]; r.known[old].acknowledged {
		delete(r.known, old)
	}
	r.known[rid] = done
	r.ring[r.next] = rid
	r.next = (r.next + 1) % len(r.ring)
}

// drop gives up a claim: the request failed, or the store knows it.
func (r *recent) drop(rid carillon.RequestID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, rid)
}
