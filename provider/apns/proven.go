package apns

import (
	"hash/maphash"
	"sync/atomic"
)

const (
	provenFirst = 1 << 16 // bits of the first generation, 8 KiB
	provenMost  = 1 << 25 // 4 MiB, twice
	provenLoad  = 16      // bits for each device token: a tenth at most is taken for another
)

// proven remembers which device tokens took a push. It forgets the oldest when
// it is full, and may take a new token for a known one: that one's push goes the
// way of the living, which costs little.
type proven struct {
	seed maphash.Seed
	// cur is filled; prev is the generation before it.
	cur, prev atomic.Pointer[generation]
}

type generation struct {
	bits []atomic.Uint64
	n    int
}

func newProven() *proven {
	p := &proven{seed: maphash.MakeSeed()}
	p.cur.Store(newGeneration(provenFirst))
	return p
}

func newGeneration(bits int) *generation { return &generation{bits: make([]atomic.Uint64, bits/64)} }

// mark is the token's place.
func (p *proven) mark(address string) uint64 { return maphash.String(p.seed, address) }

func (p *proven) has(mark uint64) bool { return p.cur.Load().has(mark) || p.prev.Load().has(mark) }

// add notes a token. Only one goroutine at a time may add or remove.
func (p *proven) add(mark uint64) {
	g := p.cur.Load()
	if g.has(mark) {
		return
	}
	if g.n >= len(g.bits)*64/provenLoad {
		p.prev.Store(g)
		g = newGeneration(min(len(g.bits)*64*4, provenMost))
		p.cur.Store(g)
	}
	w, bit := g.place(mark)
	w.Or(bit)
	g.n++
}

// remove forgets a token.
func (p *proven) remove(mark uint64) {
	for _, g := range [...]*generation{p.cur.Load(), p.prev.Load()} {
		if g.has(mark) {
			w, bit := g.place(mark)
			w.And(^bit)
			g.n--
		}
	}
}

func (g *generation) place(mark uint64) (word *atomic.Uint64, bit uint64) {
	i := mark % uint64(len(g.bits)*64)
	return &g.bits[i/64], 1 << (i % 64)
}

func (g *generation) has(mark uint64) bool {
	if g == nil {
		return false
	}
	w, bit := g.place(mark)
	return w.Load()&bit != 0
}
