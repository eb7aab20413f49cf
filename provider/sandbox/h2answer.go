package sandbox

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// answers is the writing side of a connection. A stream counts as active until
// its answer has left: the client cannot know earlier.
type answers struct {
	active    int // open, held or answered but not yet written
	limits        // of active
	unflushed int // answered, not yet written
	batched   int64
	goneAway  bool
	cut       bool // close after the next write

	enc     *hpack.Encoder
	block   bytes.Buffer
	fast    []byte
	sendWin int64 // of the connection
	initial int64 // of a stream, by the client's SETTINGS
	blocked []pending
}

// pending is the body of an answer that waits for a window.
type pending struct {
	id   uint32
	win  int64
	body []byte
}

func (a *answers) init(v Vendor, set *settings) {
	a.limits.init(set)
	a.enc = hpack.NewEncoder(&a.block)
	a.fast = fastFrame(v)
	a.sendWin, a.initial = 65535, 65535
}

// ended: nothing more will be answered.
func (a *answers) ended() bool { return a.cut || a.goneAway && a.active <= 0 }

func (c *h2conn) answerFast(id uint32) {
	n := len(c.out)
	c.out = append(c.out, c.answers.fast...)
	binary.BigEndian.PutUint32(c.out[n+5:], id)
	c.answers.unflushed++
}

// settle does with a stream what the reply says: now, later, or never.
func (c *h2conn) settle(id uint32, rep reply) {
	a := &c.answers
	switch {
	case rep.hold || rep.delay > 0:
		c.postpone(id, rep)
	case rep.drop:
		a.cut = true
	case rep.reset:
		c.out = appendReset(c.out, id, http2.ErrCodeRefusedStream)
		a.unflushed++
	case rep.refused:
		c.goAway(id-2, rep.debug)
		a.active--
	default:
		c.follow(&rep)
		c.write(id, &rep)
		c.enough(id, &rep)
	}
}

func (c *h2conn) goAway(last uint32, reason string) {
	text := ""
	if reason != "" {
		text = `{"reason":` + quote(reason) + `}`
	}
	if last > 1<<31 { // the first stream was refused
		last = 0
	}
	c.out = appendGoAway(c.out, last, http2.ErrCodeNo, text)
	c.answers.goneAway = true
}

// write appends a whole answer.
func (c *h2conn) write(id uint32, rep *reply) {
	a := &c.answers
	a.block.Reset()
	put := func(name, value string, secret bool) {
		_ = a.enc.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: secret})
	}
	put(":status", strconv.Itoa(rep.status), false)
	for _, f := range rep.fields {
		put(f.name, f.value, f.name == "apns-id" || f.name == "apns-unique-id" || f.name == "x-wns-msg-id")
	}
	flags := http2.FlagHeadersEndHeaders
	if len(rep.body) == 0 {
		flags |= http2.FlagHeadersEndStream
		a.unflushed++
	}
	c.out = appendFrame(c.out, http2.FrameHeaders, flags, id, a.block.Bytes())
	if len(rep.body) > 0 && !c.send(pending{id, a.initial, rep.body}) {
		a.blocked = append(a.blocked, pending{id, a.initial, rep.body})
	}
}

// send appends a body when both windows have room for all of it.
func (c *h2conn) send(p pending) bool {
	n := int64(len(p.body))
	if n > p.win || n > c.answers.sendWin {
		return false
	}
	c.answers.sendWin -= n
	c.out = appendFrame(c.out, http2.FrameData, http2.FlagDataEndStream, p.id, p.body)
	c.answers.unflushed++
	return true
}

func (c *h2conn) window(id uint32, p []byte) error {
	if len(p) != 4 {
		return connError{http2.ErrCodeFrameSize, "bad WINDOW_UPDATE"}
	}
	n := int64(binary.BigEndian.Uint32(p) &^ (1 << 31))
	if n == 0 {
		return connError{http2.ErrCodeProtocol, "WINDOW_UPDATE of 0"}
	}
	a := &c.answers
	if id == 0 {
		if a.sendWin += n; a.sendWin > 1<<31-1 {
			return connError{http2.ErrCodeFlowControl, "window above 2³¹-1"}
		}
	}
	for i := range a.blocked {
		if a.blocked[i].id == id {
			a.blocked[i].win += n
		}
	}
	c.unblock()
	return nil
}

