package provider_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"carillon"
	"carillon/provider"
	"carillon/provider/sandbox"
)

// open makes one more sender to the rig's vendor, which runs until stop is
// called.
func (r *rig) open(t *testing.T) (s carillon.Sender, box *inbox, stop func()) {
	t.Helper()
	apps, err := carillon.NewApps([]carillon.App{r.app})
	if err != nil {
		t.Fatal(err)
	}
	box = newInbox()
	s, err = provider.New(r.cfg, func() *carillon.Apps { return apps }, r.clock, discard()).Open(carillon.Lane{Platform: r.platform, Host: host}, box)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return s, box, stop
}

// sendAll hands n pushes over as there is room, and gives their addresses.
func (r *rig) sendAll(t *testing.T, s carillon.Sender, box *inbox, n int) {
	t.Helper()
	for i := 0; i < n; {
		box.wait(t, "room", func() bool { return s.Room() > 0 })
		var pushes []carillon.Push
		for range min(s.Room(), n-i) {
			pushes = append(pushes, r.push(strconv.Itoa(i), carillon.KindAlert, nil))
			i++
		}
		s.Send(pushes)
	}
}

// once checks that each of n pushes has one answer, and counts their classes.
func (b *inbox) once(t *testing.T, n int) map[carillon.Class]int {
	t.Helper()
	seen, classes := map[any]int{}, map[carillon.Class]int{}
	for _, a := range b.all() {
		seen[a.Ref]++
		classes[a.Outcome.Class]++
	}
	if len(seen) != n || b.count() != n {
		t.Errorf("%d answers to %d of %d pushes", b.count(), len(seen), n)
	}
	return classes
}

// TestDrain: who stops with answers due waits for them.
func TestDrain(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		const n = 32
		s, box, stop := r.open(t)
		r.sendAll(t, s, box, 1)
		box.wait(t, "the first answer", func() bool { return box.count() == 1 })
		r.server.Script(sandbox.Fault{Vendor: r.vendor, Delay: 300 * time.Millisecond})
		box.wait(t, "room", func() bool { return s.Room() >= n })
		pushes := make([]carillon.Push, n)
		for i := range pushes {
			pushes[i] = r.push("d"+strconv.Itoa(i), carillon.KindAlert, nil)
		}
		s.Send(pushes)
		box.wait(t, "the pushes to come to the vendor", func() bool { return len(r.server.Inbox(pushes[n-1].Endpoint.Address)) > 0 })
		stop()
		if got := box.once(t, n+1); got[carillon.Accepted] != n+1 {
			t.Errorf("classes %v", got)
		}
	})
}

// TestStopInSilence: where no answer comes, stopping ends all the same, with an
// answer to each push that says that it may have rung.
func TestStopInSilence(t *testing.T) {
	t.Parallel()
	for _, w := range ways() {
		if w.name != "apns" && !w.http1 { // it waits for as long as senders drain: once for each protocol
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			const n = 16
			r := newRig(t, w, nil)
			s, box, stop := r.open(t)
			r.server.Script(sandbox.Fault{Vendor: r.vendor, Hold: true})
			defer r.server.Unscript()
			pushes := make([]carillon.Push, n)
			for i := range pushes {
				pushes[i] = r.push(strconv.Itoa(i), carillon.KindAlert, nil)
			}
			box.wait(t, "room", func() bool { return s.Room() > 0 })
			sent := min(n, s.Room())
			s.Send(pushes[:sent])
			box.wait(t, "the pushes to come to the vendor", func() bool { return len(r.server.Inbox(pushes[sent-1].Endpoint.Address)) > 0 })
			stop()
			if got := box.once(t, sent); got[carillon.Unknown] != sent {
				t.Errorf("classes %v", got)
			}
			s.Send(pushes[sent-1:])
			box.wait(t, "an answer after the end", func() bool { return box.count() > sent })
			if got := box.last().Outcome; got.Class != carillon.Transient || !got.Unsent {
				t.Errorf("after the end: %+v", got)
			}
		})
	}
}

