package wire

import "time"

// ParseToken reads a token answer: the header to send and how long for.
func ParseToken(body []byte) (header string, life time.Duration, err error) {
	t, err := parseToken(body, time.Unix(1_800_000_000, 0))
	if err != nil {
		return "", 0, err
	}
	return t.Header, t.life, nil
}
