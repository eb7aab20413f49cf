package wns

import (
	"strconv"
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/wire"
)

const (
	// maxPayload is Microsoft's limit on a body, in bytes.
	maxPayload = 5000
	// maxLabel is the most that a toast's group may have.
	maxLabel = 64
)

// options are the members of platformOptions that count here; nil when absent.
type options struct {
	wns, data *fastjson.Value
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
	return options{wns: v.Get("wns"), data: v.Get("data"), link: wire.Text(v.GetStringBytes("link"))}
}

// appendBody appends the body of a push, XML for a toast and JSON for raw, and
// returns the kind that it became: a tap where the content would not fit.
func appendBody(dst []byte, p *carillon.Push, parser *fastjson.Parser) ([]byte, carillon.Kind) {
	from := len(dst)
	n := p.Notification
	switch p.Kind {
	case carillon.KindAlert:
		dst = appendToast(dst, p, n.Title, n.Body, parseOptions(parser, n.Options))
	case carillon.KindFallback:
		o := parseOptions(parser, n.Options)
		o.link = ""
		dst = appendToast(dst, p, n.Fallback.Title, n.Fallback.Body, o)
	case carillon.KindData:
		dst = appendRaw(dst, p, parseOptions(parser, n.Options))
	case carillon.KindClear:
		dst = appendMark(dst, p, p.Kind)
		if len(p.Cleared) > 0 {
			dst = wire.AppendList(dst, "ids", p.Cleared)
		}
		dst = append(dst, '}', '}')
	case carillon.KindTap, carillon.KindNone:
		return append(appendMark(dst, p, p.Kind), '}', '}'), p.Kind
	}
	if len(dst)-from > maxPayload {
		return append(appendMark(dst[:from], p, carillon.KindTap), '}', '}'), carillon.KindTap
	}
	return dst, p.Kind
}

// toast tells whether a kind is shown.
func toast(k carillon.Kind) bool { return k == carillon.KindAlert || k == carillon.KindFallback }

func appendToast(dst []byte, p *carillon.Push, title, body string, o options) []byte {
	n := p.Notification
	dst = append(dst, `<toast launch="`...)
	dst = appendLaunch(dst, p, o)
	dst = append(dst, `" tag="`...)
	dst = p.ID.Append(dst)
	if n.Group != "" && len(n.Group) <= maxLabel {
		dst = append(wire.AppendXML(append(dst, `" group="`...), n.Group), '"')
	} else {
		dst = append(dst, '"')
	}
	dst = appendChoice(dst, "scenario", o.wns.GetStringBytes("scenario"), "reminder", "alarm", "incomingCall", "urgent")
	dst = appendChoice(dst, "duration", o.wns.GetStringBytes("duration"), "long", "short")
	dst = append(dst, `><visual><binding template="ToastGeneric"><text>`...)
	dst = append(wire.AppendXML(dst, title), `</text>`...)
	if body != "" {
		dst = append(wire.AppendXML(append(dst, `<text>`...), body), `</text>`...)
	}
	if v := o.wns.GetStringBytes("attribution"); v != nil {
		dst = append(wire.AppendXML(append(dst, `<text placement="attribution">`...), wire.Text(v)), `</text>`...)
	}
	if v := o.wns.GetStringBytes("image"); v != nil {
		dst = append(wire.AppendXML(append(dst, `<image placement="appLogoOverride" src="`...), wire.Text(v)), `"/>`...)
	}
	if v := o.wns.GetStringBytes("hero"); v != nil {
		dst = append(wire.AppendXML(append(dst, `<image placement="hero" src="`...), wire.Text(v)), `"/>`...)
	}
	dst = append(dst, `</binding></visual>`...)
	switch v := o.wns.GetStringBytes("sound"); {
	case v == nil:
	case string(v) == "silent":
		dst = append(dst, `<audio silent="true"/>`...)
	default:
		dst = append(wire.AppendXML(append(dst, `<audio src="`...), wire.Text(v)), `"/>`...)
	}
	return append(dst, `</toast>`...)
}

// appendChoice appends an attribute if its value is one of those allowed.
func appendChoice(dst []byte, name string, value []byte, allowed ...string) []byte {
	for _, a := range allowed {
		if string(value) == a {
			dst = append(append(append(dst, ' '), name...), `="`...)
			return append(append(dst, a...), '"')
		}
	}
	return dst
}

// appendLaunch appends what the app is activated with: a query, its ampersands
// escaped for XML. Raw content that goes with visual content rides in it.
func appendLaunch(dst []byte, p *carillon.Push, o options) []byte {
	n := p.Notification
	dst = p.ID.Append(append(dst, `carillon?id=`...))
	dst = strconv.AppendUint(append(dst, `&amp;pos=`...), uint64(p.Created), 10)
	dst = strconv.AppendUint(append(dst, `&amp;v=`...), uint64(p.Seq), 10)
	dst = append(append(dst, `&amp;k=`...), p.Kind.String()...)
	if p.Kind != carillon.KindAlert {
		return dst
	}
	if n.HasRaw {
		dst = wire.AppendQuery(append(dst, `&amp;raw=`...), n.Raw)
	}
	if n.Group != "" {
		dst = wire.AppendQuery(append(dst, `&amp;group=`...), n.Group)
	}
	if o.link != "" {
		dst = wire.AppendQuery(append(dst, `&amp;link=`...), o.link)
	}
	return dst
}

// appendMark opens the body of a raw push with what every push carries.
func appendMark(dst []byte, p *carillon.Push, k carillon.Kind) []byte {
	dst = p.ID.Append(append(dst, `{"carillon":{"id":"`...))
	dst = append(dst, '"')
	dst = wire.AppendDecimal(dst, "pos", uint64(p.Created))
	dst = wire.AppendDecimal(dst, "v", uint64(p.Seq))
	return wire.AppendMember(dst, "k", k.String())
}

func appendRaw(dst []byte, p *carillon.Push, o options) []byte {
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
		if string(key) != "carillon" {
			dst = wire.AppendValue(wire.AppendKey(dst, wire.Text(key)), v)
		}
	})
	return append(dst, '}')
}

// ttl is X-WNS-TTL in seconds: what is left of the notification's life, on a
// toast not more than it shall be shown.
func ttl(n *carillon.Notification, k carillon.Kind, now int64) int64 {
	left := max((n.Expires-now)/time.Second.Milliseconds(), 1) // 0 is not documented
	if toast(k) && n.TTL > 0 {
		left = min(left, int64(n.TTL))
	}
	return left
}

// priority is X-WNS-PRIORITY: 1 high, 3 low. A clear is low, also when it went
// out as a tap.
func priority(p *carillon.Push, k carillon.Kind) string {
	n := p.Notification
	switch {
	case p.Kind == carillon.KindClear:
		return "3"
	case toast(k), n.Priority == carillon.PriorityHigh, k == carillon.KindTap && n.HasVisual:
		return "1"
	}
	return "3"
}
