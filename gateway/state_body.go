package gateway

import (
	"strings"
	"unicode/utf8"

	"carillon"
)

// stateBody is the body of a PATCH, or with ids or a position that of the state
// of many.
type stateBody struct {
	cursor
	change carillon.Change
	ids    []carillon.ID
	before string
}

// decode reads the body. Members that are not readState or userActionState are
// faults: nothing else of a notification can be changed. Annotations of OData
// clients ("@odata.etag") are passed over.
func (b *stateBody) decode(body []byte, many bool) error {
	b.reset(body)
	b.object(func(name string) {
		switch {
		case name == "readState":
			b.readState()
		case name == "userActionState":
			b.actionState()
		case many && name == "ids":
			b.ids = b.idList(name)
		case many && name == "before":
			b.before = b.text1(name)
		case strings.Contains(name, "@"):
			b.skip()
		default:
			b.fault(name, "cannot be changed: readState and userActionState can")
		}
	})
	if b.err != nil {
		return b.err
	}
	switch {
	case b.change == carillon.Change{}:
		b.fault("", "names neither readState nor userActionState")
	case many && (len(b.ids) == 0) == (b.before == ""):
		b.fault("ids", "name either ids or before")
	}
	if b.err != nil {
		return b.err
	}
	return nil
}

// readState is true or false, or the words of the original's SDKs.
func (b *stateBody) readState() {
	const target = "readState"
	switch b.peek() {
	case 't':
		b.literal("true")
		b.change.Read = carillon.Set
	case 'f':
		b.literal("false")
		b.change.Read = carillon.Unset
	case '"':
		switch v := string(b.string()); strings.ToLower(v) {
		case "read":
			b.change.Read = carillon.Set
		case "unread":
			b.change.Read = carillon.Unset
		default:
			b.fault(target, "%.40q is not true, false, Read or Unread", v)
		}
	default:
		b.fault(target, "must be true or false")
	}
}

func (b *stateBody) actionState() {
	const target = "userActionState"
	v := b.text1(target)
	switch strings.ToLower(v) {
	case "nointeraction", "none":
		b.change.Action = carillon.NoInteraction
	case "activated":
		b.change.Action = carillon.Activated
	case "dismissed":
		b.change.Action = carillon.Dismissed
	case "snoozed":
		b.change.Action = carillon.Snoozed
	default:
		b.fault(target, "%.40q is not one of NoInteraction, Activated, Dismissed, Snoozed", v)
	}
	b.change.HasAction = true
}

// ackBody is the body of an acknowledgement.
type ackBody struct {
	cursor
	position string
	ids      []carillon.ID
}

func (b *ackBody) decode(body []byte) error {
	b.reset(body)
	b.object(func(name string) {
		switch name {
		case "position":
			b.position = b.text1(name)
		case "opened":
			b.ids = b.idList(name)
		default:
			b.skip() // a newer SDK may tell more
		}
	})
	if b.err == nil && b.position == "" && len(b.ids) == 0 {
		b.fault("position", "says neither how far the feed was seen nor what was opened")
	}
	if b.err != nil {
		return b.err
	}
	return nil
}

// object reads an object whose members member reads; none may stand twice.
func (c *cursor) object(member func(name string)) {
	if !utf8.Valid(c.b) {
		c.fault("", "the body is not valid UTF-8")
		return
	}
	if c.peek() != '{' {
		c.fault("", "the body must be a JSON object")
		return
	}
	c.open()
	seen := make(map[string]bool)
	for first := true; c.next(first, '}'); first = false {
		name := string(c.key())
		if seen[name] {
			c.fault(name, "stands twice")
		}
		seen[name] = true
		if c.err == nil && !c.null() {
			member(name)
		}
	}
	c.end()
}

// text1 reads a string, a copy.
func (c *cursor) text1(target string) string {
	if c.peek() != '"' {
		c.fault(target, "must be a string")
		return ""
	}
	return string(c.string())
}

// idList reads an array of ids.
func (c *cursor) idList(target string) (ids []carillon.ID) {
	if c.peek() != '[' {
		c.fault(target, "must be an array of ids")
		return nil
	}
	c.open()
	for first := true; c.next(first, ']'); first = false {
		if len(ids) == maxStateIDs {
			c.fault(target, "at most %d ids in one call", maxStateIDs)
			return nil
		}
		v := c.text1(target)
		if c.err != nil {
			return nil
		}
		id, err := carillon.ParseID(v)
		if err != nil {
			c.fault(target, "%.40q is not a notification id", v)
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}
