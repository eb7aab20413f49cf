package sandbox

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// fcmPush is a send request as far as it could be read.
type fcmPush struct {
	validateOnly bool
	targets      int
	violations   []violation
	size         int
	topic        bool
	token        string
}

type violation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

type object = map[string]json.RawMessage

// readFCM reads a body as the server and as the device do. Names may be camelCase
// or snake_case, as in every proto3 JSON API.
func readFCM(body []byte, now time.Time) (message, *fcmPush) {
	m, p := message{kind: "data"}, &fcmPush{}
	var top object
	if err := json.Unmarshal(body, &top); err != nil {
		p.violate("", "Invalid JSON payload received. "+err.Error())
		return m, p
	}
	p.unknown("", top, "message", "validateOnly")
	_ = json.Unmarshal(pick(top, "validateOnly"), &p.validateOnly)
	var msg object
	if json.Unmarshal(top["message"], &msg) != nil || msg == nil {
		p.violate("message", "Request payload has no message.")
		return m, p
	}
	p.unknown("message.", msg, "name", "data", "notification", "android", "androidV2", "webpush", "apns", "fcmOptions",
		"fid", "token", "topic", "condition")
	p.target(msg, &m)
	data := p.data("message.data", msg["data"])
	title, text, tag := p.notification(msg["notification"])
	var android object
	if raw := msg["android"]; raw != nil && json.Unmarshal(raw, &android) != nil {
		p.violate("message.android", "Expected an object.")
	}
	p.android(android, &m, now)
	aTitle, aText, aTag := p.notification(android["notification"])
	if raw := android["data"]; raw != nil {
		data = p.data("message.android.data", raw) // replaces message.data on Android
	}
	m.mark = markOfData(data)
	m.title, m.body = or(aTitle, title), or(aText, text)
	m.group = channelOf(android["notification"])
	m.shows = msg["notification"] != nil || android["notification"] != nil
	if !m.shows && m.mark.kind == "alert" { // the app's own notification
		m.title, m.body = first(data, "title", "carillon_title"), first(data, "body", "carillon_body")
		m.group = first(data, "group", "carillon_group")
		m.shows = true
	}
	if m.shows {
		m.kind = "alert"
	}
	m.key = or(aTag, or(tag, or(first(data, "tag", "carillon_tag"), or(m.mark.id, "0"))))
	return m, p
}

func (p *fcmPush) target(msg object, m *message) {
	for _, k := range []string{"fid", "token", "topic", "condition"} {
		var v string
		if msg[k] == nil {
			continue
		}
		if json.Unmarshal(msg[k], &v) != nil {
			p.violate("message."+k, "Expected a string.")
			continue
		}
		if v == "" {
			continue
		}
		p.targets++
		m.address, m.display = deviceKey(v), v
		p.topic = p.topic || k == "topic" || k == "condition"
		if k == "token" || k == "fid" {
			p.token = v
		}
	}
}

// data checks the map of strings and its reserved keys.
func (p *fcmPush) data(field string, raw json.RawMessage) map[string]string {
	out := map[string]string{}
	var o object
	if raw == nil {
		return out
	}
	if json.Unmarshal(raw, &o) != nil {
		p.violate(field, "Expected a map of strings.")
		return out
	}
	for k, v := range o {
		var s string
		if json.Unmarshal(v, &s) != nil || len(v) == 0 || v[0] != '"' {
			p.violate(field+"["+k+"]", "Invalid value: expected a string.")
			continue
		}
		if k == "from" || k == "message_type" || strings.HasPrefix(k, "google.") || strings.HasPrefix(k, "gcm.notification.") {
			p.violate(field, "Invalid data payload key: "+k)
		}
		out[k] = s
		p.size += len(k) + len(s)
	}
	return out
}

func (p *fcmPush) notification(raw json.RawMessage) (title, body, tag string) {
	var n struct {
		Title, Body, Tag loose
		TitleLocKey      loose `json:"titleLocKey"`
		BodyLocKey       loose `json:"bodyLocKey"`
	}
	if raw == nil || json.Unmarshal(raw, &n) != nil {
		return "", "", ""
	}
	var all object
	_ = json.Unmarshal(raw, &all)
	for k, v := range all { // keys and values count, JSON's punctuation does not
		var text string
		if json.Unmarshal(v, &text) != nil {
			text = string(v)
		}
		p.size += len(k) + len(text)
	}
	return or(string(n.Title), string(n.TitleLocKey)), or(string(n.Body), string(n.BodyLocKey)), string(n.Tag)
}

