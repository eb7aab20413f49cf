package carillon

// Delivery is a planned delivery and what became of it, as rows keep it.
type Delivery struct {
	// Endpoint, Incarnation and Addressed name the registration it was planned
	// for.
	Endpoint    string
	Incarnation Seq
	Addressed   Seq
	Platform    Platform
	Kind        Kind
	// Outcome is open until it is terminal.
	Outcome  Outcome
	Attempts uint8
	// Hint is where an open delivery waits durably, Due until when
	// (milliseconds since 1970; of [HintDue] only).
	Hint Hint
	Due  int64
	// Parked is when it last began to wait for its lane, Fetched
	// when the endpoint told that it has this notification, Opened when it told
	// that the user opened it there: milliseconds since 1970, 0 when not.
	Parked, Fetched, Opened int64
	// Handed is when the last attempt was handed to the vendor's connection,
	// Answered when its answer came: milliseconds since 1970, 0 when not yet.
	Handed, Answered int64
}

// Hint tells where an open delivery waits. A hint is written and removed in the
// batch that changes the delivery's outcome. Values are pinned.
type Hint uint8

// A delivery without a hint is in somebody's memory, or was when that somebody
// died: replaying the journal finds it.
const (
	HintNone   Hint = iota
	HintDue         // a retry at Delivery.Due
	HintParked      // until its lane opens
)

// String is the name in deliveries.
func (h Hint) String() string {
	switch h {
	case HintDue:
		return "due"
	case HintParked:
		return "parked"
	case HintNone:
	}
	return "none"
}

// Ref names one delivery from outside its item.
type Ref struct {
	User             User
	Created, Content Seq
	Endpoint         string
	Kind             Kind
}

// DueRow is a delivery whose next attempt is due at At (milliseconds since
// 1970), in the index of its partition. Done removes it.
type DueRow struct {
	Partition int32
	At        int64
	Ref       Ref
	Expires   int64 // of the item, milliseconds since 1970
	Done      bool
}

// ParkedRow is a delivery that waits for its lane to open, in the order of the
// journal. Done removes it.
type ParkedRow struct {
	Partition int32
	ParkedLane
	Ref     Ref
	Expires int64
	Done    bool
}

// ParkedLane is what deliveries park by, and drain again: a lane and the priority.
// Those of a broadcast, which can be stopped and paced by itself, park by it too.
type ParkedLane struct {
	Lane      Lane
	Low       bool
	Broadcast string // its id, or ""
}

// ParkedCount is how many rows wait by one of them in a partition.
type ParkedCount struct {
	ParkedLane
	Rows int64
}

// LedgerRow counts what became of one settled range of a partition: records
// From … To (exclusive). It is absolute: settling the range again writes the
// same row.
type LedgerRow struct {
	Partition int32
	From, To  Seq
	Records   int64
	Planned   int64
	// Terminal counts by class; Open are the deliveries that wait in due or
	// parked rows.
	Terminal [Classes]int64
	Open     int64
	// Expires is when the row goes away, milliseconds since 1970.
	Expires int64
}

// Item is a notification as the store remembers it: one row, which is also its
// own first entry in the user's feed.
type Item struct {
	// Created is its key: the seq of the record that first made it. Content is
	// the seq of the record that holds its present content.
	Created, Content Seq
	Partition        int32
	// ID is set for derived ids; a positional one follows from Created.
	ID ID
	// Accepted, Journalled and Planned tell when the door took it, when the
	// journal's broker stamped it and when its deliveries were planned:
	// milliseconds since 1970.
	Accepted, Journalled, Planned int64
	// Expires is when the row goes away, milliseconds since 1970.
	Expires int64
	// Body is the journal's own encoding of the [Notification].
	Body []byte
	// Deliveries are the planned ones. The outcomes that were terminal when the
	// row was first written stand here; later ones have rows of their own, and
	// the store merges them in on reading.
	Deliveries []Delivery

	// Scheduled tells that it waits for its time (deliverAt): no device sees it
	// and nothing is planned. Its release gives it a content seq of its own.
	Scheduled bool
	// Next is a version that takes this one's place at its time (deliverAt); none
	// when its Content is 0.
	Next Next

	// State is what the user did with it.
	State State

	// Feed is its one place in the user's feed: Created until something happens
	// to it, then the seq of the last record that wrote its row. It follows from
	// the row and is not written.
	Feed Seq
}

// FetchedAt is when an endpoint told that it has this very notification, or that
// it was opened there; 0 when it did not.
func (it *Item) FetchedAt(e *Endpoint) int64 {
	for i := range it.Deliveries {
		if d := &it.Deliveries[i]; d.Endpoint == e.ID && d.Incarnation == e.Incarnation && d.Kind != KindFallback {
			return max(d.Fetched, d.Opened)
		}
	}
	return 0
}

