package httpapi

import (
	"strings"

	"carillon"
)

// SpaceApp keeps ids that derive from an appNotificationId apart from others
// ([carillon.IDKey.Derived]). It is pinned, as ids outlive the process.
const SpaceApp = 'a'

// OData writes the key of an entity in parentheses, notifications('…') or
// notifications(appNotificationId='…'), beside the form with a slash (URL
// conventions 4.3.1 and 4.3.6). The router takes both for the same path: a
// segment "name(key)" is two, "name" and "(key)".

// splitKey takes a segment of the first form apart; both parts alias it. A
// function without arguments, delta(), has an empty key.
func splitKey(seg []byte) (name, key []byte, ok bool) {
	last := len(seg)
	switch {
	case last > 0 && seg[last-1] == ')':
	case last >= 3 && string(seg[last-3:]) == "%29":
	default:
		return nil, nil, false
	}
	for i := range seg {
		if seg[i] == '(' || seg[i] == '%' && i+3 <= last && string(seg[i:i+3]) == "%28" {
			return seg[:i], seg[i:], i > 0
		}
	}
	return nil, nil, false
}

// emptyKey tells whether a key is that of a function without arguments.
func emptyKey(key []byte) bool {
	switch string(key) {
	case "()", "%28)", "(%29", "%28%29":
		return true
	}
	return false
}

// Key takes apart what a path says of an entity: a plain value, ('value') or
// (property='value'), in which ” stands for one quote. The property is "" in
// the first two forms. Path is percent-decoded.
func Key(path string) (property, value string, err error) {
	inner, ok := strings.CutPrefix(path, "(")
	if !ok {
		return "", path, nil
	}
	fault := carillon.Errorf(carillon.CodeInvalidRequest, "id", "%.80q is no key: write ('…') or (appNotificationId='…'), with '' for a quote", path)
	if inner, ok = strings.CutSuffix(inner, ")"); !ok {
		return "", "", fault
	}
	inner = strings.Trim(inner, " ")
	if at := strings.IndexByte(inner, '\''); at > 0 {
		name, ok := strings.CutSuffix(strings.TrimRight(inner[:at], " "), "=")
		property, inner = strings.TrimRight(name, " "), inner[at:]
		if !ok || property == "" {
			return "", "", fault
		}
	}
	if len(inner) < 2 || inner[0] != '\'' || inner[len(inner)-1] != '\'' {
		return "", "", fault
	}
	inner = inner[1 : len(inner)-1]
	value = strings.ReplaceAll(inner, "''", "'")
	if strings.Count(inner, "'") != 2*strings.Count(inner, "''") {
		return "", "", fault
	}
	return property, value, nil
}

// NotificationID is the notification of u that a parameter of the path names: by
// its id, or by the appNotificationId that it was sent with.
func (r *Request) NotificationID(param string, ids *carillon.IDKey, u carillon.User) (carillon.ID, error) {
	property, value, err := Key(r.Param(param))
	switch {
	case err != nil:
		return carillon.ID{}, err
	case property == "" || property == "id":
		return carillon.ParseID(value)
	case property != "appNotificationId":
		return carillon.ID{}, carillon.Errorf(carillon.CodeInvalidRequest, "id", "a notification is named by its id or by appNotificationId, not by %.40q", property)
	case value == "" || len(value) > carillon.MaxKey:
		return carillon.ID{}, carillon.Errorf(carillon.CodeInvalidRequest, "appNotificationId", "has %d bytes; 1 to %d are allowed", len(value), carillon.MaxKey)
	}
	return ids.Derived(u, SpaceApp, value), nil
}

// NoneMatch tells whether an If-None-Match header names the entity tag, so that
// 304 is the answer. The comparison is weak (RFC 9110 §8.8.3.2 and §13.1.2).
func NoneMatch(header, etag string) bool {
	etag = strings.TrimPrefix(etag, "W/")
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// Text answers with plain text, which is copied.
func (r *Request) Text(status int, body []byte) {
	r.ctx.SetStatusCode(status)
	r.ctx.Response.Header.SetContentType("text/plain;charset=utf-8")
	r.ctx.Response.SetBody(body)
}
