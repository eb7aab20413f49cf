package sandbox

import (
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func (c *h2conn) headers(flags http2.Flags, id uint32, p []byte) error {
	block, err := unpad(flags, p, true)
	if err != nil {
		return err
	}
	if id%2 == 0 {
		return connError{http2.ErrCodeProtocol, "even stream id"}
	}
	if err := c.begin(id); err != nil {
		return err
	}
	end := flags.Has(http2.FlagHeadersEndStream)
	if flags.Has(http2.FlagHeadersEndHeaders) {
		return c.block(id, block, end)
	}
	c.frag = append(c.frag[:0], block...)
	c.fragID, c.fragEnd = id, end
	return nil
}

func (c *h2conn) continuation(flags http2.Flags, id uint32, p []byte) error {
	if c.fragID == 0 {
		return connError{http2.ErrCodeProtocol, "CONTINUATION without HEADERS"}
	}
	c.frag = append(c.frag, p...)
	if len(c.frag) > 4*maxFrame {
		return connError{http2.ErrCodeEnhanceYourCalm, "header block too large"}
	}
	if !flags.Has(http2.FlagContinuationEndHeaders) {
		return nil
	}
	c.fragID = 0
	return c.block(id, c.frag, c.fragEnd)
}

// begin opens the stream, unless it is open (trailers) or comes after our GOAWAY.
func (c *h2conn) begin(id uint32) error {
	if c.answers.goneAway {
		c.decoding = nil
		return nil
	}
	if st := c.find(id); st != nil {
		c.decoding = nil // trailers say nothing here
		return nil
	}
	if id <= c.lastID {
		return connError{http2.ErrCodeStreamClosed, "HEADERS on a closed stream"}
	}
	if c.answers.active >= c.answers.limit {
		return c.overrun(id)
	}
	c.lastID = id
	c.pings = 0
	c.answers.active++
	if c.cur != nil {
		c.open[c.cur.id] = c.cur
	}
	if n := len(c.free); n > 0 {
		c.cur, c.free = c.free[n-1], c.free[:n-1]
	} else {
		c.cur = &stream{}
	}
	c.cur.id, c.cur.recvWin = id, c.set.window
	c.decoding = c.cur
	return nil
}

// block decodes a whole header block. It must be decoded even when nobody wants
// it: the dynamic table follows every block.
func (c *h2conn) block(id uint32, b []byte, end bool) error {
	c.fields = 0
	if _, err := c.dec.Write(b); err != nil {
		return connError{http2.ErrCodeCompression, err.Error()}
	}
	if err := c.dec.Close(); err != nil {
		return connError{http2.ErrCodeCompression, err.Error()}
	}
	st := c.find(id)
	c.decoding = nil
	if st == nil {
		return nil
	}
	if !c.fast && (st.method == "" || st.path == "") {
		st.malformed = true
	}
	if end {
		c.finish(st, st.body)
	}
	return nil
}

// emit takes one decoded field.
func (c *h2conn) emit(f hpack.HeaderField) {
	st := c.decoding
	if st == nil {
		return
	}
	if c.fast {
		switch f.Name {
		case ":path":
			st.path = f.Value
		case "apns-id":
			st.apnsID = f.Value
		}
		return
	}
	if c.fields += len(f.Name) + len(f.Value) + 32; c.fields > c.set.headerList {
		st.tooLong = true
		return
	}
	if f.Name == "" || f.Name[0] != ':' {
		st.regular = true
		if !lower(f.Name) {
			st.malformed = true
		}
		st.fields = append(st.fields, field{f.Name, f.Value})
		return
	}
	var dst *string
	switch f.Name {
	case ":method":
		dst = &st.method
	case ":path":
		dst = &st.path
	case ":authority":
		dst = &st.authority
	case ":scheme":
		return
	default:
		st.malformed = true
		return
	}
	if st.regular || *dst != "" { // pseudo headers come first and once
		st.malformed = true
	}
	*dst = f.Value
}

// lower: an HTTP/2 field name; what HTTP/1.1 says about the connection is not one.
func lower(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 'A' && c <= 'Z' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return name != "" && name != "connection" && name != "transfer-encoding" && name != "keep-alive" && name != "upgrade"
}
