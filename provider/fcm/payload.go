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

// options are the members of platformOptions that count here; nil when absent.
type options struct {
	fcm, data *fastjson.Value
	link      string
}

// optionsOf reads a push's options; they last until the parser's next use.
func optionsOf(p *carillon.Push, parser *fastjson.Parser) options {
	b := p.Notification.Options
	if len(b) == 0 || p.Kind == carillon.KindClear {
		return options{}
	}
	v, err := parser.ParseBytes(b)
	if err != nil { // the door checked it; what cannot be read cannot style
		return options{}
	}
	return options{fcm: v.Get("fcm"), data: v.Get("data"), link: wire.Text(v.GetStringBytes("link"))}
}

// appendBody appends the JSON body of a push and returns the kind that it
// became: a tap where the content would not fit. A dry one is validated and
// reaches nobody.
func appendBody(dst []byte, p *carillon.Push, parser *fastjson.Parser, now int64, dry bool) ([]byte, carillon.Kind) {
	m := message{p: p, kind: p.Kind, o: optionsOf(p, parser), now: now, b: append(dst, '{')}
	if dry {
		m.b = append(m.b, `"validateOnly":true,`...)
	}
	m.b = append(m.b, `"message":{`...)
	m.b = wire.AppendMember(m.b, target(p.Endpoint.Address), p.Endpoint.Address)
	head := len(m.b)
	n := p.Notification
	switch p.Kind {
	case carillon.KindAlert:
		m.data(n)
		m.android()
		m.notification(n.Title, n.Body)
	case carillon.KindFallback:
		m.data(nil)
		m.android()
		m.notification(n.Fallback.Title, n.Fallback.Body)
	case carillon.KindData:
		m.data(n)
		m.android()
	case carillon.KindClear:
		m.clear()
	case carillon.KindTap, carillon.KindRelease, carillon.KindNone:
		m.tap()
	}
	if m.size > maxPayload {
		m.b, m.kind, m.size = m.b[:head], carillon.KindTap, 0
		m.tap()
	}
	return append(m.b, "}}}"...), m.kind
}

// target is the member of a message that an address belongs in: a Firebase
// installation id is told from a registration token by its shape, 22 characters
// of which the first is c, d, e or f.
func target(address string) string {
	if len(address) != 22 || address[0] < 'c' || address[0] > 'f' {
		return "token"
	}
	for i := range len(address) {
		c := address[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return "token"
		}
	}
	return "fid"
}

// message is one being written.
type message struct {
	p    *carillon.Push
	kind carillon.Kind
	o    options
	now  int64
	b    []byte
	size int // keys and values so far, as FCM counts them
}

func (m *message) tap() {
	m.data(nil)
	m.android()
	m.b = wire.AppendMember(m.b, "collapseKey", tapKey)
}

