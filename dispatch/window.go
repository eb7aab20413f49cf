package dispatch

import (
	"sync/atomic"

	"carillon"
	"carillon/journal"
)

// window is one fetched batch while it is worked on. Its two counters fall to
// zero as the shards write rows and as deliveries end; the keeper's positions
// pass it then, and never before the windows in front of it.
type window struct {
	k         *keeper
	next      carillon.Seq // the seq after its last record
	bytes     int64        // of keys and values
	unapplied atomic.Int32
	unsettled atomic.Int32
	tally     tally
}

// tally counts, for the ledger, what became of a window's records by the time
// they are settled.
type tally struct {
	records  int64
	planned  atomic.Int64
	open     atomic.Int64
	terminal [carillon.Classes]atomic.Int64
}

// count adds one settled record's deliveries.
func (t *tally) count(ds []carillon.Delivery) {
	t.planned.Add(int64(len(ds)))
	for i := range ds {
		if c := ds[i].Outcome.Class; c.Terminal() {
			t.terminal[c].Add(1)
		} else {
			t.open.Add(1)
		}
	}
}

// applied counts one record whose rows are written.
func (w *window) applied() {
	if w.unapplied.Add(-1) == 0 {
		nudge(w.k.wake)
	}
}

// settled counts one record all of whose deliveries are terminal and written.
func (w *window) settled() {
	w.k.giveBack(1)
	if w.unsettled.Add(-1) == 0 {
		w.k.giveBytes(w.bytes)
		w.k.d.metrics.settled.AddInt64(w.tally.records)
		nudge(w.k.wake)
	}
}

// addTo adds the window's counts to a ledger row.
func (t *tally) addTo(row *carillon.LedgerRow) {
	row.Records += t.records
	row.Planned += t.planned.Load()
	row.Open += t.open.Load()
	for c := range t.terminal {
		row.Terminal[c] += t.terminal[c].Load()
	}
}

// slice is the part of a window that one shard works on.
type slice struct {
	win     *window
	records []journal.Fetched // the whole batch, shared
	hashes  []uint64          // of the users, by record
	index   []int32           // the records that are this shard's
}

// record is one journal record on its way through a shard.
type record struct {
	win  *window
	f    *journal.Fetched
	hash uint64
	// recall is a hint in a record's place: win and f are nil then.
	recall *recall
}

// cut deals a batch's records over shards.
func cut(win *window, records []journal.Fetched, shardOf func(hash uint64) int, shards int) []slice {
	hashes := make([]uint64, len(records))
	owner := make([]uint8, len(records))
	counts := make([]int32, shards)
	for i := range records {
		h := carillon.HashUserKey(records[i].Key)
		o := shardOf(h)
		hashes[i], owner[i] = h, uint8(o) //nolint:gosec // at most 256 shards
		counts[o]++
	}
	slices := make([]slice, shards)
	all := make([]int32, len(records))
	at := int32(0)
	for o := range slices {
		slices[o] = slice{win: win, records: records, hashes: hashes, index: all[at : at : at+counts[o]]}
		at += counts[o]
	}
	for i, o := range owner {
		slices[o].index = append(slices[o].index, int32(i))
	}
	return slices
}
