package carillon

import (
	"errors"
	"fmt"
	"time"
)

// Code is the closed set of faults that callers can be told of. Its text is the
// Graph error code where Graph has one.
type Code uint8

// The codes and the HTTP status that each maps to (internal/httpapi maps).
const (
	CodeInternal         Code = iota // generalException, 500
	CodeInvalidRequest               // invalidRequest, 400
	CodeUnauthenticated              // unauthenticated, 401
	CodeAccessDenied                 // accessDenied, 403
	CodeNotFound                     // itemNotFound, 404
	CodeMethodNotAllowed             // methodNotAllowed, 405
	CodeConflict                     // conflict, 409: the first of two equal requests is in progress
	CodeGone                         // resyncRequired, 410
	CodePrecondition                 // preconditionFailed, 412
	CodeTooLarge                     // requestTooLarge, 413
	CodeUnsupportedMedia             // unsupportedMediaType, 415
	CodeUnprocessable                // unprocessableEntity, 422
	CodeThrottled                    // activityLimitReached, 429
	CodeNotImplemented               // notSupported, 501
	CodeUnavailable                  // serviceNotAvailable, 503
	CodeFailedDependency             // failedDependency, 424: of a request in a batch
)

// String is the machine-readable code of the Graph error body.
func (c Code) String() string {
	switch c {
	case CodeInvalidRequest:
		return "invalidRequest"
	case CodeUnauthenticated:
		return "unauthenticated"
	case CodeAccessDenied:
		return "accessDenied"
	case CodeNotFound:
		return "itemNotFound"
	case CodeMethodNotAllowed:
		return "methodNotAllowed"
	case CodeConflict:
		return "conflict"
	case CodeGone:
		return "resyncRequired"
	case CodePrecondition:
		return "preconditionFailed"
	case CodeTooLarge:
		return "requestTooLarge"
	case CodeUnsupportedMedia:
		return "unsupportedMediaType"
	case CodeUnprocessable:
		return "unprocessableEntity"
	case CodeThrottled:
		return "activityLimitReached"
	case CodeNotImplemented:
		return "notSupported"
	case CodeUnavailable:
		return "serviceNotAvailable"
	case CodeFailedDependency:
		return "failedDependency"
	case CodeInternal:
	}
	return "generalException"
}

// Error is a fault that a caller is told of. Vendors' answers are not errors
// but [Outcome] values.
type Error struct {
	Code       Code
	Target     string        // the property, header or key at fault; may be empty
	Message    string        // what happened and what to do, for people
	RetryAfter time.Duration // for throttled and unavailable; 0 = none
	Cause      error         // for logs only, never shown to callers
}

// Errorf makes an Error with a formatted message.
func Errorf(code Code, target, format string, args ...any) *Error {
	return &Error{Code: code, Target: target, Message: fmt.Sprintf(format, args...)}
}

// Error is the message, with the target in front where there is one.
func (e *Error) Error() string {
	s := e.Message
	if e.Target != "" {
		s = e.Target + ": " + s
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

// AsError finds the Error in err's chain; anything else becomes
// [CodeInternal] with err as its cause.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeInternal, Message: "an unexpected fault of the gateway, see its log", Cause: err}
}
