package httpapi

import (
	"bytes"
	"strconv"
	"strings"

	"carillon"
)

// View is a notification as a caller gets it back.
type View struct {
	// Context is @odata.context; empty leaves it out, as in a list.
	Context []byte
	// ETag is @odata.etag; empty leaves it out.
	ETag string
	ID   carillon.ID
	// Host is the app: targetHostName.
	Host         string
	Notification *carillon.Notification
	State        carillon.State
	// Created and Modified are in milliseconds since 1970; Modified 0 is null:
	// nothing changed since it was made.
	Created, Modified int64
}

// AppendNotification appends a notification as JSON: everything that was sent,
// with the time to live as it was sent, then id, state and times (contract
// §6.1). Names of state and times are those of the light SDKs (contract §2.3).
func AppendNotification(dst []byte, v *View) []byte {
	n := v.Notification
	dst = append(dst, '{')
	if len(v.Context) > 0 {
		dst = append(dst, `"@odata.context":`...)
		dst = AppendString(dst, v.Context)
		dst = append(dst, ',')
	}
	if v.ETag != "" {
		dst = append(dst, `"@odata.etag":`...)
		dst = AppendString(dst, v.ETag)
		dst = append(dst, ',')
	}
	dst = append(dst, `"id":"`...)
	dst = v.ID.Append(dst)
	dst = append(dst, `","targetHostName":`...)
	dst = AppendString(dst, v.Host)
	dst = append(dst, `,"appNotificationId":`...)
	dst = appendStringOrNull(dst, n.AppNotificationID)
	dst = append(dst, `,"expirationDateTime":`...)
	dst = AppendTime(dst, n.Expires)
	dst = append(dst, `,"creationDateTime":`...)
	dst = AppendTime(dst, v.Created)
	dst = append(dst, `,"lastModifiedDateTime":`...)
	dst = AppendTimeOrNull(dst, v.Modified)
	dst = append(dst, `,"displayTimeToLive":`...)
	if n.TTL < 0 {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendInt(dst, int64(n.TTL), 10)
	}
	dst = append(dst, `,"groupName":`...)
	dst = appendStringOrNull(dst, n.Group)
	dst = append(dst, `,"priority":"`...)
	dst = append(dst, n.Priority.String()...)
	dst = append(dst, `","status":"`...)
	dst = append(dst, status(v)...)
	dst = append(dst, `","readState":`...)
	dst = strconv.AppendBool(dst, v.State.Read)
	dst = append(dst, `,"userActionState":"`...)
	dst = append(dst, v.State.Action.String()...)
	dst = append(dst, `","payload":`...)
	dst = appendPayload(dst, n)
	dst = appendPolicies(dst, n)
	dst = appendOptional(dst, n)
	return append(dst, '}')
}

func status(v *View) string {
	switch {
	case v.State.Deleted:
		return "Deleted"
	case v.Modified != 0:
		return "Updated"
	}
	return "Active"
}

func appendPayload(dst []byte, n *carillon.Notification) []byte {
	dst = append(dst, '{')
	if n.HasRaw {
		dst = append(dst, `"rawContent":`...)
		dst = AppendString(dst, n.Raw)
	}
	if n.HasVisual {
		if n.HasRaw {
			dst = append(dst, ',')
		}
		dst = append(dst, `"visualContent":`...)
		dst = appendVisual(dst, n.Title, n.Body)
	}
	return append(dst, '}')
}

func appendVisual(dst []byte, title, body string) []byte {
	dst = append(dst, `{"title":`...)
	dst = AppendString(dst, title)
	dst = append(dst, `,"body":`...)
	dst = appendStringOrNull(dst, body)
	return append(dst, '}')
}

