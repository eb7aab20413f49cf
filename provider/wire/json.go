package wire

import (
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string (RFC 8259 §7). Only what must be
// escaped is; bytes that are no UTF-8 become U+FFFD each.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = appendEscape(append(dst, s[from:i]...), c)
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(append(dst, s[from:i]...), "\ufffd"...)
			i++
			from = i
			continue
		}
		i += n
	}
	return append(append(dst, s[from:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

// AppendMember appends `,"name":"value"`, without the comma after an opening
// brace. Name must need no escaping.
func AppendMember(dst []byte, name, value string) []byte {
	return AppendString(AppendName(dst, name), value)
}

// AppendNumber appends `,"name":n`, like [AppendMember].
func AppendNumber(dst []byte, name string, n int64) []byte {
	return strconv.AppendInt(AppendName(dst, name), n, 10)
}

// AppendDecimal appends `,"name":"n"`: numbers beyond 2^53 travel as strings,
// as JavaScript would round them.
func AppendDecimal(dst []byte, name string, n uint64) []byte {
	dst = append(AppendName(dst, name), '"')
	return append(strconv.AppendUint(dst, n, 10), '"')
}

// AppendList appends `,"name":["…",…]` of things that append themselves without
// anything to escape, like [AppendMember].
func AppendList[T interface{ Append(dst []byte) []byte }](dst []byte, name string, list []T) []byte {
	dst = append(AppendName(dst, name), '[')
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(list[i].Append(append(dst, '"')), '"')
	}
	return append(dst, ']')
}

// AppendName appends `,"name":`, without the comma after an opening brace.
func AppendName(dst []byte, name string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(append(dst, '"'), name...)
	return append(dst, '"', ':')
}
