package wns_test

import (
	"testing"
	"time"

	"carillon"
	"carillon/provider/h2"
	"carillon/provider/wns"
)

// TestJudge has a line for every documented status.
func TestJudge(t *testing.T) {
	status := func(v string) []h2.Field { return []h2.Field{{Name: "x-wns-status", Value: v}} }
	other := func(v string) []h2.Field { return []h2.Field{{Name: "x-wns-notificationstatus", Value: v}} }
	text := func(v string) []h2.Field { return []h2.Field{{Name: "x-wns-error-description", Value: v}} }
	phrase := func(v string) []h2.Field { return []h2.Field{{Name: ":reason", Value: v}} }
	retry := []h2.Field{{Name: "retry-after", Value: "7"}}
	for _, c := range []struct {
		status int
		fields []h2.Field
		class  carillon.Class
		reason string
		after  time.Duration
	}{
		{200, nil, carillon.Accepted, "", 0},
		{200, status("received"), carillon.Accepted, "", 0},
		{200, status("dropped"), carillon.Dropped, "dropped", 0},
		{200, other("dropped"), carillon.Dropped, "dropped", 0},
		{200, status("Dropped"), carillon.Dropped, "dropped", 0},
		{200, status("channelThrottled"), carillon.ThrottledEndpoint, "channelthrottled", 30 * time.Second},
		{200, status("channelthrottled"), carillon.ThrottledEndpoint, "channelthrottled", 30 * time.Second},
		{200, append(status("channelthrottled"), retry...), carillon.ThrottledEndpoint, "channelthrottled", 7 * time.Second},
		{400, nil, carillon.Rejected, "BadRequest", 0},
		{401, nil, carillon.WrongCredential, "Unauthorized", 0},
		{403, nil, carillon.WrongCredential, "Forbidden", 0},
		{404, nil, carillon.Gone, "NotFound", 0},
		{405, nil, carillon.Rejected, "MethodNotAllowed", 0},
		{406, nil, carillon.ThrottledSender, "NotAcceptable", time.Minute},
		{406, retry, carillon.ThrottledSender, "NotAcceptable", 7 * time.Second},
		{410, nil, carillon.Gone, "Gone", 0},
		{410, phrase("410 Gone"), carillon.Gone, "Gone", 0},
		{410, text("Domain Blocked"), carillon.WrongCredential, "DomainBlocked", 0},
		{410, append(phrase("410 Domain Blocked"), text("x")...), carillon.WrongCredential, "DomainBlocked", 0},
		{410, append(text("x"), phrase("410 Domain Blocked")...), carillon.WrongCredential, "DomainBlocked", 0},
		{413, nil, carillon.Rejected, "PayloadTooLarge", 0},
		{429, nil, carillon.ThrottledSender, "TooManyRequests", time.Minute},
		{500, nil, carillon.Transient, "InternalServerError", 0},
		{503, retry, carillon.Transient, "ServiceUnavailable", 7 * time.Second},
		{302, nil, carillon.Rejected, "unrecognized", 0},
	} {
		want := carillon.Outcome{Class: c.class, Reason: c.reason, Status: uint16(c.status), After: c.after}
		if got := wns.Judge(&h2.Result{Status: c.status, Fields: c.fields}, start()); got != want {
			t.Errorf("%d %v: %+v, want %+v", c.status, c.fields, got, want)
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
		if got := wns.Judge(&h2.Result{Fault: f}, start()); got != want {
			t.Errorf("%v: %+v, want %+v", f, got, want)
		}
	}
}

// FuzzJudge: any answer has a class of an attempt, and a reason unless accepted.
func FuzzJudge(f *testing.F) {
	f.Add(410, "x-wns-error-description", "Domain Blocked", "7")
	f.Add(200, "x-wns-status", "dropped", "")
	f.Fuzz(func(t *testing.T, status int, name, value, retry string) {
		status = 200 + int(uint(status)%400)
		r := h2.Result{Status: status, Fields: []h2.Field{{Name: name, Value: value}, {Name: "retry-after", Value: retry}}}
		o := wns.Judge(&r, start())
		if o.Class == carillon.Accepted && status != 200 || o.Class == carillon.Open || (o.Reason == "") != (o.Class == carillon.Accepted) || o.After < 0 {
			t.Fatalf("%d %q: %+v", status, value, o)
		}
	})
}

// TestWeigh: a channel of another app must not shut the lane of all others.
func TestWeigh(t *testing.T) {
	for _, c := range []struct {
		status uint16
		taken  bool
		want   carillon.Class
	}{{403, false, carillon.WrongCredential}, {403, true, carillon.Rejected}, {401, true, carillon.WrongCredential}} {
		if got := wns.Weigh(carillon.Outcome{Class: carillon.WrongCredential, Status: c.status}, c.taken); got.Class != c.want {
			t.Errorf("%d, taken %v: %v", c.status, c.taken, got.Class)
		}
	}
}
