package journal

import (
	"google.golang.org/protobuf/encoding/protowire"

	"carillon"
)

func decodeEndpoint(b []byte, e *carillon.Endpoint) error {
	s := scanner{b: b}
	for s.next() {
		if s.varint {
			setEndpointNumber(e, s.field, s.num)
			continue
		}
		switch s.field {
		case 1:
			e.ID = text(s.bytes)
		case 3:
			e.Address = text(s.bytes)
		case 4:
			e.AppID = text(s.bytes)
		case 5:
			e.Environment = text(s.bytes)
		case 6:
			e.Locale = text(s.bytes)
		}
	}
	return s.fault("endpoint")
}

func setEndpointNumber(e *carillon.Endpoint, field protowire.Number, v uint64) {
	switch field {
	case 2:
		e.Platform = carillon.Platform(v) //nolint:gosec // pinned small values
	case 7:
		e.Push = carillon.Preference(v) //nolint:gosec // pinned small values
	case 8:
		e.Expires = int64(v) //nolint:gosec // two's complement
	case 9:
		e.Incarnation = carillon.Seq(v)
	case 10:
		e.Addressed = carillon.Seq(v)
	case 11:
		e.Version = carillon.Seq(v)
	case 12:
		e.Registered = int64(v) //nolint:gosec // two's complement
	}
}

func decodeLeave(b []byte, l *Leave) error {
	s := scanner{b: b}
	for s.next() {
		switch {
		case s.varint && s.field == 2:
			l.Incarnation = carillon.Seq(s.num)
		case s.varint && s.field == 3:
			l.Addressed = carillon.Seq(s.num)
		case s.varint:
		case s.field == 1:
			l.Installation = text(s.bytes)
		case s.field == 4:
			l.Reason = text(s.bytes)
		}
	}
	return s.fault("leave")
}

func decodeChange(b []byte, c *Change) error {
	s := scanner{b: b}
	for s.next() {
		switch {
		case s.varint && s.field == 2:
			c.Created = carillon.Seq(s.num)
		case s.varint && s.field == 3:
			c.Read = carillon.Mark(s.num) //nolint:gosec // pinned small values
		case s.varint && s.field == 4:
			c.Action, c.HasAction = carillon.UserAction(s.num), true //nolint:gosec // pinned small values
		case s.varint && s.field == 5:
			c.Floor = carillon.Seq(s.num)
		case s.varint && s.field == 7:
			c.More = s.num != 0
		case s.varint:
		case s.field == 1:
			if err := fixed(c.ID[:], s.bytes, "change.id"); err != nil {
				return err
			}
		case s.field == 6:
			c.Installation = text(s.bytes)
		}
	}
	return s.fault("change")
}

func decodeDelete(b []byte, d *Delete) error {
	s := scanner{b: b}
	for s.next() {
		switch {
		case s.varint && s.field == 2:
			d.Created = carillon.Seq(s.num)
		case s.varint:
		case s.field == 1:
			if err := fixed(d.ID[:], s.bytes, "delete.id"); err != nil {
				return err
			}
		case s.field == 3:
			d.Installation = text(s.bytes)
		}
	}
	return s.fault("delete")
}

func decodeClaim(b []byte, c *Claimed) error {
	s := scanner{b: b}
	for s.next() {
		switch {
		case s.varint && s.field == 4:
			c.Seq = carillon.Seq(s.num)
		case s.varint:
		case s.field == 1:
			c.Address = s.bytes
		case s.field == 2:
			c.User = text(s.bytes)
		case s.field == 3:
			c.Installation = text(s.bytes)
		}
	}
	return s.fault("claim")
}

func decodeEvict(b []byte, e *Evict) error {
	s := scanner{b: b}
	for s.next() {
		switch {
		case s.varint && s.field == 2:
			e.Version = carillon.Seq(s.num)
		case s.varint:
		case s.field == 1:
			e.Installation = text(s.bytes)
		}
	}
	return s.fault("evict")
}

func decodeRelease(b []byte, r *Release) error {
	s := scanner{b: b}
	for s.next() {
		switch {
		case s.varint && s.field == 2:
			r.Created = carillon.Seq(s.num)
		case s.varint && s.field == 3:
			r.Content = carillon.Seq(s.num)
		case s.varint:
		case s.field == 1:
			if err := fixed(r.ID[:], s.bytes, "release.id"); err != nil {
				return err
			}
		}
	}
	return s.fault("release")
}

func decodeAck(b []byte, a *Ack) error {
	s := scanner{b: b}
	for s.next() {
		switch {
		case s.varint && s.field == 2:
			a.Incarnation = carillon.Seq(s.num)
		case s.varint && s.field == 3:
			a.Position = carillon.Seq(s.num)
		case s.varint:
		case s.field == 1:
			a.Installation = text(s.bytes)
		case s.field == 4:
			var id carillon.ID
			if err := fixed(id[:], s.bytes, "ack.opened"); err != nil {
				return err
			}
			a.Opened = append(a.Opened, id)
		case s.field == 5:
			var id carillon.ID
			if err := fixed(id[:], s.bytes, "ack.fetched"); err != nil {
				return err
			}
			a.Fetched = append(a.Fetched, id)
		}
	}
	return s.fault("ack")
}

func decodeErase(b []byte, e *Erase) error {
	s := scanner{b: b}
	for s.next() {
		if !s.varint && s.field == 1 {
			e.By = text(s.bytes)
		}
	}
	return s.fault("erase")
}
