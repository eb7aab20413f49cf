package journal

import (
	"google.golang.org/protobuf/encoding/protowire"

	"carillon"
)

// Field numbers of Record, as in record.proto.
const (
	fieldVersion = 1 + iota
	fieldKind
	fieldAt
	fieldRID
	fieldBodyHash
	fieldIfSeq
	fieldTrace
	fieldNotification
	fieldEndpoint
	fieldLeave
	fieldChange
	fieldDelete
	fieldClaim
	fieldEvict
	fieldRelease
	fieldAck
	fieldErase
)

// Append encodes the record behind dst. Fields stand in the order of their
// numbers and zero values are left out, so equal records have equal bytes. It
// allocates only when dst has no room.
func (r *Record) Append(dst []byte) []byte {
	version := r.Version
	if version == 0 {
		version = Version
	}
	dst = appendUint(dst, fieldVersion, uint64(version))
	dst = appendUint(dst, fieldKind, uint64(r.Kind))
	dst = appendInt(dst, fieldAt, r.At)
	if r.HasRID {
		dst = appendBytes(dst, fieldRID, r.RID[:])
	}
	if r.BodyHash != [16]byte{} {
		dst = appendBytes(dst, fieldBodyHash, r.BodyHash[:])
	}
	dst = appendUint(dst, fieldIfSeq, uint64(r.IfSeq))
	dst = appendBytes(dst, fieldTrace, r.Trace)
	return r.appendPart(dst)
}

// appendPart encodes the part that the record's kind names.
func (r *Record) appendPart(dst []byte) []byte {
	var at int
	switch r.Kind {
	case KindNotification:
		if len(r.Body) > 0 {
			return appendBytes(dst, fieldNotification, r.Body)
		}
		dst, at = openMessage(dst, fieldNotification)
		dst = AppendNotification(dst, &r.Notification)
	case KindEndpoint:
		dst, at = openMessage(dst, fieldEndpoint)
		dst = appendEndpoint(dst, &r.Endpoint)
	case KindLeave:
		dst, at = openMessage(dst, fieldLeave)
		dst = appendString(dst, 1, r.Leave.Installation)
		dst = appendUint(dst, 2, uint64(r.Leave.Incarnation))
		dst = appendUint(dst, 3, uint64(r.Leave.Addressed))
		dst = appendString(dst, 4, r.Leave.Reason)
	case KindChange:
		dst, at = openMessage(dst, fieldChange)
		dst = appendChange(dst, &r.Change)
	case KindDelete:
		dst, at = openMessage(dst, fieldDelete)
		dst = appendID(dst, &r.Delete.ID)
		dst = appendUint(dst, 2, uint64(r.Delete.Created))
		dst = appendString(dst, 3, r.Delete.Installation)
	case KindClaim:
		dst, at = openMessage(dst, fieldClaim)
		dst = appendBytes(dst, 1, r.Claim.Address)
		dst = appendString(dst, 2, r.Claim.User)
		dst = appendString(dst, 3, r.Claim.Installation)
		dst = appendUint(dst, 4, uint64(r.Claim.Seq))
	case KindEvict:
		dst, at = openMessage(dst, fieldEvict)
		dst = appendString(dst, 1, r.Evict.Installation)
		dst = appendUint(dst, 2, uint64(r.Evict.Version))
	case KindRelease:
		dst, at = openMessage(dst, fieldRelease)
		dst = appendID(dst, &r.Release.ID)
		dst = appendUint(dst, 2, uint64(r.Release.Created))
		dst = appendUint(dst, 3, uint64(r.Release.Content))
	case KindAck:
		dst, at = openMessage(dst, fieldAck)
		dst = appendString(dst, 1, r.Ack.Installation)
		dst = appendUint(dst, 2, uint64(r.Ack.Incarnation))
		dst = appendUint(dst, 3, uint64(r.Ack.Position))
		for i := range r.Ack.Opened {
			dst = protowire.AppendBytes(protowire.AppendTag(dst, 4, protowire.BytesType), r.Ack.Opened[i][:])
		}
		for i := range r.Ack.Fetched {
			dst = protowire.AppendBytes(protowire.AppendTag(dst, 5, protowire.BytesType), r.Ack.Fetched[i][:])
		}
	case KindErase:
		dst, at = openMessage(dst, fieldErase)
		dst = appendString(dst, 1, r.Erase.By)
	case KindNone, KindForeign:
		return dst
	default:
		return dst
	}
	return closeMessage(dst, at)
}

