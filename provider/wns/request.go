package wns

import (
	"strconv"
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/h2"
	"carillon/provider/wire"
)

const fieldsPerPush = 9

// encode writes a push into its buffer; path, fields and body point into it.
func (sh *shot) encode(p *carillon.Push, path string, parser *fastjson.Parser) {
	n := p.Notification
	o := optionsOf(p, parser)
	buf := sh.buf[:0]
	buf = append(buf, path...)
	at := len(buf)
	buf, sh.kind = appendBody(buf, p, &o)
	body := len(buf)
	life, keep := ttl(n, sh.kind, &o, sh.queued)
	buf = strconv.AppendInt(buf, life, 10)
	lived := len(buf)
	buf = strconv.AppendInt(buf, int64(body-at), 10)
	length := len(buf)
	if toast(sh.kind) {
		buf = append(buf, o.wns.GetStringBytes("collectionId")...) // the parser's next use would spoil it
	}
	sh.buf, sh.path, sh.body = buf, wire.Text(buf[:at]), buf[at:body]

	kind, content, cache := "wns/raw", "application/octet-stream", "cache" // WNS keeps one of each type for a device that is off
	if toast(sh.kind) {
		kind, content = "wns/toast", "text/xml"
	}
	if !keep {
		cache = "no-cache"
	}
	sh.fields = [fieldsPerPush]h2.Field{ // those that repeat come first and in fixed places: the encoder remembers them by place
		{Name: "authorization", Value: sh.token.Header},
		{Name: "content-type", Value: content},
		{Name: "x-wns-type", Value: kind},
		{Name: "x-wns-priority", Value: priority(p, sh.kind, &o)},
		{Name: "x-wns-cache-policy", Value: cache},
		{Name: "x-wns-requestforstatus", Value: "true"},
		{Name: "x-wns-ttl", Value: wire.Text(buf[body:lived]), Mode: h2.NoIndex},
		{Name: "content-length", Value: wire.Text(buf[lived:length]), Mode: h2.NoIndex}, // WNS's documents require it
		{Name: "x-wns-collectionid", Value: wire.Text(buf[length:]), Mode: h2.NoIndex},
	}
}

// headers are the fields to send; the last one only if it says something.
func (sh *shot) headers() []h2.Field {
	if sh.fields[fieldsPerPush-1].Value == "" {
		return sh.fields[:fieldsPerPush-1]
	}
	return sh.fields[:]
}

// ttl is X-WNS-TTL in seconds: what is left of the notification's life, on a
// toast not more than it shall be shown. Keep tells whether WNS keeps it for a
// device that is off.
func ttl(n *carillon.Notification, k carillon.Kind, o *options, now int64) (life int64, keep bool) {
	life, keep = max((n.Expires-now)/time.Second.Milliseconds(), 1), true // 0 is not documented
	if toast(k) && n.TTL > 0 {
		life = min(life, int64(n.TTL))
	}
	if v := o.wns.Get("ttl"); v != nil && v.Type() == fastjson.TypeNumber {
		keep = v.GetInt64() > 0
		life = min(life, max(v.GetInt64(), 1))
	}
	if string(o.wns.GetStringBytes("cachePolicy")) == "no-cache" {
		keep = false
	}
	return life, keep
}

// priority is X-WNS-PRIORITY: 1 high, 2 medium, 3 low, 4 very low. A clear is
// low, also when it went out as a tap.
func priority(p *carillon.Push, k carillon.Kind, o *options) string {
	n := p.Notification
	if p.Kind == carillon.KindClear {
		return "3"
	}
	switch o.wns.GetInt("priority") {
	case 1:
		return "1"
	case 2:
		return "2"
	case 3:
		return "3"
	case 4:
		return "4"
	}
	if toast(k) || n.Priority == carillon.PriorityHigh || k == carillon.KindTap && n.HasVisual {
		return "1"
	}
	return "3"
}
