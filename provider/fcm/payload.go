package fcm

import (
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/wire"
)

const (
	// maxPayload is Google's limit on keys and values, in bytes.
	maxPayload = 4096
	// maxTTL is the longest that FCM keeps a message.
	maxTTL = 4 * 7 * 24 * time.Hour
	// tapKey is shared by all taps: FCM keeps the last one, and one is enough to
	// make the app come and fetch. So it is with clears, as each holds what those
	// before it held. Devices have room for four keys.
	tapKey   = "carillon"
	clearKey = "carillon-clear"
)

// styles are the members of platformOptions.fcm that go into
// android.notification: strings all of them.
const styles = "channelId icon color image clickAction ticker"

// options are the members of platformOptions that count here; nil when absent.
type options struct {
	fcm, data *fastjson.Value
	link      string
}

func parseOptions(p *fastjson.Parser, b []byte) options {
	if len(b) == 0 {
		return options{}
	}
	v, err := p.ParseBytes(b)
	if err != nil { // the door checked it; what cannot be read cannot style
		return options{}
	}
	return options{fcm: v.Get("fcm"), data: v.Get("data"), link: wire.Text(v.GetStringBytes("link"))}
}

// appendBody appends the JSON body of a push and returns the kind that it
// became: a tap where the content would not fit.
func appendBody(dst []byte, p *carillon.Push, parser *fastjson.Parser, now int64) ([]byte, carillon.Kind) {
	m := message{p: p, kind: p.Kind, b: append(dst, `{"message":{"token":`...)}
	m.b = wire.AppendString(m.b, p.Endpoint.Address)
	head := len(m.b)
	n := p.Notification
	switch p.Kind {
	case carillon.KindAlert:
		o := parseOptions(parser, n.Options)
		m.data(n, o)
		m.android(now)
		m.notification(n.Title, n.Body, o)
	case carillon.KindFallback:
		m.data(nil, options{})
		m.android(now)
		m.notification(n.Fallback.Title, n.Fallback.Body, parseOptions(parser, n.Options))
	case carillon.KindData:
		m.data(n, parseOptions(parser, n.Options))
		m.android(now)
	case carillon.KindClear:
		m.clear(now)
	case carillon.KindTap, carillon.KindNone:
		m.tap(now)
	}
	if m.size > maxPayload {
		m.b, m.kind, m.size = m.b[:head], carillon.KindTap, 0
		m.tap(now)
	}
	return append(m.b, "}}}"...), m.kind
}

// message is one being written.
type message struct {
	p    *carillon.Push
	kind carillon.Kind
	b    []byte
	size int // keys and values so far, as FCM counts them
}

func (m *message) tap(now int64) {
	m.data(nil, options{})
	m.android(now)
	m.b = wire.AppendMember(m.b, "collapseKey", tapKey)
}

// clear lists the notifications to take off the screen, by the tags that they
// were shown under.
func (m *message) clear(now int64) {
	m.mark()
	if cleared := m.p.Cleared; len(cleared) > 0 {
		ids := make([]byte, 0, 37*len(cleared))
		for i := range cleared {
			ids = append(cleared[i].Append(ids), ',')
		}
		m.add("carillon_ids", wire.Text(ids[:len(ids)-1]))
	}
	m.b = append(m.b, '}')
	m.android(now)
	m.b = wire.AppendMember(m.b, "collapseKey", clearKey)
}

// add appends a member of data. Google refuses a message with a reserved name.
func (m *message) add(name, value string) {
	m.size += len(name) + len(value)
	m.b = wire.AppendString(wire.AppendKey(m.b, name), value)
}

func (m *message) addDecimal(name string, n uint64) {
	var b [20]byte
	m.add(name, wire.Text(strconv.AppendUint(b[:0], n, 10)))
}

// data appends message.data; n is nil where no content may travel.
func (m *message) data(n *carillon.Notification, o options) {
	m.mark()
	if n != nil {
		m.content(n, o)
	}
	m.b = append(m.b, '}')
}

// mark opens message.data with what every push carries.
func (m *message) mark() {
	m.b = append(m.b, `,"data":{`...)
	var id [36]byte
	m.add("carillon_id", wire.Text(m.p.ID.Append(id[:0])))
	m.addDecimal("carillon_pos", uint64(m.p.Created))
	m.addDecimal("carillon_v", uint64(m.p.Seq))
	m.add("carillon_kind", m.kind.String())
}

func (m *message) content(n *carillon.Notification, o options) {
	if n.HasRaw {
		m.add("raw", n.Raw)
	}
	if n.TTL >= 0 {
		m.addDecimal("ttl", uint64(n.TTL))
	}
	if n.Group != "" {
		m.add("group", n.Group)
	}
	if o.link != "" {
		m.add("carillon_link", o.link)
	}
	o.data.GetObject().Visit(func(key []byte, v *fastjson.Value) {
		name := wire.Text(key)
		if reserved(name) {
			return
		}
		if v.Type() == fastjson.TypeString {
			m.add(name, wire.Text(v.GetStringBytes()))
			return
		}
		m.add(name, wire.Text(wire.AppendValue(nil, v)))
	})
}

// reserved tells whether a name is Google's (message.data of the discovery
// document) or ours.
func reserved(name string) bool {
	switch name {
	case "from", "message_type", "raw", "ttl", "group", "title", "body":
		return true
	}
	return strings.HasPrefix(name, "google.") || strings.HasPrefix(name, "gcm.") || strings.HasPrefix(name, "carillon_")
}

// android opens message.android, which stays open.
func (m *message) android(now int64) {
	n := m.p.Notification
	m.b = append(m.b, `,"android":{"priority":"`...)
	if m.urgent(n) {
		m.b = append(m.b, `HIGH","ttl":"`...)
	} else {
		m.b = append(m.b, `NORMAL","ttl":"`...)
	}
	left := min(time.Duration(n.Expires-now)*time.Millisecond, maxTTL)
	m.b = strconv.AppendInt(m.b, int64(left/time.Second), 10)
	m.b = append(m.b, `s"`...)
}

func (m *message) urgent(n *carillon.Notification) bool {
	switch m.kind {
	case carillon.KindAlert, carillon.KindFallback:
		return true
	case carillon.KindData:
		return n.Priority == carillon.PriorityHigh
	case carillon.KindTap: // in place of a clear, it wakes nobody either
		return m.p.Kind != carillon.KindClear && (n.Priority == carillon.PriorityHigh || n.HasVisual)
	case carillon.KindClear, carillon.KindNone:
	}
	return false
}

// notification appends android.notification.
func (m *message) notification(title, body string, o options) {
	from := len(m.b)
	m.b = append(m.b, `,"notification":{`...)
	m.b = wire.AppendMember(m.b, "title", title)
	if body != "" {
		m.b = wire.AppendMember(m.b, "body", body)
	}
	m.b = append(m.b, `,"tag":"`...)
	m.b = append(m.p.ID.Append(m.b), '"')
	if sound := o.fcm.GetStringBytes("sound"); sound != nil {
		m.b = wire.AppendMember(m.b, "sound", wire.Text(sound))
	} else {
		m.b = wire.AppendMember(m.b, "sound", "default")
	}
	for name := range strings.SplitSeq(styles, " ") {
		if v := o.fcm.GetStringBytes(name); v != nil {
			m.b = wire.AppendMember(m.b, name, wire.Text(v))
		}
	}
	if badge := m.p.Notification.Badge; badge >= 0 {
		m.b = wire.AppendNumber(m.b, "notificationCount", int64(badge))
	}
	m.b = append(m.b, '}')
	m.size += len(m.b) - from
}
