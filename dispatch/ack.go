package dispatch

import "carillon"

// acked takes in how far an endpoint saw its user's feed, what it fetched of it
// one by one, and what was opened there.
func (s *shard) acked(r *resident, rec record) {
	a := &s.rec.Ack
	wrote := false
	for i := range a.Fetched {
		wrote = s.acknowledge(r, a.Fetched[i], false) || wrote
	}
	for i := range a.Opened {
		wrote = s.acknowledge(r, a.Opened[i], true) || wrote
	}
	if s.broken {
		return
	}
	y, changed := r.entry.sync().Ack(r.entry.endpoints, a.Installation, a.Incarnation, a.Position, s.now)
	// What is on its way there may show what it saw handled, and of the time before
	// a replay it is not known whether something was: then the next one counts.
	if changed && r.turnAt(a.Installation) < 0 && a.Position >= rec.win.k.replayEnd {
		s.setSync(r, y)
		wrote = true
	}
	if wrote {
		s.done(r, rec)
	} else {
		s.skip(rec)
	}
}

// acknowledge notes that the acknowledging endpoint has a notification, or that it was
// opened there: the first time counts. It tells whether that is to be written.
func (s *shard) acknowledge(r *resident, id carillon.ID, opened bool) bool {
	t := s.touch(r, id, 0)
	if s.broken || t == nil {
		return false
	}
	var marked *carillon.Delivery
	for i := range t.item.Deliveries {
		if row := &t.item.Deliveries[i]; s.isNews(row, opened) {
			marked = row
			break
		}
	}
	if marked == nil {
		return false
	}
	for p := r.pendings; p != nil; p = p.next { // what ends there later keeps it
		if p.clear || p.item.Created != t.item.Created || p.item.Content != t.item.Content {
			continue
		}
		for i := range p.item.Deliveries {
			if row := &p.item.Deliveries[i]; row != marked && s.isNews(row, opened) {
				*times(row, opened) = s.rec.At
			}
		}
	}
	*times(marked, opened) = s.rec.At
	if t.p == nil {
		s.rows.Outcomes = append(s.rows.Outcomes, carillon.OutcomeRow{
			User: r.user, Created: t.item.Created, Content: t.item.Content, Expires: t.item.Expires, Delivery: *marked,
		})
	}
	return t.p == nil
}

// isNews tells whether the record is of the endpoint of that push, and
// news of it.
func (s *shard) isNews(row *carillon.Delivery, opened bool) bool {
	a := &s.rec.Ack
	return row.Endpoint == a.Installation && row.Kind != carillon.KindFallback && (a.Incarnation == 0 || a.Incarnation == row.Incarnation) &&
		*times(row, opened) == 0
}

// times is where a delivery keeps when it was fetched or opened.
func times(row *carillon.Delivery, opened bool) *int64 {
	if opened {
		return &row.Opened
	}
	return &row.Fetched
}
