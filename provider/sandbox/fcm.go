package sandbox

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// fcm is Google's side: FCM HTTP v1 as its discovery document and error pages
// describe it.
type fcm struct {
	keys   *keyring
	tokens *accessTokens
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
	if rep, bad := p.refusal(r); bad {
		return m, rep
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