// clear lists the notifications to take off the screen, by the tags that they
// were shown under.
func (m *message) clear() {
	m.mark()
	if cleared := m.p.Cleared; len(cleared) > 0 {
		ids := make([]byte, 0, 37*len(cleared))
		for i := range cleared {
			ids = append(cleared[i].Append(ids), ',')
		}
		m.add("carillon_ids", wire.Text(ids[:len(ids)-1]))
	}
	m.b = append(m.b, '}')
	m.android()
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
func (m *message) data(n *carillon.Notification) {
	m.mark()
	if n != nil {
		m.content(n)
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

func (m *message) content(n *carillon.Notification) {
	if n.HasRaw {
		m.add("carillon_raw", n.Raw)
	}
	if n.TTL >= 0 {
		m.addDecimal("carillon_ttl", uint64(n.TTL))
	}
	if n.Group != "" {
		m.add("carillon_group", n.Group)
	}
	if m.o.link != "" {
		m.add("carillon_link", m.o.link)
	}
	m.o.data.GetObject().Visit(func(key []byte, v *fastjson.Value) {
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
	return name == "from" || name == "message_type" ||
		strings.HasPrefix(name, "google.") || strings.HasPrefix(name, "gcm.") || strings.HasPrefix(name, "carillon")
}

// android opens message.android, which stays open. What is not for the whole
// push counts for content only.
func (m *message) android() {
	m.b = append(m.b, `,"android":{"priority":"`...)
	if m.urgent() {
		m.b = append(m.b, `HIGH","ttl":"`...)
	} else {
		m.b = append(m.b, `NORMAL","ttl":"`...)
	}
	m.b = strconv.AppendInt(m.b, m.ttl(), 10)
	m.b = append(m.b, `s"`...)
	if m.kind == carillon.KindTap || m.kind == carillon.KindClear {
		return
	}
	for _, name := range [...]string{"directBootOk", "bandwidthConstrainedOk", "restrictedSatelliteOk"} {
		if v := m.o.fcm.Get(name); v != nil {
			m.option(name, v, v.Type() == fastjson.TypeTrue || v.Type() == fastjson.TypeFalse)
		}
	}
	if label := m.o.fcm.GetStringBytes("analyticsLabel"); label != nil {
		m.b = wire.AppendMember(append(wire.AppendName(m.b, "fcmOptions"), '{'), "analyticsLabel", wire.Text(label))
		m.b = append(m.b, '}')
	}
}

// ttl is for how many seconds FCM keeps the message for a device that is away; 0
// is now or never.
func (m *message) ttl() int64 {
	left := max(min(time.Duration(m.p.Notification.Expires-m.now)*time.Millisecond, maxTTL), 0)
	secs := int64(left / time.Second)
	if v := m.o.fcm.Get("ttl"); v != nil && v.Type() == fastjson.TypeNumber {
		secs = min(secs, max(v.GetInt64(), 0))
	}
	return secs
}

// urgent is priority HIGH. A clear is not, also when it goes out as a tap.
func (m *message) urgent() bool {
	n := m.p.Notification
	if m.p.Kind == carillon.KindClear || m.kind == carillon.KindNone {
		return false
	}
	switch string(m.o.fcm.GetStringBytes("priority")) {
	case "HIGH":
		return true
	case "NORMAL":
		return false
	}
	return shows(m.kind) || n.Priority == carillon.PriorityHigh || m.kind == carillon.KindTap && n.HasVisual
}

// shows tells whether Android shows a push of that kind by itself.
func shows(k carillon.Kind) bool { return k == carillon.KindAlert || k == carillon.KindFallback }

// notification appends android.notification.
func (m *message) notification(title, body string) {
	from := len(m.b)
	m.b = append(m.b, `,"notification":{`...)
	m.text("title", "titleLocKey", "titleLocArgs", title)
	m.text("body", "bodyLocKey", "bodyLocArgs", body)
	m.b = append(m.b, `,"tag":"`...)
	m.b = append(m.p.ID.Append(m.b), '"')
	switch sound := m.o.fcm.Get("sound"); {
	case sound == nil:
		m.b = wire.AppendMember(m.b, "sound", "default")
	case sound.Type() == fastjson.TypeString:
		m.b = wire.AppendMember(m.b, "sound", wire.Text(sound.GetStringBytes()))
	}
	m.styles()
	if badge := m.p.Notification.Badge; badge >= 0 {
		m.b = wire.AppendNumber(m.b, "notificationCount", int64(badge))
	} else if v := m.o.fcm.Get("notificationCount"); v != nil {
		m.option("notificationCount", v, v.Type() == fastjson.TypeNumber)
	}
	m.b = append(m.b, '}')
	m.size += len(m.b) - from
}

// text appends a text, or in its place the key under which the app has it: its
// SDK prefers the text where both stand.
func (m *message) text(name, key, args, text string) {
	if v := m.o.fcm.GetStringBytes(key); v != nil {
		m.b = wire.AppendMember(m.b, key, wire.Text(v))
		if v := m.o.fcm.Get(args); v != nil {
			m.option(args, v, v.Type() == fastjson.TypeArray)
		}
	} else if text != "" {
		m.b = wire.AppendMember(m.b, name, text)
	}
}

// styles appends the options that go into android.notification as they are.
func (m *message) styles() {
	if m.o.fcm == nil {
		return
	}
	for _, name := range [...]string{"channelId", "icon", "color", "image", "clickAction", "ticker", "notificationPriority", "visibility", "proxy", "eventTime"} {
		if v := m.o.fcm.Get(name); v != nil {
			m.option(name, v, v.Type() == fastjson.TypeString)
		}
	}
	for _, name := range [...]string{"sticky", "localOnly", "defaultSound", "defaultVibrateTimings", "defaultLightSettings"} {
		if v := m.o.fcm.Get(name); v != nil {
			m.option(name, v, v.Type() == fastjson.TypeTrue || v.Type() == fastjson.TypeFalse)
		}
	}
	if v := m.o.fcm.Get("vibrateTimings"); v != nil {
		m.option("vibrateTimings", v, v.Type() == fastjson.TypeArray)
	}
	if v := m.o.fcm.Get("lightSettings"); v != nil {
		m.option("lightSettings", v, v.Type() == fastjson.TypeObject)
	}
}

// option appends an option if its type is right: Google refuses the whole
// message otherwise.
func (m *message) option(name string, v *fastjson.Value, right bool) {
	if right {
		m.b = wire.AppendValue(wire.AppendName(m.b, name), v)
	}
}
