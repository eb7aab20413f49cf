package pebble

import (
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// Snapshot is the store at one moment, whatever is written since. It is for one
// goroutine. It keeps what is replaced meanwhile, and the store from closing,
// until it is closed itself.
type Snapshot struct {
	s      *Store
	db     *pebble.Snapshot
	dir    *directory
	now    int64
	closed bool
}

// Snapshot takes one. What had expired when it was taken is not in it.
func (s *Store) Snapshot() (*Snapshot, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	v := &Snapshot{s: s, db: s.db.NewSnapshot(), now: s.clock.UnixMilli()}
	v.dir = s.directory.Load() // a generation enters it before its first row
	return v, nil
}

// Now is when it was taken, in milliseconds since 1970.
func (v *Snapshot) Now() int64 { return v.now }

// Close lets go of it. The second call does nothing.
func (v *Snapshot) Close() error {
	if v.closed {
		return nil
	}
	v.closed = true
	defer v.s.leave()
	return v.db.Close()
}

// Partitions is the progress of every partition that ever moved, in order.
func (v *Snapshot) Partitions() ([]carillon.Progress, error) {
	var all []carillon.Progress
	err := scan(v.db, []byte{byte(store.AreaPartition), byte(store.KindProgress)}, nil, func(key, value []byte) (bool, error) {
		partition, _, ok := store.PartitionOf(key)
		if !ok {
			return false, store.ErrRow
		}
		p, err := store.DecodeProgress(value, partition)
		all = append(all, p)
		return true, err
	})
	return all, v.end(err)
}

// EachLedger calls fn for every ledger row of a partition, in order, until it
// returns false. The row is fn's until it returns.
func (v *Snapshot) EachLedger(partition int32, fn func(row *carillon.LedgerRow) bool) error {
	var row carillon.LedgerRow
	err := scan(v.db, store.AppendPartitionKey(nil, store.KindLedger, partition), nil, func(key, value []byte) (bool, error) {
		if !store.ReadLedgerKey(key, &row) {
			return false, store.ErrRow
		}
		if err := store.DecodeLedger(value, &row); err != nil {
			return false, err
		}
		return row.Expires <= v.now || fn(&row), nil
	})
	return v.end(err)
}

// EachDue calls fn for every due row whose item did not expire, by partition and
// time, until it returns false. The row is fn's until it returns.
func (v *Snapshot) EachDue(fn func(row *carillon.DueRow) bool) error {
	var row carillon.DueRow
	err := scan(v.db, []byte{byte(store.AreaPartition), byte(store.KindDue)}, nil, func(key, value []byte) (bool, error) {
		if err := decodeDue(key, value, &row); err != nil {
			return false, err
		}
		return row.Expires <= v.now || fn(&row), nil
	})
	return v.end(err)
}

// EachParked is as [Snapshot.EachDue], by partition, lane and priority.
func (v *Snapshot) EachParked(fn func(row *carillon.ParkedRow) bool) error {
	var row carillon.ParkedRow
	err := scan(v.db, []byte{byte(store.AreaPartition), byte(store.KindParked)}, nil, func(key, value []byte) (bool, error) {
		if err := decodeParked(key, value, &row); err != nil {
			return false, err
		}
		return row.Expires <= v.now || fn(&row), nil
	})
	return v.end(err)
}

// Item is as [Store.Item].
func (v *Snapshot) Item(u carillon.User, created carillon.Seq) (*carillon.Item, error) {
	it, err := v.s.item(v.db, v.dir, v.now, u, created)
	return it, v.end(err)
}

// Hints counts the hint rows of a delivery of an item that stand where its Hint
// and Due say: one, when nothing was lost. The broadcast is the one that its
// content names, or "".
func (v *Snapshot) Hints(u carillon.User, it *carillon.Item, broadcast string, d *carillon.Delivery) (n int, err error) {
	ref := carillon.Ref{User: u, Created: it.Created, Content: it.Content, Endpoint: d.Endpoint, Kind: d.Kind}
	look := func(key []byte) {
		row, fault := get(v.db, key)
		if row != nil {
			n++
		}
		if fault != nil {
			err = fault
		}
	}
	switch d.Hint {
	case carillon.HintDue:
		look(store.AppendDueKey(nil, &carillon.DueRow{Partition: it.Partition, At: d.Due, Ref: ref}))
	case carillon.HintParked: // which of the two priorities it has, only its content tells
		by := carillon.ParkedLane{Lane: carillon.Lane{Platform: d.Platform, Host: u.Host}}
		for _, by.Broadcast = range slices.Compact([]string{"", broadcast}) {
			for _, by.Low = range []bool{false, true} {
				look(store.AppendParkedKey(nil, &carillon.ParkedRow{Partition: it.Partition, ParkedLane: by, Ref: ref}))
			}
		}
	case carillon.HintNone:
	}
	return n, v.end(err)
}

// end is the error of a call, or the fault that ended the store meanwhile.
func (v *Snapshot) end(err error) error {
	if err != nil {
		return err
	}
	return v.s.health.err()
}
