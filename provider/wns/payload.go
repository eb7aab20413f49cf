package wns

import (
	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/wire"
)

// maxPayload is Microsoft's limit on a body, in bytes.
const maxPayload = 5000

// options are the members of platformOptions that count here; nil when absent.
type options struct {
	wns, data *fastjson.Value
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
	return options{wns: v.Get("wns"), data: v.Get("data"), link: wire.Text(v.GetStringBytes("link"))}
}

// appendBody appends the body of a push, XML for a toast and JSON for raw, and
// returns the kind that it became: a tap where the content would not fit.
func appendBody(dst []byte, p *carillon.Push, o *options) ([]byte, carillon.Kind) {
	from := len(dst)
	n := p.Notification
	switch p.Kind {
	case carillon.KindAlert:
		dst = appendToast(dst, p, n.Title, n.Body, o)
	case carillon.KindFallback:
		dst = appendToast(dst, p, n.Fallback.Title, n.Fallback.Body, o)
	case carillon.KindData:
		dst = appendRaw(dst, p, o)
	case carillon.KindClear:
		dst = appendMark(dst, p, p.Kind)
		if len(p.Cleared) > 0 {
			dst = wire.AppendList(dst, "ids", p.Cleared)
		}
		dst = append(dst, '}', '}')
	case carillon.KindTap, carillon.KindRelease, carillon.KindNone:
		return append(appendMark(dst, p, p.Kind), '}', '}'), p.Kind
	}
	if len(dst)-from > maxPayload {
		return append(appendMark(dst[:from], p, carillon.KindTap), '}', '}'), carillon.KindTap
	}
	return dst, p.Kind
}

// appendMark opens the body of a raw push with what every push carries.
func appendMark(dst []byte, p *carillon.Push, k carillon.Kind) []byte {
	dst = p.ID.Append(append(dst, `{"carillon":{"id":"`...))
	dst = append(dst, '"')
	dst = wire.AppendDecimal(dst, "pos", uint64(p.Created))
	dst = wire.AppendDecimal(dst, "v", uint64(p.Seq))
	return wire.AppendMember(dst, "k", k.String())
}

func appendRaw(dst []byte, p *carillon.Push, o *options) []byte {
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
