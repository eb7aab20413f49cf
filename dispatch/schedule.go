package dispatch

import (
	"slices"

	"carillon"
	"carillon/journal"
)

// A scheduled notification is a row that no device sees, and a due row. When its
// time comes the shard appends its release to the user's journal, so that it
// takes its place in the feed at a seq of its own; plan and ledger begin there.

// A scheduled version of a notification that is there already rests in its row,
// which goes on as it is until then.

// releaseRow adds the due row by which the release of a content waits.
func (s *shard) releaseRow(r *resident, it *carillon.Item, content carillon.Seq, at int64) {
	s.rows.Dues = append(s.rows.Dues, carillon.DueRow{
		Partition: it.Partition, At: at, Expires: it.Expires,
		Ref: carillon.Ref{User: r.user, Created: it.Created, Content: content, Kind: carillon.KindRelease},
	})
	s.notes = append(s.notes, note{k: r.k, due: at})
}

// awaits tells whether an item still waits for the release of that content.
func awaits(it *carillon.Item, content carillon.Seq, now int64) bool {
	return it != nil && it.Awaits(content) && it.Expires > now
}

// stands tells whether there is an item that a scheduled version leaves as it is.
func (s *shard) stands(r *resident, created carillon.Seq) bool {
	_, it := s.releasable(r, created)
	return it != nil && !it.Scheduled && !it.State.Deleted && it.Expires > s.now
}

// keepNext puts a scheduled version by in the row of the present one.
func (s *shard) keepNext(r *resident, rec record, created carillon.Seq) {
	n := &s.rec.Notification
	t := s.touch(r, n.ID, created)
	if s.broken {
		return
	}
	if t == nil || t.item.Next.Content >= rec.f.Seq || t.item.Feed >= rec.f.Seq { // a replay; it may have been taken back since
		s.finish(r, rec, false)
		return
	}
	t.item.Next = carillon.Next{Content: rec.f.Seq, Body: slices.Clone(s.rec.Body)}
	t.item.Expires = max(t.item.Expires, n.Expires) // the present one stays until then
	s.keepState(t)
	s.releaseRow(r, t.item, rec.f.Seq, n.DeliverAt)
	if s.rec.HasRID {
		s.rows.Idems = append(s.rows.Idems, carillon.IdemRow{User: r.user, Idem: carillon.Idem{
			RID: s.rec.RID, BodyHash: s.rec.BodyHash, Seq: rec.f.Seq, ID: n.ID,
			Expires: s.rec.At + carillon.IdempotencyFor.Milliseconds(),
		}})
	}
	s.finish(r, rec, true)
}

// recallScheduled appends the release of a notification whose time has come,
// unless it was taken back or replaced. The due row goes once the journal has
// the release; after a crash in between it comes up again, and the second
// release finds nothing that waits.
func (s *shard) recallScheduled(r *resident, rc *recall) {
	it := s.present(r, rc.ref.Created)
	if s.broken {
		return
	}
	if !awaits(it, rc.ref.Content, s.now) {
		s.dropRecall(rc)
		return
	}
	rec := journal.Record{Kind: journal.KindRelease, At: s.now, Release: journal.Release{ID: it.ID, Created: it.Created, Content: rc.ref.Content}}
	s.d.metrics.released.Inc()
	s.cause(&causing{due: rc, entry: journal.Entry{Key: r.user.AppendKey(nil), Value: rec.Append(nil)}})
}

// release lets a scheduled notification ring: its content as it was sent, at the
// release's seq.
func (s *shard) release(r *resident, rec record) {
	seq, rel := rec.f.Seq, s.rec.Release
	q, old := s.releasable(r, rel.Created)
	switch {
	case s.broken:
		return
	case !awaits(old, rel.Content, s.now) && (old == nil || old.Content != seq):
		s.skip(rec)
		return
	}
	body := old.Body
	if old.Next.Content == rel.Content {
		body = old.Next.Body
	}
	p := s.newPending(r, rec.win.k, rec.win)
	if err := journal.DecodeNotification(body, &p.note); err != nil {
		s.d.deps.Log.Error("an item's content cannot be decoded; it rings nowhere", "user", r.key, "created", old.Created.String(), "error", err)
	}
	p.note.DeliverAt = 0
	p.item = carillon.Item{
		Created: old.Created, Content: seq, Partition: rec.win.k.partition,
		ID: old.ID, Accepted: p.note.Accepted, Journalled: old.Journalled, Planned: s.now,
		Expires: p.note.Expires, Body: body, Deliveries: p.item.Deliveries,
	}
	if p.note.ID = old.ID; old.ID.IsZero() {
		p.note.ID = s.d.deps.IDs.Positional(r.hash, carillon.Position{Partition: p.item.Partition, Seq: old.Created})
	} else {
		r.keyed = append(r.keyed, p)
	}
	if q != nil { // its row is not written: p's stands for both
		old = q.oldRow()
		if q.item.ID.IsZero() { // else it is found by its key
			q.replaced, p.hurry = true, true
		}
	}
	s.setOut(r, p, old, seq < rec.win.k.replayEnd)
}

// releasable is the item that a release names, with the pending that holds it
// while its row is not written, as in a replay.
func (s *shard) releasable(r *resident, created carillon.Seq) (q *pending, it *carillon.Item) {
	if t := s.unwritten(r, created); t != nil && t.p != nil {
		return t.p, t.item
	}
	return nil, s.present(r, created)
}
