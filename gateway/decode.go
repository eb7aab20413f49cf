package gateway

import (
	"bytes"
	"math"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"carillon"
)

// maxUnknown bounds the members of a body that the door does not know: their
// names are compared with each other.
const maxUnknown = 128

// decoder reads notifications as senders write them (contract §1.2, §6.1). It
// is reused: what it decoded aliases the body and the decoder's own buffers,
// and lasts until the next reset.
type decoder struct {
	cursor
	n    carillon.Notification
	host string
	// expiry tells that the sender named the time himself.
	expiry bool
	// user, subscription and key stand on bulk lines only.
	user, subscription, key string

	seen    uint32
	unknown [][]byte
	extra   []byte
	rules   *optionRules // nil until there are options to hold against them
	starts  bool         // platformOptions start a Live Activity
}

// The members of a notification, by their place in decoder.seen.
const (
	memberHost = iota
	memberAppID
	memberExpires
	memberPayload
	memberTargets
	memberTTL
	memberPriority
	memberGroup
	memberFallback
	memberOptions
	memberSync
	memberDeliverAt
	memberUser
	memberSubscription
	memberKey
	memberComputed // set by the service: taken no notice of, as OData has it
	memberUnknown
)

// member finds a member by its name. Names are compared as they are: JSON
// names have a case.
func member(name []byte, bulk bool) int {
	switch string(name) {
	case "targetHostName":
		return memberHost
	case "appNotificationId":
		return memberAppID
	case "expirationDateTime":
		return memberExpires
	case "payload":
		return memberPayload
	case "targetPolicy":
		return memberTargets
	case "displayTimeToLive":
		return memberTTL
	case "priority":
		return memberPriority
	case "groupName":
		return memberGroup
	case "fallbackPolicy":
		return memberFallback
	case "platformOptions":
		return memberOptions
	case "stateSync":
		return memberSync
	case "deliverAt":
		return memberDeliverAt
	case "id", "creationDateTime", "lastModifiedDateTime", "status", "readState", "userActionState":
		return memberComputed
	}
	if bulk {
		switch string(name) {
		case "userId":
			return memberUser
		case "subscriptionId":
			return memberSubscription
		case "idempotencyKey":
			return memberKey
		}
	}
	if annotation(name) {
		return memberComputed
	}
	return memberUnknown
}

// annotation tells whether a name is OData control information ("@odata.type",
// "priority@odata.type"), which typed clients add and which is no content.
func annotation(name []byte) bool {
	at := bytes.IndexByte(name, '@')
	return at == 0 || at > 0 && bytes.HasPrefix(name[at:], []byte("@odata."))
}

// decode reads a body: one notification as a bare object. now is in
// milliseconds since 1970. A bulk line may carry three members more.
func (d *decoder) decode(body []byte, bulk bool, now int64) *carillon.Error {
	d.reset(body)
	d.n = carillon.Notification{TTL: -1, Badge: -1, Accepted: now}
	d.host, d.expiry, d.user, d.subscription, d.key = "", false, "", "", ""
	d.seen, d.unknown, d.extra, d.starts = 0, d.unknown[:0], d.extra[:0], false
	if !utf8.Valid(body) {
		d.fault("", "the body is not valid UTF-8")
		return d.err
	}
	switch d.peek() {
	case '{':
	case '[':
		d.fault("", "the body is an array; send one notification as a bare object, many as lines to /api/v1/notifications")
		return d.err
	case 0:
		d.fault("", "the body is empty; send a notification as a JSON object")
		return d.err
	default:
		d.fault("", "the body must be a JSON object")
		return d.err
	}
	d.open()
	for first := true; d.next(first, '}'); first = false {
		d.member(d.cursor.key(), bulk)
	}
	d.end()
	d.finish(now)
	return d.err
}

// finish fills in the defaults and checks what one member cannot know.
func (d *decoder) finish(now int64) {
	if d.err != nil {
		return
	}
	n := &d.n
	if len(d.extra) > 0 {
		d.extra = append(d.extra, '}')
		n.Extra = d.extra
	}
	if !d.expiry {
		n.Expires = carillon.DefaultExpiry(now, n.DeliverAt)
	}
	if d.host == "" {
		d.fault("targetHostName", "is required: the verified host name of your app")
		return
	}
	if n.Fallback.Delay != 0 && !n.HasRaw {
		d.fault("fallbackPolicy.endpointFallback", "follows raw content that was not fetched; this payload has no rawContent")
		return
	}
	if d.starts && !n.HasVisual {
		d.fault("platformOptions.apns.event", "a Live Activity starts with an alert; this payload has no visualContent")
		return
	}
	if err := n.Validate(now); err != nil {
		d.err = carillon.AsError(err)
	}
}

// member reads the value behind a name of the top level.
func (d *decoder) member(name []byte, bulk bool) {
	if d.err != nil {
		return
	}
	m := member(name, bulk)
	switch m {
	case memberComputed:
		d.skip()
		return
	case memberUnknown:
		d.keep(name)
		return
	}
	if d.seen&(1<<m) != 0 {
		d.fault(string(name), "stands twice")
		return
	}
	d.seen |= 1 << m
	if d.null() {
		return
	}
	d.value(m)
}

