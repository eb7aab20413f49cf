package carillon

import "slices"

// MaxCleared is how many ids of handled notifications a user's endpoints are
// told of by name; when there are more, they are told to come and fetch.
const MaxCleared = 64

// ClearedID is a notification that the user is done with, and since when.
type ClearedID struct {
	ID ID
	At Seq
}

// EndpointSync is how far one endpoint was told of what was handled elsewhere.
type EndpointSync struct {
	Endpoint    string
	Incarnation Seq
	// Owed is the seq up to which it must hear of changes, Cleared the one up to
	// which it was told, Acked the one up to which it told us that it saw the
	// feed. A clear is owed while Cleared < Owed.
	Owed, Cleared, Acked Seq
	// Until is when everything that it is owed has expired, Due when the next
	// try is: milliseconds since 1970, 0 when no retry waits.
	Until, Due int64
	// Attempts counts the tries since it was told last.
	Attempts uint8
	// Behind tells that it may show what was handled before it came: it must come
	// and fetch.
	Behind bool
	// Seen is when it told us how far it saw the feed, Told when a vendor took
	// what told it of changes.
	Seen, Told Trail
}

// Owes tells whether the endpoint must still hear of something at now.
func (e *EndpointSync) Owes(now int64) bool { return e.Cleared < e.Owed && now < e.Until }

// Sync is what the endpoints of one user know of each other's changes. It is a
// value: its methods make another and leave what the old one holds alone.
type Sync struct {
	// Recent are the notifications handled lately, the oldest first.
	Recent []ClearedID
	// Lost is the seq up to which handled notifications may be missing there.
	Lost      Seq
	Endpoints []EndpointSync
	// Expires is when nothing of it matters any more, milliseconds since 1970.
	Expires int64
}

// Empty tells whether there is nothing to remember.
func (y Sync) Empty() bool { return len(y.Recent) == 0 && len(y.Endpoints) == 0 && y.Lost == 0 }

// Handle notes a notification that is handled since at and expires then.
func (y Sync) Handle(id ID, at Seq, expires int64) Sync {
	y = y.Restore(id)
	y.Recent = append(slices.Clip(y.Recent), ClearedID{ID: id, At: at})
	if len(y.Recent) > MaxCleared {
		y.Lost = max(y.Lost, y.Recent[0].At)
		y.Recent = y.Recent[1:]
	}
	y.Expires = max(y.Expires, expires)
	return y
}

// Flood notes that more was handled at that seq than can be named.
func (y Sync) Flood(at Seq, expires int64) Sync {
	y.Recent, y.Lost, y.Expires = nil, max(y.Lost, at), max(y.Expires, expires)
	return y
}

// Restore takes a notification off the list: it is not handled any more, or
// its id names another item now.
func (y Sync) Restore(id ID) Sync {
	if i := slices.IndexFunc(y.Recent, func(c ClearedID) bool { return c.ID == id }); i >= 0 {
		recent := make([]ClearedID, 0, len(y.Recent))
		y.Recent = append(append(recent, y.Recent[:i]...), y.Recent[i+1:]...)
	}
	return y
}

// find is the index of an endpoint's entry, or -1.
func (y Sync) find(e *Endpoint) int {
	return slices.IndexFunc(y.Endpoints, func(s EndpointSync) bool { return s.Endpoint == e.ID && s.Incarnation == e.Incarnation })
}

// Of is what the endpoint was told and is owed.
func (y Sync) Of(e *Endpoint) EndpointSync {
	if i := y.find(e); i >= 0 {
		return y.Endpoints[i]
	}
	return EndpointSync{Endpoint: e.ID, Incarnation: e.Incarnation, Cleared: e.Incarnation}
}

// With is the sync with another entry for its endpoint, in place of all that
// its installation had.
func (y Sync) With(s EndpointSync) Sync {
	eps := make([]EndpointSync, 0, len(y.Endpoints)+1)
	for i := range y.Endpoints {
		if y.Endpoints[i].Endpoint != s.Endpoint {
			eps = append(eps, y.Endpoints[i])
		}
	}
	eps = append(eps, s)
	y.Endpoints = eps
	return y
}

