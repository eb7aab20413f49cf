package gateway

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon"
)

// optionRules are what may stand in platformOptions; a decoder makes them once.
type optionRules struct {
	apns, fcm, wns []carillon.Option
}

// options keeps platformOptions as it was sent, when all of it is known and no
// reserved name stands in it. What passed here silently and did nothing would be
// found out on devices.
func (d *decoder) options() {
	const at = "platformOptions"
	if !d.object(at) {
		return
	}
	if d.rules == nil {
		d.rules = &optionRules{apns: carillon.APNsOptions(), fcm: carillon.FCMOptions(), wns: carillon.WNSOptions()}
	}
	from := d.i - 1
	var seen uint8
	for first := true; d.next(first, '}'); first = false {
		d.optionsOf(at, d.cursor.key(), &seen)
	}
	if d.err == nil {
		d.n.Options = d.b[from:d.i:d.i]
	}
}

// optionsOf reads one of the five members of platformOptions.
func (d *decoder) optionsOf(at string, member []byte, seen *uint8) {
	if d.err != nil {
		return
	}
	name, bit := "", uint8(0)
	for i, n := range [...]string{"apns", "fcm", "wns", "data", "link"} {
		if n == string(member) {
			name, bit = n, 1<<i
		}
	}
	if name == "" {
		d.fault(at+"."+string(member), "is not one of apns, fcm, wns, data, link")
		return
	}
	target := at + "." + name
	if !d.once(seen, bit, target) || d.null() {
		return
	}
	switch name {
	case "apns":
		a := activity{}
		d.members(target, d.rules.apns, &a)
		d.checkActivity(target, &a)
	case "fcm":
		d.members(target, d.rules.fcm, nil)
	case "wns":
		d.members(target, d.rules.wns, nil)
	case "data":
		d.optionData(target)
	case "link":
		d.link(target)
	}
}

// activity is what was said about a Live Activity.
type activity struct {
	pushType, event string
	seen            [4]bool // content-state, attributes-type, attributes, any other member of one
}

// note takes in a member of platformOptions.apns whose value has just been read.
func (a *activity) note(name string, value []byte) {
	switch name {
	case "push-type":
		a.pushType = string(bytes.Trim(value, `"`))
	case "event":
		a.event = string(bytes.Trim(value, `"`))
	case "content-state":
		a.seen[0] = true
	case "attributes-type":
		a.seen[1] = true
	case "attributes":
		a.seen[2] = true
	case "stale-date", "dismissal-date", "input-push-token", "input-push-channel":
		a.seen[3] = true
	}
}

// checkActivity holds a Live Activity together ("Starting and updating Live
// Activities with ActivityKit push notifications").
func (d *decoder) checkActivity(at string, a *activity) {
	switch {
	case d.err != nil:
	case a.pushType != "liveactivity":
		if a.event != "" || a.seen != [4]bool{} {
			d.fault(at+".push-type", "must be liveactivity where event, content-state, attributes and the like stand")
		}
	case a.event == "":
		d.fault(at+".event", "is required of a Live Activity: start, update or end")
	case a.event != "end" && !a.seen[0]:
		d.fault(at+".content-state", "is required of a Live Activity")
	case a.event == "start" && (!a.seen[1] || !a.seen[2]):
		d.fault(at+".attributes", "a Live Activity starts with attributes-type and attributes")
	default:
		d.starts = a.event == "start"
	}
}

// members reads an object whose members are options. A is told of each.
func (d *decoder) members(at string, rules []carillon.Option, a *activity) {
	if d.peek() != '{' {
		d.fault(at, "must be an object")
		return
	}
	d.open()
	var seen uint64
	for first := true; d.next(first, '}'); first = false {
		name := d.cursor.key()
		if d.err != nil {
			return
		}
		i := find(rules, name)
		switch {
		case reserved(name):
			d.fault(at+"."+string(name), "this name is reserved")
			return
		case i < 0:
			d.fault(at+"."+string(name), "is no option here; docs/platform-options.md lists them")
			return
		case seen&(1<<i) != 0:
			d.fault(at+"."+string(name), "stands twice")
			return
		}
		if d.null() {
			continue
		}
		seen |= 1 << i
		d.space()
		from := d.i
		d.option(at, &rules[i])
		if a != nil && d.err == nil {
			a.note(rules[i].Name, d.b[from:d.i])
		}
	}
	for i := range rules {
		if rules[i].Required && seen&(1<<i) == 0 && d.err == nil {
			d.fault(at+"."+rules[i].Name, "is required here")
		}
	}
}