// AppendNotification encodes n behind dst as the notification message of
// record.proto: what Record.Body and carillon.Item.Body hold.
func AppendNotification(dst []byte, n *carillon.Notification) []byte {
	var at int
	dst = appendID(dst, &n.ID)
	dst = appendString(dst, 2, n.AppNotificationID)
	dst = appendInt(dst, 3, n.Accepted)
	dst = appendInt(dst, 4, n.Expires)
	dst = appendUint(dst, 5, uint64(n.Priority))
	dst = appendUint(dst, 6, uint64(n.Targets))
	if n.TTL != -1 {
		dst = appendPresentInt(dst, 7, int64(n.TTL))
	}
	dst = appendString(dst, 8, n.Group)
	if n.HasVisual {
		dst, at = openMessage(dst, 9)
		dst = appendString(dst, 1, n.Title)
		dst = appendString(dst, 2, n.Body)
		dst = closeMessage(dst, at)
	}
	if n.HasRaw {
		dst = protowire.AppendTag(dst, 10, protowire.BytesType)
		dst = protowire.AppendString(dst, n.Raw)
	}
	if n.Fallback != (carillon.Fallback{}) {
		dst, at = openMessage(dst, 11)
		dst = appendInt(dst, 1, int64(n.Fallback.Delay))
		dst = appendString(dst, 2, n.Fallback.Title)
		dst = appendString(dst, 3, n.Fallback.Body)
		dst = closeMessage(dst, at)
	}
	dst = appendBytes(dst, 12, n.Options)
	dst = appendBytes(dst, 13, n.Extra)
	if n.LocalState {
		dst = appendUint(dst, 14, 1)
	}
	dst = appendInt(dst, 15, n.DeliverAt)
	dst = appendString(dst, 16, n.Broadcast)
	dst = appendString(dst, 17, n.Locale)
	if n.Badge != -1 {
		dst = appendPresentInt(dst, 18, int64(n.Badge))
	}
	return dst
}

func appendEndpoint(dst []byte, e *carillon.Endpoint) []byte {
	dst = appendString(dst, 1, e.ID)
	dst = appendUint(dst, 2, uint64(e.Platform))
	dst = appendString(dst, 3, e.Address)
	dst = appendString(dst, 4, e.AppID)
	dst = appendString(dst, 5, e.Environment)
	dst = appendString(dst, 6, e.Locale)
	dst = appendUint(dst, 7, uint64(e.Push))
	dst = appendInt(dst, 8, e.Expires)
	dst = appendUint(dst, 9, uint64(e.Incarnation))
	dst = appendUint(dst, 10, uint64(e.Addressed))
	dst = appendUint(dst, 11, uint64(e.Version))
	return appendInt(dst, 12, e.Registered)
}

func appendChange(dst []byte, c *Change) []byte {
	dst = appendID(dst, &c.ID)
	dst = appendUint(dst, 2, uint64(c.Created))
	dst = appendUint(dst, 3, uint64(c.Read))
	if c.HasAction {
		dst = appendPresentInt(dst, 4, int64(c.Action))
	}
	dst = appendUint(dst, 5, uint64(c.Floor))
	dst = appendString(dst, 6, c.Installation)
	if c.More {
		dst = appendUint(dst, 7, 1)
	}
	return dst
}

func appendUint(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), v)
}

func appendInt(dst []byte, field protowire.Number, v int64) []byte {
	return appendUint(dst, field, uint64(v)) //nolint:gosec // protobuf's int64 is two's complement as a varint
}

func appendPresentInt(dst []byte, field protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), uint64(v)) //nolint:gosec // likewise
}

func appendString(dst []byte, field protowire.Number, v string) []byte {
	if v == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), v)
}

func appendBytes(dst []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), v)
}

// appendID writes an id, which is field 1 of every message that has one.
func appendID(dst []byte, id *carillon.ID) []byte {
	if id.IsZero() {
		return dst
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, 1, protowire.BytesType), id[:])
}

// openMessage writes a message field's tag and leaves one byte for its length;
// closeMessage fills it in. A message of 128 bytes or more is moved along to
// make room for its longer length, which is cheaper than measuring it first.
func openMessage(dst []byte, field protowire.Number) ([]byte, int) {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return append(dst, 0), len(dst) + 1
}

func closeMessage(dst []byte, at int) []byte {
	n := len(dst) - at
	length := uint64(n) //nolint:gosec // never negative: at lies behind openMessage's byte
	extra := protowire.SizeVarint(length) - 1
	for range extra {
		dst = append(dst, 0)
	}
	if extra > 0 {
		copy(dst[at+extra:], dst[at:at+n])
	}
	protowire.AppendVarint(dst[at-1:at-1:at+extra], length)
	return dst
}
