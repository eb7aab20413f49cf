package wns

import (
	"strconv"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/wire"
)

// maxLabel is the most that a toast's group may have.
const maxLabel = 64

// toast tells whether a kind is shown.
func toast(k carillon.Kind) bool { return k == carillon.KindAlert || k == carillon.KindFallback }

// appendToast appends a toast ("Toast content schema"): tag and group make it
// replaceable and removable.
func appendToast(dst []byte, p *carillon.Push, title, body string, o *options) []byte {
	n := p.Notification
	dst = append(dst, `<toast launch="`...)
	dst = appendLaunch(dst, p, o)
	dst = append(dst, `" tag="`...)
	dst = append(p.ID.Append(dst), '"')
	if n.Group != "" && len(n.Group) <= maxLabel {
		dst = appendAttribute(dst, "group", n.Group)
	}
	dst = appendChoice(dst, "scenario", o.wns.GetStringBytes("scenario"), "reminder", "alarm", "incomingCall", "urgent")
	dst = appendChoice(dst, "duration", o.wns.GetStringBytes("duration"), "long", "short")
	if v := o.wns.GetStringBytes("displayTimestamp"); v != nil {
		dst = appendAttribute(dst, "displayTimestamp", wire.Text(v))
	}
	if o.wns.GetBool("useButtonStyle") {
		dst = append(dst, ` useButtonStyle="true"`...)
	}
	dst = append(dst, '>')
	if h := o.wns.Get("header"); h != nil && h.Type() == fastjson.TypeObject {
		dst = append(appendAttributes(append(dst, `<header`...), h, "id", "title", "arguments"), `/>`...)
	}
	dst = append(dst, `<visual><binding template="ToastGeneric"><text>`...)
	dst = append(wire.AppendXML(dst, title), `</text>`...)
	if body != "" {
		dst = append(wire.AppendXML(append(dst, `<text>`...), body), `</text>`...)
	}
	if v := o.wns.GetStringBytes("attribution"); v != nil {
		dst = append(wire.AppendXML(append(dst, `<text placement="attribution">`...), wire.Text(v)), `</text>`...)
	}
	dst = appendImages(dst, o)
	dst = append(dst, `</binding></visual>`...)
	dst = appendAudio(dst, o)
	return append(appendActions(dst, o), `</toast>`...)
}

func appendImages(dst []byte, o *options) []byte {
	if v := o.wns.GetStringBytes("image"); v != nil {
		dst = append(dst, `<image placement="appLogoOverride"`...)
		if string(o.wns.GetStringBytes("imageCrop")) == "circle" {
			dst = append(dst, ` hint-crop="circle"`...)
		}
		dst = append(appendAttribute(dst, "src", wire.Text(v)), `/>`...)
	}
	if v := o.wns.GetStringBytes("hero"); v != nil {
		dst = append(appendAttribute(append(dst, `<image placement="hero"`...), "src", wire.Text(v)), `/>`...)
	}
	if v := o.wns.GetStringBytes("inlineImage"); v != nil {
		dst = append(appendAttribute(append(dst, `<image`...), "src", wire.Text(v)), `/>`...)
	}
	return dst
}

func appendAudio(dst []byte, o *options) []byte {
	switch v := o.wns.GetStringBytes("sound"); {
	case v == nil:
		return dst
	case string(v) == "silent":
		return append(dst, `<audio silent="true"/>`...)
	default:
		dst = appendAttribute(append(dst, `<audio`...), "src", wire.Text(v))
	}
	if o.wns.GetBool("soundLoop") {
		dst = append(dst, ` loop="true"`...)
	}
	return append(dst, `/>`...)
}

// appendActions appends inputs and buttons; the inputs must come first.
func appendActions(dst []byte, o *options) []byte {
	inputs, actions := o.wns.GetArray("inputs"), o.wns.GetArray("actions")
	if len(inputs)+len(actions) == 0 {
		return dst
	}
	dst = append(dst, `<actions>`...)
	for _, in := range inputs {
		if in.Type() != fastjson.TypeObject {
			continue
		}
		dst = appendAttributes(append(dst, `<input`...), in, "id", "type", "title", "placeHolderContent", "defaultInput")
		dst = append(dst, '>')
		for _, s := range in.GetArray("selections") {
			dst = append(appendAttributes(append(dst, `<selection`...), s, "id", "content"), `/>`...)
		}
		dst = append(dst, `</input>`...)
	}
	for _, a := range actions {
		if a.Type() != fastjson.TypeObject {
			continue
		}
		dst = appendAttributes(append(dst, `<action`...), a, "content", "arguments", "activationType", "imageUri", "placement")
		for _, hint := range [...][2]string{{"hint-inputId", "inputId"}, {"hint-buttonStyle", "buttonStyle"}, {"hint-toolTip", "toolTip"}} {
			if v := a.GetStringBytes(hint[1]); v != nil {
				dst = appendAttribute(dst, hint[0], wire.Text(v))
			}
		}
		dst = append(dst, `/>`...)
	}
	return append(dst, `</actions>`...)
}

// appendAttributes appends those members of an object that are strings.
func appendAttributes(dst []byte, o *fastjson.Value, names ...string) []byte {
	for _, name := range names {
		if v := o.GetStringBytes(name); v != nil {
			dst = appendAttribute(dst, name, wire.Text(v))
		}
	}
	return dst
}

func appendAttribute(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, ' '), name...), `="`...)
	return append(wire.AppendXML(dst, value), '"')
}

// appendChoice appends an attribute if its value is one of those allowed.
func appendChoice(dst []byte, name string, value []byte, allowed ...string) []byte {
	for _, a := range allowed {
		if string(value) == a {
			return appendAttribute(dst, name, a)
		}
	}
	return dst
}

// appendLaunch appends what the app is activated with: a query, its ampersands
// escaped for XML. What goes with visual content as data rides in it.
func appendLaunch(dst []byte, p *carillon.Push, o *options) []byte {
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
	if v := o.wns.GetStringBytes("launch"); v != nil {
		dst = wire.AppendQuery(append(dst, `&amp;launch=`...), wire.Text(v))
	}
	if d := o.data.GetObject(); d != nil && d.Len() > 0 {
		dst = wire.AppendQuery(append(dst, `&amp;data=`...), wire.Text(wire.AppendValue(nil, o.data)))
	}
	return dst
}
