package gateway

import (
	"strings"

	"carillon"
)

// object enters an object.
func (d *decoder) object(target string) bool {
	if d.peek() != '{' {
		d.fault(target, "must be an object")
		return false
	}
	d.open()
	return d.err == nil
}

// once marks a member of a nested object as seen.
func (d *decoder) once(seen *uint8, bit uint8, target string) bool {
	if *seen&bit != 0 {
		d.fault(target, "stands twice")
		return false
	}
	*seen |= bit
	return true
}

func (d *decoder) payload() {
	if !d.object("payload") {
		return
	}
	var seen uint8
	for first := true; d.next(first, '}'); first = false {
		switch name := d.cursor.key(); string(name) {
		case "rawContent":
			if d.once(&seen, 1, "payload.rawContent") && !d.null() {
				d.n.Raw, d.n.HasRaw = d.str("payload.rawContent"), true
			}
		case "visualContent":
			if d.once(&seen, 2, "payload.visualContent") && !d.null() {
				d.n.Title, d.n.Body = d.visual("payload.visualContent")
				d.n.HasVisual = true
			}
		default:
			d.foreign("payload", name)
		}
	}
}

func (d *decoder) visual(target string) (title, body string) {
	if !d.object(target) {
		return "", ""
	}
	var seen uint8
	for first := true; d.next(first, '}'); first = false {
		switch name := d.cursor.key(); string(name) {
		case "title":
			if d.once(&seen, 1, "title") && !d.null() {
				title = d.strAt(target, ".title")
			}
		case "body":
			if d.once(&seen, 2, "body") && !d.null() {
				body = d.strAt(target, ".body")
			}
		default:
			d.foreign(target, name)
		}
	}
	return title, body
}

// strAt is str with a target that is only put together when it is needed.
func (d *decoder) strAt(target, name string) string {
	if d.peek() != '"' {
		d.fault(target+name, "must be a string")
		return ""
	}
	return text(d.string())
}

func (d *decoder) targets() {
	if !d.object("targetPolicy") {
		return
	}
	var seen uint8
	for first := true; d.next(first, '}'); first = false {
		switch name := d.cursor.key(); string(name) {
		case "platformTypes":
			if d.once(&seen, 1, "targetPolicy.platformTypes") && !d.null() {
				d.n.Targets = d.platforms("targetPolicy.platformTypes")
			}
		default:
			d.foreign("targetPolicy", name)
		}
	}
}

// platforms reads a list of Windows, iOS, Android, WebPush, in any case, as the
// original's samples write them in lower case.
func (d *decoder) platforms(target string) carillon.PlatformSet {
	var set carillon.PlatformSet
	if d.peek() != '[' {
		d.fault(target, "must be an array of platform names")
		return 0
	}
	d.open()
	for first := true; d.next(first, ']'); first = false {
		if d.peek() != '"' {
			d.fault(target, "must be an array of platform names")
			return 0
		}
		name := text(d.string())
		p, ok := graphPlatform(name)
		if !ok {
			d.fault(target, "%.40q is not one of Windows, iOS, Android, WebPush", name)
			return 0
		}
		set = set.With(p)
	}
	if set == 0 {
		d.fault(target, "is empty; name a platform, or leave it out for all")
	}
	return set
}

func graphPlatform(s string) (carillon.Platform, bool) {
	switch {
	case strings.EqualFold(s, "windows"):
		return carillon.Windows, true
	case strings.EqualFold(s, "ios"):
		return carillon.IOS, true
	case strings.EqualFold(s, "android"):
		return carillon.Android, true
	case strings.EqualFold(s, "webpush"), strings.EqualFold(s, "web"):
		return carillon.Web, true
	}
	return carillon.PlatformNone, false
}

func (d *decoder) fallbackPolicy() {
	if !d.object("fallbackPolicy") {
		return
	}
	var seen uint8
	for first := true; d.next(first, '}'); first = false {
		switch name := d.cursor.key(); string(name) {
		case "endpointFallback":
			if d.once(&seen, 1, "fallbackPolicy.endpointFallback") && !d.null() {
				d.fallback()
			}
		default:
			d.foreign("fallbackPolicy", name)
		}
	}
}

func (d *decoder) fallback() {
	const (
		at           = "fallbackPolicy.endpointFallback"
		hasPlatforms = 1
		hasDelay     = 2
		hasVisual    = 4
	)
	if !d.object(at) {
		return
	}
	var seen uint8
	f := &d.n.Fallback
	for first := true; d.next(first, '}'); first = false {
		switch name := d.cursor.key(); string(name) {
		case "platformTypes":
			if d.once(&seen, hasPlatforms, at+".platformTypes") &&
				d.platforms(at+".platformTypes") != carillon.PlatformSet(0).With(carillon.IOS) {
				d.fault(at+".platformTypes", "only iOS has a fallback")
			}
		case "fallbackDelayInSeconds":
			if d.once(&seen, hasDelay, at+".fallbackDelayInSeconds") {
				f.Delay = d.integer(at+".fallbackDelayInSeconds", "a number of seconds within 60 … 600", carillon.MinFallback, carillon.MaxFallback)
			}
		case "visualContent":
			if d.once(&seen, hasVisual, at+".visualContent") {
				f.Title, f.Body = d.visual(at + ".visualContent")
			}
		default:
			d.foreign(at, name)
		}
	}
	switch {
	case seen&hasPlatforms == 0:
		d.fault(at+".platformTypes", "is required: [\"iOS\"]")
	case seen&hasDelay == 0:
		d.fault(at+".fallbackDelayInSeconds", "is required: %d … %d", carillon.MinFallback, carillon.MaxFallback)
	case seen&hasVisual == 0:
		d.fault(at+".visualContent", "is required: the toast that follows")
	}
}