// android checks the platform block; a ttl of 0 shows now or never.
func (p *fcmPush) android(o object, m *message, now time.Time) {
	if o == nil {
		return
	}
	p.unknown("message.android.", o, "priority", "ttl", "collapseKey", "restrictedPackageName", "directBootOk",
		"bandwidthConstrainedOk", "restrictedSatelliteOk", "data", "notification", "fcmOptions")
	if raw := o["priority"]; raw != nil {
		var prio string
		_ = json.Unmarshal(raw, &prio)
		if !slices.Contains([]string{"NORMAL", "HIGH", "normal", "high"}, prio) {
			p.violate("message.android.priority", "Invalid value at 'message.android.priority'.")
		}
	}
	var collapse loose
	_ = json.Unmarshal(pick(o, "collapseKey"), &collapse)
	m.slot = string(collapse)
	raw := o["ttl"]
	if raw == nil {
		return
	}
	var ttl string
	_ = json.Unmarshal(raw, &ttl)
	d, ok := seconds(ttl)
	if !ok || d > 28*24*time.Hour {
		p.violate("message.android.ttl", "Invalid value at 'message.android.ttl' (type.googleapis.com/google.protobuf.Duration), Illegal duration format; duration must end with 's'")
		return
	}
	if m.once = d == 0; d > 0 {
		m.expires = now.Add(d)
	}
}

// seconds reads a protobuf JSON duration that is not negative: "3.5s".
func seconds(s string) (time.Duration, bool) {
	digits, ok := strings.CutSuffix(s, "s")
	if !ok || strings.Trim(digits, "0123456789.") != "" || strings.HasPrefix(digits, ".") || strings.HasSuffix(digits, ".") {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

func channelOf(raw json.RawMessage) string {
	var n object
	if raw == nil || json.Unmarshal(raw, &n) != nil {
		return ""
	}
	var ch loose
	_ = json.Unmarshal(pick(n, "channelId"), &ch)
	return string(ch)
}

// unknown refuses names that the schema does not have, as Google's servers do.
func (p *fcmPush) unknown(prefix string, o object, names ...string) {
	for k := range o {
		if !slices.ContainsFunc(names, func(n string) bool { return k == n || k == snake(n) }) {
			p.violate(strings.TrimSuffix(prefix, "."), `Invalid JSON payload received. Unknown name "`+k+`": Cannot find field.`)
		}
	}
}

func (p *fcmPush) violate(field, text string) {
	p.violations = append(p.violations, violation{field, text})
}

// refusal is what is wrong with the request, if anything: shape, targets, size,
// token, in the order of the real server.
func (p *fcmPush) refusal(r *request) (reply, bool) {
	if p.targets != 1 && len(p.violations) == 0 {
		p.violate("message", "Exactly one of fid, token, topic or condition is required.")
	}
	if len(p.violations) > 0 {
		v := p.violations[0]
		return googleReply(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", v.Description, []any{map[string]any{
			"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": p.violations,
		}}), true
	}
	limit := 4096
	if p.topic {
		limit = 2048
	}
	if p.size > limit || r.bodyLen > maxBody {
		return googleReply(400, "INVALID_ARGUMENT", "TOO_BIG", "Android message is too big", nil), true
	}
	if p.token != "" && !isFCMToken(p.token) {
		return fcmRefusal(400, "INVALID_ARGUMENT"), true
	}
	return reply{}, false
}

// isFCMToken takes a registration token or a FID.
func isFCMToken(s string) bool {
	if len(s) < 22 || len(s) > 4096 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != ':' {
			return false
		}
	}
	return true
}

// pick is a field by its camelCase name, or its snake_case one.
func pick(o object, camel string) json.RawMessage {
	if v, ok := o[camel]; ok {
		return v
	}
	return o[snake(camel)]
}

func snake(camel string) string {
	out := make([]byte, 0, len(camel)+4)
	for i := range len(camel) {
		if c := camel[i]; c >= 'A' && c <= 'Z' {
			out = append(out, '_', c|0x20)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
