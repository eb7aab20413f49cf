package h2

import "math/bits"

// slot holds one stream. All but answer and fields is guarded by conn.mu; those
// two are touched by the reader only.
type slot struct {
	id       uint32 // 0: free
	status   int
	ref      any
	deadline int64  // unix nanoseconds by Config.Now
	batch    uint64 // conn.batch when its HEADERS were queued
	body     []byte // what is still to be queued
	window   int64  // what the server lets us send on it
	received uint32 // DATA bytes not yet given back as credit

	fields []Field // of the answer so far
	answer []byte  // of the answer so far
	// Storage for an answer that comes in more than one read.
	keptFields []Field
	keptBody   []byte
}

const keptMax = 4 << 10 // larger storage is not kept for the next stream

// table finds the slot of a stream by the low bits of its id. Ids whose place is
// still taken are skipped, which the protocol allows (RFC 9113 §5.1.1), so no
// stream ever needs another place.
type table struct {
	slots []slot
	mask  uint32
	next  uint32 // the next id to try
}

func newTable(streams int, first uint32) table {
	n := 1 << bits.Len(uint(2*streams-1))                                  // at most half full: a free place is near
	return table{slots: make([]slot, n), mask: uint32(n - 1), next: first} //nolint:gosec // n is at most 2^21
}

// take returns a free slot under a new id, or nil when the ids are used up.
func (t *table) take() *slot {
	for t.next <= maxStreamID {
		id := t.next
		t.next += 2
		if s := &t.slots[id>>1&t.mask]; s.id == 0 {
			s.id = id
			return s
		}
	}
	return nil
}

// find returns the slot of a stream, or nil if it is not open.
func (t *table) find(id uint32) *slot {
	if s := &t.slots[id>>1&t.mask]; s.id == id && id != 0 {
		return s
	}
	return nil
}

// opened tells whether a stream of that id was ever possible.
func (t *table) opened(id uint32) bool { return id < t.next }

func (s *slot) free() {
	s.id, s.status, s.ref, s.body, s.fields, s.answer, s.received = 0, 0, nil, nil, nil, nil, 0
	if cap(s.keptBody) > keptMax {
		s.keptBody = nil
	}
}

// keep copies the fields of an unfinished answer out of the reader's buffers.
func (s *slot) keep() {
	s.keptFields = append(s.keptFields[:0], s.fields...)
	s.fields = s.keptFields
}

// add appends b to the answer, up to limit bytes, and tells whether all of it
// fitted. whole: nothing follows, so that b can be used where it lies.
func (s *slot) add(b []byte, limit int, whole bool) bool {
	n := min(len(b), limit-len(s.answer))
	switch {
	case whole && len(s.answer) == 0:
		s.answer = b[:n:n]
	case n > 0:
		if len(s.answer) == 0 {
			s.keptBody = s.keptBody[:0]
		}
		s.keptBody = append(s.keptBody, b[:n]...)
		s.answer = s.keptBody
	}
	return n == len(b)
}
