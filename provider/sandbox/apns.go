package sandbox

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"
)

// apns is Apple's side: the rules of "Sending notification requests to APNs" and
// "Handling notification responses from APNs", in the order in which Pushy's mock
// server checks them.
type apns struct {
	keys    *apnsKeys
	certs   *apnsCertificates
	devices *devices

	mu    sync.Mutex
	known map[string]provider // verified provider tokens
	odd   bool                // which spelling of BadEnvironmentKeyIdInToken is next
}

func (a *apns) judge(r *request, now time.Time) (message, reply) {
	m := message{}
	device, onPath := strings.CutPrefix(r.path, "/3/device/")
	if onPath && isHex(device) {
		m.address = strings.ToLower(device)
		m.display = m.address
	}
	m.kind = r.get("apns-push-type")
	suffix, _ := topicSuffix(m.kind)
	m.owner = strings.TrimSuffix(r.get("apns-topic"), suffix)
	m.slot = m.owner // one push a bundle is kept
	m.once = r.get("apns-expiration") == "0"
	m.read(r, now)
	id := r.get("apns-id")
	given := isUUID(id)
	if !given {
		id = newUUID()
	}
	if m.key == "" {
		m.key = id
	}
	if status, reason := a.fault(r, onPath, device, given); status != 0 {
		return m, a.refuse(id, status, reason, now)
	}
	if status, reason, since := a.deviceFault(&m, now); status != 0 {
		return m, a.refuse(id, status, reason, since)
	}
	if status, reason := a.checkCredential(r, now); status != 0 {
		return m, a.refuse(id, status, reason, now)
	}
	if status, reason := payloadFault(r); status != 0 {
		return m, a.refuse(id, status, reason, now)
	}
	if status := chosenStatus(m.address); status != 0 {
		return m, a.refuse(id, status, apnsReason(status), now)
	}
	rep := reply{status: 200, fields: []field{{"apns-id", id}}}
	if strings.Contains(r.authority, "sandbox") || strings.Contains(r.authority, "development") {
		rep.fields = append(rep.fields, field{"apns-unique-id", newUUID()})
	}
	return m, rep
}

// fault is what is wrong with method, path and headers, but for the credential.
func (a *apns) fault(r *request, onPath bool, device string, idOK bool) (int, string) {
	topic, collapse, prio := r.get("apns-topic"), r.get("apns-collapse-id"), r.get("apns-priority")
	exp, push := r.get("apns-expiration"), r.get("apns-push-type")
	suffix, known := topicSuffix(push)
	switch {
	case r.repeated("apns-id", "apns-topic", "apns-collapse-id", "apns-priority", "apns-expiration", "apns-push-type", "authorization"):
		return 400, "DuplicateHeaders"
	case r.get("apns-id") != "" && !idOK:
		return 400, "BadMessageId"
	case r.method != "POST":
		return 405, "MethodNotAllowed"
	case topic == "":
		return 400, "MissingTopic"
	case !isTopic(topic):
		return 400, "BadTopic"
	case len(collapse) > 64:
		return 400, "BadCollapseId"
	case prio != "" && prio != "1" && prio != "5" && prio != "10":
		return 400, "BadPriority"
	case push == "background" && prio != "5": // 10 is also what absence means
		return 400, "BadPriority"
	case exp != "" && !isSeconds(exp):
		return 400, "BadExpirationDate"
	case !known: // watchOS and Apple's text require the header: the strict reading
		return 400, "InvalidPushType"
	case !strings.HasSuffix(topic, suffix):
		return 400, "BadTopic"
	case !onPath:
		return 404, "BadPath"
	case device == "":
		return 400, "MissingDeviceToken"
	case !isHex(device) || len(device)%2 != 0 || len(device) < 64 || len(device) > 200:
		return 400, "BadDeviceToken"
	}
	return 0, ""
}

// deviceFault is what is wrong with the device: its address asks for it, it is gone,
// or it belongs to another bundle than that of its first push.
func (a *apns) deviceFault(m *message, now time.Time) (status int, reason string, since time.Time) {
	dev := a.devices.state(m.address)
	switch n := chosenStatus(m.address); {
	case n == 400:
		return 400, "BadDeviceToken", now
	case n == 410:
		return 410, "Unregistered", now
	case dev.gone:
		return 410, "Unregistered", dev.since
	case dev.owner != "" && dev.owner != m.owner:
		return 400, "DeviceTokenNotForTopic", now
	}
	return 0, "", now
}

