package provider_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon"
	"carillon/provider"
	"carillon/provider/sandbox"
)

// TestKinds sends every kind to every vendor's strict sandbox, which refuses
// what the vendor would refuse.
func TestKinds(t *testing.T) {
	const secret = "SECRET"
	kinds := map[string]struct {
		kind  carillon.Kind
		edit  func(n *carillon.Notification)
		shows string
		mark  string
		has   []string
	}{
		"visual": {kind: carillon.KindAlert, shows: `Tea "for" two`, mark: "alert"},
		"both": {
			kind: carillon.KindAlert, shows: `Tea "for" two`, mark: "alert", has: []string{"ride-along"},
			edit: func(n *carillon.Notification) { n.HasRaw, n.Raw, n.Group, n.TTL = true, "ride-along", "g", 60 },
		},
		"raw": {kind: carillon.KindData, mark: "data", has: []string{`yes`}},
		"tap": {kind: carillon.KindTap, mark: "tap", edit: func(n *carillon.Notification) {
			n.Title, n.Body, n.HasRaw, n.Raw, n.Group = secret, secret, true, secret, secret
			n.Options = []byte(`{"data":{"a":"SECRET"},"link":"SECRET","apns":{"category":"SECRET"}}`)
		}},
		"fallback": {kind: carillon.KindFallback, shows: "Missed", mark: "fallback", edit: func(n *carillon.Notification) {
			n.Fallback = carillon.Fallback{Delay: 60, Title: "Missed", Body: "something"}
			n.HasRaw, n.Raw = true, secret
		}},
	}
	eachWay(t, func(t *testing.T, r *rig) {
		for name, k := range kinds {
			t.Run(name, func(t *testing.T) {
				p := r.push(name, k.kind, k.edit)
				a := r.answer(t, p)
				if a.Outcome.Class != carillon.Accepted || a.Ref != name || a.Kind != k.kind {
					t.Fatalf("answer %+v", a)
				}
				in := r.server.Inbox(p.Endpoint.Address)
				if len(in) != 1 {
					t.Fatalf("the device got %d pushes", len(in))
				}
				got := in[0]
				if got.Problem != "" || got.NotificationID != p.ID.String() || got.Mark != k.mark {
					t.Errorf("got %+v", got)
				}
				for _, want := range k.has {
					if !strings.Contains(string(got.Body), want) {
						t.Errorf("%q is not in %s", want, got.Body)
					}
				}
				for name, value := range got.Headers {
					if strings.Contains(value, secret) {
						t.Errorf("content in header %s", name)
					}
				}
				if strings.Contains(string(got.Body), secret) {
					t.Errorf("content in %s", got.Body)
				}
				checkTray(t, r.server.Tray(p.Endpoint.Address), k.shows, p.ID.String())
			})
		}
	})
}

func checkTray(t *testing.T, tray []sandbox.Shown, title, id string) {
	t.Helper()
	switch {
	case title == "" && len(tray) > 0:
		t.Errorf("it shows %+v", tray)
	case title != "" && (len(tray) != 1 || tray[0].Title != title || tray[0].Key != id):
		t.Errorf("it shows %+v, want %q", tray, title)
	}
}

// TestReplacement: the same notification again takes the place of the first.
func TestReplacement(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		first := r.push("x", carillon.KindAlert, nil)
		r.answer(t, first)
		second := r.push("x", carillon.KindAlert, func(n *carillon.Notification) { n.Title = "Coffee" })
		second.Seq++
		r.answer(t, second)
		tray := r.server.Tray(first.Endpoint.Address)
		if len(tray) != 1 || tray[0].Title != "Coffee" || tray[0].Replaced != 1 {
			t.Errorf("tray %+v", tray)
		}
	})
}

// TestTooLarge: what does not fit goes out as a tap, whole content or none.
func TestTooLarge(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		for _, size := range []int{3000, 3500, 3700, 3800, 3900, 4000, 4096} {
			p := r.push("x"+strconv.Itoa(size), carillon.KindData, func(n *carillon.Notification) {
				n.Raw = strings.Repeat("e", size)
			})
			a := r.answer(t, p)
			in := r.server.Inbox(p.Endpoint.Address)
			if a.Outcome.Class != carillon.Accepted || len(in) != 1 {
				t.Fatalf("%d bytes: answer %+v, inbox %+v", size, a, in)
			}
			whole := strings.Contains(string(in[0].Body), p.Notification.Raw)
			if whole != (a.Kind == carillon.KindData) || !whole && (a.Kind != carillon.KindTap || strings.Contains(string(in[0].Body), "eee")) {
				t.Errorf("%d bytes went out as %s, body %s", size, a.Kind, in[0].Body)
			}
		}
	})
}

