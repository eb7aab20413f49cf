package dispatch

import (
	"time"

	"carillon"
	"carillon/journal"
)

// touched is an item whose state a record changes.
type touched struct {
	r *resident
	// item is what will be written; p's own when p is set: then its row was
	// never written, and goes out with its new state.
	item *carillon.Item
	p    *pending
	// moved and was are those of the row in the store; see carillon.ItemRow.
	moved int64
	was   carillon.Seq
	// state is what the user sees: the floor is worked in.
	state carillon.State
	dirty bool
}

// version is the seq that an item's entity tag stands for.
func (t *touched) version() carillon.Seq { return max(t.item.Content, t.state.Seq()) }

// locate finds the item that a record names.
func (s *shard) locate(r *resident, hash uint64, id carillon.ID, created carillon.Seq) (carillon.Seq, bool) {
	if created != 0 {
		return created, true
	}
	if pos, ok := s.d.deps.IDs.Position(hash, id); ok {
		return pos.Seq, pos.Partition == r.k.partition
	}
	found := false
	for p := r.pendings; p != nil; p = p.next {
		if !p.clear && p.item.ID == id && p.item.Created > created {
			created, found = p.item.Created, true
		}
	}
	s.must("find", func() error {
		c, ok, err := s.d.deps.Store.Find(r.user, id)
		if err == nil && ok && c > created {
			created, found = c, true
		}
		return err
	})
	return created, found
}

// touch finds an item as it is after all records so far; nil when there is none.
func (s *shard) touch(r *resident, id carillon.ID, created carillon.Seq) *touched {
	created, ok := s.locate(r, r.hash, id, created)
	if !ok {
		return nil
	}
	t := s.unwritten(r, created)
	if t == nil {
		var it *carillon.Item
		s.must("item", func() (err error) {
			it, err = s.d.deps.Store.Item(r.user, created)
			return err
		})
		if it == nil {
			return nil
		}
		t = &touched{r: r, item: it, moved: it.Expires, was: it.Feed, state: it.State}
	}
	if t.item.Expires <= s.now {
		return nil
	}
	r.entry.floor().Merge(t.item.Content, &t.state)
	return t
}

// unwritten finds an item whose present row is not in the store.
func (s *shard) unwritten(r *resident, created carillon.Seq) *touched {
	for p := r.pendings; p != nil; p = p.next {
		if !p.clear && p.item.Created == created && !p.written && !p.replaced {
			return &touched{r: r, item: &p.item, p: p, state: p.item.State}
		}
	}
	for _, t := range r.touched {
		if t.item.Created == created {
			return t
		}
	}
	return nil
}

// present is an item as the store and all records so far have it.
func (s *shard) present(r *resident, created carillon.Seq) (it *carillon.Item) {
	for _, t := range r.touched {
		if t.item.Created == created {
			return t.item
		}
	}
	s.must("item", func() (err error) {
		it, err = s.d.deps.Store.Item(r.user, created)
		return err
	})
	if it != nil {
		r.entry.floor().Merge(it.Content, &it.State)
	}
	return it
}

// keepState puts an item's new state in line for its row.
func (s *shard) keepState(t *touched) {
	t.item.State, t.item.Feed = t.state, t.version()
	for p := t.r.pendings; p != nil; p = p.next { // who replaces it asks these
		if !p.clear && p.item.Created == t.item.Created && p.item.Content == t.item.Content {
			p.item.State, p.item.Feed, p.item.Expires = t.item.State, t.item.Feed, t.item.Expires
		}
	}
	if t.p != nil {
		t.p.rowDue = s.now
		s.soil()
		return
	}
	if !t.dirty {
		t.dirty = true
		t.r.holds++
		t.r.touched = append(t.r.touched, t)
		s.touched = append(s.touched, t)
	}
	s.soil()
}

// changed applies what a user did with one notification, or with everything
// before a seq.
func (s *shard) changed(r *resident, rec record) {
	c := &s.rec.Change
	if c.Floor != 0 {
		s.lower(r, rec)
		return
	}
	t := s.touch(r, c.ID, c.Created)
	if s.broken {
		return
	}
	if t != nil && t.item.Feed >= rec.f.Seq { // a replay
		s.finish(r, rec, false)
		return
	}
	refused := s.refuse(t)
	ruled := s.rule(r, rec, refused)
	if refused != 0 {
		s.finish(r, rec, ruled)
		return
	}
	next := t.state
	if t.item.Scheduled { // nobody has it: whoever is done with it takes it back
		var said carillon.State
		said.Apply(c.Change, rec.f.Seq, s.rec.At)
		if _, done := said.Handled(); done {
			note := s.noteOf(t)
			s.loses(rec.win.k, r.user, &note, t.item)
			s.takeBack(t, rec)
		}
		s.finish(r, rec, true)
		return
	}
	if !next.Apply(c.Change, rec.f.Seq, s.rec.At) { // nothing that anybody sees
		s.finish(r, rec, ruled)
		return
	}
	_, before := t.state.Handled()
	t.state = next
	s.keepState(t)
	note := s.noteOf(t)
	if note.LocalState {
		s.finish(r, rec, true)
		return
	}
	y := r.entry.sync()
	why, handled := t.state.Handled()
	switch {
	case handled:
		t.item.Next = carillon.Next{}
		s.silence(t, &note, why)
		y = y.Handle(note.ID, rec.f.Seq, t.item.Expires)
	case before && t.item.ID.IsZero():
		y = y.Restore(note.ID)
		// Where an id has versions, the present one may have been suppressed meanwhile, and
		// an endpoint show the one before: that is cleared, and the present one found in
		// the history.
	}
	s.owe(r, y, c.Installation, note.Targets, rec.f.Seq, t.item.Expires)
	r.more = c.More
	s.finish(r, rec, true)
}

