package store

import (
	"encoding/binary"
	"time"

	"carillon"
)

// The upper bits of a delivery's kind byte are its hint, the one below tells that
// more follows at the end: rows written before there were those read as having
// none. Pinned.
const (
	hintShift = 6
	kindMore  = 1 << 5
	kindMask  = kindMore - 1
)

// Bits of what more a delivery has. Pinned.
const (
	moreParked = 1 << iota
	moreFetched
	moreOpened
)

// more are the times that few deliveries have, in the order of their bits.
func more(d *carillon.Delivery) [3]*int64 { return [3]*int64{&d.Parked, &d.Fetched, &d.Opened} }

// appendDelivery appends all of a delivery but its endpoint: bits, platform,
// hint and kind, class, attempts, incarnation (against seq), and what the bits
// tell: addressed − incarnation, reason, status, after, since and handed − at,
// answered − handed; of a due one then due − the last of these. More is bits,
// and times − that last.
func appendDelivery(dst []byte, d *carillon.Delivery, seq carillon.Seq, at int64) []byte {
	o := &d.Outcome
	var bits byte
	set := func(bit byte, on bool) {
		if on {
			bits |= bit
		}
	}
	set(deliveryStatus, o.Status != 0)
	set(deliveryReason, o.Reason != "")
	set(deliveryAfter, o.After != 0)
	set(deliverySince, o.Since != 0)
	set(deliveryUnsent, o.Unsent)
	set(deliveryHanded, d.Handed != 0)
	set(deliveryAnswered, d.Answered != 0)
	set(deliveryAddressed, d.Addressed != d.Incarnation)
	how := byte(d.Hint)<<hintShift | byte(d.Kind)&kindMask
	if d.Parked|d.Fetched|d.Opened != 0 {
		how |= kindMore
	}
	dst = append(dst, bits, byte(d.Platform), how, byte(o.Class), d.Attempts)
	dst = appendSeq(dst, d.Incarnation, seq)
	if bits&deliveryAddressed != 0 {
		dst = appendSeq(dst, d.Addressed, d.Incarnation)
	}
	if bits&deliveryReason != 0 {
		code := reasonCode(o.Reason)
		dst = append(dst, code)
		if code == 0 {
			dst = appendString(dst, o.Reason)
		}
	}
	if bits&deliveryStatus != 0 {
		dst = binary.AppendUvarint(dst, uint64(o.Status))
	}
	if bits&deliveryAfter != 0 {
		dst = binary.AppendVarint(dst, int64(o.After))
	}
	if bits&deliverySince != 0 {
		dst = binary.AppendVarint(dst, o.Since-at)
	}
	if bits&deliveryHanded != 0 {
		dst = binary.AppendVarint(dst, d.Handed-at)
		at = d.Handed
	}
	if bits&deliveryAnswered != 0 {
		dst = binary.AppendVarint(dst, d.Answered-at)
		at = d.Answered
	}
	if d.Hint == carillon.HintDue {
		dst = binary.AppendVarint(dst, d.Due-at)
	}
	if how&kindMore != 0 {
		dst = appendMore(dst, d, at)
	}
	return dst
}

func appendMore(dst []byte, d *carillon.Delivery, at int64) []byte {
	bits := len(dst)
	dst = append(dst, 0)
	for i, t := range more(d) {
		if *t != 0 {
			dst[bits] |= 1 << i
			dst = binary.AppendVarint(dst, *t-at)
		}
	}
	return dst
}

func (r *reader) delivery(d *carillon.Delivery, seq carillon.Seq, at int64) {
	o := &d.Outcome
	bits := r.byte()
	d.Platform = carillon.Platform(r.byte())
	kind := r.byte()
	d.Kind, d.Hint = carillon.Kind(kind&kindMask), carillon.Hint(kind>>hintShift)
	o.Class = carillon.Class(r.byte())
	d.Attempts = r.byte()
	d.Incarnation = r.seq(seq)
	d.Addressed = d.Incarnation
	if bits&deliveryAddressed != 0 {
		d.Addressed = r.seq(d.Incarnation)
	}
	if bits&deliveryReason != 0 {
		o.Reason = r.reason()
	}
	if bits&deliveryStatus != 0 {
		o.Status = uint16(r.uvarint()) //nolint:gosec // as written
	}
	if bits&deliveryAfter != 0 {
		o.After = time.Duration(r.varint())
	}
	if bits&deliverySince != 0 {
		o.Since = at + r.varint()
	}
	o.Unsent = bits&deliveryUnsent != 0
	if bits&deliveryHanded != 0 {
		d.Handed = at + r.varint()
		at = d.Handed
	}
	if bits&deliveryAnswered != 0 {
		d.Answered = at + r.varint()
		at = d.Answered
	}
	if d.Hint == carillon.HintDue {
		d.Due = at + r.varint()
	}
	if kind&kindMore != 0 {
		bits := r.byte()
		for i, t := range more(d) {
			if bits&(1<<i) != 0 {
				*t = at + r.varint()
			}
		}
	}
}

