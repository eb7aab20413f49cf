package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"carillon"
	"carillon/journal"
)

const (
	// recallLines is how many users of a partition lose a broadcast in one append;
	// the next follows when that is applied, so that others' sends wait for no more.
	recallLines = 500
	// recallWays is how many partitions are worked at once.
	recallWays = 4
	// recallRetry is the pause after a fault.
	recallRetry = time.Second
)

// Run takes recalled broadcasts back, until ctx ends: it journals the deletion of
// each user's notification. What was begun before a stop is begun anew; what is
// deleted already is not deleted again.
func (g *Gateway) Run(ctx context.Context) error {
	casts := g.deps.Broadcasts
	if casts == nil {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		if g.takeAllBack(ctx) {
			select {
			case <-ctx.Done():
			case <-casts.recall:
			}
		}
	}
	return nil
}

// takeAllBack tries each that is recalled once; false when one of them is to be
// tried again.
func (g *Gateway) takeAllBack(ctx context.Context) (done bool) {
	done = true
	for _, row := range g.deps.Broadcasts.recalling() {
		err := g.takeBack(ctx, &row)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			g.deps.Log.Warn("a broadcast is not taken back yet; it is tried again", "broadcast", row.ID, "app", row.Host, "error", err)
			done = false
			_ = g.deps.Clock.Sleep(ctx, recallRetry) // its end is ctx's
		}
	}
	return done
}

// takeBack deletes a recalled broadcast's notifications.
func (g *Gateway) takeBack(ctx context.Context, row *broadcastRow) error {
	if err := g.caughtUp(ctx); err != nil {
		return err
	}
	var next atomic.Int32
	var ways sync.WaitGroup
	faults := make([]error, recallWays)
	for i := range faults {
		ways.Go(func() {
			for p := next.Add(1) - 1; int(p) < g.deps.Partitions && faults[i] == nil; p = next.Add(1) - 1 {
				faults[i] = g.takeBackIn(ctx, row, p)
			}
		})
	}
	ways.Wait()
	if err := errors.Join(faults...); err != nil {
		return err
	}
	_, err := g.updateBroadcast(ctx, row.ID, g.deps.Clock.UnixMilli(), func(row *broadcastRow) error {
		row.RecallDone = g.deps.Clock.UnixMilli()
		return nil
	})
	return err
}

// caughtUp waits until all that was journalled before is applied: what comes later
// of a recalled broadcast is passed over.
func (g *Gateway) caughtUp(ctx context.Context) error {
	entries := make([]journal.Entry, g.deps.Partitions)
	mark := journal.Record{Kind: journal.KindErase, At: g.deps.Clock.UnixMilli()} // nobody's: it changes nothing
	for p := range entries {
		entries[p] = journal.Entry{Key: journal.KeyIn(int32(p), g.deps.Partitions), Value: mark.Append(nil)}
	}
	if err := g.append(ctx, entries); err != nil {
		return err
	}
	for i := range entries {
		if err := g.waits(ctx, entries[i].Position); err != nil {
			return err
		}
	}
	return nil
}

// waits waits until a position is applied, however long that takes.
func (g *Gateway) waits(ctx context.Context, at carillon.Position) error {
	for g.deps.Applied.Wait(ctx, at) != nil {
		if err := g.deps.Clock.Sleep(ctx, castPause); err != nil {
			return err
		}
	}
	return nil
}

// takeBackIn does it in one partition, and notes how many lost theirs.
func (g *Gateway) takeBackIn(ctx context.Context, row *broadcastRow, partition int32) error {
	users, err := g.takeBackOf(ctx, row, partition)
	if users > 0 {
		_, noted := g.updateBroadcast(ctx, row.ID, g.deps.Clock.UnixMilli(), func(row *broadcastRow) error {
			row.Recalled += users
			return nil
		})
		err = errors.Join(err, noted)
	}
	return err
}

// takeBackOf deletes what a partition's users have, a page after the other. Who was
// deleted is no member any more.
func (g *Gateway) takeBackOf(ctx context.Context, row *broadcastRow, partition int32) (users int64, err error) {
	var members []carillon.MemberRow
	for after := carillon.Seq(0); ; {
		if members, err = g.deps.BroadcastMembers(members[:0], partition, row.Host, row.ID, after, recallLines); err != nil || len(members) == 0 {
			return users, err
		}
		after = members[len(members)-1].Created
		entries, err := g.deletions(members)
		switch {
		case err != nil:
			return users, err
		case len(entries) == 0:
			continue
		}
		if err := g.append(ctx, entries); err != nil {
			return users, err
		}
		users += int64(len(entries))
		g.metrics.changes.Add(len(entries))
		if err := g.waits(ctx, entries[len(entries)-1].Position); err != nil {
			return users, err
		}
	}
}

// deletions are the records that delete members' notifications, but for those that
// expired or were deleted meanwhile.
func (g *Gateway) deletions(members []carillon.MemberRow) (entries []journal.Entry, err error) {
	for i := range members {
		u := carillon.User{Host: members[i].Host, ID: members[i].UserID}
		it, err := g.deps.Store.Item(u, members[i].Created)
		if err != nil {
			return nil, unreadable(err)
		}
		if it == nil || it.State.Deleted {
			continue
		}
		rec := journal.Record{Kind: journal.KindDelete, At: g.deps.Clock.UnixMilli(), Delete: journal.Delete{ID: it.ID}}
		entries = append(entries, journal.Entry{Key: u.AppendKey(nil), Value: rec.Append(nil)})
	}
	return entries, nil
}
