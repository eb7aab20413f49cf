package h2

import (
	"encoding/binary"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	maxHeaderList  = 32 << 10  // of one answer, by the count of RFC 9113 §6.5.2
	maxHeaderBlock = 256 << 10 // compressed bytes of one answer, else we hang up
)

// event is one thing that the server said. data points into the bytes that
// were fed, fields by range into parser.fields.
type event struct {
	kind      http2.FrameType // headers (a whole block), data, settings, ...
	end       bool            // END_STREAM, or ACK
	malformed bool            // the header block breaks the rules for this stream only
	id        uint32
	value     uint32 // error code, last stream, window increment; of data: its flow-controlled length
	status    int    // of headers; 0: none (trailers)
	from, to  int    // of headers: fields[from:to]
	data      []byte // of data, settings, ping, goaway
}

// parser turns bytes into events, with no knowledge of streams. It fails only
// for what ends the connection.
type parser struct {
	events []event
	fields []Field

	hp      *hpack.Decoder
	started bool // the first SETTINGS was seen
	// The header block being read; block.id is 0 between blocks.
	block event
	list  int // its size as a header list
	raw   int // its compressed bytes
}

func newParser() *parser {
	p := &parser{}
	p.hp = hpack.NewDecoder(tableSize, p.field)
	p.hp.SetMaxStringLength(maxHeaderList)
	return p
}

// reset forgets the events, keeping a header block that is still open.
func (p *parser) reset() {
	clear(p.events)
	p.events = p.events[:0]
	kept := 0
	if p.block.id != 0 {
		kept = copy(p.fields, p.fields[p.block.from:])
		p.block.from = 0
	}
	clear(p.fields[kept:])
	p.fields = p.fields[:kept]
}

// feed reads the whole frames at the front of b and returns their length.
func (p *parser) feed(b []byte) (int, error) {
	used := 0
	for len(b)-used >= frameHeaderLen {
		h := b[used:]
		n := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
		if n > maxFrameLen {
			return used, &connError{http2.ErrCodeFrameSize, "a frame is longer than announced"}
		}
		if len(h) < frameHeaderLen+n {
			break
		}
		id := binary.BigEndian.Uint32(h[5:]) & maxStreamID
		err := p.frame(http2.FrameType(h[3]), http2.Flags(h[4]), id, h[frameHeaderLen:frameHeaderLen+n])
		if err != nil {
			return used, err
		}
		used += frameHeaderLen + n
	}
	return used, nil
}

func (p *parser) frame(t http2.FrameType, flags http2.Flags, id uint32, b []byte) error {
	if !p.started {
		if t != http2.FrameSettings || flags.Has(http2.FlagSettingsAck) {
			return broken("the first frame is not SETTINGS")
		}
		p.started = true
	}
	if p.block.id != 0 && (t != http2.FrameContinuation || id != p.block.id) {
		return broken("a header block is interrupted by another frame")
	}
	switch t {
	case http2.FrameHeaders, http2.FrameContinuation, http2.FrameData, http2.FrameRSTStream:
		if id%2 == 0 {
			return broken(t.String() + " on a stream that is not ours")
		}
	case http2.FrameSettings, http2.FramePing, http2.FrameGoAway:
		if id != 0 {
			return broken(t.String() + " on a stream")
		}
	default:
	}
	switch t {
	case http2.FrameData:
		return p.data(flags, id, b)
	case http2.FrameHeaders:
		return p.headers(flags, id, b)
	case http2.FrameContinuation:
		if p.block.id == 0 {
			return broken("CONTINUATION without HEADERS")
		}
		return p.fragment(flags, b)
	case http2.FramePushPromise:
		return broken("PUSH_PROMISE although push is disabled")
	case http2.FrameRSTStream, http2.FrameSettings, http2.FramePing, http2.FrameGoAway, http2.FrameWindowUpdate:
		return p.control(t, flags, id, b)
	default: // PRIORITY, and types to be ignored (RFC 9113 §5.5): only counted
		p.events = append(p.events, event{kind: t})
		return nil
	}
}

