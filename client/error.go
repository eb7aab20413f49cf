package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is what the service refused, in its own words.
type Error struct {
	// Code is the machine-readable code: "itemNotFound"; docs/errors.md has all.
	Code string
	// Status is the HTTP status; 0 for a line of a bulk send.
	Status int
	// Target is the property or header at fault; may be empty.
	Target string
	// Message says what happened and what to do.
	Message string
	// RetryAfter is how long the service asks to wait; 0 when it does not.
	RetryAfter time.Duration
	// RequestID finds the request in the service's log.
	RequestID string
}

// Error is the message, with target and code.
func (e *Error) Error() string {
	s := e.Message
	if e.Target != "" {
		s = e.Target + ": " + s
	}
	return fmt.Sprintf("carillon: %s (%s)", s, e.Code)
}

// Temporary tells whether the same call may succeed later.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return e.Status == 0 && (e.Code == "activityLimitReached" || e.Code == "serviceNotAvailable")
}

// fault is the "error" member of an answer or of a bulk line.
type fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Target  string `json:"target"`
	Inner   struct {
		RequestID string `json:"request-id"`
	} `json:"innerError"`
}

// refusal reads an answer that is no success. What is not the service's own (a
// proxy's page) keeps its status and its first bytes.
func refusal(status int, h http.Header, body []byte, now time.Time) *Error {
	var in struct {
		Error fault `json:"error"`
	}
	e := &Error{Status: status, RetryAfter: retryAfter(h.Get("Retry-After"), now)}
	if json.Unmarshal(body, &in) == nil && in.Error.Code != "" {
		e.Code, e.Message, e.Target, e.RequestID = in.Error.Code, in.Error.Message, in.Error.Target, in.Error.Inner.RequestID
		return e
	}
	e.Code = "http" + strconv.Itoa(status)
	e.Message = strings.ToValidUTF8(string(body[:min(len(body), 200)]), "")
	if e.Message == "" {
		e.Message = http.StatusText(status)
	}
	return e
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3); 0 for neither.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(min(max(n, 0), 86400)) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
