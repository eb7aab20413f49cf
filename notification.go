package carillon

import (
	"time"
)

// Limits on what a sender may send (contract 6.1).
const (
	MaxRaw         = 4 << 10
	MaxTitle       = 256
	MaxBody        = 2 << 10
	MaxKey         = 256 // appNotificationId, Idempotency-Key
	MaxGroup       = 256
	MaxOptions     = 4 << 10
	MaxExtra       = 8 << 10
	MaxRequest     = 64 << 10
	MaxLife        = 30 * 24 * time.Hour
	DefaultLife    = 7 * 24 * time.Hour
	MinFallback    = 60 // seconds
	MaxFallback    = 600
	IdempotencyFor = 24 * time.Hour
)

// Priority is the sender's wish for raw content; visual content always goes out
// High. The values are Graph's and pinned.
type Priority uint8

// Graph's priorities.
const (
	PriorityNone Priority = iota
	PriorityHigh
	PriorityLow
)

// String is Graph's name.
func (p Priority) String() string {
	switch p {
	case PriorityHigh:
		return "High"
	case PriorityLow:
		return "Low"
	case PriorityNone:
	}
	return "None"
}

// Notification is what a sender wants one user to see (visual content), to get
// (raw content), or both: then the visual part is shown and the raw one rides
// along as data. Decoded from a journal record its strings alias the record's
// bytes, so a Notification lives as long as the batch it came in.
type Notification struct {
	// ID is set for keyed notifications only; a positional id is computed from
	// where the record stands.
	ID ID
	// AppNotificationID is the sender's own key, "" when absent.
	AppNotificationID string
	// Accepted is when the door took it, Expires when it leaves store and
	// history: milliseconds since 1970.
	Accepted, Expires int64
	Priority          Priority
	// Targets are the platforms that shall ring; empty is all.
	Targets PlatformSet
	// TTL is displayTimeToLive in seconds; -1 when absent.
	TTL   int32
	Group string

	// HasVisual tells whether there is visual content; Title is then not empty.
	HasVisual   bool
	Title, Body string
	// HasRaw tells whether there is raw content.
	HasRaw bool
	Raw    string

	// Fallback is the toast for iOS endpoints that did not fetch a raw
	// notification in time; Delay 0 means none.
	Fallback Fallback
	// Options is the platformOptions object as it was sent (JSON), or empty.
	Options []byte
	// Extra is a JSON object with the members that the door did not know, or
	// empty: the type is open, they are kept and given back.
	Extra []byte
	// LocalState is stateSync "none": reading it on one device clears no other.
	LocalState bool
	// DeliverAt is when it shall ring, milliseconds since 1970; what is past is
	// now.
	DeliverAt int64
	// Broadcast is the id of the broadcast that it belongs to, or empty.
	Broadcast string
	Locale    string
	// Badge is the number to show on the app's icon; -1 when absent.
	Badge int32
}

// DefaultExpiry is when a notification expires that names no time: a week after
// it was accepted or, if that is later, after it shall ring; the limit of 30 days
// holds. Milliseconds since 1970.
func DefaultExpiry(accepted, deliverAt int64) int64 {
	return min(max(accepted, deliverAt)+DefaultLife.Milliseconds(), accepted+MaxLife.Milliseconds())
}

// Fallback is fallbackPolicy.endpointFallback: a toast after Delay seconds.
type Fallback struct {
	Delay       int32 // seconds, 60 … 600; 0 = no fallback
	Title, Body string
}

// Validate checks the rules that hold for every notification, at now
// (milliseconds since 1970). Defaults are the door's to fill in first.
func (n *Notification) Validate(now int64) error {
	if err := n.validateContent(); err != nil {
		return err
	}
	switch {
	case n.Expires <= now:
		return Errorf(CodeInvalidRequest, "expirationDateTime", "lies in the past; leave it out for 7 days")
	case n.Expires-now > MaxLife.Milliseconds()+time.Minute.Milliseconds(): // a minute for the sender's clock
		return Errorf(CodeInvalidRequest, "expirationDateTime", "lies more than 30 days ahead")
	case len(n.AppNotificationID) > MaxKey:
		return tooLong("appNotificationId", len(n.AppNotificationID), MaxKey)
	case len(n.Group) > MaxGroup:
		return tooLong("groupName", len(n.Group), MaxGroup)
	case len(n.Options) > MaxOptions:
		return tooLong("platformOptions", len(n.Options), MaxOptions)
	case len(n.Extra) > MaxExtra:
		return Errorf(CodeInvalidRequest, "", "unknown members take %d bytes together, at most %d may", len(n.Extra), MaxExtra)
	case n.TTL < -1:
		return Errorf(CodeInvalidRequest, "displayTimeToLive", "a number of seconds, 0 or more")
	case n.DeliverAt != 0 && n.DeliverAt >= n.Expires:
		return Errorf(CodeInvalidRequest, "deliverAt", "lies after expirationDateTime")
	}
	return n.validateFallback()
}

func (n *Notification) validateContent() error {
	switch {
	case !n.HasVisual && !n.HasRaw:
		return Errorf(CodeInvalidRequest, "payload", "needs rawContent or visualContent")
	case n.HasVisual && n.Title == "":
		return Errorf(CodeInvalidRequest, "payload.visualContent.title", "a title is required")
	case len(n.Title) > MaxTitle:
		return tooLong("payload.visualContent.title", len(n.Title), MaxTitle)
	case len(n.Body) > MaxBody:
		return tooLong("payload.visualContent.body", len(n.Body), MaxBody)
	case len(n.Raw) > MaxRaw:
		return tooLong("payload.rawContent", len(n.Raw), MaxRaw)
	}
	return nil
}

func (n *Notification) validateFallback() error {
	f := &n.Fallback
	const at = "fallbackPolicy.endpointFallback"
	switch {
	case f.Delay == 0:
		return nil
	case f.Delay < MinFallback || f.Delay > MaxFallback:
		return Errorf(CodeInvalidRequest, at+".fallbackDelayInSeconds", "%d is not within %d … %d", f.Delay, MinFallback, MaxFallback)
	case !n.Targets.Has(IOS):
		return Errorf(CodeInvalidRequest, at, "targetPolicy.platformTypes must include iOS")
	case f.Title == "":
		return Errorf(CodeInvalidRequest, at+".visualContent.title", "a title is required")
	case len(f.Title) > MaxTitle:
		return tooLong(at+".visualContent.title", len(f.Title), MaxTitle)
	case len(f.Body) > MaxBody:
		return tooLong(at+".visualContent.body", len(f.Body), MaxBody)
	}
	return nil
}

func tooLong(target string, n, limit int) *Error {
	return Errorf(CodeInvalidRequest, target, "has %d bytes, at most %d are allowed", n, limit)
}