// TestRefusedStream: a stream that the vendor refuses was not sent, so that it
// goes out again at once, a few times; on HTTP/1.1 nobody can know.
func TestRefusedStream(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		r.answer(t, r.push("warm", carillon.KindAlert, nil))
		once, always := carillon.Outcome{Class: carillon.Accepted, Status: 200}, carillon.Outcome{Class: carillon.Transient, Reason: "notSent", Unsent: true}
		if r.http1 {
			once = carillon.Outcome{Class: carillon.Unknown, Reason: "connectionLost"}
			always = once
		}
		r.server.Script(sandbox.Fault{Vendor: r.vendor, Reset: true, Times: 1})
		if got := r.answer(t, r.push("x", carillon.KindAlert, nil)).Outcome; got != once {
			t.Errorf("refused once: %+v, want %+v", got, once)
		}
		r.server.Script(sandbox.Fault{Vendor: r.vendor, Reset: true})
		if got := r.answer(t, r.push("y", carillon.KindAlert, nil)).Outcome; got != always {
			t.Errorf("refused each time: %+v, want %+v", got, always)
		}
		r.server.Unscript()
		if got := r.sent(t, r.push("z", carillon.KindAlert, nil)).Outcome; got.Class != carillon.Accepted {
			t.Errorf("the next one: %+v", got)
		}
	})
}

// TestGoAwayUnderLoad: connections that the vendor ends in order lose nothing and
// leave nothing in doubt.
func TestGoAwayUnderLoad(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		const n = 300
		s, box, stop := r.open(t)
		r.sendAll(t, s, box, 1)
		box.wait(t, "the first answer", func() bool { return box.count() == 1 })
		for _, i := range []int{50, 120, 250} {
			r.server.Script(sandbox.Fault{Vendor: r.vendor, Address: r.address("g" + strconv.Itoa(i)), GoAway: true, Times: 1})
		}
		open := map[any]carillon.Push{}
		for i := range n {
			p := r.push("g"+strconv.Itoa(i), carillon.KindAlert, nil)
			open[p.Ref] = p
		}
		for seen := 1; len(open) > 0; {
			box.wait(t, "room", func() bool { return s.Room() > 0 })
			var batch []carillon.Push
			for _, p := range open {
				if len(batch) < min(s.Room(), 40) {
					batch = append(batch, p)
				}
			}
			s.Send(batch)
			want := seen + len(batch)
			box.wait(t, "answers", func() bool { return box.count() >= want })
			for _, a := range box.all()[seen:] {
				switch {
				case a.Outcome.Class == carillon.Accepted:
					delete(open, a.Ref)
				case !a.Outcome.Unsent:
					t.Fatalf("answer %+v", a)
				}
			}
			seen = box.count()
		}
		stop()
		for i := range n {
			if got := len(r.server.Inbox(r.address("g" + strconv.Itoa(i)))); got != 1 {
				t.Errorf("device %d got %d pushes", i, got)
			}
		}
	})
}

// TestDoubt: as long as the vendor has taken nothing, an answer that may blame
// an address for a fault of the credential or the set-up costs no address, and
// one that may blame the credential for an address is believed.
func TestDoubt(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		fault := map[sandbox.Vendor]sandbox.Fault{
			sandbox.APNs: {Status: 400, Reason: "BadDeviceToken"}, sandbox.FCM: {Status: 400, Reason: "INVALID_ARGUMENT"}, sandbox.WNS: {Status: 403},
		}[r.vendor]
		fault.Vendor, fault.Address = r.vendor, r.address("doubt")
		r.server.Script(fault)
		before, after := carillon.Rejected, carillon.Gone
		if r.vendor == sandbox.WNS { // 403: the channel is another app's, or the token is
			before, after = carillon.WrongCredential, carillon.Rejected
		}
		if got := r.answer(t, r.push("doubt", carillon.KindAlert, nil)).Outcome; got.Class != before {
			t.Errorf("before any push was taken: %+v", got)
		}
		r.answer(t, r.push("warm", carillon.KindAlert, nil))
		if got := r.answer(t, r.push("doubt", carillon.KindAlert, nil)).Outcome; got.Class != after {
			t.Errorf("after one was taken: %+v", got)
		}
	})
	t.Run("environment", func(t *testing.T) {
		r := newRig(t, ways()[0], nil)
		r.server.Script(sandbox.Fault{Vendor: sandbox.APNs, Status: 400, Reason: "BadDeviceToken"})
		p := r.push("a", carillon.KindAlert, nil)
		p.Endpoint.Environment = "production" // it says so itself
		if got := r.answer(t, p).Outcome; got.Class != carillon.Gone {
			t.Errorf("got %+v", got)
		}
		p.Endpoint.Environment = "sandbox"
		if got := r.answer(t, p).Outcome; got != (carillon.Outcome{Class: carillon.Rejected, Reason: "environmentMismatch"}) {
			t.Errorf("got %+v", got)
		}
	})
}

