package carillon

// BroadcastState is what a sender wants of a broadcast. Values are pinned: they
// stand in rows.
type BroadcastState uint8

// The states of a broadcast.
const (
	BroadcastRunning   BroadcastState = iota
	BroadcastCancelled                // for good: what no vendor has is suppressed
	BroadcastPaused                   // what no vendor has waits
)

// String is the name in the API.
func (s BroadcastState) String() string {
	switch s {
	case BroadcastCancelled:
		return "cancelled"
	case BroadcastPaused:
		return "paused"
	case BroadcastRunning:
	}
	return "running"
}

// Steering is what a sender wants of a broadcast.
type Steering struct {
	State BroadcastState
	// MaxPerSecond bounds its hand-offs; 0 is no bound.
	MaxPerSecond int
	// Recalled tells that who has it shall lose it, and who has not never gets it.
	Recalled bool
}

// MemberRow says that a user has a broadcast's notification, created by the record
// at Created. Done removes it.
type MemberRow struct {
	Partition int32
	Host, ID  string // the broadcast's
	Created   Seq
	UserID    string
	Expires   int64 // milliseconds since 1970
	Done      bool
}

// BroadcastPace is how fast a broadcast goes.
type BroadcastPace struct {
	// PerSecond are its deliveries that ended a second, lately.
	PerSecond float64
	// Parked are those that wait for their lanes, or for their turn in its pace.
	Parked int64
	// Bound is what holds it up: "paused", "appPaused", "provider", "maxPerSecond",
	// or "" while nothing does but what there is to do.
	Bound string
}

// WhyCancelled is why a delivery of a cancelled broadcast is suppressed, as
// deliveries show it.
const WhyCancelled = "cancelled"

// BroadcastCounts counts what became of a broadcast. They are absolute.
type BroadcastCounts struct {
	// Notifications are the users that it reached: each has one. Scheduled are those
	// of them whose time has not come.
	Notifications, Scheduled int64
	// Planned are its deliveries, Terminal those that are over, by class.
	Planned  int64
	Terminal [Classes]int64
}

// Add adds other counts.
func (c *BroadcastCounts) Add(o *BroadcastCounts) {
	c.Notifications += o.Notifications
	c.Scheduled += o.Scheduled
	c.Planned += o.Planned
	for i, n := range o.Terminal {
		c.Terminal[i] += n
	}
}

// Ended is how many of the planned deliveries are over.
func (c *BroadcastCounts) Ended() int64 {
	var n int64
	for _, t := range c.Terminal {
		n += t
	}
	return n
}

// BroadcastRow holds what one shard counted of a broadcast in one partition. It
// is written with the rows whose outcomes it counts.
type BroadcastRow struct {
	Partition int32
	Host, ID  string
	Shard     uint8
	Counts    BroadcastCounts
	Expires   int64 // milliseconds since 1970
}
