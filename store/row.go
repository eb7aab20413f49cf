package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"carillon"
)

// ErrRow is what decoding of a damaged or foreign row fails with.
var ErrRow = errors.New("not a row of this store")

// rowFormat is the first byte of every row. A change of meaning takes the next
// number and keeps reading this one.
const rowFormat = 1

// Bits of an item's first varint. Pinned.
const (
	itemReplaced   = 1 << iota // Content differs from Created
	itemID                     // a derived id
	itemState                  // state other than none
	itemJournalled             // times that are not 0
	itemPlanned
	itemScheduled
	itemNext
)

// Bits of an item's state.
const (
	stateRead = 1 << iota
	stateDeleted
	stateReadSeq
	stateActionSeq
	stateDeletedSeq
	stateChanged
)

// Bits of a delivery.
const (
	deliveryStatus = 1 << iota
	deliveryReason
	deliveryAfter
	deliverySince
	deliveryUnsent
	deliveryHanded
	deliveryAnswered
	deliveryAddressed // Addressed differs from Incarnation
)

// AppendItem appends the row of an item; Created stands in its key. The layout
// (uvarints, signed ones zigzag): format, bits, partition, accepted, expires −
// accepted, then what the bits tell: content − created, id, journalled and
// planned − accepted, state; the number of deliveries and the deliveries; of a
// next version its content − created and its body, after that's length; the body
// is the rest.
func AppendItem(dst []byte, it *carillon.Item) []byte {
	var bits uint64
	set := func(bit uint64, on bool) {
		if on {
			bits |= bit
		}
	}
	set(itemReplaced, it.Content != it.Created)
	set(itemID, !it.ID.IsZero())
	set(itemState, it.State != carillon.State{})
	set(itemJournalled, it.Journalled != 0)
	set(itemPlanned, it.Planned != 0)
	set(itemScheduled, it.Scheduled)
	set(itemNext, it.Next.Content != 0)

	dst = append(dst, rowFormat)
	dst = binary.AppendUvarint(dst, bits)
	dst = binary.AppendUvarint(dst, uint64(uint32(it.Partition))) //nolint:gosec // bits are kept
	dst = binary.AppendVarint(dst, it.Accepted)
	dst = binary.AppendVarint(dst, it.Expires-it.Accepted)
	if bits&itemReplaced != 0 {
		dst = appendSeq(dst, it.Content, it.Created)
	}
	if bits&itemID != 0 {
		dst = append(dst, it.ID[:]...)
	}
	if bits&itemJournalled != 0 {
		dst = binary.AppendVarint(dst, it.Journalled-it.Accepted)
	}
	if bits&itemPlanned != 0 {
		dst = binary.AppendVarint(dst, it.Planned-it.Accepted)
	}
	if bits&itemState != 0 {
		dst = appendState(dst, &it.State, it.Created, it.Accepted)
	}
	dst = binary.AppendUvarint(dst, uint64(len(it.Deliveries)))
	for i := range it.Deliveries {
		d := &it.Deliveries[i]
		dst = appendString(dst, d.Endpoint)
		dst = appendDelivery(dst, d, it.Created, it.Accepted)
	}
	if bits&itemNext != 0 {
		dst = appendSeq(dst, it.Next.Content, it.Created)
		dst = binary.AppendUvarint(dst, uint64(len(it.Next.Body)))
		dst = append(dst, it.Next.Body...)
	}
	return append(dst, it.Body...)
}

// DecodeItem reads a row of the item created at created. Body aliases b.
func DecodeItem(b []byte, created carillon.Seq, it *carillon.Item) error {
	return decodeItem(b, created, it, true)
}

// DecodeContent is [DecodeItem] without the deliveries: it allocates nothing.
func DecodeContent(b []byte, created carillon.Seq, it *carillon.Item) error {
	return decodeItem(b, created, it, false)
}

