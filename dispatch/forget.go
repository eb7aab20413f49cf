package dispatch

import (
	"context"
	"time"

	"carillon"
	"carillon/journal"
)

// forgetEvery is how often it is looked whether an erasure can go on.
const forgetEvery = 2 * time.Second

// forgetter has the bytes of erased users leave the disk, once the record that
// erased them is settled: first the store's, then the journal's.
type forgetter struct {
	d    *Dispatcher
	wake chan struct{}
	// vacated are the erasures whose addresses were vacated once more, at the look
	// before: a crash may have come between their rows and that.
	vacated map[erasure]struct{}
}

// erasure names one.
type erasure struct {
	partition int32
	at        carillon.Seq
}

// run goes on with what an earlier run left, and then with what comes, until ctx
// ends.
func (f *forgetter) run(ctx context.Context) {
	t := f.d.deps.Clock.NewTimer(forgetEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-t.C:
		}
		if f.look(ctx) {
			t.Reset(forgetEvery)
		}
	}
}

// look does what can be done; more tells that something waits.
func (f *forgetter) look(ctx context.Context) (more bool) {
	f.d.mu.Lock()
	keepers := make([]*keeper, 0, len(f.d.keepers))
	for _, k := range f.d.keepers {
		keepers = append(keepers, k)
	}
	begun := len(keepers) > 0
	f.d.mu.Unlock()
	waits, err := f.forget(ctx, keepers)
	if err != nil && ctx.Err() == nil {
		f.d.storeFault("forget", err)
	}
	return waits || err != nil || !begun // the partitions come a moment after the start
}

// forget forgets who is erased and settled. Claims of his addresses stand in any
// partition, so all of them begin another file.
func (f *forgetter) forget(ctx context.Context, keepers []*keeper) (more bool, err error) {
	var gone []carillon.ErasedRow
	for _, k := range keepers {
		var waits bool
		if gone, waits, err = f.partition(ctx, k, gone); err != nil {
			return true, err
		}
		more = more || waits
	}
	if len(gone) == 0 {
		return more, nil
	}
	for _, k := range keepers {
		if f.d.deps.Roll == nil {
			break
		}
		if err := f.d.deps.Roll(ctx, k.partition); err != nil {
			return true, err
		}
	}
	for i := range gone {
		if err := f.d.deps.Store.Forgotten(ctx, &gone[i]); err != nil {
			return true, err
		}
		delete(f.vacated, erasure{gone[i].Partition, gone[i].Seq})
	}
	return more, nil
}

// partition has the store forget a partition's erased users, and adds them to gone;
// waits tells that the erasure of others is not settled yet.
func (f *forgetter) partition(ctx context.Context, k *keeper, gone []carillon.ErasedRow) (_ []carillon.ErasedRow, waits bool, err error) {
	rows, err := f.d.deps.Store.Erasing(k.partition)
	if err != nil {
		return gone, true, err
	}
	settled := k.settledNow()
	for i := range rows {
		if rows[i].Seq >= settled {
			waits = true
			continue
		}
		if again, err := f.vacate(ctx, &rows[i]); again || err != nil {
			waits = true
			if err != nil {
				return gone, true, err
			}
			continue
		}
		if err := f.d.deps.Store.Forget(ctx, &rows[i]); err != nil {
			return gone, true, err
		}
		gone = append(gone, rows[i])
	}
	return gone, waits, nil
}

// vacate vacates an erased user's addresses, which does no harm where it was done;
// again tells that it was not at the look before: the next one finds them applied.
func (f *forgetter) vacate(ctx context.Context, row *carillon.ErasedRow) (again bool, err error) {
	key := erasure{row.Partition, row.Seq}
	if _, done := f.vacated[key]; done || len(row.Addresses) == 0 {
		return false, nil
	}
	entries := make([]journal.Entry, len(row.Addresses))
	for i := range row.Addresses {
		entries[i] = vacation(row.User.Key(), &row.Addresses[i], f.d.deps.Clock.UnixMilli())
	}
	if err := f.d.deps.Journal.Append(ctx, entries); err != nil {
		return true, err
	}
	f.vacated[key] = struct{}{}
	return true, nil
}
