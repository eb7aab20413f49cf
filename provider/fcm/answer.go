package fcm

import (
	"bytes"
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/h2"
	"carillon/provider/wire"
)

// Reasons of faults that no answer explains, of answers without an errorCode,
// and of refusals of our own.
const (
	reasonUnsent       = "notSent"
	reasonLost         = "connectionLost"
	reasonTimeout      = "timeout"
	reasonProtocol     = "malformedAnswer"
	reasonInvalid      = "invalidRequest"
	reasonUnrecognized = "unrecognized"
	reasonExpired      = "expired"
	reasonNoToken      = "noAccessToken"
	reasonBadToken     = "INVALID_TOKEN" // INVALID_ARGUMENT that names the registration token
)

const (
	quotaWait   = time.Minute      // after a 429 that names no time (Google: "scale your app")
	serverWait  = 10 * time.Second // never sooner after a 5xx, doubled by each attempt
	serverWaits = 5 * time.Minute
)

// judge says what Google's answer to one push means (FCM error codes). It is
// pure; p is scratch. Only an errorCode of FCM's own tells that a device is
// gone: a bare 404 is a wrong project or path.
func judge(r *h2.Result, p *fastjson.Parser, now time.Time, attempt uint8) carillon.Outcome {
	if r.Fault != h2.FaultNone {
		return fault(r.Fault)
	}
	o := carillon.Outcome{Class: carillon.Accepted, Status: uint16(r.Status)} //nolint:gosec // 200 … 599
	if r.Status == 200 {
		return o
	}
	var e failure
	if v, err := p.ParseBytes(r.Body); err == nil { // a 502 is an HTML page
		e = readFailure(v)
	}
	o.Class, o.Reason = classify(r.Status, &e)
	switch o.Class {
	case carillon.Transient:
		o.After = max(wire.RetryAfter(field(r.Fields, "retry-after"), now), min(serverWait<<min(max(attempt, 1)-1, 8), serverWaits))
	case carillon.ThrottledEndpoint, carillon.ThrottledSender:
		if o.After = wire.RetryAfter(field(r.Fields, "retry-after"), now); o.After == 0 {
			o.After = quotaWait
		}
	default:
	}
	return o
}

// weigh corrects an answer that may blame the wrong part: INVALID_ARGUMENT about
// the token removes an address only once a message of the same making was taken
// ("Manage registration tokens": only when the payload is known to be valid).
func weigh(o *carillon.Outcome, taken bool) {
	if o.Reason == reasonBadToken && !taken {
		o.Class = carillon.Rejected
	}
}

func fault(f h2.Fault) carillon.Outcome {
	switch f {
	case h2.FaultUnsent:
		return carillon.Outcome{Class: carillon.Transient, Reason: reasonUnsent, Unsent: true}
	case h2.FaultTimeout:
		return carillon.Outcome{Class: carillon.Unknown, Reason: reasonTimeout}
	case h2.FaultProtocol:
		return carillon.Outcome{Class: carillon.Unknown, Reason: reasonProtocol}
	case h2.FaultInvalid:
		return carillon.Outcome{Class: carillon.Rejected, Reason: reasonInvalid}
	case h2.FaultLost, h2.FaultNone:
	}
	return carillon.Outcome{Class: carillon.Unknown, Reason: reasonLost}
}

// failure is what counts of an error body (google.rpc.Status).
type failure struct {
	code     []byte // errorCode of the FcmError among the details
	badToken bool   // the message, or a violation, names the registration token
	device   bool   // a quota violation names the device
}

func readFailure(v *fastjson.Value) failure {
	e := v.Get("error")
	f := failure{badToken: bytes.Contains(e.GetStringBytes("message"), []byte("registration token is not a valid"))}
	for _, d := range e.GetArray("details") {
		if code := d.GetStringBytes("errorCode"); code != nil && bytes.HasSuffix(d.GetStringBytes("@type"), []byte(".FcmError")) {
			f.code = code
		}
		for _, w := range d.GetArray("fieldViolations") {
			switch string(w.GetStringBytes("field")) {
			case "message.token", "message.fid":
				f.badToken = true
			}
		}
		for _, w := range d.GetArray("violations") {
			f.device = f.device || bytes.Contains(w.GetStringBytes("subject"), []byte("device")) ||
				bytes.Contains(w.GetStringBytes("description"), []byte("device"))
		}
	}
	return f
}

// classify finds the class of an error, and its code as a constant.
func classify(status int, e *failure) (carillon.Class, string) {
	switch string(e.code) {
	case "UNREGISTERED":
		return carillon.Gone, "UNREGISTERED"
	case "INVALID_ARGUMENT":
		if e.badToken {
			return carillon.Gone, reasonBadToken
		}
		return carillon.Rejected, "INVALID_ARGUMENT"
	// One device's token of another project must not close the lane of all others.
	case "SENDER_ID_MISMATCH":
		return carillon.Rejected, "SENDER_ID_MISMATCH"
	case "THIRD_PARTY_AUTH_ERROR":
		return carillon.WrongCredential, "THIRD_PARTY_AUTH_ERROR"
	case "QUOTA_EXCEEDED":
		if e.device {
			return carillon.ThrottledEndpoint, "QUOTA_EXCEEDED"
		}
		return carillon.ThrottledSender, "QUOTA_EXCEEDED"
	case "INTERNAL":
		return carillon.Transient, "INTERNAL"
	case "UNAVAILABLE":
		return carillon.Transient, "UNAVAILABLE"
	}
	return byStatus(status, e)
}

// byStatus is the class of an answer without an errorCode, or with a new one.
func byStatus(status int, e *failure) (carillon.Class, string) {
	switch {
	case status == 400 && e.badToken:
		return carillon.Gone, reasonBadToken
	case status == 401:
		return carillon.WrongCredential, "UNAUTHENTICATED"
	case status == 403:
		return carillon.WrongCredential, "PERMISSION_DENIED"
	case status == 404:
		return carillon.WrongCredential, "NOT_FOUND"
	case status == 429 && e.device:
		return carillon.ThrottledEndpoint, "RESOURCE_EXHAUSTED"
	case status == 429:
		return carillon.ThrottledSender, "RESOURCE_EXHAUSTED"
	case status == 500:
		return carillon.Transient, "INTERNAL"
	case status == 502:
		return carillon.Transient, "BAD_GATEWAY"
	case status > 502:
		return carillon.Transient, "UNAVAILABLE"
	case status == 400:
		return carillon.Rejected, "INVALID_ARGUMENT"
	}
	return carillon.Rejected, reasonUnrecognized
}

func field(fields []h2.Field, name string) string {
	for i := range fields {
		if fields[i].Name == name {
			return fields[i].Value
		}
	}
	return ""
}
