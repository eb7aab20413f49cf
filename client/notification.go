package client

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Notification is what a sender sends; /openapi.json describes each member. TargetHostName
// and a payload are required; what is zero is left out.
type Notification struct {
	TargetHostName    string          `json:"targetHostName"`
	AppNotificationID string          `json:"appNotificationId,omitempty"`
	Expires           time.Time       `json:"expirationDateTime,omitzero"`
	Payload           Payload         `json:"payload"`
	TargetPolicy      *TargetPolicy   `json:"targetPolicy,omitempty"`
	DisplayTimeToLive *int            `json:"displayTimeToLive,omitempty"` // seconds
	Priority          string          `json:"priority,omitempty"`          // High, Low or None
	GroupName         string          `json:"groupName,omitempty"`
	FallbackPolicy    *FallbackPolicy `json:"fallbackPolicy,omitempty"`
	DeliverAt         time.Time       `json:"deliverAt,omitzero"`
	PlatformOptions   json.RawMessage `json:"platformOptions,omitempty"` // docs/platform-options.md
	Locale            string          `json:"locale,omitempty"`
	Badge             *int            `json:"badge,omitempty"`
	StateSync         string          `json:"stateSync,omitempty"` // "none": state stays on each device
}

// Payload is raw content for the app, visual content for the system, or both.
type Payload struct {
	RawContent    string  `json:"rawContent,omitempty"`
	VisualContent *Visual `json:"visualContent,omitempty"`
}

// Visual is what the system shows.
type Visual struct {
	Title string `json:"title"`
	Body  string `json:"body,omitempty"`
}

// TargetPolicy narrows a notification to platforms: Windows, iOS, Android, WebPush.
type TargetPolicy struct {
	PlatformTypes []string `json:"platformTypes"`
}

// FallbackPolicy shows a toast where raw content was not fetched in time.
type FallbackPolicy struct {
	EndpointFallback Fallback `json:"endpointFallback"`
}

// Fallback is the toast: on iOS, after 60 to 600 seconds.
type Fallback struct {
	PlatformTypes          []string `json:"platformTypes"`
	FallbackDelayInSeconds int      `json:"fallbackDelayInSeconds"`
	VisualContent          Visual   `json:"visualContent"`
}

// Action is what the user did; what it means is the app's affair.
type Action string

// The user actions.
const (
	NoInteraction Action = "NoInteraction"
	Activated     Action = "Activated"
	Dismissed     Action = "Dismissed"
	Snoozed       Action = "Snoozed"
)

// Item is a notification as the service remembers it.
type Item struct {
	Notification

	ID       string    `json:"id"`
	ETag     string    `json:"@odata.etag"`
	Created  time.Time `json:"creationDateTime"`
	Modified time.Time `json:"lastModifiedDateTime"` // zero until something changed
	// Status is Active, Updated or Deleted.
	Status          string `json:"status"`
	ReadState       bool   `json:"readState"`
	UserActionState Action `json:"userActionState"`
}

// version grows with each change of the item; 0 when its tag says nothing.
func (it *Item) version() uint64 {
	n, _ := strconv.ParseUint(strings.Trim(strings.TrimPrefix(it.ETag, "W/"), `"`), 36, 64)
	return n
}

// Decision is whether an item belongs on the screen.
type Decision bool

// The decisions.
const (
	Remove Decision = false
	Show   Decision = true
)

// Decide says whether an item belongs on the screen: it is there, the user has
// not touched it and has not read it.
func Decide(it *Item) Decision {
	untouched := it.UserActionState == NoInteraction || it.UserActionState == ""
	return Decision(it.Status != "Deleted" && untouched && !it.ReadState)
}

// ChangeKind is what became of an item.
type ChangeKind uint8

// The kinds of changes.
const (
	// Changed: it is new, or its content or state changed; Item has it.
	Changed ChangeKind = iota
	// Removed: it was deleted, or left what was asked for.
	Removed
	// Cleared: a push says that it leaves the screen, and its state could not be
	// fetched.
	Cleared
)

// Change is one change of a user's notifications.
type Change struct {
	Kind ChangeKind
	ID   string
	// Item is set for Changed. Of a push that carried its content it holds what
	// the push carried; Partial tells that.
	Item    *Item `json:",omitempty"`
	Partial bool  `json:",omitempty"`
}

// Decide is [Decide] of the item; what is removed or cleared leaves the screen.
func (c *Change) Decide() Decision {
	if c.Kind != Changed {
		return Remove
	}
	return Decide(c.Item)
}
