package wire

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a vendor may ask for: a lane that rests rests for all
// of an app's devices, and asking again after an hour harms nobody.
const maxRetryAfter = time.Hour

// RetryAfter reads a Retry-After value (RFC 9110 §10.2.3): seconds, of which a
// fraction is kept, or an HTTP date, which is compared with now. 0 when it says
// nothing usable; no wait, or a date that has passed, is 1 ms, not nothing; an hour
// is the most.
func RetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789.") == "" {
		s, err := strconv.ParseFloat(value, 64)
		if err != nil && s == 0 { // two dots; what overflows is merely long
			return 0
		}
		return max(time.Duration(min(s, maxRetryAfter.Seconds())*float64(time.Second)), time.Millisecond)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), time.Millisecond), maxRetryAfter)
}
