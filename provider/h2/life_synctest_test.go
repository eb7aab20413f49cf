package h2_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/provider/h2"

	"golang.org/x/net/http2"
)

func setting(id http2.SettingID, v uint32) http2.Setting { return http2.Setting{ID: id, Val: v} }

// want checks the fault of each ref and returns the results.
func (s *scripted) want(t *testing.T, fault h2.Fault, refs ...int) []h2.Result {
	t.Helper()
	s.got.mu.Lock()
	defer s.got.mu.Unlock()
	var out []h2.Result
	for _, ref := range refs {
		r, ok := s.got.results[ref]
		if !ok {
			t.Fatalf("request %d is not answered", ref)
		}
		if r.Fault != fault || (fault == h2.FaultNone) != (r.Status != 0) || (fault == h2.FaultNone) != (r.Reason == "") {
			t.Fatalf("request %d: %+v, want fault %v", ref, r, fault)
		}
		out = append(out, r)
	}
	if len(s.got.twice) > 0 {
		t.Fatalf("answered twice: %v", s.got.twice)
	}
	return out
}

// count checks how many requests are answered so far.
func (s *scripted) count(t *testing.T, n int) {
	t.Helper()
	s.got.mu.Lock()
	defer s.got.mu.Unlock()
	if len(s.got.results) != n {
		t.Fatalf("%d requests are answered, want %d", len(s.got.results), n)
	}
}

func TestSettingsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.accept(t)
		if f := p.next(http2.FrameSettings); f.Length == 0 {
			t.Error("our SETTINGS are empty")
		}
		time.Sleep(time.Second)
		if s.Room() != 0 {
			t.Errorf("room %d before the server's SETTINGS", s.Room())
		}
		s.post(0, 1, nil)
		synctest.Wait()
		s.want(t, h2.FaultUnsent, 0)
		p.do(p.fr.WriteSettings(setting(http2.SettingMaxConcurrentStreams, 1)))
		if room := <-s.rooms; room != 1 {
			t.Errorf("room %d, want 1", room)
		}
		s.stop(t)
	})
}

func TestNoSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		if code := s.net.accept(t).goAway(); code != http2.ErrCodeSettingsTimeout {
			t.Errorf("GOAWAY %v", code)
		}
		s.net.open(t)
		<-s.rooms
		s.stop(t)
	})
}

// TestLimit: the server's limit moves while requests are open.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, func(cfg *h2.Config) { cfg.MaxInFlight = 600 })
		p := s.net.open(t, setting(http2.SettingMaxConcurrentStreams, 1))
		<-s.rooms
		s.post(0, 2, nil) // one too many
		id, _, _ := p.request()
		synctest.Wait()
		s.want(t, h2.FaultUnsent, 1)
		if s.Room() != 0 {
			t.Fatalf("room %d, want 0", s.Room())
		}
		p.answer(id, 200, "")
		p.do(p.fr.WriteSettings(setting(http2.SettingMaxConcurrentStreams, 1000)))
		if room := <-s.rooms; room != 1 && room != 600 {
			t.Fatalf("room %d", room)
		}
		synctest.Wait()
		if s.Room() != 600 {
			t.Fatalf("room %d, want our own cap", s.Room())
		}
		s.post(10, 20, nil)
		ids := p.requests(10)
		p.do(p.fr.WriteSettings(setting(http2.SettingMaxConcurrentStreams, 1)))
		for i, id := range ids {
			synctest.Wait()
			if s.Room() != 0 {
				t.Fatalf("room %d with %d open and a limit of 1", s.Room(), 10-i)
			}
			p.answer(id, 200, "")
		}
		synctest.Wait()
		if s.Room() != 1 {
			t.Fatalf("room %d, want 1", s.Room())
		}
		s.want(t, h2.FaultNone, 0, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
		s.stop(t)
	})
}

// TestGoAway: what is above the last stream comes back at once, the rest
// finishes beside the next connection.
func TestGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t)
		<-s.rooms
		s.post(0, 5, []byte("body"))
		ids := p.requests(5)
		p.answer(ids[0], 200, "")
		p.do(p.fr.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)) // the graceful form: two of them
		q := s.net.open(t)
		p.do(p.fr.WriteGoAway(ids[2], http2.ErrCodeNo, []byte(`{"reason":"Shutdown"}`)))
		<-s.rooms
		synctest.Wait()
		for _, r := range s.want(t, h2.FaultUnsent, 3, 4) {
			if !strings.Contains(r.Reason, `{"reason":"Shutdown"}`) || !strings.Contains(r.Reason, "NO_ERROR") {
				t.Errorf("reason %q", r.Reason)
			}
		}
		s.post(5, 6, nil)
		id, _, _ := q.request()
		q.answer(id, 200, "")
		p.answer(ids[1], 200, "late")
		p.answer(ids[3], 200, "too late")
		synctest.Wait()
		s.want(t, h2.FaultNone, 0, 1, 5)
		s.count(t, 5)
		p.nc.Close()
		synctest.Wait()
		r := s.want(t, h2.FaultLost, 2)[0]
		if !strings.Contains(r.Reason, "Shutdown") {
			t.Errorf("reason %q does not tell the GOAWAY", r.Reason)
		}
		if st := s.Stats(); st.GoAways != 1 || st.Connections != 2 || st.Refused != 2 {
			t.Errorf("stats %+v", st)
		}
		s.stop(t)
	})
}

