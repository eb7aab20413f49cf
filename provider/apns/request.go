package apns

import (
	"strconv"
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/h2"
	"carillon/provider/wire"
)

const fieldsPerPush = 7

// encode writes a push into its buffer; the request points into it. The token
// is the connection's and comes later. False when it cannot be said in a body
// that APNs takes.
func (sh *shot) encode(p *carillon.Push, t *topic, o *options, now time.Time) bool {
	buf := sh.buf[:0]
	buf = append(buf, "/3/device/"...)
	buf = append(buf, p.Endpoint.Address...)
	path := len(buf)
	at := path
	buf, sh.kind = appendBody(buf, p, t.push, o)
	body := len(buf)
	if body-at > limit(t.push) {
		sh.buf = buf
		return false
	}
	buf = pushID(p, sh.kind).Append(buf)
	id := len(buf)
	buf = appendExpiration(buf, p, t.push, o, now)
	expiration := len(buf)
	buf = p.ID.Append(buf)
	sh.buf = buf

	pushType := t.push
	alert := pushType == "" && shows(sh.kind)
	switch {
	case alert:
		pushType = "alert"
	case pushType == "":
		pushType = "background"
	}
	fields := append(sh.fields[:0], // those that repeat come first and in fixed places: the encoder remembers them by place
		h2.Field{Name: "authorization"},
		t.field,
		h2.Field{Name: "apns-push-type", Value: pushType},
		h2.Field{Name: "apns-priority", Value: priority(p.Notification, sh.kind, t.push, o)},
		h2.Field{Name: "apns-id", Value: wire.Text(buf[body:id]), Mode: h2.NoIndex},
		h2.Field{Name: "apns-expiration", Value: wire.Text(buf[id:expiration]), Mode: h2.NoIndex},
	)
	if alert { // 36 bytes; APNs takes 64
		fields = append(fields, h2.Field{Name: "apns-collapse-id", Value: wire.Text(buf[expiration:]), Mode: h2.NoIndex})
	}
	sh.Path, sh.Fields, sh.Body = wire.Text(buf[:path]), fields, buf[at:body]
	return true
}

// shows tells whether an ordinary push of that kind is push type alert.
func shows(k carillon.Kind) bool { return k == carillon.KindAlert || k == carillon.KindFallback }

// priority is apns-priority: 10 at once, 5 with regard to the battery, 1 never
// wakes the device. APNs refuses anything but 5 for push type background.
func priority(n *carillon.Notification, k carillon.Kind, pushType string, o *options) string {
	switch {
	case pushType == "" && !shows(k):
		return "5"
	case pushType == "voip", pushType == "pushtotalk": // a call that comes later is none
		return "10"
	}
	switch o.apns.GetInt("priority") {
	case 1:
		return "1"
	case 5:
		return "5"
	case 10:
		return "10"
	}
	if shows(k) || pushType == "liveactivity" || n.Priority == carillon.PriorityHigh || k == carillon.KindTap && n.HasVisual {
		return "10"
	}
	return "5"
}

// appendExpiration appends apns-expiration, until when APNs keeps the push for a
// device that is away, in seconds since 1970; 0 is one try and nothing kept.
func appendExpiration(dst []byte, p *carillon.Push, pushType string, o *options, now time.Time) []byte {
	end := p.Notification.Expires
	ttl := o.apns.Get("ttl")
	switch {
	case ttl == nil && pushType == "pushtotalk", ttl != nil && ttl.Type() == fastjson.TypeNumber && ttl.GetInt64() <= 0:
		return append(dst, '0')
	case ttl != nil && ttl.Type() == fastjson.TypeNumber:
		end = min(end, now.UnixMilli()+min(ttl.GetInt64(), maxStored)*1000)
	}
	return appendSeconds(dst, end)
}

// maxStored is the longest that APNs keeps a push, in seconds.
const maxStored = 30 * 24 * 60 * 60

// appendSeconds appends a time of milliseconds in whole seconds, rounded up:
// 0 would mean "try once".
func appendSeconds(dst []byte, ms int64) []byte {
	return strconv.AppendInt(dst, (ms+999)/1000, 10)
}
