package feed

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"carillon"
)

// Key makes and checks the tokens that links carry, and tickets. Keep it
// secret. All processes of an installation have the same.
type Key [32]byte

// linkKind keeps the tokens of different calls apart. Values are pinned.
type linkKind byte

const (
	tokenList   linkKind = 's' // $skiptoken of a list
	tokenDelta  linkKind = 'k' // $skiptoken of a delta
	tokenSync   linkKind = 'd' // $deltatoken
	tokenTicket linkKind = 't' // ticket of a live feed
)

const (
	tokenVersion = 1
	macBytes     = 16
	maxToken     = 8 << 10
)

// Bits of a token. Pinned.
const (
	tokenOldestFirst = 1 << iota
	tokenPreferred
	tokenPartial
	tokenServed
)

// cursor is where a reader is, with what he asked for at first.
type cursor struct {
	query

	// partial tells that a delta began with what was new then, not at the
	// beginning, served that the answer with the link told of something.
	partial, served bool
	// issued is when the link was made, milliseconds since 1970.
	issued int64
	// at is the next seq to look at: of a list its created seq, of a delta its
	// place in the feed.
	at carillon.Seq
	// inner is the created seq to go on with inside a floor mark at at.
	inner carillon.Seq
	// start is how far the feed was when a first sync began; 0 outside of one.
	start carillon.Seq
}

// seal makes the token of a cursor for one user. It is no secret, but nobody
// else can make one, and it is good for that user only.
func (k *Key) seal(kind linkKind, u carillon.User, c *cursor) string {
	var bits byte
	if c.oldestFirst {
		bits |= tokenOldestFirst
	}
	if c.preferred {
		bits |= tokenPreferred
	}
	if c.partial {
		bits |= tokenPartial
	}
	if c.served {
		bits |= tokenServed
	}
	b := append(make([]byte, 0, 128), tokenVersion, byte(kind), bits)
	b = binary.AppendUvarint(b, uint64(c.top)) //nolint:gosec // 0 to 1000
	b = binary.AppendVarint(b, c.issued)
	for _, s := range [...]carillon.Seq{c.at, c.inner, c.start} {
		b = binary.AppendUvarint(b, uint64(s))
	}
	b = appendText(b, c.filter.text)
	b = appendText(b, c.sel.text)
	b = append(b, k.mac(u, b)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// open reads a token of the user; anything that seal did not make for him is an
// invalidRequest error at the option.
func (k *Key) open(kind linkKind, u carillon.User, text, option string) (cursor, error) {
	c, ok := k.parse(kind, u, text)
	if !ok {
		return cursor{}, carillon.Errorf(carillon.CodeInvalidRequest, option, "this is no token of this call for this user: follow links as they are, or begin without one")
	}
	var err error
	if c.filter.text != "" {
		if c.filter, err = parseFilter(c.filter.text); err != nil {
			return cursor{}, err
		}
	}
	if c.sel.text != "" {
		c.sel, err = parseSelect(c.sel.text)
	}
	return c, err
}

func (k *Key) parse(kind linkKind, u carillon.User, text string) (c cursor, ok bool) {
	if len(text) > maxToken || strings.ContainsAny(text, "\r\n") { // base64 passes over line ends
		return c, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 3+macBytes {
		return c, false
	}
	body, mac := b[:len(b)-macBytes], b[len(b)-macBytes:]
	if !hmac.Equal(mac, k.mac(u, body)) || body[0] != tokenVersion || linkKind(body[1]) != kind {
		return c, false
	}
	c.oldestFirst, c.preferred = body[2]&tokenOldestFirst != 0, body[2]&tokenPreferred != 0
	c.partial, c.served = body[2]&tokenPartial != 0, body[2]&tokenServed != 0
	r := tokenReader{b: body[3:]}
	c.top = int(min(r.uvarint(), maxTop))
	c.issued = r.varint()
	for _, s := range [...]*carillon.Seq{&c.at, &c.inner, &c.start} {
		*s = carillon.Seq(r.uvarint())
	}
	c.filter.text, c.sel.text = r.text(), r.text()
	return c, !r.bad && len(r.b) == 0
}

// mac binds a token to its user.
func (k *Key) mac(u carillon.User, body []byte) []byte {
	h := hmac.New(sha256.New, k[:])
	h.Write(binary.AppendUvarint(nil, uint64(len(body))))
	h.Write(body)
	h.Write(u.AppendKey(nil))
	return h.Sum(nil)[:macBytes]
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// tokenReader takes a token apart; after a fault it is bad and gives zeros.
type tokenReader struct {
	b   []byte
	bad bool
}

func (r *tokenReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *tokenReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *tokenReader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// latest, as $deltatoken, asks for a link to what comes from now on.
const latest = "latest"
