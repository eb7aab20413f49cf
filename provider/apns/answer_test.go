package apns_test

import (
	"strconv"
	"testing"
	"time"

	"carillon"
	"carillon/provider/apns"
	"carillon/provider/h2"
)

// TestJudge has a line for every documented status and reason.
func TestJudge(t *testing.T) {
	const (
		gone, wrong, rejected = carillon.Gone, carillon.WrongCredential, carillon.Rejected
		device, sender, again = carillon.ThrottledEndpoint, carillon.ThrottledSender, carillon.Transient
		server                = 15 * time.Minute
	)
	for _, c := range []struct {
		status int
		reason string
		class  carillon.Class
		word   string // the outcome's reason; "" for reason itself
		after  time.Duration
	}{
		{400, "BadDeviceToken", gone, "", 0},
		{400, "DeviceTokenNotForTopic", rejected, "", 0},
		{400, "BadCollapseId", rejected, "", 0},
		{400, "BadExpirationDate", rejected, "", 0},
		{400, "BadMessageId", rejected, "", 0},
		{400, "BadPriority", rejected, "", 0},
		{400, "BadTopic", rejected, "", 0},
		{400, "DuplicateHeaders", rejected, "", 0},
		{400, "IdleTimeout", again, "", 0},
		{400, "InvalidPushType", rejected, "", 0},
		{400, "MissingDeviceToken", rejected, "", 0},
		{400, "MissingTopic", rejected, "", 0},
		{400, "PayloadEmpty", rejected, "", 0},
		{400, "TopicDisallowed", wrong, "", 0},
		{403, "BadCertificate", wrong, "", 0},
		{403, "BadCertificateEnvironment", wrong, "", 0},
		{403, "ExpiredProviderToken", wrong, "", 0},
		{403, "Forbidden", wrong, "", 0},
		{403, "InvalidProviderToken", wrong, "", 0},
		{403, "MissingProviderToken", wrong, "", 0},
		{403, "UnrelatedKeyIdInToken", wrong, "", 0},
		{403, "BadEnvironmentKeyIdInToken", wrong, "", 0},
		{403, "BadEnvironmentKeyInToken", wrong, "BadEnvironmentKeyIdInToken", 0},
		{404, "BadPath", rejected, "", 0},
		{405, "MethodNotAllowed", rejected, "", 0},
		{410, "Unregistered", gone, "", 0},
		{410, "ExpiredToken", gone, "", 0},
		{413, "PayloadTooLarge", rejected, "", 0},
		{429, "TooManyRequests", device, "", 0},
		{429, "TooManyProviderTokenUpdates", sender, "", 0},
		{500, "InternalServerError", again, "", server},
		{503, "ServiceUnavailable", again, "", server},
		{503, "Shutdown", again, "", 0},
		{400, "NewReason", rejected, "unrecognized", 0},
		{403, "NewReason", wrong, "unrecognized", 0},
		{410, "NewReason", gone, "unrecognized", 0},
		{429, "NewReason", device, "unrecognized", 0},
		{502, "NewReason", again, "unrecognized", server},
		{302, "NewReason", rejected, "unrecognized", 0},
	} {
		word := c.word
		if word == "" {
			word = c.reason
		}
		want := carillon.Outcome{Class: c.class, Reason: word, Status: uint16(c.status), After: c.after}
		got := apns.Judge(&h2.Result{Status: c.status, Body: []byte(`{"reason":"` + c.reason + `"}`)}, start())
		if got != want {
			t.Errorf("%d %s: %+v, want %+v", c.status, c.reason, got, want)
		}
	}
}

