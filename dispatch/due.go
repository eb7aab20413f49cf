package dispatch

import "container/heap"

// dueHeap holds the deliveries of a shard that wait for their next attempt,
// soonest first.
type dueHeap struct{ ds []*delivery }

func (h *dueHeap) add(d *delivery, at int64) {
	d.due = at
	heap.Push(h, d)
}

func (h *dueHeap) remove(d *delivery) {
	for i, e := range h.ds {
		if e == d {
			heap.Remove(h, i)
			d.due = 0
			return
		}
	}
}

// next takes out a delivery that is due at now, or nil.
func (h *dueHeap) next(now int64) *delivery {
	if len(h.ds) == 0 || h.ds[0].due > now {
		return nil
	}
	d := heap.Pop(h).(*delivery) // the heap holds nothing else
	d.due = 0
	return d
}

// first is when the soonest is due; 0 when none waits.
func (h *dueHeap) first() int64 {
	if len(h.ds) == 0 {
		return 0
	}
	return h.ds[0].due
}

// Len is for container/heap.
func (h *dueHeap) Len() int { return len(h.ds) }

// Less is for container/heap.
func (h *dueHeap) Less(i, j int) bool { return h.ds[i].due < h.ds[j].due }

// Swap is for container/heap.
func (h *dueHeap) Swap(i, j int) { h.ds[i], h.ds[j] = h.ds[j], h.ds[i] }

// Push is for container/heap.
func (h *dueHeap) Push(x any) { h.ds = append(h.ds, x.(*delivery)) } // as in next

// Pop is for container/heap.
func (h *dueHeap) Pop() any {
	last := len(h.ds) - 1
	d := h.ds[last]
	h.ds[last] = nil
	h.ds = h.ds[:last]
	return d
}
