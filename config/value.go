package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// isScalar tells whether a value of type t is written as one word: a string, a
// number, a bool, a duration, or what reads itself from text.
func isScalar(t reflect.Type) bool {
	if readsText(t) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Pointer:
		return isScalar(t.Elem())
	default:
		return false
	}
}

// isWords tells whether t is a list of scalars, which may be one text with commas.
func isWords(t reflect.Type) bool { return t.Kind() == reflect.Slice && isScalar(t.Elem()) }

func readsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// setText sets a scalar, or a list of them, from text. Errors say what was
// expected; the caller knows where.
func setText(v reflect.Value, text string) error {
	if isWords(v.Type()) && !readsText(v.Type()) {
		return setWords(v, text)
	}
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		if err := setText(p.Elem(), text); err != nil {
			return err
		}
		v.Set(p)
		return nil
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		return nil
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := ParseDuration(text)
		v.SetInt(int64(d))
		return err
	}
	return setPlain(v, text)
}

func setWords(v reflect.Value, text string) error {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
	list := reflect.MakeSlice(v.Type(), len(words), len(words))
	for i, w := range words {
		if err := setText(list.Index(i), strings.TrimSpace(w)); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

func setPlain(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is not true or false", text)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := parseInt(text)
		if err != nil {
			return err
		}
		if v.OverflowInt(n) {
			return fmt.Errorf("%s does not fit %d bits", text, v.Type().Bits())
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := parseInt(text)
		if err != nil {
			return err
		}
		if n < 0 || v.OverflowUint(uint64(n)) {
			return fmt.Errorf("%s is not within 0 … 2^%d-1", text, v.Type().Bits())
		}
		v.SetUint(uint64(n))
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(f)
	default:
		return fmt.Errorf("a %s cannot be set from text", v.Kind())
	}
	return nil
}

// parseInt reads an integer, with underscores if need be, or a size: 64KiB,
// 16MiB, 1GiB.
func parseInt(text string) (int64, error) {
	digits, unit := text, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if cut, ok := strings.CutSuffix(text, suffix); ok {
			digits, unit = strings.TrimSpace(cut), 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(digits, "_", ""), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not an integer or a size such as 64KiB, 16MiB", text)
	}
	if n > 0 && n > (1<<63-1)/unit || n < 0 && n < -(1<<63-1)/unit {
		return 0, fmt.Errorf("%q is too large", text)
	}
	return n * unit, nil
}

const day = 24 * time.Hour

// ParseDuration reads what [time.ParseDuration] reads, with days ("d") in
// front: 250ms, 1h30m, 31d, 1d12h. A sign may lead.
func ParseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration such as 250ms, 15s, 2h, 31d", text)
	rest, negative := strings.CutPrefix(text, "-")
	rest = strings.TrimPrefix(rest, "+")
	var sum time.Duration
	if rest == "" {
		return 0, bad
	}
	if days, after, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, bad
		}
		sum, rest = time.Duration(n)*day, after
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 && rest[0] == '-' {
			return 0, bad
		}
		sum += d
	}
	if sum < 0 {
		return 0, bad
	}
	if negative {
		sum = -sum
	}
	return sum, nil
}

// text writes a scalar as setText reads it.
func text(v reflect.Value) (string, error) {
	if v.Kind() == reflect.Pointer {
		return text(v.Elem())
	}
	if d, ok := reflect.TypeAssert[time.Duration](v); ok {
		return d.String(), nil
	}
	if m, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
		b, err := m.MarshalText()
		return string(b), err
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), nil
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits()), nil
	default:
		return "", errors.New("config: no text for a " + v.Kind().String())
	}
}
