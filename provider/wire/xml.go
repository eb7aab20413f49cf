package wire

import "unicode/utf8"

// AppendXML appends s as XML 1.0 character data that may also stand in a
// double-quoted attribute. What XML cannot say at all (control characters,
// U+FFFE, U+FFFF, bytes that are no UTF-8) becomes U+FFFD.
func AppendXML(dst []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); {
		esc, n := xmlEscape(s[i:])
		if esc != "" {
			dst = append(append(dst, s[from:i]...), esc...)
			from = i + n
		}
		i += n
	}
	return append(dst, s[from:]...)
}

// xmlEscape is what stands for the first character of s, "" for itself, and
// that character's length.
func xmlEscape(s string) (esc string, n int) {
	switch c := s[0]; {
	case c == '&':
		return "&amp;", 1
	case c == '<':
		return "&lt;", 1
	case c == '>':
		return "&gt;", 1
	case c == '"':
		return "&quot;", 1
	case c == '\n': // attributes turn a bare one into a space (XML 1.0 §3.3.3)
		return "&#10;", 1
	case c == '\r':
		return "&#13;", 1
	case c == '\t':
		return "&#9;", 1
	case c < ' ':
		return "\ufffd", 1
	case c < utf8.RuneSelf:
		return "", 1
	}
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 || r == 0xfffe || r == 0xffff {
		return "\ufffd", n
	}
	return "", n
}

// AppendQuery appends s percent-encoded as one value of a query: only the
// unreserved characters of RFC 3986 §2.3 stay.
func AppendQuery(dst []byte, s string) []byte {
	const upper = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', upper[c>>4], upper[c&0xf])
	}
	return dst
}