// TestAnswers: what a vendor says becomes the class that it means.
func TestAnswers(t *testing.T) {
	type answer struct {
		name  string
		fault sandbox.Fault
		want  carillon.Outcome
	}
	since := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	const minute = time.Minute
	answers := map[sandbox.Vendor][]answer{
		sandbox.APNs: {
			{"gone", sandbox.Fault{Status: 410, Reason: "Unregistered", Since: since}, carillon.Outcome{Class: carillon.Gone, Reason: "Unregistered", Since: since.UnixMilli()}},
			{"bad token", sandbox.Fault{Status: 400, Reason: "BadDeviceToken"}, carillon.Outcome{Class: carillon.Gone, Reason: "BadDeviceToken"}},
			{"credential", sandbox.Fault{Status: 403, Reason: "InvalidProviderToken"}, carillon.Outcome{Class: carillon.WrongCredential, Reason: "InvalidProviderToken"}},
			{"throttled", sandbox.Fault{Status: 429, Reason: "TooManyRequests", RetryAfter: "60"}, carillon.Outcome{Class: carillon.ThrottledEndpoint, Reason: "TooManyRequests", After: minute}},
			{"server", sandbox.Fault{Status: 503, RetryAfter: "60"}, carillon.Outcome{Class: carillon.Transient, Reason: "ServiceUnavailable", After: minute}},
			{"server, silent", sandbox.Fault{Status: 500}, carillon.Outcome{Class: carillon.Transient, Reason: "InternalServerError", After: 15 * minute}},
		},
		sandbox.FCM: {
			{"gone", sandbox.Fault{Status: 404, Reason: "UNREGISTERED"}, carillon.Outcome{Class: carillon.Gone, Reason: "UNREGISTERED"}},
			{"bad token", sandbox.Fault{Status: 400, Reason: "INVALID_ARGUMENT"}, carillon.Outcome{Class: carillon.Gone, Reason: "INVALID_TOKEN"}},
			{"bare 404", sandbox.Fault{Status: 404}, carillon.Outcome{Class: carillon.WrongCredential, Reason: "NOT_FOUND"}},
			{"credential", sandbox.Fault{Status: 403}, carillon.Outcome{Class: carillon.WrongCredential, Reason: "PERMISSION_DENIED"}},
			{"quota", sandbox.Fault{Status: 429, Reason: "QUOTA_EXCEEDED", RetryAfter: "60"}, carillon.Outcome{Class: carillon.ThrottledSender, Reason: "QUOTA_EXCEEDED", After: minute}},
			{"server", sandbox.Fault{Status: 503, Reason: "UNAVAILABLE"}, carillon.Outcome{Class: carillon.Transient, Reason: "UNAVAILABLE", After: 10 * time.Second}},
			{"front end", sandbox.Fault{Status: 502, Reason: "HTML"}, carillon.Outcome{Class: carillon.Transient, Reason: "BAD_GATEWAY", After: 10 * time.Second}},
		},
		sandbox.WNS: {
			{"gone", sandbox.Fault{Status: 410, Reason: "Gone"}, carillon.Outcome{Class: carillon.Gone, Reason: "Gone"}},
			{"bad token", sandbox.Fault{Status: 404}, carillon.Outcome{Class: carillon.Gone, Reason: "NotFound"}},
			{"blocked", sandbox.Fault{Status: 410, Reason: "Domain Blocked"}, carillon.Outcome{Class: carillon.WrongCredential, Reason: "DomainBlocked"}},
			{"another app's", sandbox.Fault{Status: 403}, carillon.Outcome{Class: carillon.Rejected, Reason: "Forbidden"}},
			{"dropped", sandbox.Fault{Status: 200, Reason: "dropped"}, carillon.Outcome{Class: carillon.Dropped, Reason: "dropped"}},
			{"channel", sandbox.Fault{Status: 200, Reason: "channelthrottled"}, carillon.Outcome{Class: carillon.ThrottledEndpoint, Reason: "channelthrottled", After: 30 * time.Second}},
			{"sender", sandbox.Fault{Status: 406, RetryAfter: "60"}, carillon.Outcome{Class: carillon.ThrottledSender, Reason: "NotAcceptable", After: minute}},
			{"server", sandbox.Fault{Status: 503, RetryAfter: "60"}, carillon.Outcome{Class: carillon.Transient, Reason: "ServiceUnavailable", After: minute}},
		},
	}
	eachWay(t, func(t *testing.T, r *rig) {
		r.answer(t, r.push("warm", carillon.KindAlert, nil))
		for _, a := range answers[r.vendor] {
			t.Run(a.name, func(t *testing.T) {
				a.fault.Vendor, a.fault.Times = r.vendor, 1
				r.server.Script(a.fault)
				got := r.answer(t, r.push(a.name, carillon.KindAlert, nil)).Outcome
				a.want.Status = uint16(a.fault.Status)
				if got != a.want {
					t.Errorf("got %+v, want %+v", got, a.want)
				}
			})
		}
	})
}

