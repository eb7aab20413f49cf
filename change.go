package carillon

// Mark is a flag that a change may also leave as it is. Values are pinned: they
// stand in journal records and rows.
type Mark uint8

// The marks.
const (
	Keep Mark = iota
	Unset
	Set
)

// Change is what one record does to the state of an item: readState,
// userActionState or both.
type Change struct {
	Read Mark
	// Action is the new userActionState when HasAction is set.
	Action    UserAction
	HasAction bool
}

// State is what the user did with an item. The seqs are those of the records
// that wrote each part; they order the writes.
type State struct {
	Read                           bool
	Action                         UserAction
	Deleted                        bool
	ReadSeq, ActionSeq, DeletedSeq Seq
	// Changed is when it last changed, milliseconds since 1970 by the door's
	// clock; 0 when it never did.
	Changed int64
}

// Seq is the seq of the record that wrote the state last; 0 when none did.
func (s *State) Seq() Seq { return max(s.ReadSeq, s.ActionSeq, s.DeletedSeq) }

// Apply merges a change at its seq, made at the time when (milliseconds since
// 1970): the last writer wins, field by field, and nothing moves a deleted item.
// So the order and number of calls do not matter. It tells whether the user sees
// a difference.
func (s *State) Apply(c Change, at Seq, when int64) (changed bool) {
	if s.Deleted {
		return false
	}
	if c.Read != Keep && at > s.ReadSeq {
		read := c.Read == Set
		changed = read != s.Read
		s.Read, s.ReadSeq = read, at
	}
	if c.HasAction && at > s.ActionSeq {
		changed = changed || c.Action != s.Action
		s.Action, s.ActionSeq = c.Action, at
	}
	if changed {
		s.Changed = max(s.Changed, when)
	}
	return changed
}

// Delete makes it a tombstone; false when it is one.
func (s *State) Delete(at Seq, when int64) bool {
	if s.Deleted {
		return false
	}
	s.Deleted, s.DeletedSeq, s.Changed = true, at, max(s.Changed, when)
	return true
}

// Why a delivery is suppressed and a notification cleared, as deliveries show
// it.
const (
	WhyDeleted   = "deleted"
	WhyRead      = "read"
	WhyDismissed = "dismissed"
	WhyActivated = "activated"
	// WhyFetched ends a fallback's toast: its device has the content.
	WhyFetched = "fetched"
)

// Handled tells whether the user is done with the item, and why: then it rings
// nowhere any more, and goes away where it was shown. A snoozed one is not.
func (s *State) Handled() (why string, handled bool) {
	switch {
	case s.Deleted:
		return WhyDeleted, true
	case s.Read:
		return WhyRead, true
	case s.Action == Dismissed:
		return WhyDismissed, true
	case s.Action == Activated:
		return WhyActivated, true
	}
	return "", false
}

// FloorMark changes everything that stands in the feed before a seq at once.
type FloorMark struct {
	Change
	// Before bounds what it covers: items whose content is older.
	Before Seq
	// At is the seq of its record, When its time, milliseconds since 1970.
	At   Seq
	When int64
}

// MaxFloorMarks is how many marks a user's floor keeps before the oldest is
// written into the items that it covers.
const MaxFloorMarks = 16

// Floor is a user's marks, the oldest first. It is a value: Add makes another.
type Floor []FloorMark

// Add is the floor with one mark more, without what that makes pointless: older
// marks that cover no more than it does, in the fields that it sets. A mark that
// is there already changes nothing.
func (f Floor) Add(m FloorMark) Floor {
	next := make(Floor, 0, len(f)+1)
	for _, old := range f {
		if old.At >= m.At { // a replay
			return f
		}
		if old.Before <= m.Before {
			if m.Read != Keep {
				old.Read = Keep
			}
			if m.HasAction {
				old.Action, old.HasAction = NoInteraction, false
			}
		}
		if old.Read != Keep || old.HasAction {
			next = append(next, old)
		}
	}
	return append(next, m)
}

// Merge works the floor into the state of an item whose content is at that seq.
func (f Floor) Merge(content Seq, s *State) (changed bool) {
	for i := range f {
		if content < f[i].Before && s.Apply(f[i].Change, f[i].At, f[i].When) {
			changed = true
		}
	}
	return changed
}

// Seq is the seq of the newest mark; 0 when there is none.
func (f Floor) Seq() Seq {
	if len(f) == 0 {
		return 0
	}
	return f[len(f)-1].At
}