// TestGoAwayBegun: a stream whose answer has begun was seen, whatever the last
// stream is said to be.
func TestGoAwayBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t)
		<-s.rooms
		s.post(0, 2, nil)
		ids := p.requests(2)
		p.headers(ids[0], false, ":status", "200")
		p.do(p.fr.WriteGoAway(0, http2.ErrCodeNo, nil))
		synctest.Wait()
		s.want(t, h2.FaultLost, 0)
		s.want(t, h2.FaultUnsent, 1)
		s.stop(t)
	})
}

// TestGoAwayLast: when the last open stream is answered we close.
func TestGoAwayLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t)
		<-s.rooms
		s.post(0, 1, nil)
		id, _, _ := p.request()
		p.do(p.fr.WriteGoAway(id, http2.ErrCodeEnhanceYourCalm, []byte("too_many_pings")))
		p.answer(id, 200, "")
		if code := p.goAway(); code != http2.ErrCodeNo {
			t.Errorf("GOAWAY %v", code)
		}
		s.want(t, h2.FaultNone, 0)
		s.stop(t)
	})
}

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t)
		<-s.rooms
		s.post(0, 4, nil)
		ids := p.requests(4)
		p.do(p.fr.WriteRSTStream(ids[0], http2.ErrCodeRefusedStream))
		p.headers(ids[3], false, ":status", "200") // then no refusal is to be believed
		p.do(p.fr.WriteRSTStream(ids[3], http2.ErrCodeRefusedStream))
		p.headers(ids[1], false, ":status", "200")
		p.do(p.fr.WriteRSTStream(ids[1], http2.ErrCodeInternal))
		p.answer(ids[2], 200, "")
		p.do(p.fr.WriteRSTStream(ids[2], http2.ErrCodeNo)) // after the answer: ignored
		synctest.Wait()
		s.want(t, h2.FaultUnsent, 0)
		s.want(t, h2.FaultLost, 1, 3)
		s.want(t, h2.FaultNone, 2)
		s.stop(t)
	})
}

// TestDeadline: the stream is reset, its late answer ignored, its place free.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, func(cfg *h2.Config) { cfg.RequestTimeout = 3 * time.Second })
		p := s.net.open(t, setting(http2.SettingMaxConcurrentStreams, 2))
		<-s.rooms
		s.Send([]h2.Request{
			{Ref: 0, Path: "/0", Deadline: time.Now().Add(time.Second)},
			{Ref: 1, Path: "/1"},
		})
		ids := p.requests(2)
		p.headers(ids[1], false, ":status", "200")
		time.Sleep(900 * time.Millisecond)
		s.count(t, 0)
		time.Sleep(200 * time.Millisecond)
		s.count(t, 1)
		s.want(t, h2.FaultTimeout, 0)
		if f := p.next(http2.FrameRSTStream); f.StreamID != ids[0] || f.code != http2.ErrCodeCancel {
			t.Errorf("RST %v", f)
		}
		if s.Room() != 1 {
			t.Errorf("room %d", s.Room())
		}
		time.Sleep(2 * time.Second)
		s.want(t, h2.FaultTimeout, 1)
		p.answer(ids[0], 200, "late")
		p.do(p.fr.WriteData(ids[1], true, []byte("late")))
		s.post(2, 3, nil)
		id, _, _ := p.request()
		p.answer(id, 200, "in time")
		synctest.Wait()
		s.want(t, h2.FaultNone, 2)
		s.count(t, 3)
		if st := s.Stats(); st.Timeouts != 2 || st.Connections != 1 {
			t.Errorf("stats %+v", st)
		}
		s.stop(t)
	})
}

