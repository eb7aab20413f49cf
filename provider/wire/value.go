package wire

import (
	"encoding/json"
	"unsafe"

	"github.com/valyala/fastjson"
)

// AppendValue appends a parsed JSON value as JSON. It stands in for
// fastjson's own MarshalTo, which writes Go's escapes (\x00, \U0001f514) into
// strings that need any, and numbers as they came ("nan", "1.2.3"); such numbers
// become null here. Nil appends null.
func AppendValue(dst []byte, v *fastjson.Value) []byte {
	if v == nil {
		return append(dst, "null"...)
	}
	switch v.Type() {
	case fastjson.TypeString:
		return AppendString(dst, Text(v.GetStringBytes()))
	case fastjson.TypeNumber:
		from := len(dst)
		dst = v.MarshalTo(dst)
		if !json.Valid(dst[from:]) {
			return append(dst[:from], "null"...)
		}
		return dst
	case fastjson.TypeArray:
		dst = append(dst, '[')
		for i, e := range v.GetArray() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendValue(dst, e)
		}
		return append(dst, ']')
	case fastjson.TypeObject:
		dst = append(dst, '{')
		v.GetObject().Visit(func(key []byte, e *fastjson.Value) {
			dst = AppendValue(AppendKey(dst, Text(key)), e)
		})
		return append(dst, '}')
	case fastjson.TypeTrue:
		return append(dst, "true"...)
	case fastjson.TypeFalse:
		return append(dst, "false"...)
	case fastjson.TypeNull:
	}
	return append(dst, "null"...)
}

// AppendKey is [AppendName] for names of any content.
func AppendKey(dst []byte, name string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' {
		dst = append(dst, ',')
	}
	return append(AppendString(dst, name), ':')
}

// Text is b as a string without a copy, valid as long as nobody writes to b.
func Text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // callers keep b unchanged, see above
}
