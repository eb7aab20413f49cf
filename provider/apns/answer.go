package apns

import (
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/h2"
	"carillon/provider/wire"
)

// Reasons of faults that no answer explains, and of refusals of our own.
const (
	reasonUnsent       = "notSent"
	reasonLost         = "connectionLost"
	reasonTimeout      = "timeout"
	reasonProtocol     = "malformedAnswer"
	reasonInvalid      = "invalidRequest"
	reasonUnrecognized = "unrecognized"
	reasonExpired      = "expired"
	reasonEnvironment  = "environmentMismatch"
	reasonSigning      = "signingFailed"
	reasonPushType     = "pushType" // the device token is of another push type than was asked for
	reasonTooLarge     = "payloadTooLarge"
)

// judge says what Apple's answer to one push means ("Handling notification
// responses from APNs"). It is pure; p is scratch. wait is the pause after a
// server error that names none.
func judge(r *h2.Result, p *fastjson.Parser, now time.Time, wait time.Duration) carillon.Outcome {
	if r.Fault != h2.FaultNone {
		return fault(r.Fault)
	}
	o := carillon.Outcome{Class: carillon.Accepted, Status: uint16(r.Status)} //nolint:gosec // 200 … 599
	if r.Status == 200 {
		return o
	}
	var reason []byte
	if v, err := p.ParseBytes(r.Body); err == nil {
		reason = v.GetStringBytes("reason")
		o.Since = max(v.GetInt64("timestamp"), 0)
	}
	o.Class, o.Reason = classify(r.Status, reason)
	if o.Class != carillon.Gone {
		o.Since = 0
	}
	switch o.Class {
	case carillon.Transient, carillon.ThrottledEndpoint, carillon.ThrottledSender:
		o.After = wire.RetryAfter(field(r.Fields, "retry-after"), now)
		if o.After == 0 && r.Status >= 500 && o.Reason != "Shutdown" {
			o.After = wait
		}
	default:
	}
	return o
}

// standing is what is known of a push beside its answer.
type standing struct {
	key         bool // APNs took a push under this key, in this environment
	topic       bool // … and with this topic
	environment bool // the endpoint named its environment, and it is this one
}

// weigh corrects an answer that may blame the wrong part. BadDeviceToken is also
// what a token of the other environment gets: as long as neither the endpoint
// nor an accepted push tells that the environment is right, the address stays. A
// topic that is not allowed means the credential, unless other topics pass: the
// appId of one device must not close the lane of all others.
func weigh(o *carillon.Outcome, s standing) {
	switch {
	case o.Reason == "BadDeviceToken" && !s.environment && !s.key,
		o.Reason == "TopicDisallowed" && s.key && !s.topic:
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

// classify finds the class of a reason, and the reason itself as a constant. A
// reason that Apple adds later falls back to its status.
func classify(status int, reason []byte) (carillon.Class, string) {
	switch string(reason) {
	case "BadDeviceToken":
		return carillon.Gone, "BadDeviceToken"
	case "Unregistered":
		return carillon.Gone, "Unregistered"
	case "ExpiredToken":
		return carillon.Gone, "ExpiredToken"
	// One device's token of another app must not close the lane of all others.
	case "DeviceTokenNotForTopic":
		return carillon.Rejected, "DeviceTokenNotForTopic"
	case "IdleTimeout":
		return carillon.Transient, "IdleTimeout"
	case "TooManyRequests":
		return carillon.ThrottledEndpoint, "TooManyRequests"
	case "TooManyProviderTokenUpdates":
		return carillon.ThrottledSender, "TooManyProviderTokenUpdates"
	case "InternalServerError":
		return carillon.Transient, "InternalServerError"
	case "ServiceUnavailable":
		return carillon.Transient, "ServiceUnavailable"
	case "Shutdown":
		return carillon.Transient, "Shutdown"
	}
	if r := credentialReason(reason); r != "" {
		return carillon.WrongCredential, r
	}
	if r := requestReason(reason); r != "" {
		return carillon.Rejected, r
	}
	return byStatus(status), reasonUnrecognized
}

// credentialReason is a reason that blames key, token or topic, as a constant.
func credentialReason(reason []byte) string {
	switch string(reason) {
	case "BadCertificate":
		return "BadCertificate"
	case "BadCertificateEnvironment":
		return "BadCertificateEnvironment"
	case "ExpiredProviderToken":
		return "ExpiredProviderToken"
	case "Forbidden":
		return "Forbidden"
	case "InvalidProviderToken":
		return "InvalidProviderToken"
	case "MissingProviderToken":
		return "MissingProviderToken"
	case "UnrelatedKeyIdInToken":
		return "UnrelatedKeyIdInToken"
	case "BadEnvironmentKeyIdInToken", "BadEnvironmentKeyInToken": // the first is documented, the second seen
		return "BadEnvironmentKeyIdInToken"
	case "TopicDisallowed":
		return "TopicDisallowed"
	}
	return ""
}

// requestReason is a reason that blames the request, as a constant.
func requestReason(reason []byte) string {
	switch string(reason) {
	case "BadCollapseId":
		return "BadCollapseId"
	case "BadExpirationDate":
		return "BadExpirationDate"
	case "BadMessageId":
		return "BadMessageId"
	case "BadPriority":
		return "BadPriority"
	case "BadTopic":
		return "BadTopic"
	case "DuplicateHeaders":
		return "DuplicateHeaders"
	case "InvalidPushType":
		return "InvalidPushType"
	case "MissingDeviceToken":
		return "MissingDeviceToken"
	case "MissingTopic":
		return "MissingTopic"
	case "PayloadEmpty":
		return "PayloadEmpty"
	case "PayloadTooLarge":
		return "PayloadTooLarge"
	case "BadPath":
		return "BadPath"
	case "MethodNotAllowed":
		return "MethodNotAllowed"
	}
	return ""
}

// byStatus is the class of an answer whose reason is missing or new.
func byStatus(status int) carillon.Class {
	switch {
	case status == 403:
		return carillon.WrongCredential
	case status == 410:
		return carillon.Gone
	case status == 429:
		return carillon.ThrottledEndpoint
	case status >= 500:
		return carillon.Transient
	}
	return carillon.Rejected
}

func field(fields []h2.Field, name string) string {
	for i := range fields {
		if fields[i].Name == name {
			return fields[i].Value
		}
	}
	return ""
}
