package fcm_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon"
	"carillon/provider/fcm"
	"carillon/provider/h2"
)

// failure is an error body as FCM writes it; details is JSON, without brackets.
func failure(message, details string) []byte {
	return fmt.Appendf(nil, `{"error":{"code":1,"message":%q,"status":"NOT_FOUND","details":[%s]}}`, message, details)
}

func fcmError(code string) string {
	return `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","errorCode":"UNREGISTERED"},` + // of another type: counts for nothing
		`{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"` + code + `"}`
}

const (
	badToken  = "The registration token is not a valid FCM registration token"
	violation = `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.token","description":"x"}]}`
	others    = `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.android.ttl","description":"x"}]}`
	device    = `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"device:abc","description":"x"}]}`
	project   = `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"project:1","description":"x"}]}`
)

// TestJudge has a line for every documented status and code.
func TestJudge(t *testing.T) {
	const (
		gone, wrong, rejected = carillon.Gone, carillon.WrongCredential, carillon.Rejected
		endpoint, sender      = carillon.ThrottledEndpoint, carillon.ThrottledSender
		again                 = carillon.Transient
		ten, minute           = 10 * time.Second, time.Minute
	)
	for _, c := range []struct {
		status int
		body   []byte
		class  carillon.Class
		reason string
		after  time.Duration
	}{
		{200, []byte(`{"name":"projects/p/messages/1"}`), carillon.Accepted, "", 0},
		{400, failure(badToken, fcmError("INVALID_ARGUMENT")), gone, "INVALID_TOKEN", 0},
		{400, failure("x", fcmError("INVALID_ARGUMENT")+","+violation), gone, "INVALID_TOKEN", 0},
		{400, failure("x", violation), gone, "INVALID_TOKEN", 0},
		{400, failure("x", strings.Replace(violation, "token", "fid", 1)), gone, "INVALID_TOKEN", 0},
		{400, failure("x", fcmError("INVALID_ARGUMENT")+","+others), rejected, "INVALID_ARGUMENT", 0},
		{400, failure("x", others), rejected, "INVALID_ARGUMENT", 0},
		{400, failure("Android message is too big", ""), rejected, "INVALID_ARGUMENT", 0},
		{401, failure("x", fcmError("THIRD_PARTY_AUTH_ERROR")), wrong, "THIRD_PARTY_AUTH_ERROR", 0},
		{401, failure("x", ""), wrong, "UNAUTHENTICATED", 0},
		{403, failure("x", fcmError("SENDER_ID_MISMATCH")), rejected, "SENDER_ID_MISMATCH", 0},
		{403, failure("x", ""), wrong, "PERMISSION_DENIED", 0},
		{404, failure("x", fcmError("UNREGISTERED")), gone, "UNREGISTERED", 0},
		{404, failure("x", ""), wrong, "NOT_FOUND", 0},
		{404, []byte("<html>"), wrong, "NOT_FOUND", 0},
		{429, failure("x", fcmError("QUOTA_EXCEEDED")+","+project), sender, "QUOTA_EXCEEDED", minute},
		{429, failure("x", fcmError("QUOTA_EXCEEDED")+","+device), endpoint, "QUOTA_EXCEEDED", minute},
		{429, failure("x", device), endpoint, "RESOURCE_EXHAUSTED", minute},
		{429, nil, sender, "RESOURCE_EXHAUSTED", minute},
		{500, failure("x", fcmError("INTERNAL")), again, "INTERNAL", ten},
		{500, nil, again, "INTERNAL", ten},
		{502, []byte("<!DOCTYPE html>"), again, "BAD_GATEWAY", ten},
		{503, failure("x", fcmError("UNAVAILABLE")), again, "UNAVAILABLE", ten},
		{504, nil, again, "UNAVAILABLE", ten},
		{400, failure("x", fcmError("UNSPECIFIED_ERROR")), rejected, "INVALID_ARGUMENT", 0},
		{418, failure("x", fcmError("NEW_ERROR")), rejected, "unrecognized", 0},
	} {
		want := carillon.Outcome{Class: c.class, Reason: c.reason, Status: uint16(c.status), After: c.after}
		if got := fcm.Judge(&h2.Result{Status: c.status, Body: c.body}, start(), 1); got != want {
			t.Errorf("%d %s: %+v, want %+v", c.status, c.body, got, want)
		}
	}
}

// TestWaits: after a server error Google wants 10 s or more, and longer each time.
func TestWaits(t *testing.T) {
	for _, c := range []struct {
		attempt uint8
		retry   string
		want    time.Duration
	}{
		{0, "", 10 * time.Second},
		{1, "", 10 * time.Second},
		{3, "", 40 * time.Second},
		{9, "", 5 * time.Minute},
		{255, "", 5 * time.Minute},
		{1, "90", 90 * time.Second},
		{1, "1", 10 * time.Second},
	} {
		r := h2.Result{Status: 503, Fields: []h2.Field{{Name: "retry-after", Value: c.retry}}}
		if got := fcm.Judge(&r, start(), c.attempt).After; got != c.want {
			t.Errorf("attempt %d, Retry-After %q: %v, want %v", c.attempt, c.retry, got, c.want)
		}
	}
}

// TestWeigh: a token that is called invalid is gone only once another message
// passed; what says so for certain needs no such proof.
func TestWeigh(t *testing.T) {
	for _, c := range []struct {
		reason string
		taken  bool
		want   carillon.Class
	}{{"INVALID_TOKEN", false, carillon.Rejected}, {"INVALID_TOKEN", true, carillon.Gone}, {"UNREGISTERED", false, carillon.Gone}} {
		if got := fcm.Weigh(carillon.Outcome{Class: carillon.Gone, Reason: c.reason}, c.taken); got.Class != c.want {
			t.Errorf("%s, taken %v: %v", c.reason, c.taken, got.Class)
		}
	}
}

func TestFaults(t *testing.T) {
	for f, want := range map[h2.Fault]carillon.Outcome{
		h2.FaultUnsent:   {Class: carillon.Transient, Reason: "notSent", Unsent: true},
		h2.FaultLost:     {Class: carillon.Unknown, Reason: "connectionLost"},
		h2.FaultTimeout:  {Class: carillon.Unknown, Reason: "timeout"},
		h2.FaultProtocol: {Class: carillon.Unknown, Reason: "malformedAnswer"},
		h2.FaultInvalid:  {Class: carillon.Rejected, Reason: "invalidRequest"},
	} {
		if got := fcm.Judge(&h2.Result{Fault: f}, start(), 1); got != want {
			t.Errorf("%v: %+v, want %+v", f, got, want)
		}
	}
}

// FuzzJudge: any answer has a class of an attempt, and a reason unless accepted.
func FuzzJudge(f *testing.F) {
	f.Add(404, failure("x", fcmError("UNREGISTERED")), "7")
	f.Add(429, failure("x", device), "Wed, 21 Oct 2026 07:28:00 GMT")
	f.Add(503, []byte(`{"error":[{"details":{}}]}`), "")
	f.Fuzz(func(t *testing.T, status int, body []byte, retry string) {
		status = 200 + int(uint(status)%400)
		r := h2.Result{Status: status, Body: body, Fields: []h2.Field{{Name: "retry-after", Value: retry}}}
		o := fcm.Judge(&r, start(), 1)
		if (o.Class == carillon.Accepted) != (status == 200) || o.Class == carillon.Open || (o.Reason == "") != (status == 200) || o.After < 0 {
			t.Fatalf("%d %q: %+v", status, body, o)
		}
	})
}