func (c *h2conn) unblock() {
	a := &c.answers
	waiting := a.blocked[:0]
	for _, p := range a.blocked {
		if !c.send(p) {
			waiting = append(waiting, p)
		}
	}
	clear(a.blocked[len(waiting):])
	a.blocked = waiting
}

func (c *h2conn) settings(flags http2.Flags, id uint32, p []byte) error {
	if id != 0 || len(p)%6 != 0 {
		return connError{http2.ErrCodeFrameSize, "bad SETTINGS"}
	}
	if flags.Has(http2.FlagSettingsAck) {
		c.answers.acked()
		return nil
	}
	a := &c.answers
	for ; len(p) > 0; p = p[6:] {
		val := binary.BigEndian.Uint32(p[2:])
		switch http2.SettingID(binary.BigEndian.Uint16(p)) {
		case http2.SettingInitialWindowSize:
			if val > 1<<31-1 {
				return connError{http2.ErrCodeFlowControl, "initial window above 2³¹-1"}
			}
			for i := range a.blocked {
				a.blocked[i].win += int64(val) - a.initial
			}
			a.initial = int64(val)
			c.unblock()
		case http2.SettingHeaderTableSize:
			a.enc.SetMaxDynamicTableSizeLimit(min(val, 4096))
		default: // frames of ours are short; the rest does not concern a server
		}
	}
	c.out = appendFrame(c.out, http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
	return nil
}

// flush writes what is there; with it answered streams end and a raised limit
// takes effect.
func (c *h2conn) flush() error {
	a := &c.answers
	if a.batched > 0 {
		c.s.counts.vendors[c.d.vendor].accepted.Add(a.batched)
		a.batched = 0
	}
	if len(c.out) == 0 {
		return nil
	}
	if c.mood.mute {
		if len(c.out) > maxMuted {
			return errMuted
		}
		return nil
	}
	wait := 5 * time.Second
	if c.stopped.Load() {
		wait = 200 * time.Millisecond
	}
	_ = c.nc.SetWriteDeadline(realNow().Add(wait))
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	a.active -= a.unflushed
	a.unflushed = 0
	a.left()
	return err
}

func appendFrame(b []byte, t http2.FrameType, flags http2.Flags, id uint32, p []byte) []byte {
	n := len(p)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), byte(t), byte(flags)) //nolint:gosec // its three bytes
	b = binary.BigEndian.AppendUint32(b, id)
	return append(b, p...)
}

func appendSettings(b []byte, list []http2.Setting) []byte {
	p := make([]byte, 0, 6*len(list))
	for _, s := range list {
		p = binary.BigEndian.AppendUint16(p, uint16(s.ID))
		p = binary.BigEndian.AppendUint32(p, s.Val)
	}
	return appendFrame(b, http2.FrameSettings, 0, 0, p)
}

func appendWindow(b []byte, id uint32, n int64) []byte {
	//nolint:gosec // windows are below 2³¹
	return appendFrame(b, http2.FrameWindowUpdate, 0, id, binary.BigEndian.AppendUint32(nil, uint32(n)))
}

func appendReset(b []byte, id uint32, code http2.ErrCode) []byte {
	return appendFrame(b, http2.FrameRSTStream, 0, id, binary.BigEndian.AppendUint32(nil, uint32(code)))
}

func appendGoAway(b []byte, last uint32, code http2.ErrCode, text string) []byte {
	p := binary.BigEndian.AppendUint32(nil, last)
	p = binary.BigEndian.AppendUint32(p, uint32(code))
	return appendFrame(b, http2.FrameGoAway, 0, 0, append(p, text...))
}
