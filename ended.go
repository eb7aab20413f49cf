package carillon

// EndedRow tells in the log of outcomes that a delivery came to its terminal
// outcome. It is written in the batch that writes this outcome, and in no other:
// that is why each stands in the log once.
type EndedRow struct {
	User User
	// Item is the notification; its partition is the log's.
	Item *Item
	// Delivery is one of the item's.
	Delivery *Delivery
}

// Ended is an entry of the log of outcomes.
type Ended struct {
	User             User
	Partition        int32
	Created, Content Seq
	// ID is set for derived ids; a positional one follows from Created.
	ID ID
	// Accepted is when the door took the notification, Written when the outcome
	// was written: milliseconds since 1970.
	Accepted, Written int64
	// Delivery is without the registration that it was planned for.
	Delivery Delivery
}

// LogPlace is a place in a partition's log of outcomes: before the entry that
// follows Skip others in the row at Row, or in the first one after it.
type LogPlace struct {
	Row  uint64
	Skip uint32
}
