package apns

import (
	"bytes"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/wire"
)

// limit is Apple's limit on a body of that push type, in bytes.
func limit(pushType string) int {
	if pushType == "voip" {
		return 5120
	}
	return 4096
}

// options are the members of platformOptions that count here; nil when absent.
type options struct {
	apns, data *fastjson.Value
	link       string
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
	return options{apns: v.Get("apns"), data: v.Get("data"), link: wire.Text(v.GetStringBytes("link"))}
}

// pushType is the push type asked for, "" for alert and background.
func (o *options) pushType() string {
	if t := wire.Text(o.apns.GetStringBytes("push-type")); t != "alert" {
		return t
	}
	return ""
}

// appendBody appends the JSON body of a push and returns the kind that it
// became: a tap where the content would not fit. A Live Activity has no tap, so
// that its body may be too large.
func appendBody(dst []byte, p *carillon.Push, pushType string, o *options) ([]byte, carillon.Kind) {
	from := len(dst)
	n := p.Notification
	switch p.Kind {
	case carillon.KindAlert, carillon.KindData:
		switch {
		case pushType == "liveactivity":
			return appendActivity(dst, p, o), p.Kind
		case p.Kind == carillon.KindAlert && pushType != "widgets" && pushType != "controls":
			dst = appendAlert(dst, p, n.Title, n.Body, o)
		default:
			dst = appendData(appendSilent(dst, pushType), p, o)
		}
	case carillon.KindFallback:
		dst = appendAlert(dst, p, n.Fallback.Title, n.Fallback.Body, o)
	case carillon.KindClear:
		dst = appendClear(dst, p)
	case carillon.KindTap, carillon.KindRelease, carillon.KindNone:
		return appendTap(dst, p, pushType, p.Kind), p.Kind
	}
	if len(dst)-from > limit(pushType) {
		return appendTap(dst[:from], p, pushType, carillon.KindTap), carillon.KindTap
	}
	return dst, p.Kind
}

// appendSilent opens a body that shows nothing by itself.
func appendSilent(dst []byte, pushType string) []byte {
	switch pushType {
	case "":
		return append(dst, `{"aps":{"content-available":1}`...)
	case "widgets", "controls": // "Updating widgets with WidgetKit push notifications"
		return append(dst, `{"aps":{"content-changed":true}`...)
	}
	return append(dst, `{"aps":{}`...)
}

func appendTap(dst []byte, p *carillon.Push, pushType string, k carillon.Kind) []byte {
	return append(appendMark(appendSilent(dst, pushType), p, k), '}', '}')
}

// appendClear appends the body of a clear: the notifications that it takes off
// the screen stand in "ids", by the collapse ids that they were shown under.
func appendClear(dst []byte, p *carillon.Push) []byte {
	dst = appendMark(appendSilent(dst, ""), p, p.Kind)
	if len(p.Cleared) > 0 {
		dst = wire.AppendList(dst, "ids", p.Cleared)
	}
	return append(dst, '}', '}')
}

func appendAlert(dst []byte, p *carillon.Push, title, body string, o *options) []byte {
	dst = append(dst, `{"aps":{`...)
	if p.Kind == carillon.KindFallback {
		dst = appendToast(dst, title, body)
	} else {
		dst = append(appendText(dst, title, body, o), '}')
	}
	n := p.Notification
	dst = appendSound(dst, o)
	if n.Badge >= 0 {
		dst = wire.AppendNumber(dst, "badge", int64(n.Badge))
	} else {
		dst = appendOption(dst, o.apns, "badge", fastjson.TypeNumber)
	}
	dst = appendOption(dst, o.apns, "category", fastjson.TypeString)
	if o.apns.Exists("thread-id") || n.Group == "" {
		dst = appendOption(dst, o.apns, "thread-id", fastjson.TypeString)
	} else {
		dst = wire.AppendMember(dst, "thread-id", n.Group)
	}
	dst = appendOption(dst, o.apns, "interruption-level", fastjson.TypeString)
	dst = appendOption(dst, o.apns, "relevance-score", fastjson.TypeNumber)
	dst = appendOption(dst, o.apns, "mutable-content", fastjson.TypeNumber)
	dst = appendOption(dst, o.apns, "content-available", fastjson.TypeNumber)
	dst = appendOption(dst, o.apns, "target-content-id", fastjson.TypeString)
	dst = appendOption(dst, o.apns, "filter-criteria", fastjson.TypeString)
	dst = append(dst, '}')
	if p.Kind == carillon.KindFallback {
		return append(appendMark(dst, p, p.Kind), '}', '}')
	}
	return appendData(dst, p, o)
}

// appendToast appends the alert member of a fallback's toast: its own text, as
// the options' keys stand for the raw content's.
func appendToast(dst []byte, title, body string) []byte {
	dst = wire.AppendMember(append(wire.AppendName(dst, "alert"), '{'), "title", title)
	if body != "" {
		dst = wire.AppendMember(dst, "body", body)
	}
	return append(dst, '}')
}

