package sandbox

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// wns is Microsoft's side: the rules of "Push notification service request and
// response headers".
type wns struct {
	tokens  *accessTokens
	devices *devices
}

func (w *wns) judge(r *request, now time.Time) (message, reply) {
	m := message{}
	channel := strings.HasPrefix(r.path, "/?token=") && opaque(r.path[len("/?token="):])
	if channel {
		m.address = r.path
		m.display = "https://" + r.authority + r.path
	}
	m.kind = strings.TrimPrefix(r.get("x-wns-type"), "wns/")
	m.slot = m.kind // one of a kind is kept
	m.readWNS(r, now)
	status, text := w.fault(r, channel, now)
	rep := reply{status: status}
	if status != 200 {
		rep.reason = text
		return m, w.dress(r, rep, "received")
	}
	dev := w.devices.state(m.address)
	m.owner = r.sticky.app
	switch chosen := chosenStatus(m.address); {
	case chosen != 0:
		return m, w.scripted(r, &Fault{Status: chosen}, now)
	case dev.gone:
		return m, w.scripted(r, &Fault{Status: 410}, now)
	case dev.owner != "" && dev.owner != m.owner:
		return m, w.scripted(r, &Fault{Status: 403, Reason: "The channel belongs to another app"}, now)
	case dev.offline && !cached(r):
		rep.reason = "dropped"
		return m, w.dress(r, rep, "dropped")
	}
	return m, w.dress(r, rep, "received")
}

// cached tells whether WNS keeps it for a device that is offline: what it does by
// default with all but raw.
func cached(r *request) bool {
	policy := r.get("x-wns-cache-policy")
	return policy == "cache" || policy == "" && r.get("x-wns-type") != "wns/raw"
}

// fault is what is wrong with the request, in the order headers, token, size,
// channel; 200 when nothing is.
func (w *wns) fault(r *request, channel bool, now time.Time) (int, string) {
	kind, ctype := r.get("x-wns-type"), r.get("content-type")
	ctype, _, _ = strings.Cut(ctype, ";")
	want := "text/xml"
	if kind == "wns/raw" {
		want = "application/octet-stream"
	}
	ok, _ := w.tokens.bearer(r, WNS, now)
	ttl, prio, cache := r.get("x-wns-ttl"), r.get("x-wns-priority"), r.get("x-wns-cache-policy")
	switch {
	case r.method != http.MethodPost:
		return 405, "Method not allowed"
	case r.chunked:
		return 400, "Transfer-Encoding: chunked is not supported"
	case kind != "wns/toast" && kind != "wns/tile" && kind != "wns/badge" && kind != "wns/raw":
		return 400, "X-WNS-Type missing or unknown"
	case strings.TrimSpace(ctype) != want:
		return 400, "Content-Type does not fit X-WNS-Type"
	case cache != "" && cache != "cache" && cache != "no-cache":
		return 400, "X-WNS-Cache-Policy"
	case ttl != "" && !isSeconds(ttl):
		return 400, "X-WNS-TTL"
	case prio != "" && (len(prio) != 1 || prio[0] < '1' || prio[0] > '4'):
		return 400, "X-WNS-PRIORITY"
	case !isTag(r.get("x-wns-tag")):
		return 400, "X-WNS-Tag"
	case r.get("x-wns-requestforstatus") != "" && !isBool(r.get("x-wns-requestforstatus")):
		return 400, "X-WNS-RequestForStatus"
	case !ok:
		return 401, "Unauthorized"
	case r.bodyLen == 0:
		return 400, "Empty payload"
	case r.bodyLen > 5000:
		return 413, "Payload too large"
	case !channel:
		return 404, "Channel URI not valid"
	}
	return 200, ""
}

// dress adds the headers that every WNS answer has.
func (w *wns) dress(r *request, rep reply, status string) reply {
	if rep.status == 200 {
		rep.fields = append(rep.fields, field{"x-wns-status", status}, field{"x-wns-notificationstatus", status})
		if strings.EqualFold(r.get("x-wns-requestforstatus"), "true") {
			rep.fields = append(rep.fields, field{"x-wns-deviceconnectionstatus", w.connection(r)})
		}
	} else if rep.reason != "" {
		rep.fields = append(rep.fields, field{"x-wns-error-description", rep.reason})
	}
	if rep.status == 401 {
		rep.fields = append(rep.fields, field{"www-authenticate", "Bearer"})
	}
	cv := r.get("ms-cv")
	if cv == "" {
		cv = randomHex(8)
	}
	rep.fields = append(rep.fields,
		field{"x-wns-msg-id", strings.ToUpper(randomHex(8))},
		field{"x-wns-debug-trace", "SBXPEPF0000" + strings.ToUpper(randomHex(2))},
		field{"ms-cv", cv + ".0"})
	return rep
}

// connection is whether the device is there.
func (w *wns) connection(r *request) string {
	if w.devices.state(r.path).offline {
		return "disconnected"
	}
	return "connected"
}

func (w *wns) scripted(r *request, f *Fault, _ time.Time) reply {
	rep := reply{status: f.Status, reason: f.Reason}
	status := "received"
	if f.Status == 200 && f.Reason != "" {
		status = f.Reason
	}
	if f.Status >= 300 && f.Reason == "" {
		rep.reason = http.StatusText(f.Status)
	}
	if f.RetryAfter != "" {
		rep.fields = append(rep.fields, field{"retry-after", f.RetryAfter})
	}
	return w.dress(r, rep, status)
}

// readWNS is what the device makes of it: a toast shows, a tile or badge does not
// in this tray, raw goes to the app.
func (m *message) readWNS(r *request, now time.Time) {
	if ttl, err := strconv.ParseInt(r.get("x-wns-ttl"), 10, 32); err == nil && ttl > 0 {
		m.expires = now.Add(time.Duration(ttl) * time.Second)
	}
	m.key, m.group = r.get("x-wns-tag"), r.get("x-wns-group")
	switch m.kind {
	case "raw":
		var p struct {
			Carillon json.RawMessage `json:"carillon"`
		}
		if json.Unmarshal(r.body, &p) == nil && p.Carillon != nil {
			m.mark = markOfObject(p.Carillon)
		}
	case "toast":
		t, err := readToast(r.body)
		if err != nil {
			m.problem = "toast XML: " + err.Error()
		}
		m.mark = markOfLaunch(t.launch)
		m.title, m.body, m.shows = t.title, t.body, true
		m.key = or(m.key, or(t.tag, or(m.mark.id, t.launch)))
		m.group = or(m.group, t.group)
	}
}

// opaque tells whether a channel token is spelled as it was issued: a client that
// decodes or re-encodes it gets the 404 that WNS gives.
func opaque(tok string) bool {
	for i := range len(tok) {
		switch c := tok[i]; {
		case c == '+' || c == '/' || c == '=' || c == '&' || c <= ' ' || c >= 0x7f:
			return false
		case c == '%' && (i+2 >= len(tok) || tok[i+2] >= 'A' && tok[i+2] <= 'F'):
			return false
		}
	}
	return tok != ""
}

// isTag: at most 16 letters and digits; absent is fine.
func isTag(s string) bool {
	if len(s) > 16 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func isBool(s string) bool { return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") }
