package wns_test

import (
	"net/url"
	"strings"
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

func TestSplitChannel(t *testing.T) {
	for address, want := range map[string][2]string{
		"https://dm3p.notify.windows.com/?token=a%2f%2Bb": {"dm3p.notify.windows.com", "/?token=a%2f%2Bb"},
		"https://DM3P.Notify.Windows.com/w/?token=a":      {"dm3p.notify.windows.com", "/w/?token=a"},
		"https://notify.windows.com:443/?token=a":         {"notify.windows.com", "/?token=a"},
		"https://notify.windows.com?token=a":              {"notify.windows.com", "/?token=a"},
		"https://notify.windows.com":                      {"notify.windows.com", "/"},
	} {
		host, path, ok := wns.SplitChannel(address)
		if got := [2]string{host, path}; !ok || got != want {
			t.Errorf("%s: %v %v, want %v", address, got, ok, want)
		}
	}
	for _, address := range []string{
		"", "http://notify.windows.com/?token=a", "https://evilnotify.windows.com/", "https://notify.windows.com.evil.com/",
		"https://u@notify.windows.com/", "https://evil.com/@notify.windows.com/", "https://notify.windows.com:8443/",
		"https://evil.com\\.notify.windows.com/", "https://evil.com#.notify.windows.com/", "https://evil.com?.notify.windows.com",
		"https://notify.windows.com/a b", "https://notify.windows.com/\r\nHost: x", "https://notify.windows.com/ü",
		"https://ü.notify.windows.com/", "https://notify.windows.com//evil.com/", "https://[::1].notify.windows.com/",
		"https://notify.windows.com/" + strings.Repeat("a", 2048),
	} {
		if host, path, ok := wns.SplitChannel(address); ok {
			t.Errorf("%q was taken: %s %s", address, host, path)
		}
	}
}

// FuzzSplitChannel: whatever a device registers, the access token goes to WNS.
func FuzzSplitChannel(f *testing.F) {
	f.Add("https://dm3p.notify.windows.com/?token=a%2f")
	f.Add("https://evil.com/https://notify.windows.com")
	f.Fuzz(func(t *testing.T, address string) {
		host, path, ok := wns.SplitChannel(address)
		if !ok {
			return
		}
		u, err := url.Parse(address)
		if err != nil {
			return // stricter than we need it: the path is opaque to us
		}
		if u.Scheme != "https" || !strings.EqualFold(u.Hostname(), host) || u.User != nil || !strings.HasPrefix(path, "/") ||
			host != "notify.windows.com" && !strings.HasSuffix(host, ".notify.windows.com") {
			t.Fatalf("%q became %s %s", address, host, path)
		}
	})
}
