package sandbox

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// fcm is Google's side: FCM HTTP v1 as its discovery document and error pages
// describe it.
type fcm struct {
	keys    *keyring
	tokens  *accessTokens
	devices *devices
	how     *atomic.Pointer[Conduct]
	quota   quota
}

func (g *fcm) judge(r *request, now time.Time) (message, reply) {
	m, p := readFCM(r.body, now)
	project, onPath := strings.CutPrefix(r.path, "/v1/projects/")
	project, onSend := strings.CutSuffix(project, "/messages:send")
	if !onPath || !onSend || strings.Contains(project, "/") || r.method != http.MethodPost {
		return m, htmlReply(404, "Not Found")
	}
	ok, expired := g.tokens.bearer(r, FCM, now)
	switch {
	case expired && !ok:
		return m, g.unauthenticated("ACCESS_TOKEN_EXPIRED")
	case !ok && r.get("authorization") == "":
		return m, g.unauthenticated("CREDENTIALS_MISSING")
	case !ok:
		return m, g.unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED")
	case project != g.keys.FCM.ProjectID:
		return m, googleReply(403, "PERMISSION_DENIED", "cloudmessaging.messages.create",
			"Permission 'cloudmessaging.messages.create' denied on resource '//cloudresourcemanager.googleapis.com/projects/"+project+"' (or it may not exist).", nil)
	}
	if rep, bad := g.refusal(r, &m, p); bad {
		g.quota.take(g.perMinute(), now) // what is refused counts, until it is used up
		return m, rep
	}
	if ok, wait := g.quota.take(g.perMinute(), now); !ok {
		return m, g.exhausted(wait)
	}
	if status := chosenStatus(m.address); status != 0 {
		return m, g.scripted(r, &Fault{Status: status, Reason: fcmReason(status)}, now)
	}
	name := "projects/" + project + "/messages/"
	if p.validateOnly {
		name += "fake_message_id"
		m.address = "" // nobody gets it
	} else {
		name += "0:" + randomHex(12)
	}
	return m, reply{
		status: 200, fields: []field{{"content-type", "application/json; charset=UTF-8"}},
		body: []byte("{\n  \"name\": " + quote(name) + "\n}\n"),
	}
}

// refusal is what is wrong with the message or its target.
func (g *fcm) refusal(r *request, m *message, p *fcmPush) (reply, bool) {
	if rep, bad := p.refusal(r); bad {
		return rep, true
	}
	switch status := chosenStatus(m.address); {
	case status == 400, status == 403, status == 404:
		return fcmRefusal(status, fcmReason(status)), true
	case g.devices.state(m.address).gone:
		return fcmRefusal(404, "UNREGISTERED"), true
	}
	return reply{}, false
}

func (g *fcm) perMinute() int {
	if g.how == nil {
		return 0
	}
	return g.how.Load().QuotaPerMinute
}

// exhausted is the answer when the project's minute is used up.
func (g *fcm) exhausted(wait time.Duration) reply {
	rep := fcmRefusal(429, "QUOTA_EXCEEDED")
	secs := int64((wait + time.Second - 1) / time.Second)
	rep.fields = append(rep.fields, field{"retry-after", strconv.FormatInt(secs, 10)})
	return rep
}

// fcmReason is the errorCode that belongs to a status.
func fcmReason(status int) string {
	switch status {
	case 400:
		return "INVALID_ARGUMENT"
	case 403:
		return "SENDER_ID_MISMATCH"
	case 404:
		return "UNREGISTERED"
	case 429:
		return "QUOTA_EXCEEDED"
	case 500:
		return "INTERNAL"
	case 502:
		return "HTML"
	case 503:
		return "UNAVAILABLE"
	default:
		return ""
	}
}

func (g *fcm) unauthenticated(reason string) reply {
	rep := googleReply(401, "UNAUTHENTICATED", reason,
		"Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
		[]any{map[string]any{
			"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com",
			"metadata": map[string]string{"service": "fcm.googleapis.com", "method": "google.firebase.fcm.v1.FcmService.SendMessage"},
		}})
	rep.fields = append(rep.fields, field{"www-authenticate", `Bearer realm="https://accounts.google.com/"`})
	return rep
}

func (g *fcm) scripted(_ *request, f *Fault, _ time.Time) reply {
	var rep reply
	switch {
	case f.Status < 300:
		rep = reply{
			status: f.Status, fields: []field{{"content-type", "application/json; charset=UTF-8"}},
			body: []byte(`{"name":"projects/` + g.keys.FCM.ProjectID + `/messages/0:` + randomHex(12) + `"}`),
		}
	case f.Reason == "HTML":
		rep = htmlReply(f.Status, http.StatusText(f.Status))
	default:
		rep = fcmRefusal(f.Status, f.Reason)
	}
	if f.RetryAfter != "" {
		rep.fields = append(rep.fields, field{"retry-after", f.RetryAfter})
	}
	return rep
}

// fcmRefusal is an error with FcmError details, or without any when code is "".
func fcmRefusal(status int, code string) reply {
	wire, text := googleStatus(status)
	var details []any
	if code != "" {
		details = append(details, map[string]any{
			"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code,
		})
	}
	switch code {
	case "QUOTA_EXCEEDED":
		details = append(details, map[string]any{
			"@type":      "type.googleapis.com/google.rpc.QuotaFailure",
			"violations": []any{map[string]string{"subject": "project", "description": text}},
		})
	case "INVALID_ARGUMENT":
		text = "The registration token is not a valid FCM registration token"
	case "SENDER_ID_MISMATCH":
		text = "SenderId mismatch"
	case "THIRD_PARTY_AUTH_ERROR":
		text = "Auth error from APNS or Web Push Service"
	}
	reason := code
	if reason == "" {
		reason = wire
	}
	return googleReply(status, wire, reason, text, details)
}

// googleStatus is the wire status and the text of an HTTP status.
func googleStatus(status int) (wire, text string) {
	switch status {
	case 400:
		return "INVALID_ARGUMENT", "Request contains an invalid argument."
	case 401:
		return "UNAUTHENTICATED", "Request is missing required authentication credential."
	case 403:
		return "PERMISSION_DENIED", "The caller does not have permission"
	case 404:
		return "NOT_FOUND", "Requested entity was not found."
	case 429:
		return "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."
	case 503:
		return "UNAVAILABLE", "The service is currently unavailable."
	default:
		return "INTERNAL", "Internal error encountered."
	}
}

func googleReply(status int, wire, reason, text string, details []any) reply {
	e := map[string]any{"code": status, "message": text, "status": wire}
	if len(details) > 0 {
		e["details"] = details
	}
	b, err := json.MarshalIndent(map[string]any{"error": e}, "", "  ")
	if err != nil {
		b = nil
	}
	return reply{
		status: status, reason: reason, body: append(b, '\n'),
		fields: []field{{"content-type", "application/json; charset=UTF-8"}},
	}
}

func htmlReply(status int, text string) reply {
	return reply{
		status: status, reason: "HTML", fields: []field{{"content-type", "text/html; charset=UTF-8"}},
		body: []byte("<!DOCTYPE html>\n<html lang=en><title>Error (" + text + ")!!1</title>\n<p>That’s an error.</html>\n"),
	}
}