// deleted turns a notification into a tombstone, without its content.
func (s *shard) deleted(r *resident, rec record) {
	t := s.touch(r, s.rec.Delete.ID, s.rec.Delete.Created)
	if s.broken {
		return
	}
	if t != nil && t.item.Feed >= rec.f.Seq { // a replay
		s.finish(r, rec, false)
		return
	}
	refused := s.refuse(t)
	ruled := s.rule(r, rec, refused)
	if refused != 0 {
		s.finish(r, rec, ruled)
		return
	}
	note := s.noteOf(t)
	s.loses(rec.win.k, r.user, &note, t.item)
	s.takeBack(t, rec)
	if t.item.Scheduled {
		s.finish(r, rec, true)
		return
	}
	s.silence(t, &note, carillon.WhyDeleted)
	y := r.entry.sync().Handle(note.ID, rec.f.Seq, t.item.Expires)
	s.owe(r, y, s.rec.Delete.Installation, note.Targets, rec.f.Seq, t.item.Expires)
	s.finish(r, rec, true)
}

// takeBack makes an item a tombstone.
func (s *shard) takeBack(t *touched, rec record) {
	t.state.Delete(rec.f.Seq, s.rec.At)
	t.item.Body, t.item.Next = nil, carillon.Next{}
	s.keepState(t)
}

// refuse is why a record changes nothing of an item, or 0.
func (s *shard) refuse(t *touched) carillon.Code {
	switch {
	case t == nil || t.state.Deleted:
		return carillon.CodeNotFound
	case s.rec.IfSeq != 0 && s.rec.IfSeq != t.version():
		return carillon.CodePrecondition
	}
	return 0
}

// rule writes down the verdict on a conditional record for the door to read.
func (s *shard) rule(r *resident, rec record, refused carillon.Code) (written bool) {
	if !s.rec.HasRID {
		return false
	}
	s.rows.Idems = append(s.rows.Idems, carillon.IdemRow{User: r.user, Idem: carillon.Idem{
		RID: s.rec.RID, BodyHash: s.rec.BodyHash, Seq: rec.f.Seq, Refused: refused,
		Expires: s.rec.At + carillon.IdempotencyFor.Milliseconds(),
	}})
	return true
}

// noteOf is the content of an item, with the id that callers know it by.
func (s *shard) noteOf(t *touched) carillon.Notification {
	if t.p != nil {
		return t.p.note
	}
	var n carillon.Notification
	if err := journal.DecodeNotification(t.item.Body, &n); err != nil {
		s.d.deps.Log.Error("an item's content cannot be decoded", "user", t.r.key, "created", t.item.Created.String(), "error", err)
	}
	if n.ID = t.item.ID; n.ID.IsZero() {
		n.ID = s.d.deps.IDs.Positional(t.r.hash, carillon.Position{Partition: t.item.Partition, Seq: t.item.Created})
	}
	return n
}

// silence ends what is still to be sent of an item: what is queued and what
// waits behind it, what is parked, and what is to be tried again. Which of an
// attempt and a change comes first, the word of the delivery decides.
func (s *shard) silence(t *touched, note *carillon.Notification, why string) {
	if unsuppressed {
		return
	}
	r := t.r
	for p := r.pendings; p != nil; p = p.next {
		if p.clear || p.item.Created != t.item.Created || p.replaced {
			continue
		}
		p.over = why
		s.suppress(p, why)
	}
	if t.p != nil {
		return
	}
	o := carillon.Outcome{Class: carillon.Suppressed, Reason: why}
	for i := range t.item.Deliveries {
		if row := &t.item.Deliveries[i]; row.Hint != carillon.HintNone && !row.Outcome.Class.Terminal() {
			rc := s.takeHint(r, t.item, row, note)
			if rc == nil {
				if why == carillon.WhyDeleted && !r.takesUp(t.item, row) { // when it comes up, nothing says whose it was
					s.countEnded(r.k, r.user.Host, note, t.item, o.Class)
				}
				continue
			}
			s.removeHint(rc, t.item.Expires)
			row.Outcome, row.Hint, row.Due = o, carillon.HintNone, 0
			s.tellEnded(r.user, t.item, row)
			s.countEnded(r.k, r.user.Host, note, t.item, row.Outcome.Class)
			s.d.metrics.outcome(row.Platform, o.Class)
		}
	}
}