func find(rules []carillon.Option, name []byte) int {
	for i := range rules {
		if rules[i].Name == string(name) {
			return i
		}
	}
	return -1
}

// option reads one option's value.
func (d *decoder) option(at string, o *carillon.Option) {
	switch o.Form {
	case carillon.OptionFlag:
		if ch := d.peek(); ch != 't' && ch != 'f' {
			d.fault(at+"."+o.Name, "must be true or false")
			return
		}
		d.skip()
	case carillon.OptionInteger, carillon.OptionNumber:
		d.optionNumber(at, o)
	case carillon.OptionTexts, carillon.OptionDurations:
		d.optionTexts(at, o)
	case carillon.OptionObject:
		switch {
		case o.Members != nil:
			d.members(at+"."+o.Name, o.Members, nil)
		case d.peek() != '{':
			d.fault(at+"."+o.Name, "must be an object")
		default:
			d.skip()
		}
	case carillon.OptionObjects:
		d.optionObjects(at, o)
	case carillon.OptionText, carillon.OptionURI, carillon.OptionColor, carillon.OptionDuration, carillon.OptionTime, carillon.OptionLabel, carillon.OptionToken:
		switch {
		case d.peek() == '"':
			d.optionText(at, o, d.string())
		case o.Members != nil && d.peek() == '{':
			d.members(at+"."+o.Name, o.Members, nil)
		default:
			d.fault(at+"."+o.Name, "must be a string")
		}
	}
}

func (d *decoder) optionNumber(at string, o *carillon.Option) {
	if ch := d.peek(); ch != '-' && (ch < '0' || ch > '9') {
		d.fault(at+"."+o.Name, "must be a number")
		return
	}
	digits := d.number()
	v, err := strconv.ParseFloat(text(digits), 64)
	switch {
	case d.err != nil:
	case err != nil || v < o.Min || v > o.Max || digits[0] == '-', len(o.OneOf) > 0 && !slices.Contains(o.OneOf, text(digits)):
		if len(o.OneOf) > 0 {
			d.fault(at+"."+o.Name, "%.20s is not one of %s", digits, strings.Join(o.OneOf, ", "))
			return
		}
		d.fault(at+"."+o.Name, "%.20s is not within %v … %.0f", digits, o.Min, o.Max)
	case o.Form == carillon.OptionInteger && bytes.ContainsAny(digits, ".eE"):
		d.fault(at+"."+o.Name, "must be a whole number, without fraction or exponent")
	}
}

func (d *decoder) optionTexts(at string, o *carillon.Option) {
	if d.peek() != '[' {
		d.fault(at+"."+o.Name, "must be an array of strings")
		return
	}
	d.open()
	for first := true; d.next(first, ']'); first = false {
		if d.peek() != '"' {
			d.fault(at+"."+o.Name, "must be an array of strings")
			return
		}
		if s := d.string(); o.Form == carillon.OptionDurations && d.err == nil && !duration(text(s)) {
			d.fault(at+"."+o.Name, "%.40q is not a number of seconds such as 1.5s", s)
		}
	}
}

func (d *decoder) optionObjects(at string, o *carillon.Option) {
	target := at + "." + o.Name
	if d.peek() != '[' {
		d.fault(target, "must be an array of objects")
		return
	}
	d.open()
	n := 0
	for first := true; d.next(first, ']'); first = false {
		d.members(target+"["+strconv.Itoa(n)+"]", o.Members, nil)
		n++
	}
	if n == 0 || n > int(o.Max) {
		d.fault(target, "has %d, 1 to %.0f are allowed", n, o.Max)
	}
}