// payloadFault is what is wrong with the body. The size is the push type's.
func payloadFault(r *request) (int, string) {
	limit := 4096
	if r.get("apns-push-type") == "voip" {
		limit = 5120
	}
	var o map[string]json.RawMessage
	switch {
	case r.bodyLen == 0:
		return 400, "PayloadEmpty"
	case r.bodyLen > limit:
		return 413, "PayloadTooLarge"
	case json.Unmarshal(r.body, &o) != nil || len(o) == 0: // Apple names no reason for bad JSON; this is what it has
		return 400, "PayloadEmpty"
	}
	return 0, ""
}

// read is what the device makes of headers and body; it takes anything.
func (m *message) read(r *request, now time.Time) {
	var p struct {
		APS struct {
			Alert    json.RawMessage `json:"alert"`
			ThreadID loose           `json:"thread-id"`
		} `json:"aps"`
		Carillon json.RawMessage `json:"carillon"`
	}
	if err := json.Unmarshal(r.body, &p); err != nil {
		m.problem = "payload: " + err.Error()
		return
	}
	m.mark = markOfObject(p.Carillon)
	m.key = r.get("apns-collapse-id")
	m.group = string(p.APS.ThreadID)
	m.title, m.body = alertOf(p.APS.Alert)
	m.shows = m.kind == "alert" && (m.title != "" || m.body != "")
	if m.kind == "alert" && !m.shows {
		m.problem = "push type alert without aps.alert text"
	}
	if secs, err := strconv.ParseInt(r.get("apns-expiration"), 10, 64); err == nil && secs > 0 {
		m.expires = time.Unix(secs, 0).UTC()
		if !m.expires.After(now) {
			m.problem = "expired before it came"
		}
	}
}

// alertOf reads aps.alert: a string, or title, subtitle, body and their loc-keys.
func alertOf(raw json.RawMessage) (title, body string) {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return "", s
	}
	var o map[string]loose
	if json.Unmarshal(raw, &o) != nil {
		return "", ""
	}
	title, body = string(o["title"]), string(o["body"])
	if title == "" {
		title = string(o["title-loc-key"])
	}
	if body == "" {
		body = string(o["loc-key"])
	}
	return title, body
}

func (a *apns) refuse(id string, status int, reason string, since time.Time) reply {
	body := `{"reason":` + quote(reason)
	if status == 410 {
		body += `,"timestamp":` + strconv.FormatInt(since.UnixMilli(), 10)
	}
	return reply{
		status: status, reason: reason, body: []byte(body + "}"),
		fields: []field{{"apns-id", id}, {"content-type", "application/json"}},
	}
}

func (a *apns) scripted(r *request, f *Fault, now time.Time) reply {
	id := r.get("apns-id")
	if id == "" {
		id = newUUID()
	}
	if f.Status < 300 {
		return reply{status: f.Status, fields: []field{{"apns-id", id}}}
	}
	since := f.Since
	if since.IsZero() {
		since = now
	}
	reason := f.Reason
	if reason == "" {
		reason = apnsReason(f.Status)
	}
	rep := a.refuse(id, f.Status, reason, since)
	if f.RetryAfter != "" {
		rep.fields = append(rep.fields, field{"retry-after", f.RetryAfter})
	}
	return rep
}

// apnsReason is the likeliest reason of a status.
func apnsReason(status int) string {
	switch status {
	case 400:
		return "BadDeviceToken"
	case 403:
		return "InvalidProviderToken"
	case 404:
		return "BadPath"
	case 405:
		return "MethodNotAllowed"
	case 410:
		return "Unregistered"
	case 413:
		return "PayloadTooLarge"
	case 429:
		return "TooManyRequests"
	case 503:
		return "ServiceUnavailable"
	default:
		return "InternalServerError"
	}
}

// topicSuffix is what a push type adds to the bundle id.
func topicSuffix(push string) (suffix string, known bool) {
	switch push {
	case "alert", "background", "mdm":
		return "", true
	case "voip":
		return ".voip", true
	case "complication":
		return ".complication", true
	case "fileprovider":
		return ".pushkit.fileprovider", true
	case "liveactivity":
		return ".push-type.liveactivity", true
	case "location":
		return ".location-query", true
	case "pushtotalk":
		return ".voip-ptt", true
	case "controls":
		return ".push-type.controls", true
	case "widgets":
		return ".push-type.widgets", true
	default:
		return "", false
	}
}

// isTopic: a bundle id, letters, digits, hyphens and dots, at least one dot.
func isTopic(s string) bool {
	if len(s) > 255 || !strings.Contains(strings.Trim(s, "."), ".") {
		return false
	}
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '.' && s[i] != '-' {
			return false
		}
	}
	return true
}

func isSeconds(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n >= 0
}

// isUUID: canonical form 8-4-4-4-12; lower case, as Apple asks for.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}
