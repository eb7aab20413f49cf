package httpapi

import (
	"context"
	"sync/atomic"

	"carillon"
)

// Items are the rows that a [Lookup] reads.
type Items interface {
	// Item is nil without an error when there is none.
	Item(u carillon.User, created carillon.Seq) (*carillon.Item, error)
	// Find leads from a derived id to its newest item.
	Find(u carillon.User, id carillon.ID) (created carillon.Seq, ok bool, err error)
}

// Waiter waits, bounded, until the rows of a position are written. [Applied] is
// one.
type Waiter interface {
	Wait(ctx context.Context, pos carillon.Position) error
}

// Lookup finds notifications by their ids, those too whose rows are not written
// yet: who sends one and names it in his next call waits a moment instead of
// being told that there is none. A positional id says itself what to wait for. Of
// derived ids a Lookup knows what its process journalled: a caller that comes to
// another process brings the position of the send, as with every read.
//
// It keeps no id, only up to where the keyed sends to some users stand. So an
// unknown id costs a wait where such a send is not applied yet, and nothing else.
type Lookup struct {
	items     Items
	ids       *carillon.IDKey
	applied   Waiter
	partition func(u carillon.User) int32
	// newest are the seqs of the newest keyed sends, width slots for each
	// partition, which the users of a partition share.
	newest []atomic.Uint64
	width  uint64
}

// lookupSlots is about how many slots a [Lookup] has: 128 KiB.
const lookupSlots = 16 << 10

// NewLookup makes one, of a journal with so many partitions.
func NewLookup(items Items, ids *carillon.IDKey, applied Waiter, partitions int, partition func(u carillon.User) int32) *Lookup {
	width := max(lookupSlots/partitions, 1)
	return &Lookup{
		items: items, ids: ids, applied: applied, partition: partition,
		newest: make([]atomic.Uint64, partitions*width), width: uint64(width),
	}
}

// Journalled notes that a notification with a derived id stands at a position in
// the journal. Its user is named by [carillon.User.Hash].
func (l *Lookup) Journalled(userHash uint64, pos carillon.Position) {
	slot := l.slot(userHash, pos.Partition)
	for old := slot.Load(); old < uint64(pos.Seq); old = slot.Load() {
		if slot.CompareAndSwap(old, uint64(pos.Seq)) {
			return
		}
	}
}

func (l *Lookup) slot(userHash uint64, partition int32) *atomic.Uint64 {
	return &l.newest[uint64(partition)*l.width+userHash%l.width] //nolint:gosec // partitions are not negative
}

// Item is the notification with an id, nil when there is none; a deleted one is
// there until it expires. Its errors are those of the rows and of the waiter.
func (l *Lookup) Item(ctx context.Context, u carillon.User, id carillon.ID) (*carillon.Item, error) {
	it, err := l.Written(u, id)
	pos, positional := l.ids.Position(u.Hash(), id)
	if err != nil || it != nil && (positional || !it.State.Deleted) {
		return it, err
	}
	if !positional { // it, or the next one after a deletion, may be on its way
		pos.Partition = l.partition(u)
		pos.Seq = carillon.Seq(l.slot(u.Hash(), pos.Partition).Load())
	}
	if pos.Seq == 0 {
		return it, nil
	}
	if err := l.applied.Wait(ctx, pos); err != nil {
		return nil, err
	}
	return l.Written(u, id)
}

// Written is [Lookup.Item] of what is written by now: it does not wait.
func (l *Lookup) Written(u carillon.User, id carillon.ID) (*carillon.Item, error) {
	pos, positional := l.ids.Position(u.Hash(), id)
	if positional {
		return l.items.Item(u, pos.Seq)
	}
	created, ok, err := l.items.Find(u, id)
	if err != nil || !ok {
		return nil, err
	}
	return l.items.Item(u, created)
}
