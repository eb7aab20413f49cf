package dispatch

import (
	"slices"

	"carillon"
)

// tellEnded tells the log of outcomes, with the next write, that a delivery is
// over: in the batch that writes its terminal outcome, and in no other.
func (s *shard) tellEnded(u carillon.User, it *carillon.Item, row *carillon.Delivery) {
	if row.Outcome.Reason == whyErased {
		return
	}
	s.rows.Ended = append(s.rows.Ended, carillon.EndedRow{User: u, Item: it, Delivery: row})
}

// endedRows tells what of p was over before its row is written, or before the
// row of its replacement is.
func (s *shard) endedRows(p *pending) {
	for i := range p.item.Deliveries {
		if row := &p.item.Deliveries[i]; row.Outcome.Class.Terminal() {
			s.tellEnded(p.r.user, &p.item, row)
			s.countEnded(p.k, p.r.user.Host, &p.note, &p.item, row.Outcome.Class)
		}
	}
}

// endedHint tells of a delivery whose hint leads to nothing any more: its item,
// nil when there is none, was replaced or has expired.
func (s *shard) endedHint(r *resident, rc *recall, it *carillon.Item) {
	ref := &rc.ref
	was := &carillon.Item{Created: ref.Created, Content: ref.Content, Partition: rc.k.partition}
	row := &carillon.Delivery{Endpoint: ref.Endpoint, Platform: rc.lane.Lane.Platform, Kind: ref.Kind}
	switch {
	case it != nil && it.Content > ref.Content:
		was.ID = it.ID
		row.Outcome = carillon.Outcome{Class: carillon.Suppressed, Reason: whyReplaced}
		if i := r.entry.find(ref.Endpoint); i >= 0 {
			row.Platform = r.entry.endpoints[i].Platform
		}
	case it != nil: // it was over before, and told then
		return
	default:
		if !s.must("item", func() (err error) {
			it, err = s.d.deps.Store.Expired(r.user, ref.Created)
			return err
		}) || it == nil {
			return // the user was erased, or this comes very late
		}
		i := slices.IndexFunc(it.Deliveries, func(d carillon.Delivery) bool { return rc.of(&d) })
		if i < 0 || it.Content != ref.Content || it.Deliveries[i].Outcome.Class.Terminal() {
			return
		}
		was, row = it, &it.Deliveries[i]
		row.Outcome = carillon.Outcome{Class: carillon.Expired, Reason: row.Outcome.Reason, Status: row.Outcome.Status}
	}
	s.d.metrics.outcome(row.Platform, row.Outcome.Class)
	s.tellEnded(r.user, was, row)
	s.countBody(rc.k, r.user.Host, was, row.Outcome.Class)
}
