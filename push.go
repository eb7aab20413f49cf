package carillon

import "context"

// Push is one attempt to hand one delivery to a vendor. Everything it points
// to stays unchanged until its Answer.
type Push struct {
	// Ref is the caller's own reference; it comes back in the Answer.
	Ref  any
	Kind Kind
	// Attempt counts from 1.
	Attempt  uint8
	User     User
	Endpoint *Endpoint
	// Notification is never nil; a tap uses only its times and priority.
	Notification *Notification
	// ID and Seq (the version) travel in every push: devices drop repeats by
	// them. Created is the feed position of the item.
	ID      ID
	Created Seq
	Seq     Seq
	// Cleared lists, for [KindClear], the notifications to take off the screen;
	// empty means ID alone. Created and Seq are then the position to sync to.
	Cleared []ID
}

// Answer is the result of one Push.
type Answer struct {
	Ref     any
	Outcome Outcome
	// At is when the answer came, milliseconds since 1970.
	At int64
	// Kind is what was really sent: a push that would not fit the vendor's
	// limit goes out as a tap.
	Kind Kind
}

// Lane names a way out: one vendor under one app's credential.
type Lane struct {
	Platform Platform
	Host     string
}

// Sender hands pushes of one lane to its vendor. Each push given to Send gets
// exactly one Answer, whatever happens.
type Sender interface {
	// Room is how many pushes Send takes now; 0 while there is no connection.
	Room() int
	// Send takes pushes and does not wait for the network. The slice is the
	// caller's again when Send returns. What it cannot take is answered
	// [Transient] unwritten.
	Send(pushes []Push)
	// Run keeps the connections until ctx ends, then waits (bounded) for the
	// answers still due.
	Run(ctx context.Context) error
}

// Receiver is told of a Sender's answers, in batches, and of its room growing
// from nothing. It must not block.
type Receiver interface {
	Answers(batch []Answer)
	RoomAgain()
}