func (p *parser) control(t http2.FrameType, flags http2.Flags, id uint32, b []byte) error {
	var ok bool
	ev := event{kind: t, id: id}
	switch t {
	case http2.FrameSettings:
		ev.end = flags.Has(http2.FlagSettingsAck)
		ok = len(b)%6 == 0 && (!ev.end || len(b) == 0)
		ev.data = b
	case http2.FramePing:
		ok = len(b) == 8
		ev.data, ev.end = b, flags.Has(http2.FlagPingAck)
	case http2.FrameGoAway:
		if ok = len(b) >= 8; ok {
			ev.id = binary.BigEndian.Uint32(b) & maxStreamID
			ev.value, ev.data = binary.BigEndian.Uint32(b[4:]), b[8:]
		}
	default: // RST_STREAM and WINDOW_UPDATE
		if ok = len(b) == 4; ok {
			ev.value = binary.BigEndian.Uint32(b)
		}
	}
	if !ok {
		return &connError{http2.ErrCodeFrameSize, t.String() + " of a wrong length"}
	}
	p.events = append(p.events, ev)
	return nil
}

// unpad takes the padding off (RFC 9113 §6.1).
func unpad(flags http2.Flags, b []byte) ([]byte, error) {
	if !flags.Has(http2.FlagDataPadded) {
		return b, nil
	}
	if len(b) == 0 || int(b[0]) >= len(b) {
		return nil, broken("more padding than frame")
	}
	return b[1 : len(b)-int(b[0])], nil
}

func (p *parser) data(flags http2.Flags, id uint32, b []byte) error {
	n := uint32(len(b)) //nolint:gosec // at most maxFrameLen
	b, err := unpad(flags, b)
	if err != nil {
		return err
	}
	p.events = append(p.events, event{
		kind: http2.FrameData, id: id, data: b, value: n, end: flags.Has(http2.FlagDataEndStream),
	})
	return nil
}

func (p *parser) headers(flags http2.Flags, id uint32, b []byte) error {
	b, err := unpad(flags, b)
	if err != nil {
		return err
	}
	if flags.Has(http2.FlagHeadersPriority) {
		if len(b) < 5 {
			return broken("HEADERS too short for its priority")
		}
		b = b[5:]
	}
	p.block = event{
		kind: http2.FrameHeaders, id: id, end: flags.Has(http2.FlagHeadersEndStream), from: len(p.fields),
	}
	p.list, p.raw = 0, 0
	return p.fragment(flags, b)
}

func (p *parser) fragment(flags http2.Flags, b []byte) error {
	if p.raw += len(b) + frameHeaderLen; p.raw > maxHeaderBlock {
		return &connError{http2.ErrCodeEnhanceYourCalm, "an endless header block"}
	}
	if _, err := p.hp.Write(b); err != nil {
		return &connError{http2.ErrCodeCompression, err.Error()}
	}
	if !flags.Has(http2.FlagHeadersEndHeaders) {
		return nil
	}
	if err := p.hp.Close(); err != nil {
		return &connError{http2.ErrCodeCompression, err.Error()}
	}
	p.block.to = len(p.fields)
	p.events = append(p.events, p.block)
	p.block.id = 0
	return nil
}

// field takes one decoded field of the block being read.
func (p *parser) field(f hpack.HeaderField) {
	p.list += len(f.Name) + len(f.Value) + fieldOverhead
	switch {
	case p.list > maxHeaderList || f.Name == "":
		p.block.malformed = true
	case f.Name[0] != ':':
		p.fields = append(p.fields, Field{Name: f.Name, Value: f.Value})
	default: // pseudo-header fields: one :status, before all others
		first := p.block.status == 0 && len(p.fields) == p.block.from
		p.block.status = parseStatus(f.Value)
		if !first || f.Name != ":status" || p.block.status == 0 {
			p.block.malformed = true
		}
	}
}

func parseStatus(s string) int {
	if len(s) != 3 {
		return 0
	}
	n := 0
	for i := range 3 {
		d := int(s[i]) - '0'
		if d < 0 || d > 9 {
			return 0
		}
		n = 10*n + d
	}
	if n < 100 || n > 599 {
		return 0
	}
	return n
}