// TestReplaced: a credential that the vendor does not accept ends no push for
// good, and under the one that replaces it all goes out.
func TestReplaced(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		right := r.app
		wrong := right
		wrong.Credentials = append([]carillon.Credential(nil), right.Credentials...)
		wrong.Credentials[0].TeamID, wrong.Credentials[2].Secret = "ANOTHERONE", "wrong"
		r.app = wrong
		if r.vendor == sandbox.FCM {
			r.server.Script(sandbox.Fault{Vendor: sandbox.Token, Status: 400, Reason: "invalid_grant"})
			r.server.RevokeTokens()
		}
		s, box, stop := r.open(t)
		if r.vendor == sandbox.APNs {
			box.wait(t, "room", func() bool { return s.Room() > 0 })
		}
		s.Send([]carillon.Push{r.push("a", carillon.KindAlert, nil)})
		box.wait(t, "an answer", func() bool { return box.count() == 1 })
		stop()
		if got := box.last().Outcome; got.Class.Terminal() {
			t.Errorf("under the wrong credential: %+v", got)
		}
		r.server.Unscript()
		r.app = right
		s, box, stop = r.open(t)
		defer stop()
		r.sendAll(t, s, box, 3)
		box.wait(t, "answers", func() bool { return box.count() == 3 })
		if got := box.once(t, 3); got[carillon.Accepted] != 3 {
			t.Errorf("under the right one: %v", box.all())
		}
	})
}

// TestClear: a clear takes off the screen what it lists, and nothing else.
func TestClear(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		ids := make([]carillon.ID, 3)
		var last carillon.Push
		for i := range ids {
			last = r.push("x", carillon.KindAlert, nil)
			last.ID[15] = byte(i + 1)
			ids[i] = last.ID
			if got := r.answer(t, last).Outcome; got.Class != carillon.Accepted {
				t.Fatalf("got %+v", got)
			}
		}
		last.Kind, last.Cleared = carillon.KindClear, ids[:2]
		last.Seq++
		if a := r.answer(t, last); a.Outcome.Class != carillon.Accepted || a.Kind != carillon.KindClear {
			t.Fatalf("got %+v", a)
		}
		tray := r.server.Tray(last.Endpoint.Address)
		if len(tray) != 1 || tray[0].NotificationID != ids[2].String() {
			t.Errorf("it shows %+v", tray)
		}
	})
}

// TestThrottles: what a vendor asks to wait is taken as it is, with its fraction,
// for the device or for all of the app's.
func TestThrottles(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig) {
		fault := map[sandbox.Vendor]sandbox.Fault{
			sandbox.APNs: {Status: 429, Reason: "TooManyRequests"}, sandbox.FCM: {Status: 429, Reason: "QUOTA_EXCEEDED"}, sandbox.WNS: {Status: 406},
		}[r.vendor]
		class := carillon.ThrottledSender
		if r.vendor == sandbox.APNs {
			class = carillon.ThrottledEndpoint
		}
		for retry, want := range map[string]time.Duration{"1.5": 1500 * time.Millisecond, "90": 90 * time.Second, "0": time.Millisecond, "nonsense": 0, "": 0} {
			fault.Vendor, fault.Times, fault.RetryAfter = r.vendor, 1, retry
			r.server.Script(fault)
			if want == 0 && r.vendor != sandbox.APNs { // Google says 60 s; of WNS no number is known
				want = time.Minute
			}
			if got := r.answer(t, r.push("t", carillon.KindAlert, nil)).Outcome; got.Class != class || got.After != want {
				t.Errorf("Retry-After %q: %+v, want %v", retry, got, want)
			}
		}
	})
}
