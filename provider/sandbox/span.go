package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// span is a duration in JSON: "40ms", "2h30m"; a number is nanoseconds.
type span time.Duration

// MarshalJSON writes the form of [time.Duration.String].
func (s span) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).String()) }

// UnmarshalJSON reads either form.
func (s *span) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '"' {
		var n int64
		if err := json.Unmarshal(b, &n); err != nil {
			return fmt.Errorf(`%s is no duration: write "40ms" or "2s"`, b)
		}
		*s = span(n)
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf(`%q is no duration: write "40ms" or "2h30m"`, text)
	}
	*s = span(d)
	return nil
}

// decode reads one JSON value and refuses names that out does not have.
func decode(b []byte, out any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(out); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