// Owe raises to at what all of a user's endpoints must hear of but the acting
// one, of the platforms that are meant; until is when it does not matter any
// more. It prunes by the way. Owed tells whether there is any such endpoint.
func (y Sync) Owe(endpoints []Endpoint, acting string, targets PlatformSet, at Seq, until, now int64) (next Sync, owed bool) {
	next = y.Prune(endpoints, now)
	for i := range endpoints {
		e := &endpoints[i]
		if e.ID == acting || !targets.Has(e.Platform) || !e.Pushable(now) {
			continue
		}
		j := next.find(e)
		if j < 0 {
			next.Endpoints = append(next.Endpoints, next.Of(e))
			j = len(next.Endpoints) - 1
		}
		s := &next.Endpoints[j]
		if s.Cleared >= s.Owed { // what it heard of before expires for itself
			s.Until = 0
		}
		s.Owed, s.Until = max(s.Owed, at), max(s.Until, until)
		owed = true
	}
	if owed {
		next.Expires = max(next.Expires, until)
	}
	return next, owed
}

// Ack notes that an endpoint saw its user's feed up to there, which is as good as
// a clear; changed is false when that is known or the endpoint is another by now.
func (y Sync) Ack(endpoints []Endpoint, installation string, incarnation, position Seq, now int64) (next Sync, changed bool) {
	i := slices.IndexFunc(endpoints, func(e Endpoint) bool {
		return e.ID == installation && (incarnation == 0 || e.Incarnation == incarnation)
	})
	if i < 0 {
		return y, false
	}
	s := y.Of(&endpoints[i])
	if s.Acked >= position {
		return y, false
	}
	s.Acked, s.Seen = position, s.Seen.Add(position, now)
	if position >= s.Owed {
		s.Cleared = max(s.Cleared, s.Owed)
	}
	next = y.With(s).Prune(endpoints, now)
	next.Expires = max(next.Expires, endpoints[i].Expires)
	return next, true
}

// Prune is the sync without entries of endpoints that are not there any more,
// and without ids that all the others have seen.
func (y Sync) Prune(endpoints []Endpoint, now int64) Sync {
	keep := make([]EndpointSync, 0, len(y.Endpoints))
	seen := MaxSeq
	for i := range endpoints {
		e := &endpoints[i]
		at := y.find(e)
		if !e.Pushable(now) { // it is never told, and may tell
			if at >= 0 && e.Alive(now) && y.Endpoints[at].Acked != 0 {
				s := &y.Endpoints[at]
				keep = append(keep, EndpointSync{Endpoint: e.ID, Incarnation: e.Incarnation, Cleared: e.Incarnation, Acked: s.Acked, Seen: s.Seen, Told: s.Told})
			}
			continue
		}
		if at >= 0 {
			keep = append(keep, y.Endpoints[at])
		}
		s := y.Of(e)
		seen = min(seen, max(s.Acked, s.Incarnation))
	}
	y.Endpoints = keep
	for len(y.Recent) > 0 && y.Recent[0].At <= seen {
		y.Recent = y.Recent[1:]
	}
	return y
}

// Since are the notifications handled since the endpoint's last word; not whole
// when some are missing, so that it must come and fetch. The ids go behind dst.
func (y Sync) Since(dst []ID, s *EndpointSync) (ids []ID, whole bool) {
	from := max(s.Acked, s.Incarnation)
	if from < y.Lost || s.Behind {
		return dst, false
	}
	for i := range y.Recent {
		if y.Recent[i].At > from {
			dst = append(dst, y.Recent[i].ID)
		}
	}
	return dst, true
}

// Pushable tells whether a push may reach the endpoint at now: it is alive,
// wants to be told, and its platform has a vendor here.
func (e *Endpoint) Pushable(now int64) bool {
	if !e.Alive(now) || e.Push == NoPush {
		return false
	}
	switch e.Platform {
	case Windows, IOS, Android:
		return true
	case PlatformNone, Web, Polling:
	}
	return false
}
