package wire

import (
	"net/http"
	"strconv"
	"time"
)

// maxRetryAfter bounds what a vendor may ask for; more is a broken header.
const maxRetryAfter = 30 * 24 * time.Hour

// RetryAfter reads a Retry-After value (RFC 9110 §10.2.3): seconds, of which a
// fraction is kept, or an HTTP date, which is compared with now. 0 when it
// says nothing usable; a date that has passed is 1 ms, not nothing.
func RetryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if s, err := strconv.ParseFloat(value, 64); err == nil {
		if !(s >= 0) || s > maxRetryAfter.Seconds() { // the negation catches NaN
			return 0
		}
		return max(time.Duration(s*float64(time.Second)), time.Millisecond)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), time.Millisecond), maxRetryAfter)
}