// Next is a scheduled version of an item that is there already: the seq of its
// record, and its content as the journal has it.
type Next struct {
	Content Seq
	Body    []byte
}

// Awaits tells whether the release of the content at that seq has something to
// release.
func (it *Item) Awaits(content Seq) bool {
	return !it.State.Deleted && (it.Scheduled && it.Content == content || it.Next.Content == content)
}

// Replaced tells whether the item's content n took the place of another. A release
// (deliverAt) gives an item a content seq of its own too, so the two seqs do not
// tell: without a key nothing takes an item's place, and with one a first content
// was journalled after it was accepted, while a scheduled version that took
// another's place finds the row journalled before. Where the journal's broker
// stamps records by a clock that is behind, a released one with a key counts as
// replaced.
func (it *Item) Replaced(n *Notification) bool {
	if it.Content == it.Created {
		return false
	}
	scheduled := n.DeliverAt > n.Accepted
	return !scheduled || !it.ID.IsZero() && it.Journalled < n.Accepted
}

// FeedEntry is one place in a user's feed at which an item changed.
type FeedEntry struct {
	Seq, Created Seq
}

// UserAction is userActionState. Values are pinned.
type UserAction uint8

// Graph's user actions.
const (
	NoInteraction UserAction = iota
	Activated
	Dismissed
	Snoozed
)

// String is Graph's name.
func (a UserAction) String() string {
	switch a {
	case Activated:
		return "Activated"
	case Dismissed:
		return "Dismissed"
	case Snoozed:
		return "Snoozed"
	case NoInteraction:
	}
	return "NoInteraction"
}

// RequestID names one keyed request: a hash of the idempotency key, or random.
type RequestID [16]byte

// Idem is what is remembered of a keyed request for [IdempotencyFor].
type Idem struct {
	RID RequestID
	// BodyHash tells a repeat from another body under the same key.
	BodyHash [16]byte
	Seq      Seq
	ID       ID
	// Refused is why a conditional request changed nothing; [CodeInternal] when
	// it was not refused.
	Refused Code
	Expires int64 // milliseconds since 1970
}

// Rows is what a shard writes in one store batch. Rows of one user are always
// written by the one shard that owns him. The store takes no pointer into it
// beyond the call.
type Rows struct {
	Items     []ItemRow
	Outcomes  []OutcomeRow
	Endpoints []EndpointRow
	Idems     []IdemRow
	Floors    []FloorRow
	Syncs     []SyncRow
	Owners    []OwnerRow
	Dues      []DueRow
	Parked    []ParkedRow
	Ledger    []LedgerRow
	Positions []Progress
	// Ended goes into the logs of outcomes.
	Ended      []EndedRow
	Broadcasts []BroadcastRow
	Members    []MemberRow
	// Erased come before all others.
	Erased []ErasedRow
}

// ErasedRow takes away everything that is kept of a user, but that he was erased
// by the record at Seq: that is kept until Expires, so that nothing from before
// comes back.
type ErasedRow struct {
	User      User
	Partition int32
	Seq       Seq
	Expires   int64
	// Addresses are the push addresses that were his.
	Addresses []VacatedAddress
}

// VacatedAddress is a push address that is its erased owner's no more, with the
// version of his registration.
type VacatedAddress struct {
	Address AddressHash
	Version Seq
}

// ItemRow writes a whole item. Moved holds the expiry that an older version of
// the row was written with (0: no older version), Was that version's place in
// the feed.
type ItemRow struct {
	User  User
	Item  *Item
	Moved int64
	Was   Seq
}

// FloorRow writes a user's floor. Moved is as in [ItemRow].
type FloorRow struct {
	User    User
	Floor   Floor
	Expires int64
	Moved   int64
}

// SyncRow writes what a user's endpoints are owed. Moved is as in [ItemRow].
type SyncRow struct {
	User  User
	Sync  Sync
	Moved int64
}

// OwnerRow writes whose a push address is. Moved is as in [ItemRow].
type OwnerRow struct {
	Address AddressHash
	Owner   Owner
	Moved   int64
}

// OutcomeRow is the state of one delivery written after its item's row.
type OutcomeRow struct {
	User    User
	Created Seq
	// Content is the version of the item that the delivery belongs to.
	Content Seq
	Expires int64
	Delivery
}

// EndpointRow writes an endpoint, or removes it when Left is set. Moved is as
// in [ItemRow].
type EndpointRow struct {
	User     User
	Endpoint Endpoint
	Left     bool
	Moved    int64
}

// IdemRow writes what is remembered of a keyed request.
type IdemRow struct {
	User User
	Idem Idem
}

// Progress is how far one partition is. Both are next seqs: the rows of every
// record below Applied are written, every delivery of the records below Settled
// is terminal. A reader of its own write at seq s waits until Applied > s.
type Progress struct {
	Partition        int32
	Applied, Settled Seq
}
