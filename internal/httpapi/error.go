package httpapi

import (
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"carillon"
)

// StatusOf is the HTTP status of a code. The switch is exhaustive: a new code
// must get its status here.
func StatusOf(c carillon.Code) int {
	switch c {
	case carillon.CodeInvalidRequest:
		return fasthttp.StatusBadRequest
	case carillon.CodeUnauthenticated:
		return fasthttp.StatusUnauthorized
	case carillon.CodeAccessDenied:
		return fasthttp.StatusForbidden
	case carillon.CodeNotFound:
		return fasthttp.StatusNotFound
	case carillon.CodeMethodNotAllowed:
		return fasthttp.StatusMethodNotAllowed
	case carillon.CodeConflict:
		return fasthttp.StatusConflict
	case carillon.CodeGone:
		return fasthttp.StatusGone
	case carillon.CodePrecondition:
		return fasthttp.StatusPreconditionFailed
	case carillon.CodeTooLarge:
		return fasthttp.StatusRequestEntityTooLarge
	case carillon.CodeUnsupportedMedia:
		return fasthttp.StatusUnsupportedMediaType
	case carillon.CodeUnprocessable:
		return fasthttp.StatusUnprocessableEntity
	case carillon.CodeThrottled:
		return fasthttp.StatusTooManyRequests
	case carillon.CodeNotImplemented:
		return fasthttp.StatusNotImplemented
	case carillon.CodeUnavailable:
		return fasthttp.StatusServiceUnavailable
	case carillon.CodeFailedDependency:
		return fasthttp.StatusFailedDependency
	case carillon.CodeInternal:
	}
	return fasthttp.StatusInternalServerError
}

// wireError is an error of the protocol itself: it has a status for which the
// glossary has no code.
type wireError struct {
	status int
	fault  *carillon.Error
}

func (e *wireError) Error() string { return e.fault.Error() }
func (e *wireError) Unwrap() error { return e.fault }

// protocolError says what fasthttp found wrong before any handler ran.
func protocolError(err error, cfg *Config) error {
	var small *fasthttp.ErrSmallBuffer
	var nerr net.Error
	switch {
	case errors.As(err, &small):
		return &wireError{fasthttp.StatusRequestHeaderFieldsTooLarge, carillon.Errorf(carillon.CodeTooLarge, "headers",
			"the request line and headers take more than the %d bytes that are allowed", cfg.MaxHeaderBytes)}
	case errors.As(err, &nerr) && nerr.Timeout():
		return &wireError{fasthttp.StatusRequestTimeout, carillon.Errorf(carillon.CodeInvalidRequest, "",
			"the request did not arrive within %s", cfg.ReadTimeout)}
	}
	e := carillon.Errorf(carillon.CodeInvalidRequest, "", "this is not an HTTP/1.1 request")
	e.Cause = err
	return e
}

// writeError replaces whatever the response holds by the error.
func (s *Server) writeError(r *Request, err error) {
	e := carillon.AsError(err)
	status := StatusOf(e.Code)
	if w, ok := errors.AsType[*wireError](err); ok {
		status = w.status
	}
	allow := ""
	if status == fasthttp.StatusMethodNotAllowed {
		allow = string(r.ctx.Response.Header.Peek("Allow"))
	}
	location := ""
	if status == fasthttp.StatusGone { // a resync names where to start afresh
		location = string(r.ctx.Response.Header.Peek("Location"))
	}
	closing := r.ctx.Response.ConnectionClose()
	r.ctx.Response.Reset()
	h := &r.ctx.Response.Header
	if closing {
		h.SetConnectionClose()
	}
	if allow != "" {
		h.Set("Allow", allow)
	}
	if location != "" {
		h.Set("Location", location)
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if status == fasthttp.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="carillon"`)
	}
	r.JSON(status, appendError(r.Scratch(), e, r))
	if status >= fasthttp.StatusInternalServerError && e.Code != carillon.CodeNotImplemented {
		// The path names users and devices; the route does not.
		s.log.Error("request failed", "method", string(r.ctx.Method()), "route", r.Pattern(),
			"status", status, "request-id", r.RequestID(), "error", e.Error())
	}
}

// appendError appends Graph's error body (contract §5; spelled innerError as
// its clients parse it).
func appendError(dst []byte, e *carillon.Error, r *Request) []byte {
	dst = append(dst, `{"error":{"code":`...)
	dst = AppendString(dst, e.Code.String())
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, e.Message)
	if e.Target != "" {
		dst = append(dst, `,"target":`...)
		dst = AppendString(dst, e.Target)
	}
	dst = append(dst, `,"innerError":{"date":"`...)
	dst = r.started.AppendFormat(dst, "2006-01-02T15:04:05")
	dst = append(dst, `","request-id":"`...)
	dst = r.id.Append(dst)
	dst = append(dst, `","client-request-id":`...)
	if r.client != "" {
		dst = AppendString(dst, r.client)
	} else {
		dst = append(dst, '"')
		dst = r.id.Append(dst)
		dst = append(dst, '"')
	}
	return append(dst, `}}}`...)
}
