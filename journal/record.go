package journal

import "carillon"

// Version is the version of the record format that this build writes. A reader
// takes newer ones too: see [Record.Known].
const Version = 1

// Kind tells what a record says. Values are pinned: they stand in the log.
type Kind uint8

// The kinds of record. The key of each is the user's, host/id, but for
// KindClaim, whose key is the hash of the address.
const (
	KindNone         Kind = iota
	KindNotification      // a notification for the user
	KindEndpoint          // an endpoint registers or renews
	KindLeave             // an endpoint leaves or was found gone
	KindChange            // read, dismissed, activated, or everything up to a floor
	KindDelete            // a notification is deleted
	KindClaim             // an address has a new owner
	KindEvict             // the previous owner's endpoint goes
	KindRelease           // a scheduled notification is due
	KindAck               // a device tells how far it saw
	KindErase             // the user is forgotten

	// KindForeign stands for a kind beyond what a byte holds.
	KindForeign Kind = 255
)

// String is the name in logs and metrics.
func (k Kind) String() string {
	switch k {
	case KindNone:
		return "none"
	case KindNotification:
		return "notification"
	case KindEndpoint:
		return "endpoint"
	case KindLeave:
		return "leave"
	case KindChange:
		return "change"
	case KindDelete:
		return "delete"
	case KindClaim:
		return "claim"
	case KindEvict:
		return "evict"
	case KindRelease:
		return "release"
	case KindAck:
		return "ack"
	case KindErase:
		return "erase"
	case KindForeign:
	}
	return "foreign"
}

// Record is one entry of the journal: protobuf message carillon.journal.v1.Record
// of record.proto. Only the part that its Kind names is meaningful.
//
// Decoded, its strings and slices alias the bytes that it was decoded from.
type Record struct {
	// Version is the format's version; 0 is written as [Version].
	Version uint32
	Kind    Kind
	// At is when the door took it: milliseconds since 1970 by the door's clock.
	At int64
	// RID names the request when HasRID is set (keyed and conditional requests).
	RID    carillon.RequestID
	HasRID bool
	// BodyHash tells a repeat from another body under the same key; zero when
	// there is none.
	BodyHash [16]byte
	// IfSeq is the version that the change is conditional on; 0 is none.
	IfSeq carillon.Seq
	// Trace is the W3C traceparent of the request, binary or text, or empty.
	Trace []byte

	// Notification belongs to KindNotification; Body holds its own encoding as
	// it stands in the record, which is what [carillon.Item.Body] keeps. On
	// Append a non-empty Body is written as it is and Notification is not looked at.
	Notification carillon.Notification
	Body         []byte

	Endpoint carillon.Endpoint
	Leave    Leave
	Change   Change
	Delete   Delete
	Claim    Claimed
	Evict    Evict
	Release  Release
	Ack      Ack
	Erase    Erase
}

// Known tells whether this build knows all that the record may say. A record
// of a foreign kind or a newer version decodes without error, but must be kept
// or skipped by its raw bytes, never written anew from the decoded fields.
func (r *Record) Known() bool {
	return r.Version <= Version && r.Kind >= KindNotification && r.Kind <= KindErase
}

// Leave takes an endpoint away.
type Leave struct {
	Installation string
	// Incarnation and Addressed, when not 0, must be the endpoint's own: a
	// vendor's word about an old address does not count against a new one.
	Incarnation, Addressed carillon.Seq
	// Reason is one of few words: "left", "gone", "full".
	Reason string
}

// Change is what a user did with one notification, or with all up to Floor.
type Change struct {
	// ID and Created name the notification; either may be zero.
	ID      carillon.ID
	Created carillon.Seq
	carillon.Change
	// Floor, when not 0, says that it is about everything in the feed before it.
	Floor carillon.Seq
	// Installation is where it happened, or empty.
	Installation string
	// More tells that another change of the same call follows: clears wait for
	// the last.
	More bool
}

// Delete takes a notification away.
type Delete struct {
	ID           carillon.ID
	Created      carillon.Seq
	Installation string
}

// Claimed says that a push address belongs to a user's installation now.
type Claimed struct {
	// Address is the hash of (host, platform, address).
	Address      []byte
	User         string // journal key, host/id
	Installation string
	// Seq is the version of the registration that claims.
	Seq carillon.Seq
}

// Evict takes an endpoint away because another user claimed its address.
type Evict struct {
	Installation string
	// Version is the version of the registration that lost.
	Version carillon.Seq
}

// Release lets a scheduled notification ring.
type Release struct {
	ID      carillon.ID
	Created carillon.Seq
	// Content is the version that was scheduled.
	Content carillon.Seq
}

// Ack tells how far a device saw its user's feed.
type Ack struct {
	Installation string
	Incarnation  carillon.Seq
	Position     carillon.Seq
	// Opened are notifications that the user opened there, Fetched ones that it
	// got one by one.
	Opened, Fetched []carillon.ID
}

// Erase forgets a user.
type Erase struct {
	// By is who asked: a client id, for the audit log.
	By string
}