func appendPolicies(dst []byte, n *carillon.Notification) []byte {
	if n.Targets != 0 {
		dst = append(dst, `,"targetPolicy":{"platformTypes":[`...)
		dst = appendPlatforms(dst, n.Targets)
		dst = append(dst, "]}"...)
	}
	if n.Fallback.Delay != 0 {
		dst = append(dst, `,"fallbackPolicy":{"endpointFallback":{"platformTypes":["iOS"],"fallbackDelayInSeconds":`...)
		dst = strconv.AppendInt(dst, int64(n.Fallback.Delay), 10)
		dst = append(dst, `,"visualContent":`...)
		dst = appendVisual(dst, n.Fallback.Title, n.Fallback.Body)
		dst = append(dst, "}}"...)
	}
	return dst
}

// appendPlatforms writes Graph's spelling, in the order of the values.
func appendPlatforms(dst []byte, set carillon.PlatformSet) []byte {
	first := true
	for p := carillon.Windows; p <= carillon.Web; p++ {
		if !set.Has(p) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = AppendString(dst, graphPlatform(p))
	}
	return dst
}

func graphPlatform(p carillon.Platform) string {
	switch p {
	case carillon.Windows:
		return "Windows"
	case carillon.IOS:
		return "iOS"
	case carillon.Android:
		return "Android"
	case carillon.Web:
		return "WebPush"
	case carillon.PlatformNone, carillon.Polling:
	}
	return p.String()
}

// appendOptional writes Carillon's own members and those that the door did not
// know, where they were sent.
func appendOptional(dst []byte, n *carillon.Notification) []byte {
	if len(n.Options) > 0 {
		dst = append(dst, `,"platformOptions":`...)
		dst = append(dst, n.Options...)
	}
	if n.LocalState {
		dst = append(dst, `,"stateSync":"none"`...)
	}
	if n.DeliverAt != 0 {
		dst = append(dst, `,"deliverAt":`...)
		dst = AppendTime(dst, n.DeliverAt)
	}
	if n.Locale != "" {
		dst = append(dst, `,"locale":`...)
		dst = AppendString(dst, n.Locale)
	}
	if n.Badge >= 0 {
		dst = append(dst, `,"badge":`...)
		dst = strconv.AppendInt(dst, int64(n.Badge), 10)
	}
	if extra := bytes.TrimSpace(n.Extra); len(extra) > 2 && extra[0] == '{' && extra[len(extra)-1] == '}' {
		if inner := bytes.TrimSpace(extra[1 : len(extra)-1]); len(inner) > 0 {
			dst = append(dst, ',')
			dst = append(dst, inner...)
		}
	}
	return dst
}

func appendStringOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return AppendString(dst, s)
}

// AppendContext appends the @odata.context of a user's notifications
// (contract §1.3): the service's root, the user key as a URL carries it, and
// "/$entity" for a single one.
func (r *Request) AppendContext(dst []byte, userID string, entity bool) []byte {
	dst = r.AppendServiceRoot(dst)
	dst = append(dst, "/$metadata#users('"...)
	for i := range len(userID) {
		switch c := userID[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_', c == '~':
			dst = append(dst, c)
		case c == '\'': // OData doubles it, URL conventions 5.1.1
			dst = append(dst, "''"...)
		default:
			dst = append(dst, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&0xf])
		}
	}
	dst = append(dst, "')/notifications"...)
	if entity {
		dst = append(dst, "/$entity"...)
	}
	return dst
}

// ETag is an item's entity tag: weak, as it says nothing of bytes, and opaque.
// It changes with whatever a record changed of the item.
func ETag(content carillon.Seq, st *carillon.State) string {
	last := max(content, st.ReadSeq, st.ActionSeq)
	return `W/"` + strconv.FormatUint(uint64(last), 36) + `"`
}

// ParseETag is the version that an entity tag of [ETag] stands for, weak or not.
func ParseETag(s string) (carillon.Seq, bool) {
	s = strings.TrimPrefix(s, "W/")
	if len(s) < 3 || s[0] != '"' || s[len(s)-1] != '"' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:len(s)-1], 36, 64)
	return carillon.Seq(n), err == nil && n != 0
}
