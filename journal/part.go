package journal

import "sync"

// part is one partition's queue of batches: the last one is open, those in
// front of it are full. The partition's worker takes from the front.
type part struct {
	wake chan struct{} // capacity 1

	mu     sync.Mutex
	queue  []*batch
	closed bool
}

// open is the batch that a record of so many bytes joins; spare has used ones.
// Callers hold mu.
func (p *part) open(spare *sync.Pool, bytes, most int) *batch {
	if n := len(p.queue); n > 0 && p.queue[n-1].room(bytes, most) {
		return p.queue[n-1]
	}
	b, _ := spare.Get().(*batch)
	if b == nil {
		b = new(batch)
	}
	b.reset()
	b.born = now()
	p.queue = append(p.queue, b)
	return b
}

// take is the next batch to send, nil when there is none; done tells that none
// will come.
func (p *part) take() (b *batch, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil, p.closed
	}
	b = p.queue[0]
	copy(p.queue, p.queue[1:])
	p.queue[len(p.queue)-1] = nil
	p.queue = p.queue[:len(p.queue)-1]
	return b, false
}

func (p *part) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.poke()
}

func (p *part) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
