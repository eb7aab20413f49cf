package gateway

import (
	"strings"
	"time"
	"unicode/utf8"

	"carillon"
)

// importLine reads one line of an import: an endpoint and whose it is. What it
// read aliases the line and its own buffers, and lasts until the next.
type importLine struct {
	cursor
	user, host string
	endpoint   carillon.Endpoint
	seen       uint32
}

// The members of a line, by their place in importLine.seen.
const (
	importUser = iota
	importInstallation
	importHost
	importPlatform
	importAddress
	importAppID
	importEnvironment
	importLocale
	importPush
	importExpires
	importRegistered
	importUnknown
)

func importMember(name []byte) int {
	switch string(name) {
	case "userId":
		return importUser
	case "installationId":
		return importInstallation
	case "host":
		return importHost
	case "platform":
		return importPlatform
	case "address":
		return importAddress
	case "appId":
		return importAppID
	case "environment":
		return importEnvironment
	case "locale":
		return importLocale
	case "push":
		return importPush
	case "expirationDateTime":
		return importExpires
	case "registeredDateTime":
		return importRegistered
	}
	return importUnknown
}

// decode reads a line. Members that are not known are passed over, as for a
// single registration.
func (d *importLine) decode(line []byte) error {
	d.reset(line)
	d.user, d.host, d.seen = "", "", 0
	d.endpoint = carillon.Endpoint{}
	if !utf8.Valid(line) {
		d.fault("", "the line is not valid UTF-8")
		return d.err
	}
	if d.peek() != '{' {
		d.fault("", "a line must be a JSON object")
		return d.err
	}
	d.open()
	for first := true; d.next(first, '}'); first = false {
		d.member(d.key())
	}
	d.end()
	if d.err != nil {
		return d.err
	}
	return nil
}

func (d *importLine) member(name []byte) {
	if d.err != nil {
		return
	}
	m := importMember(name)
	if m == importUnknown {
		d.skip()
		return
	}
	if d.seen&(1<<m) != 0 {
		d.fault(string(name), "stands twice")
		return
	}
	d.seen |= 1 << m
	switch {
	case d.null():
		return
	case d.peek() != '"':
		d.fault(string(name), "must be a string")
		return
	}
	value := text(d.string())
	if d.err == nil {
		d.set(m, value)
	}
}

func (d *importLine) set(m int, value string) {
	var ok bool
	e := &d.endpoint
	switch m {
	case importUser:
		d.user = value
	case importInstallation:
		e.ID = value
	case importHost:
		d.host = lower(value)
	case importPlatform:
		if e.Platform, ok = carillon.ParsePlatform(value); !ok {
			d.fault("platform", "%.40q is not one of windows, ios, android, web, polling", value)
		}
	case importAddress:
		e.Address = value
	case importAppID:
		e.AppID = value
	case importEnvironment:
		e.Environment = value
	case importLocale:
		e.Locale = value
	case importPush:
		if value == "withPayload" { // what most lines say; the parser would make garbage
			return
		}
		if e.Push, ok = carillon.ParsePreference(value); !ok {
			d.fault("push", "%.40q is not one of withPayload, tapOnly, none", value)
		}
	case importExpires:
		e.Expires = d.time("expirationDateTime", value)
	case importRegistered:
		e.Registered = d.time("registeredDateTime", value)
	}
}

// time is milliseconds since 1970. The year 1970 itself is taken for a mistake.
func (d *importLine) time(target, value string) int64 {
	t, err := time.Parse(time.RFC3339, value)
	if err != nil || t.UnixMilli() <= 0 {
		d.fault(target, "%.40q is not a date and time of RFC 3339 such as 2026-12-01T23:59:00Z", value)
		return 0
	}
	return t.UnixMilli()
}

// lower is a DNS name in lower case (RFC 4343), without garbage when it is so
// already.
func lower(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			return strings.ToLower(s)
		}
	}
	return s
}
