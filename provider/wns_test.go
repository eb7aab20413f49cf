package provider_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	"carillon"
)

func windows(http1 bool) way {
	w := ways()[2]
	w.http1 = http1
	return w
}

// TestNotWNS: the access token goes to WNS's hosts only, whatever a row says.
func TestNotWNS(t *testing.T) {
	r := newRig(t, windows(false), nil)
	for _, address := range []string{"", "https://evil.example.com/?token=a", "http://dm3p.notify.windows.com/?token=a"} {
		p := r.push("a", carillon.KindAlert, nil)
		p.Endpoint.Address = address
		if got := r.answer(t, p).Outcome; got != (carillon.Outcome{Class: carillon.Rejected, Reason: "notWNS"}) {
			t.Errorf("%q: %+v", address, got)
		}
	}
}

// TestHosts: each host has its own connection and its own name, and one host too
// many waits for another to fall idle.
func TestHosts(t *testing.T) {
	for _, http1 := range []bool{false, true} {
		t.Run(strconv.FormatBool(http1), func(t *testing.T) {
			r := newRig(t, windows(http1), func(r *rig) { r.cfg.WNS.MaxHosts = 2 })
			to := func(host string) carillon.Push {
				p := r.push(host, carillon.KindAlert, nil)
				p.Endpoint.Address = "https://" + host + ".notify.windows.com" + r.address(host)[len("https://wns2-sbx.notify.windows.com"):]
				return p
			}
			for _, host := range []string{"dm3p", "am3p", "dm3p"} {
				p := to(host)
				if got := r.answer(t, p).Outcome; got.Class != carillon.Accepted {
					t.Errorf("%s: %+v", host, got)
				}
				if in := r.server.Inbox(p.Endpoint.Address); len(in) == 0 || in[0].Address != p.Endpoint.Address {
					t.Errorf("%s: inbox %+v", host, in)
				}
			}
			if got := r.answer(t, to("sg2p")).Outcome; got.Class != carillon.Transient || !got.Unsent || got.Reason != "tooManyHosts" {
				t.Errorf("a third host: %+v", got)
			}
			r.wait(t, "an idle host to make room", func() bool {
				r.clock.Move(10 * time.Second)
				return r.answer(t, to("sg2p")).Outcome.Class == carillon.Accepted
			})
		})
	}
}

// TestUnreached: what waits too long for a host that cannot be reached is
// answered unsent, and other hosts do not notice.
func TestUnreached(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := ln.Addr().String()
	ln.Close()
	r := newRig(t, windows(false), func(r *rig) { r.cfg.WNS.DialAddress = closed })
	r.ready(t)
	r.sender.Send([]carillon.Push{r.push("a", carillon.KindAlert, nil)})
	r.wait(t, "an answer", func() bool {
		r.clock.Move(2 * time.Second)
		return r.count() == 1
	})
	got := r.last().Outcome
	if want := (carillon.Outcome{Class: carillon.Transient, Reason: "hostNotReached", Unsent: true, After: 30 * time.Second}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestFull: the room of the whole lane is bounded, and the lane is told when
// there is some again.
func TestFull(t *testing.T) {
	for _, http1 := range []bool{false, true} {
		t.Run(strconv.FormatBool(http1), func(t *testing.T) {
			r := newRig(t, windows(http1), func(r *rig) { r.cfg.WNS.MaxInFlight, r.cfg.WNS.MaxConnections = 8, 2 })
			r.ready(t)
			rooms := r.roomCount()
			pushes := make([]carillon.Push, 8)
			for i := range pushes {
				pushes[i] = r.push(strconv.Itoa(i), carillon.KindData, nil)
			}
			r.sender.Send(pushes)
			r.wait(t, "answers and room", func() bool { return r.count() == 8 && r.roomCount() > rooms && r.sender.Room() == 8 })
			for _, a := range r.all() {
				if a.Outcome.Class != carillon.Accepted {
					t.Errorf("answer %+v", a)
				}
			}
		})
	}
}
