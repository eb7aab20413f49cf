package dispatch

import (
	"slices"

	"carillon"
	"carillon/journal"
)

// replaceOlder ends what is under way of older versions of p's item.
func (s *shard) replaceOlder(r *resident, p *pending) {
	for _, q := range slices.Clone(r.keyed) {
		if q == p || q.item.ID != p.item.ID || q.item.Created != p.item.Created || q.replaced {
			continue
		}
		s.suppress(q, whyReplaced)
		q.replaced = true
		// The older record counts as applied with the next write, so the row that
		// stands for it goes with that write.
		p.hurry = p.hurry || !q.written
	}
}

// endWaiting ends what a written version, which p replaces, left to hints: with
// p's row and not when they come up, as of a shut lane that may be hours later.
// What a keeper has recalled comes up by itself and finds p.
func (s *shard) endWaiting(r *resident, p *pending, old *carillon.Item) {
	if old.Body == nil { // from memory, which may know a part of its deliveries
		if old = s.present(r, old.Created); old == nil {
			return
		}
	}
	var note carillon.Notification // decoded when a place depends on it
	known := false
	for i := range old.Deliveries {
		row := &old.Deliveries[i]
		if row.Hint == carillon.HintNone || row.Outcome.Class.Terminal() {
			continue
		}
		if row.Hint == carillon.HintParked && !known {
			known = true
			if err := journal.DecodeNotification(old.Body, &note); err != nil {
				s.d.deps.Log.Error("an item's content cannot be decoded", "user", r.key, "created", old.Created.String(), "error", err)
			}
		}
		rc := s.takeHint(r, old, row, &note)
		if rc == nil {
			continue
		}
		s.removeHint(rc, old.Expires)
		row.Outcome, row.Hint, row.Due = carillon.Outcome{Class: carillon.Suppressed, Reason: whyReplaced}, carillon.HintNone, 0
		s.tellEnded(r.user, old, row)
		s.countBody(r.k, r.user.Host, old, row.Outcome.Class)
		s.d.metrics.outcome(row.Platform, row.Outcome.Class)
		p.hurry = true // one write, or a replay would end it again
	}
}
