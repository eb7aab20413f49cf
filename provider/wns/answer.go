package wns

import (
	"strings"
	"time"

	"carillon"
	"carillon/provider/h2"
	"carillon/provider/wire"
)

// Reasons; WNS itself answers with a status and no body.
const (
	reasonUnsent    = "notSent"
	reasonLost      = "connectionLost"
	reasonTimeout   = "timeout"
	reasonProtocol  = "malformedAnswer"
	reasonInvalid   = "invalidRequest"
	reasonExpired   = "expired"
	reasonNoToken   = "noAccessToken"
	reasonNotWNS    = "notWNS"
	reasonNoRoom    = "noRoom"
	reasonHosts     = "tooManyHosts"
	reasonUnreached = "hostNotReached"
)

const (
	channelWait = 30 * time.Second // after channelthrottled, of which Microsoft gives no number
	senderWait  = time.Minute      // after a 406 that names no time, likewise
)

// judge says what WNS's answer to one push means ("Push notification service
// request and response headers"). It is pure.
func judge(r *h2.Result, now time.Time) carillon.Outcome {
	if r.Fault != h2.FaultNone {
		return fault(r.Fault)
	}
	o := carillon.Outcome{Status: uint16(r.Status)} //nolint:gosec // 200 … 599
	var status, description, retry string
	for i := range r.Fields {
		f := &r.Fields[i]
		switch f.Name {
		case "x-wns-status", "x-wns-notificationstatus": // the documents know both names
			status = f.Value
		case "x-wns-error-description", reasonPhrase:
			if !blocked(description) {
				description = f.Value
			}
		case "retry-after":
			retry = f.Value
		}
	}
	if r.Status == 200 {
		o.Class, o.Reason = taken(status)
	} else {
		o.Class, o.Reason = classify(r.Status, description)
	}
	switch o.Class {
	case carillon.Transient, carillon.ThrottledEndpoint, carillon.ThrottledSender:
		o.After = wire.RetryAfter(retry, now)
	default:
	}
	switch {
	case o.After != 0:
	case o.Class == carillon.ThrottledEndpoint:
		o.After = channelWait
	case o.Class == carillon.ThrottledSender:
		o.After = senderWait
	}
	return o
}

// weigh corrects an answer that may blame the wrong part: 403 means a channel of
// another app. As long as other channels take the token it is this channel's
// fault, and must not close the lane of all others.
func weigh(o *carillon.Outcome, taken bool) {
	if o.Status == 403 && taken {
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

// taken is the class of a 200: it is no success by itself.
func taken(status string) (carillon.Class, string) {
	switch {
	case strings.EqualFold(status, "dropped"):
		return carillon.Dropped, "dropped"
	case strings.EqualFold(status, "channelthrottled"):
		return carillon.ThrottledEndpoint, "channelthrottled"
	}
	return carillon.Accepted, ""
}

func classify(status int, description string) (carillon.Class, string) {
	switch {
	case status == 400:
		return carillon.Rejected, "BadRequest"
	case status == 401:
		return carillon.WrongCredential, "Unauthorized"
	case status == 403:
		return carillon.WrongCredential, "Forbidden"
	case status == 404:
		return carillon.Gone, "NotFound"
	case status == 405:
		return carillon.Rejected, "MethodNotAllowed"
	case status == 406:
		return carillon.ThrottledSender, "NotAcceptable"
	case status == 410 && blocked(description):
		return carillon.WrongCredential, "DomainBlocked"
	case status == 410:
		return carillon.Gone, "Gone"
	case status == 413:
		return carillon.Rejected, "PayloadTooLarge"
	case status == 429:
		return carillon.ThrottledSender, "TooManyRequests"
	case status == 500:
		return carillon.Transient, "InternalServerError"
	case status > 500:
		return carillon.Transient, "ServiceUnavailable"
	}
	return carillon.Rejected, "unrecognized"
}

// blocked tells the two meanings of 410 apart: a channel that ended, or a sender
// whose domain Microsoft has shut out ("Domain Blocked").
func blocked(text string) bool { return strings.Contains(text, "locked") }