// appendText appends the alert member, which stays open. A loc-key stands in
// place of its text: the device takes the text from the app.
func appendText(dst []byte, title, body string, o *options) []byte {
	dst = append(wire.AppendName(dst, "alert"), '{')
	if o.apns.Exists("title-loc-key") {
		dst = appendOption(dst, o.apns, "title-loc-key", fastjson.TypeString)
		dst = appendOption(dst, o.apns, "title-loc-args", fastjson.TypeArray)
	} else {
		dst = wire.AppendMember(dst, "title", title)
	}
	dst = appendOption(dst, o.apns, "subtitle", fastjson.TypeString)
	dst = appendOption(dst, o.apns, "subtitle-loc-key", fastjson.TypeString)
	dst = appendOption(dst, o.apns, "subtitle-loc-args", fastjson.TypeArray)
	switch {
	case o.apns.Exists("loc-key"):
		dst = appendOption(dst, o.apns, "loc-key", fastjson.TypeString)
		dst = appendOption(dst, o.apns, "loc-args", fastjson.TypeArray)
	case body != "":
		dst = wire.AppendMember(dst, "body", body)
	}
	return appendOption(dst, o.apns, "launch-image", fastjson.TypeString)
}

// appendSound appends the sound asked for, or the default one; null is none.
func appendSound(dst []byte, o *options) []byte {
	switch sound := o.apns.Get("sound"); {
	case sound == nil:
		return append(dst, `,"sound":"default"`...)
	case sound.Type() == fastjson.TypeString || sound.Type() == fastjson.TypeObject:
		return wire.AppendValue(wire.AppendName(dst, "sound"), sound)
	}
	return dst
}

// appendActivity appends what starts, updates or ends a Live Activity ("Starting
// and updating Live Activities with ActivityKit push notifications"). Visual
// content is its alert. The device ignores what is older than what it has.
func appendActivity(dst []byte, p *carillon.Push, o *options) []byte {
	n := p.Notification
	dst = wire.AppendNumber(append(dst, `{"aps":{`...), "timestamp", n.Accepted/1000)
	dst = appendOption(dst, o.apns, "event", fastjson.TypeString)
	dst = appendOption(dst, o.apns, "content-state", fastjson.TypeObject)
	dst = appendOption(dst, o.apns, "attributes-type", fastjson.TypeString)
	dst = appendOption(dst, o.apns, "attributes", fastjson.TypeObject)
	dst = appendOption(dst, o.apns, "stale-date", fastjson.TypeNumber)
	dst = appendOption(dst, o.apns, "dismissal-date", fastjson.TypeNumber)
	dst = appendOption(dst, o.apns, "relevance-score", fastjson.TypeNumber)
	dst = appendOption(dst, o.apns, "input-push-token", fastjson.TypeNumber)
	dst = appendOption(dst, o.apns, "input-push-channel", fastjson.TypeString)
	if n.HasVisual {
		dst = append(appendSound(appendText(dst, n.Title, n.Body, o), o), '}')
	}
	return appendData(append(dst, '}'), p, o)
}

// appendOption appends a member of o if it has that type.
func appendOption(dst []byte, o *fastjson.Value, name string, t fastjson.Type) []byte {
	if v := o.Get(name); v != nil && v.Type() == t {
		from := len(dst)
		dst = wire.AppendValue(wire.AppendName(dst, name), v)
		if bytes.HasSuffix(dst, []byte(":null")) { // a number that is none
			return dst[:from]
		}
	}
	return dst
}

// appendMark appends the "carillon" member up to what every push carries,
// without its closing brace.
func appendMark(dst []byte, p *carillon.Push, k carillon.Kind) []byte {
	dst = append(dst, `,"carillon":{"id":"`...)
	dst = append(p.ID.Append(dst), '"')
	dst = wire.AppendDecimal(dst, "pos", uint64(p.Created))
	dst = wire.AppendDecimal(dst, "v", uint64(p.Seq))
	return wire.AppendMember(dst, "k", k.String())
}

// appendData appends the whole "carillon" member and the sender's own data, and
// closes the body.
func appendData(dst []byte, p *carillon.Push, o *options) []byte {
	n := p.Notification
	dst = appendMark(dst, p, p.Kind)
	if n.HasRaw {
		dst = wire.AppendMember(dst, "raw", n.Raw)
	}
	if n.TTL >= 0 {
		dst = wire.AppendNumber(dst, "ttl", int64(n.TTL))
	}
	if n.Group != "" {
		dst = wire.AppendMember(dst, "group", n.Group)
	}
	if o.link != "" {
		dst = wire.AppendMember(dst, "link", o.link)
	}
	dst = append(dst, '}')
	o.data.GetObject().Visit(func(key []byte, v *fastjson.Value) {
		if string(key) != "aps" && string(key) != "carillon" {
			dst = wire.AppendValue(wire.AppendKey(dst, wire.Text(key)), v)
		}
	})
	return append(dst, '}')
}

// pushID is the apns-id: the same for every attempt of a delivery, on every
// instance, so that traces of one can be told from another's.
func pushID(p *carillon.Push, k carillon.Kind) carillon.ID {
	var b [16 + 8 + 1 + 128 + 8]byte // an installation id has at most 128 bytes
	copy(b[:], p.ID[:])
	binary.BigEndian.PutUint64(b[16:], uint64(p.Seq))
	b[24] = byte(k)
	n := 25 + copy(b[25:25+128], p.Endpoint.ID)
	var id carillon.ID
	first := xxhash.Sum64(b[:n])
	binary.BigEndian.PutUint64(id[:], first)
	binary.BigEndian.PutUint64(b[n:], first)
	binary.BigEndian.PutUint64(id[8:], xxhash.Sum64(b[:n+8]))
	id[6] = id[6]&0x0f | 0x80 // version 8, RFC 9562 §5.8
	id[8] = id[8]&0x3f | 0x80
	return id
}