// TestRetryAfterDate: a date is as good as seconds.
func TestRetryAfterDate(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		at := r.clock.Now().Add(2*time.Minute).Format("Mon, 02 Jan 2006 15:04:05") + " GMT"
		r.server.Script(sandbox.Fault{Vendor: r.vendor, Status: 503, RetryAfter: at, Times: 1})
		got := r.answer(t, r.push("x", carillon.KindAlert, nil)).Outcome
		if got.Class != carillon.Transient || got.After < 100*time.Second || got.After > 120*time.Second {
			t.Errorf("got %+v", got)
		}
	})
}

// TestCut: a connection that dies after the push was written leaves it unknown;
// the next one finds a new connection.
func TestCut(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		r.answer(t, r.push("warm", carillon.KindAlert, nil))
		r.server.Script(sandbox.Fault{Vendor: r.vendor, Disconnect: true, Times: 1})
		got := r.answer(t, r.push("cut", carillon.KindAlert, nil)).Outcome
		if got.Class != carillon.Unknown || got.Reason != "connectionLost" {
			t.Errorf("got %+v", got)
		}
		if got := r.answer(t, r.push("next", carillon.KindAlert, nil)).Outcome; got.Class != carillon.Accepted {
			t.Errorf("the next one: %+v", got)
		}
	})
}

// TestGoAway: a push that the vendor's GOAWAY excludes is sent again at once, on
// another connection; when every connection refuses it, it was not sent. HTTP/1.1
// has no such thing.
func TestGoAway(t *testing.T) {
	waysBut(t, func(w way) bool { return w.http1 }, func(t *testing.T, r *rig) {
		r.server.Script(sandbox.Fault{Vendor: r.vendor, GoAway: true, Disconnect: true, Times: 1})
		if got := r.answer(t, r.push("x", carillon.KindAlert, nil)).Outcome; got.Class != carillon.Accepted {
			t.Errorf("got %+v", got)
		}
		r.server.Script(sandbox.Fault{Vendor: r.vendor, GoAway: true, Disconnect: true})
		got := r.answer(t, r.push("y", carillon.KindAlert, nil)).Outcome
		if got.After = 0; got != (carillon.Outcome{Class: carillon.Transient, Reason: "notSent", Unsent: true}) {
			t.Errorf("got %+v", got)
		}
	})
}

// TestTimeout: no answer in time is unknown.
func TestTimeout(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			r := newRig(t, w, func(r *rig) {
				r.cfg.APNs.RequestTimeout = 300 * time.Millisecond
				r.cfg.FCM.RequestTimeout = 300 * time.Millisecond
				r.cfg.WNS.RequestTimeout = 300 * time.Millisecond
			})
			r.server.Script(sandbox.Fault{Vendor: r.vendor, Hold: true, Address: r.address("held")})
			defer r.server.Unscript()
			got := r.answer(t, r.push("held", carillon.KindAlert, nil)).Outcome
			if got.Class != carillon.Unknown || got.Reason != "timeout" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestLate: an expired notification is not sent.
func TestLate(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		p := r.push("x", carillon.KindAlert, func(n *carillon.Notification) { n.Expires = r.clock.UnixMilli() - 1 })
		if got := r.answer(t, p).Outcome; got.Class != carillon.Expired {
			t.Errorf("got %+v", got)
		}
		if in := r.server.Inbox(p.Endpoint.Address); len(in) != 0 {
			t.Errorf("the device got %+v", in)
		}
	})
}

