package httpapi

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// fasthttp is lenient where a proxy in front of it may read otherwise: folded
// lines, lines that end in a bare LF, another host in the request line than in
// Host, a length in two ways. What two readers end in two places is how
// requests are smuggled (RFC 9112 §11.2), so such a request is refused before
// its body is looked at, and its connection closed.

// markHeader is how the look at a head tells the handler what is wrong with it.
// Only we set it: a caller who does is refused, too.
const markHeader = "Carillon-Mark"

// framing says what is wrong with the head of a request; "" when nothing is.
// fasthttp has checked the characters of names and values and the number of
// lengths and hosts; the lines as they came are what it gives us.
func framing(h *fasthttp.RequestHeader) string {
	if why := requestLine(h); why != "" {
		return why
	}
	chunked := h.ContentLength() == -1
	var seen single
	for raw := h.RawHeaders(); len(raw) > 0; {
		end := bytes.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' {
			return "a line of the headers does not end in CRLF"
		}
		line := raw[:end-1]
		raw = raw[end+1:]
		if len(line) == 0 {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			return "a header is folded over two lines"
		}
		name, _, _ := bytes.Cut(line, []byte{':'})
		if why := headerName(name, chunked); why != "" {
			return why
		}
		if why := seen.again(name); why != "" {
			return why
		}
	}
	return ""
}

// single are the headers seen so far of those that say who calls, for whom, or
// how the body is to be read. fasthttp gives us the first or the last of two; a
// proxy that checks the other one would check what we do not act on.
type single uint8

// again notes a header and says what is wrong when it stands twice.
func (s *single) again(name []byte) string {
	var bit single
	var why string
	switch n := len(name); {
	case n == len("X-UNS-ID") && bytes.EqualFold(name, []byte("X-UNS-ID")):
		bit, why = 1<<0, "X-UNS-ID stands twice"
	case n == len("If-Match") && bytes.EqualFold(name, []byte("If-Match")):
		bit, why = 1<<1, "If-Match stands twice"
	case n == len("Content-Type") && bytes.EqualFold(name, []byte("Content-Type")):
		bit, why = 1<<2, "Content-Type stands twice"
	case n == len("Authorization") && bytes.EqualFold(name, []byte("Authorization")):
		bit, why = 1<<3, "Authorization stands twice"
	case n == len("Idempotency-Key") && bytes.EqualFold(name, []byte("Idempotency-Key")):
		bit, why = 1<<4, "Idempotency-Key stands twice"
	case n == len("Content-Encoding") && bytes.EqualFold(name, []byte("Content-Encoding")):
		bit, why = 1<<5, "Content-Encoding stands twice"
	}
	if *s&bit != 0 {
		return why
	}
	*s |= bit
	return ""
}

// requestLine looks at what fasthttp took from the first line.
func requestLine(h *fasthttp.RequestHeader) string {
	if p := h.Protocol(); !bytes.Equal(p, []byte("HTTP/1.1")) && !bytes.Equal(p, []byte("HTTP/1.0")) {
		return "the version is neither HTTP/1.1 nor HTTP/1.0"
	}
	if !plainHost(h.Host()) {
		return "Host is not a host name or address with an optional port"
	}
	uri := h.RequestURI()
	if len(uri) == 0 || uri[0] == '/' {
		return ""
	}
	if string(h.Method()) == fasthttp.MethodConnect {
		return "CONNECT is for proxies"
	}
	scheme, rest, absolute := bytes.Cut(uri, []byte("://"))
	if !absolute { // "*"
		return ""
	}
	if !bytes.EqualFold(scheme, []byte("http")) && !bytes.EqualFold(scheme, []byte("https")) {
		return "the request line names another scheme than http and https"
	}
	if i := bytes.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if !bytes.EqualFold(rest, h.Host()) {
		return "the request line names another host than Host"
	}
	return ""
}

// plainHost lets pass what RFC 9110 §7.2 allows without the forms that nobody
// uses: letters, digits, and the marks of names, IPv6 addresses and ports.
func plainHost(host []byte) bool {
	for _, c := range host {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '.' && c != ':' && c != '_' && c != '[' && c != ']' {
			return false
		}
	}
	return true
}

// headerName looks at a name as it was sent. fasthttp lets inner spaces pass;
// readers that take an underscore for a hyphen (CGI's children) would see a
// length that we do not.
func headerName(name []byte, chunked bool) string {
	if bytes.IndexByte(name, ' ') >= 0 {
		return "a header's name has a space"
	}
	switch len(name) {
	case len(markHeader):
		if bytes.EqualFold(name, []byte(markHeader)) {
			return markHeader + " is not for callers"
		}
	case len("Content-Length"):
		switch {
		case bytes.EqualFold(name, []byte("Content_Length")):
			return "a length is spelled with an underscore"
		case chunked && bytes.EqualFold(name, []byte("Content-Length")):
			return "Content-Length stands beside Transfer-Encoding: send one of them"
		}
	case len("Transfer-Encoding"):
		switch {
		case bytes.EqualFold(name, []byte("Transfer_Encoding")):
			return "an encoding is spelled with an underscore"
		case !chunked && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return "a Transfer-Encoding other than chunked"
		}
	}
	return ""
}
