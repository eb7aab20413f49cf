package sandbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/provider/sandbox"

	"golang.org/x/net/http2"
)

// warm is an APNs connection after its first 200, with its SETTINGS acknowledged.
func (r *rig) warm() *frames {
	r.t.Helper()
	f := r.frames(r.Addrs().APNs)
	f.push(r, 1, alert)
	f.send()
	f.until("headers", 1)
	_ = f.WriteSettingsAck()
	_ = f.WriteSettingsAck()
	f.sync()
	return f
}

// sync returns when the server has read what was sent before.
func (f *frames) sync() string {
	f.t.Helper()
	_ = f.WritePing(false, [8]byte([]byte("syncsync")))
	f.send()
	return strings.Replace(f.until("ping", 1), "ping true syncsync\n", "", 1)
}

func (r *rig) act(list ...sandbox.Act) {
	r.t.Helper()
	if err := r.Act(list...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) conduct(v sandbox.Vendor, change func(*sandbox.Conduct)) {
	r.t.Helper()
	c := r.Conduct(v)
	change(&c)
	if err := r.SetConduct(v, c); err != nil {
		r.t.Fatal(err)
	}
}

func TestTheStreamLimitMovesLive(t *testing.T) {
	r := start(t, sandbox.Config{})
	cold := r.frames(r.Addrs().APNs)
	cold.sync()
	f := r.warm()
	r.act(sandbox.Act{Vendor: sandbox.APNs, Kind: sandbox.Streams, Streams: 1})
	same(t, f.sync(), "settings MAX_CONCURRENT_STREAMS=1")
	for _, id := range []uint32{3, 5} { // it does not know yet: no fault
		f.push(r, id, alert)
	}
	f.send()
	same(t, f.until("headers", 2), "headers 3 200 end=true\nheaders 5 200 end=true")
	r.act(sandbox.Act{Vendor: sandbox.APNs, Kind: sandbox.Streams, Streams: 2})
	_ = f.WriteSettingsAck() // of the 1: the 2 is on its way, so 2 are allowed
	same(t, f.sync(), "settings MAX_CONCURRENT_STREAMS=2")
	for _, id := range []uint32{7, 9} {
		f.push(r, id, alert)
	}
	f.send()
	f.until("headers", 2)
	_ = f.WriteSettingsAck()
	r.act(sandbox.Act{Vendor: sandbox.APNs, Kind: sandbox.Streams, Streams: 1})
	_ = f.WriteSettingsAck()
	same(t, f.sync(), "settings MAX_CONCURRENT_STREAMS=1")
	for _, id := range []uint32{11, 13} {
		f.push(r, id, alert)
	}
	f.send()
	same(t, f.until("end", 1), "headers 11 200 end=true\ngoaway last=11 REFUSED_STREAM \"Maximum active streams violated for this endpoint.\"\nend")
	if n := r.Counts().Vendors[sandbox.APNs].Overruns; n != 1 {
		t.Errorf("%d overruns", n)
	}
	r.act(sandbox.Act{Kind: sandbox.Streams, Streams: 7})
	cold.push(r, 1, alert) // it was cold and opens to the present limit
	cold.send()
	same(t, cold.until("headers", 1), "settings MAX_CONCURRENT_STREAMS=7\nheaders 1 200 end=true")
	g := r.frames(r.Addrs().FCM)
	if log := g.sync(); !strings.Contains(log, "MAX_CONCURRENT_STREAMS=7") {
		t.Error(log)
	}
}

func TestPlannedActs(t *testing.T) {
	r := start(t, sandbox.Config{})
	f := r.warm()
	r.act(
		sandbox.Act{Vendor: sandbox.APNs, Kind: sandbox.Streams, Streams: 1, After: time.Millisecond},
		sandbox.Act{Vendor: sandbox.APNs, Kind: sandbox.Streams, Streams: 500, After: 5 * time.Millisecond},
		sandbox.Act{Vendor: sandbox.APNs, Kind: sandbox.GoAway, Reason: "Shutdown", Every: 10 * time.Millisecond},
	)
	same(t, f.until("end", 1), `settings MAX_CONCURRENT_STREAMS=1
settings MAX_CONCURRENT_STREAMS=500
goaway last=1 NO_ERROR "{\"reason\":\"Shutdown\"}"
end`)
	f = r.frames(r.Addrs().APNs)
	f.send()
	if log := f.until("end", 1); !strings.Contains(log, "goaway last=0 NO_ERROR") {
		t.Error(log)
	}
	r.StopActs()
	r.act(sandbox.Act{Kind: sandbox.Silence, Every: time.Millisecond, Times: 2})
	eventually(t, "done", func() bool { return len(r.Acts()) == 0 })
	r.act(sandbox.Act{Kind: sandbox.Reset, Every: time.Hour})
	if len(r.Acts()) != 1 {
		t.Error(r.Acts())
	}
	r.StopActs()
	if len(r.Acts()) != 0 {
		t.Error(r.Acts())
	}
	for _, bad := range []sandbox.Act{
		{},
		{Kind: "x"},
		{Kind: sandbox.Streams},
		{Kind: sandbox.Reset, Vendor: "token"},
		{Kind: sandbox.Reset, Every: 1},
		{Kind: sandbox.Reset, Share: 2},
		{Kind: sandbox.Silence, For: -1},
	} {
		if r.Act(bad) == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestAGoAwayActLosesNothing(t *testing.T) {
	r := start(t, sandbox.Config{})
	f := r.warm()
	r.Script(sandbox.Fault{Hold: true})
	for _, id := range []uint32{3, 5} {
		f.push(r, id, alert)
	}
	f.sync()
	r.act(sandbox.Act{Kind: sandbox.GoAway})
	f.push(r, 7, alert) // after it: not taken
	same(t, f.sync(), "goaway last=5 NO_ERROR \"\"")
	r.Unscript()
	same(t, f.until("end", 1), "headers 3 200 end=true\nheaders 5 200 end=true\nend")
	if n := r.Counts().Accepted; n != 3 {
		t.Errorf("%d accepted", n)
	}
}

func TestSilentPeers(t *testing.T) {
	r := start(t, sandbox.Config{})
	f := r.warm()
	r.act(sandbox.Act{Kind: sandbox.Silence})
	f.push(r, 3, alert)
	_ = f.WritePing(false, [8]byte([]byte("12345678")))
	f.send()
	eventually(t, "taken", func() bool { return r.Counts().Accepted == 2 })
	r.act(sandbox.Act{Kind: sandbox.GoAway})
	r.StopActs()
	same(t, f.until("end", 1), "headers 3 200 end=true\nping true 12345678\ngoaway last=3 NO_ERROR \"\"\nend")

	f = r.warm()
	r.act(sandbox.Act{Kind: sandbox.Stall, For: 10 * time.Millisecond})
	f.push(r, 3, alert)
	same(t, f.sync(), "headers 3 200 end=true")

	f = r.warm()
	r.act(sandbox.Act{Kind: sandbox.HalfClose})
	same(t, f.until("end", 1), "end")
	before := r.Counts().Accepted
	f.push(r, 3, alert)
	f.send()
	eventually(t, "taken", func() bool { return r.Counts().Accepted == before+1 })

	f = r.warm() // stalled and mute connections end with the server
	r.act(sandbox.Act{Kind: sandbox.Stall})
	f.push(r, 3, alert)
	f.send()
}

func TestCutConnectionsUnasked(t *testing.T) {
	r := start(t, sandbox.Config{})
	for _, kind := range []sandbox.ActKind{sandbox.Close, sandbox.Reset} {
		f := r.warm()
		dev, tok := sandbox.NewAddress(sandbox.WNS, "x"), r.wnsToken()
		r.post(r.http1, dev, []byte(toastXML), "Authorization", tok, "X-WNS-Type", "wns/toast", "Content-Type", "text/xml")
		r.act(sandbox.Act{Kind: kind})
		same(t, f.until("end", 1), "end")
		eventually(t, "closed", func() bool {
			v := r.Counts().Vendors
			return v[sandbox.APNs].Open == 0 && v[sandbox.WNS].Open == 0
		})
	}
}

func TestConductOfAPNsConnections(t *testing.T) {
	r := start(t, sandbox.Config{})
	r.conduct(sandbox.APNs, func(c *sandbox.Conduct) { c.OverrunReset = true })
	f := r.frames(r.Addrs().APNs)
	f.push(r, 1, alert)
	f.push(r, 3, alert)
	f.push(r, 5, alert)
	f.send()
	same(t, f.until("rst", 2), apnsSettings+"settings MAX_CONCURRENT_STREAMS=1000\nheaders 1 200 end=true\nrst 3 REFUSED_STREAM\nrst 5 REFUSED_STREAM")

	r.conduct(sandbox.APNs, func(c *sandbox.Conduct) { c.RejectsToOne, c.BadTokens = 2, 4 })
	bad := func(f *frames, id uint32) {
		f.head(id, false, ":method", "POST", ":scheme", "https", ":path", "/3/device/abcd",
			"authorization", r.token(), "apns-topic", "com.example.app", "apns-push-type", "alert")
		_ = f.WriteData(id, true, []byte(alert))
	}
	f = r.warm()
	bad(f, 3)
	bad(f, 5)
	f.push(r, 7, alert)
	f.send()
	same(t, f.until("headers", 3), `headers 3 400 end=false
data 3 {"reason":"BadDeviceToken"} end=true
settings MAX_CONCURRENT_STREAMS=1
headers 5 400 end=false
data 5 {"reason":"BadDeviceToken"} end=true
settings MAX_CONCURRENT_STREAMS=1000
headers 7 200 end=true`)
	for id := uint32(9); id < 17; id += 2 {
		bad(f, id)
	}
	f.send()
	if log := f.until("end", 1); !strings.Contains(log, "goaway last=15 NO_ERROR \"{\\\"reason\\\":\\\"BadDeviceToken\\\"}\"\nend") {
		t.Error(log)
	}
}

func TestLateSettings(t *testing.T) {
	r := start(t, sandbox.Config{})
	r.conduct(sandbox.APNs, func(c *sandbox.Conduct) { c.SettingsDelay = 20 * time.Millisecond })
	begin := time.Now() // the delay begins when the connection is taken
	f := r.frames(r.Addrs().APNs)
	f.push(r, 1, alert)
	f.push(r, 3, alert) // as a client that does not wait for SETTINGS
	f.send()
	log := f.until("end", 1)
	if !strings.HasPrefix(log, apnsSettings) || !strings.Contains(log, "goaway last=1 REFUSED_STREAM") {
		t.Error(log)
	}
	if d := time.Since(begin); d < 20*time.Millisecond {
		t.Error(d)
	}
	r.conduct(sandbox.APNs, func(c *sandbox.Conduct) { c.SettingsDelay = time.Hour }) // does not hold up the end
	f = r.frames(r.Addrs().APNs)
	f.send()
}

func TestConductOfFCMConnections(t *testing.T) {
	r := start(t, sandbox.Config{})
	r.conduct(sandbox.FCM, func(c *sandbox.Conduct) { c.PingStrikes = 2 })
	f := r.frames(r.Addrs().FCM)
	for range 3 {
		_ = f.WritePing(false, [8]byte{})
	}
	f.send()
	if log := f.until("end", 1); !strings.Contains(log, `goaway last=0 ENHANCE_YOUR_CALM "too_many_pings"`) {
		t.Error(log)
	}
	r.conduct(sandbox.FCM, func(c *sandbox.Conduct) { c.Idle = 10 * time.Millisecond })
	f = r.frames(r.Addrs().FCM)
	f.send()
	if log := f.until("end", 1); !strings.Contains(log, `goaway last=0 NO_ERROR "session_timed_out"`) {
		t.Error(log)
	}
	if n := r.Counts().Vendors[sandbox.FCM].GoAways; n != 1 {
		t.Errorf("%d GOAWAYs for breaking the protocol", n)
	}
}

func TestRequestsPerConnection(t *testing.T) {
	r := start(t, sandbox.Config{})
	r.conduct(sandbox.WNS, func(c *sandbox.Conduct) { c.RequestsPerConnection = 2 })
	dev, tok := sandbox.NewAddress(sandbox.WNS, "x"), r.wnsToken()
	for i := range 4 {
		a := r.post(r.http1, dev, []byte(toastXML), "Authorization", tok, "X-WNS-Type", "wns/toast", "Content-Type", "text/xml")
		if a.status != 200 || a.closing != (i%2 == 1) {
			t.Errorf("%d: %+v", i, a)
		}
	}
	if n := r.Counts().Vendors[sandbox.WNS].Connections; n != 2 {
		t.Errorf("%d connections", n)
	}
	f := r.frames(r.Addrs().WNS)
	for _, id := range []uint32{1, 3, 5} {
		f.head(id, true, ":method", "POST", ":scheme", "https", ":path", "/?token=x")
	}
	f.send()
	if log := f.until("end", 1); !strings.Contains(log, "headers 3 400 end=true\ngoaway last=3 NO_ERROR \"\"\nend") {
		t.Error(log)
	}
}

func TestRefusedByReset(t *testing.T) {
	r := start(t, sandbox.Config{})
	f := r.warm()
	r.Script(sandbox.Fault{Reset: true, Times: 1})
	f.push(r, 3, alert)
	f.push(r, 5, alert)
	f.send()
	same(t, f.until("headers", 1), fmt.Sprintf("rst 3 %s\nheaders 5 200 end=true", http2.ErrCodeRefusedStream))
	if n := r.Counts().Accepted; n != 2 {
		t.Errorf("%d accepted", n)
	}
}
