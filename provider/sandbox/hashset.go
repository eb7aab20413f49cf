package sandbox

import (
	"sync"
	"sync/atomic"
)

// hashSet is a bounded set of 64-bit hashes in shards. Two different things are
// taken for one with probability n²/2⁶⁵: 10⁻⁵ at 20 million.
type hashSet struct {
	max    int64
	n      atomic.Int64
	over   atomic.Bool
	shards [64]hashShard
}

type hashShard struct {
	mu    sync.Mutex
	n     int
	table []uint64 // open addressing, power of two, 0 is empty
	_     [16]byte
}

type verdict int

const (
	added verdict = iota
	seen
	unknown // the set is full and the hash is not in it
)

func newHashSet(most int) *hashSet { return &hashSet{max: int64(most)} }

func (h *hashSet) len() int64 { return h.n.Load() }
func (h *hashSet) full() bool { return h.over.Load() }

func (h *hashSet) add(hash uint64) verdict {
	if hash == 0 {
		hash = 1
	}
	sh := &h.shards[hash>>58]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if 2*(sh.n+1) > len(sh.table) { // linear probing is short only in a half-empty table
		sh.grow()
	}
	i := sh.find(hash)
	if sh.table[i] == hash {
		return seen
	}
	if h.n.Load() >= h.max {
		h.over.Store(true)
		return unknown
	}
	h.n.Add(1)
	sh.n++
	sh.table[i] = hash
	return added
}

func (sh *hashShard) find(hash uint64) uint64 {
	mask := uint64(len(sh.table) - 1) //nolint:gosec // never empty
	i := hash & mask
	for sh.table[i] != 0 && sh.table[i] != hash {
		i = (i + 1) & mask
	}
	return i
}

func (sh *hashShard) grow() {
	old := sh.table
	sh.table = make([]uint64, max(64, 2*len(old)))
	for _, hash := range old {
		if hash != 0 {
			sh.table[sh.find(hash)] = hash
		}
	}
}
