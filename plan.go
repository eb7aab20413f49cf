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