// TestEachOnce: many pushes in batches of all sizes are answered once each,
// in batches that do not overlap, also when a Receiver sends from within.
func TestEachOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		const total = 1000
		r.answer(t, r.push("warm", carillon.KindAlert, nil))
		before := r.count()
		pushes := make([]carillon.Push, total)
		for i := range pushes {
			pushes[i] = r.push(strconv.Itoa(i), []carillon.Kind{carillon.KindAlert, carillon.KindData, carillon.KindTap}[i%3], nil)
		}
		for rest := pushes; len(rest) > 0; {
			r.ready(t)
			n := min(len(rest), r.sender.Room(), 1+len(rest)%97)
			r.sender.Send(rest[:n])
			rest = rest[n:]
		}
		r.wait(t, "all answers", func() bool { return r.count() >= before+total })
		seen := make(map[any]int)
		for _, a := range r.all()[before:] {
			seen[a.Ref]++
			if a.Outcome.Class != carillon.Accepted {
				t.Fatalf("answer %+v", a)
			}
		}
		if len(seen) != total || r.count() != before+total || r.overlap {
			t.Errorf("%d pushes, %d answers to %d of them, overlapping: %v", total, r.count()-before, len(seen), r.overlap)
		}
	})
}

// TestStopped: what is sent to a sender that does not run is answered unsent.
func TestStopped(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			r := newRig(t, w, nil)
			apps, err := carillon.NewApps([]carillon.App{r.app})
			if err != nil {
				t.Fatal(err)
			}
			box := newInbox()
			s, err := provider.New(r.cfg, func() *carillon.Apps { return apps }, r.clock, discard()).Open(carillon.Lane{Platform: w.platform, Host: host}, box)
			if err != nil {
				t.Fatal(err)
			}
			if s.Room() != 0 {
				t.Errorf("room for %d", s.Room())
			}
			s.Send([]carillon.Push{r.push("a", carillon.KindAlert, nil), r.push("b", carillon.KindAlert, nil)})
			box.wait(t, "answers", func() bool { return box.count() == 2 })
			for _, a := range box.all() {
				if a.Outcome.Class != carillon.Transient || !a.Outcome.Unsent {
					t.Errorf("answer %+v", a)
				}
			}
		})
	}
}

// TestOpenRefusals: the error names app and platform, and says what to do.
func TestOpenRefusals(t *testing.T) {
	apps, err := carillon.NewApps([]carillon.App{
		{Host: "bare.example.com"},
		{Host: "broken.example.com", Credentials: []carillon.Credential{
			{Platform: carillon.IOS, File: "/nowhere.p8", KeyID: "K", TeamID: "T"},
			{Platform: carillon.Android, File: "/nowhere.json"},
			{Platform: carillon.Windows, PackageSID: "ms-app://s"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	v := provider.New(provider.Config{}, func() *carillon.Apps { return apps }, &carillon.Clock{}, discard())
	for _, c := range []struct {
		host string
		p    carillon.Platform
		code carillon.Code
	}{
		{"none.example.com", carillon.IOS, carillon.CodeNotFound},
		{"bare.example.com", carillon.IOS, carillon.CodeNotFound},
		{"bare.example.com", carillon.Android, carillon.CodeNotFound},
		{"bare.example.com", carillon.Web, carillon.CodeNotImplemented},
		{"broken.example.com", carillon.IOS, carillon.CodeInvalidRequest},
		{"broken.example.com", carillon.Android, carillon.CodeInvalidRequest},
		{"broken.example.com", carillon.Windows, carillon.CodeInvalidRequest},
	} {
		s, err := v.Open(carillon.Lane{Platform: c.p, Host: c.host}, newInbox())
		var e *carillon.Error
		if !errors.As(err, &e) || e.Code != c.code || s != nil || !strings.Contains(e.Error(), c.host) {
			t.Errorf("%s %s: %v, %v", c.host, c.p, s, err)
		}
	}
}
