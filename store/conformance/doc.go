// Package conformance is the one suite that every store must pass. A store's
// test hands in a way to open it; the suite writes and reads rows through it by
// the rules of package store. It keeps nothing and starts nothing that outlives
// a test.
package conformance

import (
	"testing"
	"time"

	"carillon"
)

// Reader is what the walk and the doors read.
type Reader interface {
	// Endpoints appends the live endpoints of a user to dst, in any order.
	Endpoints(dst []carillon.Endpoint, u carillon.User) ([]carillon.Endpoint, error)
	// Item is nil without an error when there is none, or none any more.
	Item(u carillon.User, created carillon.Seq) (*carillon.Item, error)
	// Items are the live items below before (0: all), newest first, n at most.
	Items(u carillon.User, before carillon.Seq, n int) ([]*carillon.Item, error)
	// Find resolves a derived id.
	Find(u carillon.User, id carillon.ID) (carillon.Seq, bool, error)
	// Idem finds a keyed request.
	Idem(u carillon.User, rid carillon.RequestID) (carillon.Idem, bool, error)
}

// State is what the walk and the doors read of what users did.
type State interface {
	// Feed appends up to n places after a seq at which live items changed, in
	// ascending order.
	Feed(dst []carillon.FeedEntry, u carillon.User, after carillon.Seq, n int) ([]carillon.FeedEntry, error)
	// Floor is what the user said of everything before some seqs; Item and Items
	// have worked it in.
	Floor(u carillon.User) (carillon.Floor, error)
	// Sync is what the user's endpoints were told and are owed.
	Sync(u carillon.User) (carillon.Sync, error)
	// Owner is whose a push address is.
	Owner(h carillon.AddressHash) (carillon.Owner, bool, error)
}

// Store is what the suite tests.
type Store interface {
	Reader
	Hints
	State
	Feed
	Writer
}

// Ended is the log of outcomes, and what it needs to tell of what expired.
type Ended interface {
	// Ended calls fn for what stands in a partition's log from a place on and
	// below the row to, in order, until it returns false. Next is where to go on.
	Ended(partition int32, from carillon.LogPlace, to uint64, fn func(e *carillon.Ended) bool) (next carillon.LogPlace, err error)
	// EndedKept tells from where on the log is kept, and where it ends.
	EndedKept(partition int32) (from, end uint64, err error)
	// Expired is as Item, of one that expired, while its row is there.
	Expired(u carillon.User, created carillon.Seq) (*carillon.Item, error)
}

// Writer is what rows get in and out by.
type Writer interface {
	Progress(partition int32) (carillon.Progress, error)
	Write(rows *carillon.Rows, sync bool) error
	// TrimUser drops the oldest items beyond the newest keep, unless a delivery
	// of theirs is open.
	TrimUser(u carillon.User, keep int) (dropped int, err error)
}

// Hints is what the walk reads of deliveries that wait durably.
type Hints interface {
	// Due appends up to n due rows of a partition, soonest first, after a row.
	Due(dst []carillon.DueRow, partition int32, after *carillon.DueRow, n int) ([]carillon.DueRow, error)
	// Parked appends up to n parked rows in the order of the journal, after a row.
	Parked(dst []carillon.ParkedRow, partition int32, by carillon.ParkedLane, after *carillon.ParkedRow, n int) ([]carillon.ParkedRow, error)
	// ParkedDepth counts a partition's parked rows by lane and priority, in any
	// order.
	ParkedDepth(partition int32) ([]carillon.ParkedCount, error)
}

// Feed is what the doors page through.
type Feed interface {
	Ended
	// History calls fn for the live items created at from or later and before
	// to (0: no bound), in their order or newest first, without their
	// deliveries, until it returns false. Rows is how many were read.
	History(u carillon.User, from, to carillon.Seq, newestFirst bool, fn func(it *carillon.Item) bool) (rows int, err error)
	// Changes calls fn for the entries of a part of the feed in ascending order
	// until it returns false. Next is where to go on; zero at the end.
	Changes(u carillon.User, r carillon.FeedRange, fn func(at carillon.Place, it *carillon.Item) bool) (next carillon.Place, rows int, err error)
}

// Backend is a store under test.
type Backend struct {
	// Open makes an empty store on a clock; the test's Cleanup closes it.
	// What it drops together should span about [Generation].
	Open func(t testing.TB, clock *carillon.Clock) Store
	// Expire makes a store drop what expired, at once. Nil when it does so by
	// itself.
	Expire func(t testing.TB, s Store)
}

// Generation is the width that suits the suite's expiries, which lie hours
// apart.
const Generation = 2 * time.Hour

// Run runs the suite.
func Run(t *testing.T, b Backend) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, r *rig)
	}{
		{"endpoints are read back until they expire", testEndpoints},
		{"an older endpoint never wins", testEndpointVersions},
		{"an endpoint that left stays away", testEndpointLeft},
		{"an endpoint twice in one batch", testEndpointBatch},
		{"items are read back until they expire", testItem},
		{"later outcomes are merged by rank", testOutcomes},
		{"items are listed newest first", testItems},
		{"history is walked in both directions", testHistory},
		{"the feed has every item once, at its last change", testChanges},
		{"a floor mark is in the feed with what it changed", testChangesOfMarks},
		{"derived ids lead to their items", testFind},
		{"a moved item has one version", testMoved},
		{"requests are remembered until they expire", testIdem},
		{"the feed tells what changed", testFeed},
		{"the floor is in every item before it", testFloor},
		{"what endpoints are owed is read back", testSync},
		{"addresses have one owner", testOwner},
		{"what ended is logged in order", testEnded},
		{"batches end the log where all are there", testEndedAtOnce},
		{"an expired item is there for its hint", testExpired},
		{"progress only grows", testProgress},
		{"due rows come soonest first", testDue},
		{"parked rows come in the order of the journal", testParked},
		{"an item tells where a delivery waits", testWaiting},
		{"the oldest items are trimmed", testTrim},
		{"hints of items long gone are swept", testSwept},
		{"users do not see each other", testUsers},
		{"empty rows sync", testEmpty},
		{"callers do not meet", testConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newRig(t, b)) })
	}
	t.Run("model", func(t *testing.T) { testModel(t, b) })
}
