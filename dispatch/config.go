package dispatch

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"carillon"
)

// Config tunes the dispatcher; the zero value is good.
type Config struct {
	// Shards is the number of shard goroutines in this process, at most 256;
	// default one a core.
	Shards int `yaml:"shards"`
	// Credits bounds the deliveries of one partition that are handed to vendors
	// and whose outcome is not written; default 4,096. It is also the most that
	// can ring twice after a crash, a partition. Beside another lane none
	// holds more than half of what the others leave free, and low priority never
	// takes the last eighth. With four times so many records
	// read and not settled, a partition is read no further.
	Credits int `yaml:"credits"`
	// FlushEvery is the longest that an outcome waits for its row; default 20 ms.
	FlushEvery time.Duration `yaml:"flushEvery"`
	// FlushRows is the number of finished rows that are written at once without
	// waiting longer; default 1,000.
	FlushRows int `yaml:"flushRows"`
	// RowDelay is how long a notification's row waits for outcomes to go with
	// it, so that the normal path writes one row; default 100 ms. What is read
	// with a position token waits as long.
	RowDelay time.Duration `yaml:"rowDelay"`
	// SyncEvery is the longest that a written row waits for the disk and a
	// position for its commit; default 200 ms.
	SyncEvery time.Duration `yaml:"syncEvery"`
	// CacheBytes is the size of the user → endpoints cache, which takes about 330 bytes a user with one
	// endpoint; default 512 MiB.
	CacheBytes int64 `yaml:"cacheBytes"`
	// Loaders is the number of goroutines that read missing users from the
	// store; default 2.
	Loaders int `yaml:"loaders"`
	// LaneBatch is the most pushes handed to a vendor's connection in one go;
	// default 256.
	LaneBatch int `yaml:"laneBatch"`
	// LeavesPerMinute caps, an app, the endpoints that leave because a vendor
	// says that they are gone; default 600. More stay, and are counted.
	LeavesPerMinute int `yaml:"leavesPerMinute"`
	// MaxItems caps the items that are remembered of a user; default 10,000, and
	// never below Credits: what a replay may find again must be there. The oldest
	// go, soon rather than at once, but for those with open deliveries.
	MaxItems int `yaml:"maxItems"`
	// DrainTimeout bounds the wait for vendors' answers when stopping; default 5 s.
	DrainTimeout time.Duration `yaml:"drainTimeout"`
}

func (c Config) withDefaults() Config {
	def(&c.Shards, runtime.GOMAXPROCS(0))
	c.Shards = min(c.Shards, 256)
	def(&c.Credits, 4096)
	def(&c.FlushEvery, 20*time.Millisecond)
	def(&c.FlushRows, 1000)
	def(&c.RowDelay, 100*time.Millisecond)
	def(&c.SyncEvery, 200*time.Millisecond)
	def(&c.CacheBytes, 512<<20)
	def(&c.Loaders, 2)
	def(&c.LaneBatch, 256)
	def(&c.LeavesPerMinute, 600)
	def(&c.MaxItems, 10_000)
	c.MaxItems = max(c.MaxItems, c.Credits)
	def(&c.DrainTimeout, 5*time.Second)
	return c
}

func def[T int | int64 | time.Duration](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}

// Reader is what the dispatcher reads of the store: the rows of the users that
// its shards own.
type Reader interface { //nolint:interfacebloat // one consumer, one room to read; splitting it would name nothing
	// Endpoints appends a user's endpoints to dst.
	Endpoints(dst []carillon.Endpoint, u carillon.User) ([]carillon.Endpoint, error)
	// EndpointVersion is the version of an installation's newest row, of one
	// that left too; 0 when there is none.
	EndpointVersion(u carillon.User, id string) (carillon.Seq, error)
	// Item is nil without an error when there is none.
	Item(u carillon.User, created carillon.Seq) (*carillon.Item, error)
	// Expired is as Item, of one that expired, while its row is there.
	Expired(u carillon.User, created carillon.Seq) (*carillon.Item, error)
	// Items are a user's items created before a seq, newest first, n at most.
	Items(u carillon.User, before carillon.Seq, n int) ([]*carillon.Item, error)
	// Find resolves a derived id.
	Find(u carillon.User, id carillon.ID) (carillon.Seq, bool, error)
	// Floor is what the user said of everything before some seqs; Item has
	// worked it in.
	Floor(u carillon.User) (carillon.Floor, error)
	// Sync is what the user's endpoints were told and are owed.
	Sync(u carillon.User) (carillon.Sync, error)
	// Owner is whose a push address is.
	Owner(h carillon.AddressHash) (carillon.Owner, bool, error)
	// Idem finds a keyed request of the last day.
	Idem(u carillon.User, rid carillon.RequestID) (carillon.Idem, bool, error)
	// Due appends up to n due rows of a partition, soonest first, after a row of
	// an earlier call (nil: from the first).
	Due(dst []carillon.DueRow, partition int32, after *carillon.DueRow, n int) ([]carillon.DueRow, error)
	// Parked appends up to n rows that a partition parked by one lane, priority and
	// broadcast, in the order of the journal, after a row of an earlier call.
	Parked(dst []carillon.ParkedRow, partition int32, by carillon.ParkedLane, after *carillon.ParkedRow, n int) ([]carillon.ParkedRow, error)
	// ParkedDepth counts the parked rows of a partition by what they are parked by.
	ParkedDepth(partition int32) ([]carillon.ParkedCount, error)
	// ShardCounts is what one shard counted of a broadcast in a partition.
	ShardCounts(partition int32, host, id string, shard uint8) (carillon.BroadcastCounts, error)
	// Progress is how far a partition is; zero when it never moved.
	Progress(partition int32) (carillon.Progress, error)
	// Erased is the seq of the record that erased a user last; 0 when none did.
	Erased(u carillon.User) (carillon.Seq, error)
	// Erasing lists a partition's users whose rows are gone and whose bytes may
	// be in files yet.
	Erasing(partition int32) ([]carillon.ErasedRow, error)
}

// Store is the [Reader] and the one way to write rows.
type Store interface {
	Reader
	// Write writes all rows as one, durable against a crash of the process;
	// with sync, they and all written before are durable against power loss.
	Write(rows *carillon.Rows, sync bool) error
	// TrimUser drops the oldest items of a user beyond the newest keep, unless a
	// delivery of theirs is open, and tells how many.
	TrimUser(u carillon.User, keep int) (dropped int, err error)
	// Forget has an erased user's bytes leave the store's files, Forgotten ends
	// that.
	Forget(ctx context.Context, row *carillon.ErasedRow) error
	Forgotten(ctx context.Context, row *carillon.ErasedRow) error
}

// Vendors opens the way out for a lane.
type Vendors interface {
	Open(lane carillon.Lane, to carillon.Receiver) (carillon.Sender, error)
}

// Taps wakes who follows users live. Tap is called by shards, for every record
// whose rows are written: it must be quick and never wait. The rows can be read
// when the position is applied.
type Taps interface {
	Tap(userHash uint64, p carillon.Position)
}

// Deps are what a dispatcher works with.
type Deps struct {
	Store   Store
	Vendors Vendors
	Journal Journal
	// Trim, when set, lets the journal forget what is settled.
	Trim func(ctx context.Context, partition int32, settled carillon.Seq) error
	// Roll, when set, lets the journal begin another file for a partition, so
	// that trimming takes everything before away.
	Roll func(ctx context.Context, partition int32) error
	// Taps, when set, hears of every user whose rows changed.
	Taps  Taps
	IDs   *carillon.IDKey
	Clock *carillon.Clock
	Log   *slog.Logger
}