// skipDelivery passes over a delivery and its endpoint, as [reader.delivery]
// reads it.
func (r *reader) skipDelivery() {
	r.skipString()
	bits := r.byte()
	r.byte()
	how := r.byte()
	r.bytes(2)
	r.varint()
	if bits&deliveryAddressed != 0 {
		r.varint()
	}
	if bits&deliveryReason != 0 && r.byte() == 0 {
		r.skipString()
	}
	if bits&deliveryStatus != 0 {
		r.uvarint()
	}
	for _, bit := range [...]byte{deliveryAfter, deliverySince, deliveryHanded, deliveryAnswered} {
		if bits&bit != 0 {
			r.varint()
		}
	}
	if carillon.Hint(how>>hintShift) == carillon.HintDue {
		r.varint()
	}
	if how&kindMore != 0 {
		for bits := r.byte() & (moreParked | moreFetched | moreOpened); bits != 0; bits &= bits - 1 {
			r.varint()
		}
	}
}

func (r *reader) reason() string {
	code := r.byte()
	if code == 0 {
		return r.string()
	}
	reason, ok := reasonOf(code)
	if !ok {
		r.bad = true
	}
	return reason
}

// AppendOutcome appends the row of an outcome; created, content and endpoint
// stand in its key. Its second byte is the [Rank].
func AppendOutcome(dst []byte, o *carillon.OutcomeRow) []byte {
	dst = append(dst, rowFormat, Rank(&o.Delivery))
	dst = binary.AppendVarint(dst, o.Expires)
	return appendDelivery(dst, &o.Delivery, o.Created, o.Expires)
}

// DecodeOutcome reads a row into o, whose Created, Content and Endpoint are
// those of the key already ([ReadOutcomeKey]).
func DecodeOutcome(b []byte, o *carillon.OutcomeRow) error {
	endpoint := o.Endpoint
	r := reader{b: b}
	r.format()
	r.byte() // the rank follows from the delivery
	o.Expires = r.varint()
	o.Delivery = carillon.Delivery{Endpoint: endpoint}
	r.delivery(&o.Delivery, o.Created, o.Expires)
	return r.err("outcome")
}

// Ranks of outcomes.
const (
	rankOpenMost = 61
	rankTerminal = 62
	rankAccepted = 63
)

// Rank orders two versions of one delivery: the higher one stands, and of equal
// ones the later. More attempts outrank fewer, terminal outranks open, and
// Accepted, which may come late, outranks every other end.
func Rank(d *carillon.Delivery) byte {
	switch {
	case d.Outcome.Class == carillon.Accepted:
		return rankAccepted
	case d.Outcome.Class.Terminal():
		return rankTerminal
	}
	return min(d.Attempts, rankOpenMost)
}

// OutcomeRank is the rank of an outcome's row, without decoding the rest.
func OutcomeRank(b []byte) (byte, error) {
	r := reader{b: b}
	r.format()
	rank := r.byte()
	return rank, r.err("outcome")
}

// Settle merges an outcome into the item: into the delivery of its turn to its
// endpoint when it outranks that, or as one more delivery when there is none.
// Of equal ranks the one handed or answered later stands: an outcome may be
// read from an older place than the item that was rewritten since. An outcome
// of another version of the content changes nothing.
func Settle(it *carillon.Item, o *carillon.OutcomeRow) {
	if o.Created != it.Created || o.Content != it.Content {
		return
	}
	for i := range it.Deliveries {
		d := &it.Deliveries[i]
		if d.Endpoint != o.Endpoint || TurnOf(d.Kind) != TurnOf(o.Kind) {
			continue
		}
		mine, theirs := Rank(&o.Delivery), Rank(d)
		if mine > theirs || mine == theirs && touched(&o.Delivery) >= touched(d) {
			*d = o.Delivery
		}
		return
	}
	it.Deliveries = append(it.Deliveries, o.Delivery)
}

// touched is when something last happened to a delivery.
func touched(d *carillon.Delivery) int64 { return max(d.Handed, d.Answered) }

// Version is the seq that wrote an item last.
func Version(it *carillon.Item) carillon.Seq {
	return max(it.Content, it.State.Seq())
}
