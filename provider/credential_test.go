package provider_test

import (
	"testing"
	"time"

	"carillon"
	"carillon/provider/sandbox"
)

// TestClockJump: after a month of the one clock every token is a new one.
func TestClockJump(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		for _, jump := range []time.Duration{0, 25 * time.Minute, 61 * time.Minute, 31 * 24 * time.Hour} {
			r.clock.Move(jump)
			if got := r.answer(t, r.push(jump.String(), carillon.KindAlert, nil)).Outcome; got.Class != carillon.Accepted {
				t.Errorf("after %v: %+v", jump, got)
			}
		}
	})
}

// signsItself tells the way whose tokens are our own: it has no token endpoint.
func signsItself(w way) bool { return w.vendor == sandbox.APNs }

// TestRevoked: an access token that worked and is refused is replaced, and its
// push may be tried again.
func TestRevoked(t *testing.T) {
	waysBut(t, signsItself, func(t *testing.T, r *rig) {
		r.answer(t, r.push("a", carillon.KindAlert, nil))
		r.server.RevokeTokens()
		got := r.answer(t, r.push("b", carillon.KindAlert, nil)).Outcome
		if got.Class != carillon.Transient || got.Status != 401 || got.After != time.Second {
			t.Errorf("got %+v", got)
		}
		if got := r.answer(t, r.push("b", carillon.KindAlert, nil)).Outcome; got.Class != carillon.Accepted {
			t.Errorf("again: %+v", got)
		}
	})
}

// TestNeverGood: a token that never worked means that the credential is wrong.
func TestNeverGood(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		fault := sandbox.Fault{Vendor: r.vendor, Status: 401}
		if r.vendor == sandbox.APNs {
			fault.Status, fault.Reason = 403, "ExpiredProviderToken"
		}
		r.server.Script(fault)
		for range 2 { // the first one has APNs' connection renewed
			if got := r.sent(t, r.push("a", carillon.KindAlert, nil)).Outcome; got.Class != carillon.WrongCredential {
				t.Errorf("got %+v", got)
			}
		}
	})
}

// TestWedged: a connection on which APNs calls a good token expired is closed,
// and the next push goes out on another.
func TestWedged(t *testing.T) {
	for _, reason := range []string{"ExpiredProviderToken", "TooManyProviderTokenUpdates"} {
		t.Run(reason, func(t *testing.T) {
			r := newRig(t, ways()[0], nil)
			r.answer(t, r.push("a", carillon.KindAlert, nil))
			status, want := 403, carillon.Transient
			if reason == "TooManyProviderTokenUpdates" {
				status, want = 429, carillon.ThrottledSender
			}
			r.server.Script(sandbox.Fault{Vendor: sandbox.APNs, Status: status, Reason: reason, Times: 1})
			rooms := r.roomCount()
			if got := r.answer(t, r.push("b", carillon.KindAlert, nil)).Outcome; got.Class != want || got.Reason != reason {
				t.Errorf("got %+v", got)
			}
			r.wait(t, "a new connection", func() bool { return r.roomCount() > rooms })
			if got := r.answer(t, r.push("b", carillon.KindAlert, nil)).Outcome; got.Class != carillon.Accepted {
				t.Errorf("again: %+v", got)
			}
		})
	}
}

// TestWrongKey: Apple refuses another team's tokens; Google and Microsoft issue
// none, so that there is never room.
func TestWrongKey(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			r := newRig(t, w, func(r *rig) {
				r.app.Credentials[0].TeamID = "ANOTHERONE"
				r.app.Credentials[2].Secret = "wrong"
				r.server.Script(sandbox.Fault{Vendor: sandbox.Token, Status: 400, Reason: "invalid_grant"})
			})
			if w.vendor == sandbox.APNs {
				if got := r.answer(t, r.push("a", carillon.KindAlert, nil)).Outcome; got.Class != carillon.WrongCredential || got.Reason != "InvalidProviderToken" {
					t.Errorf("got %+v", got)
				}
				return
			}
			if n := r.sender.Room(); n != 0 {
				t.Errorf("room for %d", n)
			}
			r.sender.Send([]carillon.Push{r.push("a", carillon.KindAlert, nil)})
			r.wait(t, "an answer", func() bool { return r.count() == 1 })
			if got := r.last().Outcome; got.Class != carillon.Transient || !got.Unsent || got.Reason != "noAccessToken" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestTokenEndpointBack: when the token endpoint recovers, there is room and the
// lane is told.
func TestTokenEndpointBack(t *testing.T) {
	waysBut(t, signsItself, func(t *testing.T, r *rig) {
		r.answer(t, r.push("a", carillon.KindAlert, nil))
		r.server.Script(sandbox.Fault{Vendor: sandbox.Token, Status: 503, RetryAfter: "600"})
		r.server.RevokeTokens()
		r.answer(t, r.push("b", carillon.KindAlert, nil))
		if n := r.sender.Room(); n != 0 {
			t.Errorf("room for %d under a revoked token", n)
		}
		rooms := r.roomCount() // before a token can come
		r.server.Unscript()
		r.wait(t, "the lane to be told", func() bool {
			r.clock.Move(time.Minute)
			return r.roomCount() > rooms
		})
		if got := r.answer(t, r.push("c", carillon.KindAlert, nil)).Outcome; got.Class != carillon.Accepted {
			t.Errorf("got %+v", got)
		}
	})
}