func decodeItem(b []byte, created carillon.Seq, it *carillon.Item, deliveries bool) error {
	r := reader{b: b}
	r.format()
	bits := r.uvarint()
	*it = carillon.Item{Created: created, Content: created}
	it.Partition = int32(uint32(r.uvarint())) //nolint:gosec // as written
	it.Accepted = r.varint()
	it.Expires = it.Accepted + r.varint()
	if bits&itemReplaced != 0 {
		it.Content = r.seq(created)
	}
	if bits&itemID != 0 {
		copy(it.ID[:], r.bytes(len(it.ID)))
	}
	if bits&itemJournalled != 0 {
		it.Journalled = it.Accepted + r.varint()
	}
	if bits&itemPlanned != 0 {
		it.Planned = it.Accepted + r.varint()
	}
	if bits&itemState != 0 {
		r.state(&it.State, created, it.Accepted)
	}
	it.Scheduled = bits&itemScheduled != 0
	n := r.uvarint()
	if n > uint64(len(r.b)) { // a delivery takes several bytes
		r.bad = true
	}
	switch {
	case r.bad:
	case !deliveries:
		for range n {
			r.skipDelivery()
		}
	case n > 0:
		it.Deliveries = make([]carillon.Delivery, n)
		for i := range it.Deliveries {
			it.Deliveries[i].Endpoint = r.string()
			r.delivery(&it.Deliveries[i], created, it.Accepted)
		}
	}
	if bits&itemNext != 0 {
		it.Next.Content = r.seq(created)
		n := r.uvarint()
		if n > uint64(len(r.b)) {
			r.bad, n = true, 0
		}
		it.Next.Body = r.bytes(int(n))
	}
	it.Body = r.b
	it.Feed = Version(it)
	return r.err("item")
}

// ItemExpires is when the item of a row expires, without decoding the rest.
func ItemExpires(b []byte) (int64, error) {
	r := reader{b: b}
	r.format()
	r.uvarint()
	r.uvarint()
	accepted := r.varint()
	expires := accepted + r.varint()
	return expires, r.err("item")
}

func appendState(dst []byte, s *carillon.State, base carillon.Seq, at int64) []byte {
	var bits byte
	if s.Read {
		bits |= stateRead
	}
	if s.Deleted {
		bits |= stateDeleted
	}
	if s.ReadSeq != 0 {
		bits |= stateReadSeq
	}
	if s.ActionSeq != 0 {
		bits |= stateActionSeq
	}
	if s.DeletedSeq != 0 {
		bits |= stateDeletedSeq
	}
	if s.Changed != 0 {
		bits |= stateChanged
	}
	dst = append(dst, bits, byte(s.Action))
	if s.ReadSeq != 0 {
		dst = appendSeq(dst, s.ReadSeq, base)
	}
	if s.ActionSeq != 0 {
		dst = appendSeq(dst, s.ActionSeq, base)
	}
	if s.DeletedSeq != 0 {
		dst = appendSeq(dst, s.DeletedSeq, base)
	}
	if s.Changed != 0 {
		dst = binary.AppendVarint(dst, s.Changed-at)
	}
	return dst
}

func (r *reader) state(s *carillon.State, base carillon.Seq, at int64) {
	bits := r.byte()
	s.Read = bits&stateRead != 0
	s.Deleted = bits&stateDeleted != 0
	s.Action = carillon.UserAction(r.byte())
	if bits&stateReadSeq != 0 {
		s.ReadSeq = r.seq(base)
	}
	if bits&stateActionSeq != 0 {
		s.ActionSeq = r.seq(base)
	}
	if bits&stateDeletedSeq != 0 {
		s.DeletedSeq = r.seq(base)
	}
	if bits&stateChanged != 0 {
		s.Changed = at + r.varint()
	}
}

// err tells what is wrong with a row, if anything is.
func (r *reader) err(what string) error {
	if r.bad {
		return fmt.Errorf("store: %s: %w", what, ErrRow)
	}
	return nil
}