// TestSilence: a PING after the silence, death after the next, a new connection.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, func(cfg *h2.Config) {
			cfg.PingInterval, cfg.PingTimeout, cfg.RequestTimeout = 4*time.Second, 2*time.Second, time.Minute
		})
		p := s.net.open(t)
		<-s.rooms
		time.Sleep(time.Minute) // idle: no ping yet
		s.post(0, 1, nil)
		p.request()
		start := time.Now()
		ping := p.next(http2.FramePing)
		if d := time.Since(start); d < 4*time.Second || d > 5*time.Second {
			t.Errorf("PING after %v", d)
		}
		p.do(p.fr.WritePing(true, [8]byte(ping.data)))
		p.next(http2.FramePing)
		s.count(t, 0)
		q := s.net.open(t)
		if d := time.Since(start); d < 10*time.Second || d > 12*time.Second {
			t.Errorf("given up after %v", d)
		}
		<-s.rooms
		synctest.Wait()
		s.want(t, h2.FaultLost, 0)
		time.Sleep(4 * time.Minute)
		for range 3 { // idle, and alive
			ping = q.next(http2.FramePing)
			q.do(q.fr.WritePing(true, [8]byte(ping.data)))
		}
		if s.Room() == 0 {
			t.Error("no room on an idle connection")
		}
		s.stop(t)
	})
}

// TestSilenceShortTimeouts: a dead server is noticed even when every request
// gives up sooner than pings would.
func TestSilenceShortTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, func(cfg *h2.Config) { cfg.RequestTimeout = time.Second })
		s.net.open(t)
		<-s.rooms
		for i := range 20 {
			s.post(i, i+1, nil)
			time.Sleep(2 * time.Second)
			select {
			case nc := <-s.net:
				nc.Close()
				s.stop(t)
				return
			default:
			}
		}
		t.Fatal("never noticed")
	})
}

func TestPingAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t)
		p.do(p.fr.WritePing(false, [8]byte{1, 2, 3}))
		if f := p.next(http2.FramePing); !f.Flags.Has(http2.FlagPingAck) || !bytes.Equal(f.data, []byte{1, 2, 3, 0, 0, 0, 0, 0}) {
			t.Errorf("answer to PING: %v %v", f, f.data)
		}
		for range 10_100 { // many are fine as long as the answers are read
			p.do(p.fr.WritePing(false, [8]byte{}))
			p.next(http2.FramePing)
		}
		s.stop(t)
	})
}

// TestDrain: at the end of ctx nothing new is taken, owed answers are awaited.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t, setting(http2.SettingInitialWindowSize, 4))
		<-s.rooms
		s.post(0, 2, nil)
		s.post(2, 3, []byte("waits for a window"))
		ids := p.requests(2)
		s.cancel()
		time.Sleep(time.Second)
		if s.Room() != 0 {
			t.Errorf("room %d while draining", s.Room())
		}
		s.post(3, 4, nil)
		p.answer(ids[0], 200, "")
		synctest.Wait()
		s.want(t, h2.FaultNone, 0)
		s.want(t, h2.FaultUnsent, 3)
		start := time.Now()
		s.stop(t)
		if d := time.Since(start); d < 3*time.Second || d > 5*time.Second {
			t.Errorf("drained for %v more", d)
		}
		s.want(t, h2.FaultLost, 1, 2)
		s.post(4, 5, nil) // after Run
		s.want(t, h2.FaultUnsent, 4)
	})
}

func TestDrainDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t)
		<-s.rooms
		s.post(0, 1, nil)
		id, _, _ := p.request()
		s.cancel()
		synctest.Wait()
		start := time.Now()
		p.answer(id, 200, "")
		if code := p.goAway(); code != http2.ErrCodeNo {
			t.Errorf("GOAWAY %v", code)
		}
		s.stop(t)
		if d := time.Since(start); d > sweep {
			t.Errorf("Run ended %v after the last answer", d)
		}
		s.want(t, h2.FaultNone, 0)
	})
}

const sweep = 50 * time.Millisecond

// TestStall: the server stops reading; what the writer never took is unsent.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, func(cfg *h2.Config) { cfg.WriteTimeout = 2 * time.Second })
		nc := <-s.net
		buf := make([]byte, 4096)
		_, _ = nc.Read(buf)
		_ = http2.NewFramer(nc, nil).WriteSettings()
		<-s.rooms
		_, _ = nc.Read(buf) // our ACK
		s.post(0, 1, nil)
		synctest.Wait()
		s.post(1, 3, nil)
		p := s.net.accept(t)
		synctest.Wait()
		s.want(t, h2.FaultLost, 0)
		s.want(t, h2.FaultUnsent, 1, 2)
		p.nc.Close()
		s.stop(t)
	})
}

func TestIDsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{net: make(network), got: newCollector(), rooms: make(chan int, 10), done: make(chan error, 1)}
		s.Client = h2.New(h2.Config{Static: static(), Dial: s.net.dial, OnResults: s.got.add, OnRoom: func() { s.rooms <- 1 }})
		s.SetFirstID(1<<31 - 3)
		ctx, cancel := context.WithCancel(t.Context())
		s.cancel = cancel
		go func() { s.done <- s.Run(ctx) }()
		p := s.net.open(t)
		<-s.rooms
		s.post(0, 3, nil)
		ids := p.requests(2)
		if !slices.Equal(ids, []uint32{1<<31 - 3, 1<<31 - 1}) {
			t.Errorf("ids %v", ids)
		}
		s.net.open(t)
		<-s.rooms
		p.answer(ids[0], 200, "")
		p.answer(ids[1], 200, "")
		p.goAway()
		s.want(t, h2.FaultNone, 0, 1)
		s.want(t, h2.FaultUnsent, 2)
		s.stop(t)
	})
}

