package h2

import (
	"time"

	"golang.org/x/net/http2"
)

// SetFirstID has the next connections begin at that stream id.
func (c *Client) SetFirstID(id uint32) { c.firstID = id }

// Encoder is the header encoder, for tests of its bytes.
type Encoder struct{ e *encoder }

// NewEncoder returns the encoder of a new connection.
func NewEncoder(static []Field) Encoder { return Encoder{newEncoder(static)} }

// SetTableSize is what the server's SETTINGS_HEADER_TABLE_SIZE does.
func (e Encoder) SetTableSize(n uint32) { e.e.setTableSize(n) }

// Block returns the header block of one request.
func (e Encoder) Block(path string, fields []Field) []byte {
	return e.e.appendBlock(nil, path, fields)
}

// The rules, for tests of their properties.
var (
	Failures    = failures
	Backoff     = backoff
	TooLate     = tooLate
	Choose      = choose
	Fullest     = fullest
	ShareAfter  = shareAfter
	Quarantined = quarantined
)

// Offered is the rule of that name; the arrays are regular and quarantine.
func Offered(free, waiting [2]int, mostly bool) int { return offered(free, waiting, mostly, 1000) }

// Sizing is sizing.
type Sizing struct {
	Open, Opening, Cold, Least, Most, Capacity, All, Budget, Peak int
	Pressed, Grown, Quiet                                         time.Duration
}

// Change is the rule of that name.
func (s Sizing) Change(growEvery, idleAfter time.Duration) int {
	z := sizing{
		open: s.Open, opening: s.Opening, cold: s.Cold, least: s.Least, most: s.Most, capacity: s.Capacity, all: s.All,
		budget: s.Budget, peak: s.Peak, pressed: s.Pressed, grown: s.Grown, quiet: s.Quiet,
	}
	return z.change(growEvery, idleAfter)
}

// Queue is queue.
type Queue struct{ q queue }

// Push is push.
func (q *Queue) Push(s *Shot) { q.q.push(s) }

// Drop is drop.
func (q *Queue) Drop() { q.q.drop() }

// Cap is how many places the queue has.
func (q *Queue) Cap() int { return cap(q.q.shots) }

// Plain is plain.
func Plain(s string) int { return plain(s) }

// Parser is the reader's parser, for benchmarks.
type Parser struct{ p *parser }

// NewParser returns the parser of a new connection.
func NewParser() Parser { return Parser{newParser()} }

// Feed parses whole frames and returns how many events they were.
func (p Parser) Feed(b []byte) (int, error) {
	_, err := p.p.feed(b)
	n := len(p.p.events)
	p.p.reset()
	return n, err
}

// Request appends the frames of one request.
func (e Encoder) Request(dst []byte, id uint32, path string, fields []Field, body []byte) []byte {
	from := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = e.e.appendBlock(dst, path, fields)
	putFrameHeader(dst[from:], len(dst)-from-frameHeaderLen, http2.FrameHeaders, http2.FlagHeadersEndHeaders, id)
	dst = appendFrameHeader(dst, len(body), http2.FrameData, http2.FlagDataEndStream, id)
	return append(dst, body...)
}