// optionText checks a string.
func (d *decoder) optionText(at string, o *carillon.Option, s []byte) {
	if d.err != nil {
		return
	}
	ok, want := true, ""
	switch o.Form {
	case carillon.OptionURI:
		scheme, _, found := strings.Cut(text(s), ":")
		ok, want = found && validScheme(scheme), "an absolute URI"
	case carillon.OptionColor:
		ok, want = len(s) == 7 && s[0] == '#' && len(bytes.Trim(s[1:], "0123456789abcdefABCDEF")) == 0, "a colour such as #4a90d9"
	case carillon.OptionDuration:
		ok, want = duration(text(s)), "a number of seconds such as 1.5s"
	case carillon.OptionTime:
		_, err := time.Parse(time.RFC3339, text(s))
		ok, want = err == nil, "a date and time of RFC 3339 such as 2026-12-01T23:59:00Z"
	case carillon.OptionLabel:
		ok, want = len(s) > 0 && len(s) <= 50 && word(s, "-_.~%"), "1 to 50 letters, digits and -_.~%"
	case carillon.OptionToken:
		ok, want = len(s) > 0 && len(s) <= int(o.Max) && word(s, "-_."), "a name of letters, digits and -_."
	default:
		if len(o.OneOf) > 0 && !slices.Contains(o.OneOf, text(s)) {
			d.fault(at+"."+o.Name, "%.40q is not one of %s", s, strings.Join(o.OneOf, ", "))
		} else if o.Max > 0 && len(s) > int(o.Max) {
			d.fault(at+"."+o.Name, "has %d bytes, at most %.0f are allowed", len(s), o.Max)
		}
	}
	if !ok {
		d.fault(at+"."+o.Name, "%.40q is not %s", s, want)
	}
}

// duration tells whether s is protobuf's JSON form of one that is not negative.
func duration(s string) bool {
	digits, ok := strings.CutSuffix(s, "s")
	whole, fraction, dot := strings.Cut(digits, ".")
	return ok && numeral(whole, 9) && (!dot || numeral(fraction, 9))
}

func numeral(s string, most int) bool {
	return s != "" && len(s) <= most && strings.Trim(s, "0123456789") == ""
}

// word tells whether s has ASCII letters, digits and others only.
func word(s []byte, others string) bool {
	for _, c := range s {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

// optionData reads the sender's own data.
func (d *decoder) optionData(target string) {
	if d.peek() != '{' {
		d.fault(target, "must be an object")
		return
	}
	d.unreserved(target)
}

// unreserved reads over a value and refuses the names that belong to vendors
// or to Carillon, however deep they stand.
func (d *decoder) unreserved(target string) {
	switch d.peek() {
	case '{':
		d.open()
		for first := true; d.next(first, '}'); first = false {
			name := d.cursor.key()
			if d.err != nil {
				return
			}
			if reserved(name) {
				d.fault(target+"."+string(name), "this name is reserved")
				return
			}
			if ch := d.peek(); ch == '{' || ch == '[' {
				d.unreserved(target + "." + string(name))
				continue
			}
			d.skip()
		}
	case '[':
		d.open()
		for first := true; d.next(first, ']'); first = false {
			d.unreserved(target + "[]")
		}
	default:
		d.skip()
	}
}

// reserved names: APNs' own dictionary, what Carillon's devices read, and what
// FCM refuses as a data key (providers' documents).
func reserved(name []byte) bool {
	switch string(name) {
	case "aps", "from", "message_type":
		return true
	}
	return bytes.HasPrefix(name, []byte("carillon")) ||
		bytes.HasPrefix(name, []byte("google.")) || bytes.HasPrefix(name, []byte("gcm."))
}

// link is the URI that a tap on the notification opens.
func (d *decoder) link(target string) {
	s := d.str(target)
	scheme, _, ok := strings.Cut(s, ":")
	if d.err != nil {
		return
	}
	if !ok || !validScheme(scheme) || strings.EqualFold(scheme, "javascript") {
		d.fault(target, "must be an absolute URI such as https://app.example.com/item/5 or myapp:item/5")
	}
}

// validScheme is RFC 3986 §3.1.
func validScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}
