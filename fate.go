package carillon

// Fate is what is known of one notification at one endpoint: of a planned
// delivery, or of an endpoint that was not to ring.
type Fate struct {
	// Delivery is nil for an endpoint that was not to ring; then Endpoint is set
	// and Why it was left out.
	Delivery *Delivery
	Endpoint *Endpoint
	Why      string
	// Has tells that the endpoint told that it has it, Knows that it knows that the
	// user is done with it, Owed that it is to be told so yet.
	Has, Knows, Owed bool
	// Fetched is when it told, at the latest, that it has it, Cleared when it was
	// told, or told itself, that the user is done with it: milliseconds since 1970,
	// 0 when not, or when nobody knows any more.
	Fetched, Cleared int64
}

// Why an endpoint was not to ring. As it is now: an endpoint may have changed
// what it wants since.
const (
	LeftOutLater    = "registeredLater" // it finds it in the history
	LeftOutPlatform = "platform"        // not one that was meant
	LeftOutNoPush   = "noPush"          // it wants none
	LeftOutPolling  = "polling"         // no push reaches it: it comes and fetches
	LeftOutUnknown  = "unknown"         // another rule, or another endpoint then
)

// Fates tells of each planned delivery of an item, and then of each of the user's
// present endpoints that was not to ring. Note is the item's content, empty
// when that was deleted.
func Fates(it *Item, note *Notification, endpoints []Endpoint, y *Sync, now int64) []Fate {
	fates := make([]Fate, 0, len(it.Deliveries)+len(endpoints))
	for i := range it.Deliveries {
		d := &it.Deliveries[i]
		f := Fate{Delivery: d}
		f.told(it, y.Of(&Endpoint{ID: d.Endpoint, Incarnation: d.Incarnation}))
		f.Has = f.Has || d.Fetched != 0 || d.Opened != 0
		f.Fetched = earlier(earlier(f.Fetched, d.Fetched), d.Opened)
		fates = append(fates, f)
	}
	for i := range endpoints {
		e := &endpoints[i]
		if it.planned(e) {
			continue
		}
		f := Fate{Endpoint: e, Why: leftOut(it, note, e, now)}
		f.told(it, y.Of(e))
		fates = append(fates, f)
	}
	return fates
}

// told works in what the endpoint was told and told itself.
func (f *Fate) told(it *Item, s EndpointSync) {
	if f.Has = s.Acked >= it.Content; f.Has {
		f.Fetched = s.Seen.When(it.Content)
	}
	at := it.State.Seq()
	if _, done := it.State.Handled(); !done || s.Owed < at {
		return
	}
	if f.Owed = s.Cleared < at; f.Owed {
		return
	}
	f.Knows, f.Cleared = true, earlier(s.Told.When(at), s.Seen.When(at))
}

// earlier is the earlier of two times that are known.
func earlier(a, b int64) int64 {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

// planned tells whether the registration that an endpoint has now was to ring.
func (it *Item) planned(e *Endpoint) bool {
	for i := range it.Deliveries {
		if d := &it.Deliveries[i]; d.Endpoint == e.ID && d.Incarnation == e.Incarnation {
			return true
		}
	}
	return false
}

func leftOut(it *Item, note *Notification, e *Endpoint, now int64) string {
	switch {
	case e.Incarnation > it.Content:
		return LeftOutLater
	case !it.State.Deleted && !note.Targets.Has(e.Platform):
		return LeftOutPlatform
	case e.Push == NoPush:
		return LeftOutNoPush
	case e.Alive(now) && !e.Pushable(now):
		return LeftOutPolling
	}
	return LeftOutUnknown
}