// TestRedial: failures back off, and the reason reaches those who send meanwhile.
func TestRedial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials []time.Time
		s := script(t, func(cfg *h2.Config) {
			dial := cfg.Dial
			cfg.Dial = func(ctx context.Context) (net.Conn, error) {
				if dials = append(dials, time.Now()); len(dials) < 12 {
					return nil, errors.New("the cable is cut")
				}
				return dial(ctx)
			}
		})
		synctest.Wait()
		s.post(0, 1, nil)
		synctest.Wait()
		if r := s.want(t, h2.FaultUnsent, 0)[0]; !strings.Contains(r.Reason, "cable") {
			t.Errorf("reason %q", r.Reason)
		}
		s.net.open(t)
		<-s.rooms
		if d := dials[1].Sub(dials[0]); d > 50*time.Millisecond {
			t.Errorf("the first redial came after %v", d)
		}
		if d := dials[11].Sub(dials[10]); d < 5*time.Second || d > 10*time.Second {
			t.Errorf("the eleventh redial came after %v", d)
		}
		s.stop(t)
	})
}

// TestLongLived: a stream that stays open while the ids of others come round to
// its place in the table.
func TestLongLived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, func(cfg *h2.Config) { cfg.MaxInFlight = 2 })
		p := s.net.open(t)
		<-s.rooms
		s.post(0, 1, nil)
		first, _, _ := p.request()
		for i := 1; i < 50; i++ {
			s.post(i, i+1, nil)
			id, _, _ := p.request()
			p.answer(id, 200, "")
			synctest.Wait()
			s.want(t, h2.FaultNone, i)
			s.count(t, i)
		}
		p.answer(first, 200, "")
		synctest.Wait()
		s.want(t, h2.FaultNone, 0)
		s.stop(t)
	})
}

// TestRunOnce: one connection, and why it ended, when all of it is answered.
func TestRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, got, left, done := make(network), newCollector(), make(chan string, 1), make(chan error, 1)
		ready := make(chan struct{}, 1)
		c := h2.New(h2.Config{
			Static: static(), Dial: net.dial, OnResults: got.add,
			OnRoom: func() { ready <- struct{}{} }, OnLeave: func(why string) { left <- why },
		})
		go func() { done <- c.RunOnce(t.Context()) }()
		p := net.open(t, setting(http2.SettingMaxConcurrentStreams, 100))
		<-ready
		p.do(p.fr.WriteSettings(setting(http2.SettingMaxConcurrentStreams, 5)))
		synctest.Wait()
		c.Halve(true)
		c.Send([]h2.Request{{Ref: 0, Path: "/"}, {Ref: 1, Path: "/"}})
		if c.Limit() != 3 || c.Room() != 1 {
			t.Errorf("limit %d, room %d", c.Limit(), c.Room())
		}
		ids := p.requests(2)
		c.Halve(false)
		if c.Limit() != 5 || c.Room() != 3 {
			t.Errorf("limit %d, room %d", c.Limit(), c.Room())
		}
		c.Leave("enough")
		if c.Limit() != 0 || c.Room() != 0 || <-left != "enough" {
			t.Errorf("limit %d, room %d after leaving", c.Limit(), c.Room())
		}
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("it ended although answers are owed")
		default:
		}
		p.answer(ids[0], 200, "")
		p.answer(ids[1], 200, "")
		if err := <-done; err == nil || !strings.Contains(err.Error(), "enough") {
			t.Errorf("RunOnce: %v", err)
		}
		got.all(t, 2)
		p.goAway()
	})
}

// TestSlowWrite: a write that takes long is counted once, before it is fatal.
func TestSlowWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		nc := <-s.net
		buf := make([]byte, 4096)
		_, _ = nc.Read(buf)
		_ = http2.NewFramer(nc, nil).WriteSettings()
		<-s.rooms
		_, _ = nc.Read(buf) // our ACK
		s.post(0, 1, nil)
		time.Sleep(900 * time.Millisecond)
		if n := s.Stats().Stalls; n != 0 {
			t.Errorf("%d stalls before their time", n)
		}
		time.Sleep(5 * time.Second)
		if n := s.Stats().Stalls; n != 1 {
			t.Errorf("%d stalls, want 1", n)
		}
		nc.Close()
		s.cancel()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
	})
}