func TestJudgeRest(t *testing.T) {
	retry := []h2.Field{{Name: "retry-after", Value: "2"}}
	for name, c := range map[string]struct {
		r    h2.Result
		want carillon.Outcome
	}{
		"accepted":          {h2.Result{Status: 200}, carillon.Outcome{Class: carillon.Accepted, Status: 200}},
		"no body":           {h2.Result{Status: 503}, carillon.Outcome{Class: carillon.Transient, Reason: "unrecognized", Status: 503, After: 15 * time.Minute}},
		"retry after":       {h2.Result{Status: 503, Fields: retry}, carillon.Outcome{Class: carillon.Transient, Reason: "unrecognized", Status: 503, After: 2 * time.Second}},
		"timestamp":         {h2.Result{Status: 410, Body: []byte(`{"reason":"Unregistered","timestamp":1454948015990}`)}, carillon.Outcome{Class: carillon.Gone, Reason: "Unregistered", Status: 410, Since: 1454948015990}},
		"negative":          {h2.Result{Status: 410, Body: []byte(`{"reason":"Unregistered","timestamp":-1}`)}, carillon.Outcome{Class: carillon.Gone, Reason: "Unregistered", Status: 410}},
		"timestamp of none": {h2.Result{Status: 400, Body: []byte(`{"reason":"BadTopic","timestamp":7}`)}, carillon.Outcome{Class: carillon.Rejected, Reason: "BadTopic", Status: 400}},
		"unsent":            {h2.Result{Fault: h2.FaultUnsent}, carillon.Outcome{Class: carillon.Transient, Reason: "notSent", Unsent: true}},
		"lost":              {h2.Result{Fault: h2.FaultLost}, carillon.Outcome{Class: carillon.Unknown, Reason: "connectionLost"}},
		"timeout":           {h2.Result{Fault: h2.FaultTimeout}, carillon.Outcome{Class: carillon.Unknown, Reason: "timeout"}},
		"malformed":         {h2.Result{Fault: h2.FaultProtocol}, carillon.Outcome{Class: carillon.Unknown, Reason: "malformedAnswer"}},
		"invalid":           {h2.Result{Fault: h2.FaultInvalid}, carillon.Outcome{Class: carillon.Rejected, Reason: "invalidRequest"}},
	} {
		if got := apns.Judge(&c.r, start()); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestWeigh: an answer that may blame the wrong part costs no address and shuts
// no lane.
func TestWeigh(t *testing.T) {
	const gone, wrong, rejected = carillon.Gone, carillon.WrongCredential, carillon.Rejected
	for _, c := range []struct {
		reason                  string
		judged                  carillon.Class
		key, topic, environment bool
		want                    carillon.Class
	}{
		{"BadDeviceToken", gone, false, false, false, rejected}, // perhaps it is a token of the other environment
		{"BadDeviceToken", gone, true, false, false, gone},      // others pass in this one
		{"BadDeviceToken", gone, false, false, true, gone},      // the endpoint said so
		{"Unregistered", gone, false, false, false, gone},
		{"TopicDisallowed", wrong, false, false, true, wrong},
		{"TopicDisallowed", wrong, true, true, true, wrong}, // it used to pass: the key has changed
		{"TopicDisallowed", wrong, true, false, true, rejected},
		{"InvalidProviderToken", wrong, true, true, true, wrong},
	} {
		if got := apns.Weigh(carillon.Outcome{Class: c.judged, Reason: c.reason}, c.key, c.topic, c.environment); got.Class != c.want {
			t.Errorf("%s with key %v, topic %v, environment %v: %v, want %v", c.reason, c.key, c.topic, c.environment, got.Class, c.want)
		}
	}
}

// FuzzJudge: any answer has a class of an attempt, and a reason unless accepted.
func FuzzJudge(f *testing.F) {
	f.Add(410, []byte(`{"reason":"Unregistered","timestamp":1454948015990}`), "7")
	f.Add(200, []byte(nil), "")
	f.Add(503, []byte(`[[[{"reason":1}`), "Wed, 21 Oct 2026 07:28:00 GMT")
	f.Fuzz(func(t *testing.T, status int, body []byte, retry string) {
		status = 200 + int(uint(status)%400)
		o := apns.Judge(&h2.Result{Status: status, Body: body, Fields: []h2.Field{{Name: "retry-after", Value: retry}}}, start())
		if (o.Class == carillon.Accepted) != (status == 200) || o.Class == carillon.Open || (o.Reason == "") != (status == 200) || o.After < 0 || o.Since < 0 {
			t.Fatalf("%s %q: %+v", strconv.Itoa(status), body, o)
		}
	})
}
