package journal

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"carillon"
)

// Decode reads one record from b into r, whose old content is dropped. Strings
// and slices of r alias b, so b must stay unchanged while r is in use. Unknown
// fields are skipped; a record of a foreign kind or a newer version decodes
// without error and [Record.Known] tells. Only malformed bytes are an error.
func (r *Record) Decode(b []byte) error {
	*r = Record{}
	var seen uint32 // parts that were there: a second one would have to be merged
	s := scanner{b: b}
	for s.next() {
		switch {
		case s.varint && s.field <= fieldIfSeq:
			r.setNumber(s.field, s.num)
		case s.varint:
		case s.field <= fieldTrace:
			if err := r.setBytes(s.field, s.bytes); err != nil {
				return err
			}
		case s.field <= fieldErase:
			if seen&(1<<s.field) != 0 {
				return fmt.Errorf("journal record: part %d stands twice", s.field)
			}
			seen |= 1 << s.field
			if err := r.setPart(s.field, s.bytes); err != nil {
				return err
			}
		}
	}
	return s.fault("record")
}

func (r *Record) setNumber(field protowire.Number, v uint64) {
	switch field {
	case fieldVersion:
		r.Version = uint32(min(v, math.MaxUint32))
	case fieldKind:
		r.Kind = Kind(min(v, uint64(KindForeign)))
	case fieldAt:
		r.At = int64(v) //nolint:gosec // protobuf's int64 is two's complement as a varint
	case fieldIfSeq:
		r.IfSeq = carillon.Seq(v)
	}
}

func (r *Record) setBytes(field protowire.Number, v []byte) error {
	switch field {
	case fieldRID:
		r.HasRID = true
		return fixed(r.RID[:], v, "rid")
	case fieldBodyHash:
		return fixed(r.BodyHash[:], v, "body_hash")
	case fieldTrace:
		r.Trace = v
	}
	return nil
}

func (r *Record) setPart(field protowire.Number, v []byte) error {
	switch field {
	case fieldNotification:
		r.Body = v
		return DecodeNotification(v, &r.Notification)
	case fieldEndpoint:
		return decodeEndpoint(v, &r.Endpoint)
	case fieldLeave:
		return decodeLeave(v, &r.Leave)
	case fieldChange:
		return decodeChange(v, &r.Change)
	case fieldDelete:
		return decodeDelete(v, &r.Delete)
	case fieldClaim:
		return decodeClaim(v, &r.Claim)
	case fieldEvict:
		return decodeEvict(v, &r.Evict)
	case fieldRelease:
		return decodeRelease(v, &r.Release)
	case fieldAck:
		return decodeAck(v, &r.Ack)
	case fieldErase:
		return decodeErase(v, &r.Erase)
	}
	return nil
}

// DecodeNotification reads a notification message, such as
// carillon.Item.Body, into n, whose old content is dropped. Strings and slices
// of n alias b.
func DecodeNotification(b []byte, n *carillon.Notification) error {
	*n = carillon.Notification{TTL: -1, Badge: -1}
	s := scanner{b: b}
	for s.next() {
		if s.varint {
			setNotificationNumber(n, s.field, s.num)
			continue
		}
		if err := setNotificationBytes(n, s.field, s.bytes); err != nil {
			return err
		}
	}
	return s.fault("notification")
}

func setNotificationNumber(n *carillon.Notification, field protowire.Number, v uint64) {
	switch field {
	case 3:
		n.Accepted = int64(v) //nolint:gosec // two's complement
	case 4:
		n.Expires = int64(v) //nolint:gosec // two's complement
	case 5:
		n.Priority = carillon.Priority(v) //nolint:gosec // pinned small values
	case 6:
		n.Targets = carillon.PlatformSet(v) //nolint:gosec // pinned small values
	case 7:
		n.TTL = int32(v) //nolint:gosec // two's complement
	case 14:
		n.LocalState = v != 0
	case 15:
		n.DeliverAt = int64(v) //nolint:gosec // two's complement
	case 18:
		n.Badge = int32(v) //nolint:gosec // two's complement
	}
}

func setNotificationBytes(n *carillon.Notification, field protowire.Number, v []byte) error {
	switch field {
	case 1:
		return fixed(n.ID[:], v, "notification.id")
	case 2:
		n.AppNotificationID = text(v)
	case 8:
		n.Group = text(v)
	case 9:
		if n.HasVisual {
			return errors.New("journal record: visual stands twice")
		}
		n.HasVisual = true
		return decodeVisual(v, n)
	case 10:
		n.HasRaw, n.Raw = true, text(v)
	case 11:
		if n.Fallback != (carillon.Fallback{}) {
			return errors.New("journal record: fallback stands twice")
		}
		return decodeFallback(v, &n.Fallback)
	case 12:
		n.Options = v
	case 13:
		n.Extra = v
	case 16:
		n.Broadcast = text(v)
	case 17:
		n.Locale = text(v)
	}
	return nil
}

func decodeVisual(b []byte, n *carillon.Notification) error {
	s := scanner{b: b}
	for s.next() {
		switch {
		case s.varint:
		case s.field == 1:
			n.Title = text(s.bytes)
		case s.field == 2:
			n.Body = text(s.bytes)
		}
	}
	return s.fault("visual")
}

func decodeFallback(b []byte, f *carillon.Fallback) error {
	s := scanner{b: b}
	for s.next() {
		switch {
		case s.varint && s.field == 1:
			f.Delay = int32(s.num) //nolint:gosec // two's complement
		case s.varint:
		case s.field == 2:
			f.Title = text(s.bytes)
		case s.field == 3:
			f.Body = text(s.bytes)
		}
	}
	return s.fault("fallback")
}

// scanner walks over the fields of one message. Groups and fixed-width fields,
// which record.proto does not use, are skipped like unknown ones.
type scanner struct {
	b      []byte
	field  protowire.Number
	varint bool // num holds the value, else bytes does
	num    uint64
	bytes  []byte
	err    error
}

func (s *scanner) next() bool {
	for len(s.b) > 0 {
		field, typ, n := protowire.ConsumeTag(s.b)
		if n < 0 {
			s.err = protowire.ParseError(n)
			return false
		}
		s.field, s.b = field, s.b[n:]
		switch typ {
		case protowire.VarintType:
			s.varint = true
			s.num, n = protowire.ConsumeVarint(s.b)
		case protowire.BytesType:
			s.varint = false
			s.bytes, n = protowire.ConsumeBytes(s.b)
		case protowire.Fixed32Type, protowire.Fixed64Type, protowire.StartGroupType, protowire.EndGroupType:
			n = protowire.ConsumeFieldValue(field, typ, s.b)
			if n >= 0 {
				s.b = s.b[n:]
				continue
			}
		default:
			n = protowire.ConsumeFieldValue(field, typ, s.b)
		}
		if n < 0 {
			s.err = protowire.ParseError(n)
			return false
		}
		s.b = s.b[n:]
		return true
	}
	return false
}

func (s *scanner) fault(what string) error {
	if s.err == nil {
		return nil
	}
	return fmt.Errorf("journal record: malformed %s, %d bytes before its end: %w", what, len(s.b), s.err)
}

func fixed(dst, v []byte, what string) error {
	if len(v) != len(dst) {
		return fmt.Errorf("journal record: %s has %d bytes, not %d", what, len(v), len(dst))
	}
	copy(dst, v)
	return nil
}

// text is v as a string without a copy.
func text(v []byte) string {
	return unsafe.String(unsafe.SliceData(v), len(v)) //nolint:gosec // Decode's contract: the buffer stays unchanged while the record is in use; a copy per string would cost ten allocations a record
}