// takeHint takes the hint of a delivery away from its keeper; nil when that has
// recalled it: then it comes up by itself, and finds how things are.
func (s *shard) takeHint(r *resident, it *carillon.Item, row *carillon.Delivery, note *carillon.Notification) *recall {
	rc := &recall{
		k: r.k, kind: row.Hint, at: row.Due,
		ref:  carillon.Ref{User: r.user, Created: it.Created, Content: it.Content, Endpoint: row.Endpoint, Kind: row.Kind},
		lane: parkedLane(carillon.Lane{Platform: row.Platform, Host: r.user.Host}, note),
	}
	if !r.k.hints.claim(rc) {
		return nil
	}
	return rc
}

// endResting ends a delivery that was left to a hint when neither that nor p's
// row is written: it was only counted.
func (s *shard) endResting(p *pending, row *carillon.Delivery, o carillon.Outcome) {
	if row.Hint == carillon.HintParked {
		p.k.hints.park(parkedLane(carillon.Lane{Platform: row.Platform, Host: p.r.user.Host}, &p.note), -1)
	}
	row.Outcome, row.Hint, row.Due = o, carillon.HintNone, 0
	s.d.metrics.outcome(row.Platform, o.Class)
}

// abandoned is the end of a delivery whose attempt failed and which is not to be
// repeated: one that was written and never answered may have rung.
func abandoned(o carillon.Outcome, why string) carillon.Outcome {
	if o.Class == carillon.Unknown {
		return carillon.Outcome{Class: carillon.Unconfirmed, Reason: o.Reason, Status: o.Status}
	}
	return carillon.Outcome{Class: carillon.Suppressed, Reason: why}
}

// lower applies a change of everything before a seq: one mark of the user's
// floor, whatever it covers.
func (s *shard) lower(r *resident, rec record) {
	c := &s.rec.Change
	floor := r.entry.floor()
	if floor.Seq() >= rec.f.Seq { // a replay
		s.finish(r, rec, false)
		return
	}
	m := carillon.FloorMark{Change: c.Change, Before: min(c.Floor, rec.f.Seq), At: rec.f.Seq, When: s.rec.At}
	if floor = floor.Add(m); len(floor) > carillon.MaxFloorMarks {
		s.sink(r, floor[0])
		floor = floor[1:]
	}
	expires := floorExpiry(floor)
	st := r.alter()
	s.rows.Floors = append(s.rows.Floors, carillon.FloorRow{User: r.user, Floor: floor, Expires: expires, Moved: st.floorRow})
	st.floor, st.floorRow = floor, expires
	for p := r.pendings; p != nil; p = p.next {
		if p.clear || p.replaced || p.over != "" || p.note.LocalState {
			continue
		}
		state := p.item.State
		floor.Merge(p.item.Content, &state)
		if why, handled := state.Handled(); handled && !unsuppressed {
			p.over = why
			s.suppress(p, why)
		}
	}
	s.owe(r, r.entry.sync().Flood(rec.f.Seq, expires), c.Installation, 0, rec.f.Seq, expires)
	s.finish(r, rec, true)
}

// floorExpiry is when everything that a floor covers has expired.
func floorExpiry(f carillon.Floor) int64 {
	var last int64
	for i := range f {
		last = max(last, f[i].When)
	}
	return last + (carillon.MaxLife + time.Hour).Milliseconds()
}

// sink writes a mark into the items that it covers, so that the floor need not
// keep it: of a user who draws more lines than anybody needs.
func (s *shard) sink(r *resident, m carillon.FloorMark) {
	for before := m.Before; ; {
		var items []*carillon.Item
		s.must("items", func() (err error) {
			items, err = s.d.deps.Store.Items(r.user, before, sinkPage)
			return err
		})
		for _, it := range items {
			before = it.Created
			t := s.unwritten(r, it.Created)
			if t == nil {
				t = &touched{r: r, item: it, moved: it.Expires, was: it.Feed, state: it.State}
			}
			// The store has worked the mark in: the row only has to say so.
			if t.p == nil && !t.dirty && t.state.Seq() > it.Feed {
				s.keepFloor(t)
			}
		}
		if len(items) < sinkPage {
			return
		}
	}
}

const sinkPage = 500

// keepFloor writes an item's row with the floor in it, at its place in the feed.
func (s *shard) keepFloor(t *touched) {
	t.dirty = true
	t.item.State = t.state
	t.r.holds++
	t.r.touched = append(t.r.touched, t)
	s.touched = append(s.touched, t)
	s.soil()
}

// alter gives the user another entry, whose state is the caller's to change
// before anybody sees it.
func (r *resident) alter() *userState {
	e := *r.entry
	st := &userState{}
	if e.state != nil {
		*st = *e.state
	}
	e.state = st
	r.entry, r.changed = &e, true
	return st
}
