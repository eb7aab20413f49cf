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
	// Handed is when the last attempt was handed to the vendor's connection,
	// Answered when its answer came: milliseconds since 1970, 0 when not yet.
	Handed, Answered int64
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

	// State is what the user did with it.
	State State
}

// State is what the user did with an item; the seqs order the writes of each.
type State struct {
	Read               bool
	Action             UserAction
	Deleted            bool
	ReadSeq, ActionSeq Seq
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
	Expires  int64 // milliseconds since 1970
}

// Rows is what a shard writes in one store batch. Rows of one user are always
// written by the one shard that owns him. The store takes no pointer into it
// beyond the call.
type Rows struct {
	Items     []ItemRow
	Outcomes  []OutcomeRow
	Endpoints []EndpointRow
	Idems     []IdemRow
	Positions []Progress
}

// ItemRow writes a whole item. Moved holds the expiry that an older version of
// the row was written with when this one has another (0: no older version).
type ItemRow struct {
	User  User
	Item  *Item
	Moved int64
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