func (d *decoder) value(m int) {
	switch m {
	case memberHost:
		d.hostName()
	case memberAppID:
		d.n.AppNotificationID = d.keyText("appNotificationId")
	case memberExpires:
		d.expires()
	case memberPayload:
		d.payload()
	case memberTargets:
		d.targets()
	case memberTTL:
		d.n.TTL = d.integer("displayTimeToLive", "a number of seconds, 0 or more", 0, math.MaxInt32)
	case memberPriority:
		d.priority()
	case memberGroup:
		d.n.Group = d.str("groupName")
	case memberFallback:
		d.fallbackPolicy()
	case memberOptions:
		d.options()
	case memberSync:
		d.stateSync()
	case memberDeliverAt:
		d.n.DeliverAt = d.time("deliverAt")
	case memberUser:
		d.user = d.str("userId")
	case memberSubscription:
		d.subscription = d.str("subscriptionId")
	case memberKey:
		d.key = d.keyText("idempotencyKey")
	}
}

// keep adds a member that the door does not know to those that are given back
// as they came: the type is open.
func (d *decoder) keep(name []byte) {
	for _, u := range d.unknown {
		if bytes.Equal(u, name) {
			d.fault(string(name), "stands twice")
			return
		}
	}
	if len(d.unknown) == maxUnknown {
		d.fault("", "more than %d members that are not known", maxUnknown)
		return
	}
	d.unknown = append(d.unknown, name)
	sep := byte(',')
	if len(d.extra) == 0 {
		sep = '{'
	}
	quoted := d.name
	raw := d.skip()
	d.extra = append(d.extra, sep)
	d.extra = append(d.extra, quoted...)
	d.extra = append(d.extra, ':')
	d.extra = append(d.extra, raw...)
}

// foreign meets a member that a nested type does not have. Those types are
// closed: what would be lost silently is refused.
func (d *decoder) foreign(target string, name []byte) {
	if d.err != nil {
		return
	}
	if annotation(name) {
		d.skip()
		return
	}
	d.fault(target+"."+string(name), "is not known here; your own members may stand at the top level, in rawContent or in platformOptions.data")
}

// text makes a string of bytes that stay unchanged while it lasts.
func text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // as said
}

func (d *decoder) str(target string) string {
	if d.peek() != '"' {
		d.fault(target, "must be a string")
		return ""
	}
	return text(d.string())
}

// keyText reads a key of the sender's, which is never empty.
func (d *decoder) keyText(target string) string {
	s := d.str(target)
	if len(s) == 0 || len(s) > carillon.MaxKey {
		d.fault(target, "a key has 1 to %d bytes, this one has %d", carillon.MaxKey, len(s))
	}
	return s
}

func (d *decoder) hostName() {
	s := d.str("targetHostName")
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' { // DNS names have no case (RFC 4343)
			s = strings.ToLower(s)
			break
		}
	}
	d.host = s
	if d.err != nil {
		return
	}
	if err := carillon.ValidateHost(s); err != nil {
		d.err = carillon.AsError(err)
	}
}

func (d *decoder) expires() {
	d.n.Expires, d.expiry = d.time("expirationDateTime"), true
}

// time reads a date and time of RFC 3339, as milliseconds since 1970.
func (d *decoder) time(target string) int64 {
	s := d.str(target)
	if d.err != nil {
		return 0
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		d.fault(target, "%.40q is not a date and time of RFC 3339 such as 2026-12-01T23:59:00Z", s)
		return 0
	}
	return t.UnixMilli()
}

// integer reads a number or, as samples of the original service send it, a
// numeric string.
func (d *decoder) integer(target, want string, lo, hi int64) int32 {
	var digits []byte
	switch ch := d.peek(); {
	case ch == '"':
		digits = d.string()
	case ch == '-' || ch >= '0' && ch <= '9':
		digits = d.number()
	default:
		d.fault(target, "must be %s", want)
		return 0
	}
	v, ok := atoi(digits)
	if d.err == nil && (!ok || v < lo || v > hi) {
		d.fault(target, "%.20q is not %s", digits, want)
	}
	return int32(v) //nolint:gosec // atoi bounds it
}

func atoi(b []byte) (int64, bool) {
	digits := bytes.TrimPrefix(b, []byte{'-'})
	if len(digits) == 0 || len(digits) > 10 {
		return 0, false
	}
	var v int64
	for _, ch := range digits {
		if ch < '0' || ch > '9' {
			return 0, false
		}
		v = v*10 + int64(ch-'0')
	}
	if len(digits) != len(b) {
		v = -v
	}
	return v, v >= math.MinInt32 && v <= math.MaxInt32
}

// priority takes Graph's names in any case, and its numbers (0, 1, 2), which
// the 2018 form of the service used.
func (d *decoder) priority() {
	if d.peek() != '"' {
		v := d.integer("priority", "one of None, High, Low", 0, int64(carillon.PriorityLow))
		d.n.Priority = carillon.Priority(v) //nolint:gosec // 0 to 2
		return
	}
	switch s := d.str("priority"); {
	case s == "High", s == "1", strings.EqualFold(s, "high"):
		d.n.Priority = carillon.PriorityHigh
	case s == "2", strings.EqualFold(s, "low"):
		d.n.Priority = carillon.PriorityLow
	case s == "0", strings.EqualFold(s, "none"):
		d.n.Priority = carillon.PriorityNone
	default:
		d.fault("priority", "%.40q is not one of None, High, Low", s)
	}
}

func (d *decoder) stateSync() {
	switch s := d.str("stateSync"); s {
	case "all":
	case "none":
		d.n.LocalState = true
	default:
		d.fault("stateSync", "%.40q is not one of all, none", s)
	}
}
