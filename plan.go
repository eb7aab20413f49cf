package carillon

// Kind is what a push does at the device. Values are pinned: they stand in rows.
type Kind uint8

// The kinds of push. A clear is no delivery: it is never in plan or ledger.
const (
	KindNone     Kind = iota
	KindAlert         // shows visual content; raw content rides along as data
	KindData          // raw content for the app, nothing is shown
	KindTap           // no content: the app comes and fetches
	KindFallback      // the toast that follows unfetched raw content (iOS)
	KindClear         // removes what was shown
	KindRelease       // no push: lets a scheduled notification ring; in due rows only
)

// String is the name in deliveries and metrics.
func (k Kind) String() string {
	switch k {
	case KindAlert:
		return "alert"
	case KindData:
		return "data"
	case KindTap:
		return "tap"
	case KindFallback:
		return "fallback"
	case KindClear:
		return "clear"
	case KindRelease:
		return "release"
	case KindNone:
	}
	return "none"
}

// Target is one planned delivery: an endpoint and what it shall get.
type Target struct {
	Endpoint *Endpoint
	Kind     Kind
}

// Plan appends to dst which of a user's endpoints shall ring for n, and how, at
// now (milliseconds since 1970). An endpoint is left out when its platform is
// not meant, its life is over, it wants no push, or no push reaches it
// (polling; web until web push is spoken). Visual content is not for the web.
func Plan(dst []Target, n *Notification, endpoints []Endpoint, now int64) []Target {
	for i := range endpoints {
		e := &endpoints[i]
		if !n.Targets.Has(e.Platform) || !e.Pushable(now) {
			continue
		}
		dst = append(dst, Target{Endpoint: e, Kind: kindFor(n, e)})
	}
	return dst
}

func kindFor(n *Notification, e *Endpoint) Kind {
	switch {
	case e.Push == TapOnly:
		return KindTap
	case n.HasVisual:
		return KindAlert
	default:
		return KindData
	}
}

// PlanToast tells whether the toast of n's fallback may follow a planned push:
// on iOS, to an endpoint that gets the raw content, while n lives until then.
// Due is when, counted from accepted (both milliseconds since 1970).
func PlanToast(n *Notification, t *Target, accepted int64) (due int64, ok bool) {
	due = accepted + int64(n.Fallback.Delay)*1000
	return due, n.Fallback.Delay != 0 && t.Kind == KindData && t.Endpoint.Platform == IOS && due < n.Expires
}

// Fetched tells whether an endpoint has told that it saw its user's feed up to a
// notification whose content is at that seq.
func (y Sync) Fetched(e *Endpoint, content Seq) bool {
	es := y.Of(e)
	return es.Acked >= content
}
