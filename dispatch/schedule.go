package dispatch

import (
	"carillon"
	"carillon/journal"
)

// A scheduled notification is a row that no device sees, and a due row. When its
// time comes the shard appends its release to the user's journal, so that it
// takes its place in the feed at a seq of its own; plan and ledger begin there.

// releaseRow adds the due row by which a scheduled notification waits.
func (s *shard) releaseRow(p *pending) {
	at := p.note.DeliverAt
	s.rows.Dues = append(s.rows.Dues, carillon.DueRow{
		Partition: p.k.partition, At: at, Expires: p.item.Expires,
		Ref: carillon.Ref{User: p.r.user, Created: p.item.Created, Content: p.item.Content, Kind: carillon.KindRelease},
	})
	s.notes = append(s.notes, note{k: p.k, due: at})
}

// awaits tells whether an item still waits for the release of that content.
func awaits(it *carillon.Item, content carillon.Seq, now int64) bool {
	return it != nil && it.Scheduled && !it.State.Deleted && it.Content == content && it.Expires > now
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
	rec := journal.Record{Kind: journal.KindRelease, At: s.now, Release: journal.Release{ID: it.ID, Created: it.Created, Content: it.Content}}
	s.d.metrics.released.Inc()
	s.cause(&causing{due: rc, entry: journal.Entry{Key: r.user.AppendKey(nil), Value: rec.Append(nil)}})
}

// release lets a scheduled notification ring: its content as it was sent, at the
// release's seq.
func (s *shard) release(r *resident, rec record) {
	seq, rel := rec.f.Seq, s.rec.Release
	if t := s.unwritten(r, rel.Created); t != nil && t.p != nil { // replaced since
		s.skip(rec)
		return
	}
	old := s.present(r, rel.Created)
	switch {
	case s.broken:
		return
	case !awaits(old, rel.Content, s.now) && (old == nil || old.Content != seq):
		s.skip(rec)
		return
	}
	p := s.newPending(r, rec.win.k, rec.win)
	if err := journal.DecodeNotification(old.Body, &p.note); err != nil {
		s.d.deps.Log.Error("an item's content cannot be decoded; it rings nowhere", "user", r.key, "created", old.Created.String(), "error", err)
	}
	p.note.DeliverAt = 0
	p.item = carillon.Item{
		Created: old.Created, Content: seq, Partition: rec.win.k.partition,
		ID: old.ID, Accepted: old.Accepted, Journalled: old.Journalled, Planned: s.now,
		Expires: old.Expires, Body: old.Body, Deliveries: p.item.Deliveries,
	}
	if p.note.ID = old.ID; old.ID.IsZero() {
		p.note.ID = s.d.deps.IDs.Positional(r.hash, carillon.Position{Partition: p.item.Partition, Seq: old.Created})
	} else {
		r.keyed = append(r.keyed, p)
	}
	s.setOut(r, p, old, seq < rec.win.k.replayEnd)
}
