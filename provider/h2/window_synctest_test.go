package h2_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"carillon/provider/h2"

	"golang.org/x/net/http2"
)

// gather reads DATA until synctest finds all asleep, and returns bytes by stream.
func (p *peer) gather() map[uint32][]byte {
	for {
		synctest.Wait()
		select {
		case f := <-p.frames:
			if f.err != nil {
				p.t.Fatal(f.err)
			}
			if f.Type == http2.FrameData {
				p.bodies[f.StreamID] = append(p.bodies[f.StreamID], f.data...)
			}
			continue
		default:
		}
		return p.bodies
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 / 3)
	}
	return b
}

// TestWindows: bodies wait for the stream's and the connection's window, also
// when the initial window moves under open streams, below zero included.
func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t, setting(http2.SettingInitialWindowSize, 10), setting(http2.SettingMaxFrameSize, 20_000))
		<-s.rooms
		body := pattern(50_000)
		s.post(0, 2, body)
		sizes := func(want ...int) {
			t.Helper()
			got := p.gather()
			for i, n := range want {
				if id := uint32(2*i + 1); !bytes.Equal(got[id], body[:n]) {
					t.Fatalf("stream %d has %d bytes, want %d", id, len(got[id]), n)
				}
			}
		}
		sizes(10, 10)
		p.do(p.fr.WriteWindowUpdate(1, 5))
		sizes(15, 10)
		p.do(p.fr.WriteSettings(setting(http2.SettingInitialWindowSize, 4))) // both are at -6
		p.do(p.fr.WriteWindowUpdate(1, 6))
		sizes(15, 10)
		p.do(p.fr.WriteSettings(setting(http2.SettingInitialWindowSize, 7)))
		sizes(18, 10)
		p.do(p.fr.WriteSettings(setting(http2.SettingInitialWindowSize, 100_000))) // now the connection's counts
		sizes(50_000, 65535-50_000)
		p.do(p.fr.WriteWindowUpdate(0, 1))
		sizes(50_000, 65535-50_000+1)
		p.do(p.fr.WriteWindowUpdate(0, 1<<20))
		sizes(50_000, 50_000)
		p.answer(1, 200, "")
		p.answer(3, 200, "")
		synctest.Wait()
		s.want(t, h2.FaultNone, 0, 1)
		s.stop(t)
	})
}

// TestStarved: requests whose bodies never get a window time out one by one and
// leave nothing behind; a window that opens later serves the next ones.
func TestStarved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, func(cfg *h2.Config) { cfg.RequestTimeout = time.Second })
		p := s.net.open(t, setting(http2.SettingInitialWindowSize, 0))
		<-s.rooms
		for i := range 10 {
			s.post(10*i, 10*i+10, pattern(10))
			for range 10 {
				p.next(http2.FrameHeaders)
			}
			for range 10 {
				if f := p.next(http2.FrameRSTStream); f.code != http2.ErrCodeCancel {
					t.Errorf("RST %v", f)
				}
			}
			ping := p.next(http2.FramePing) // deadlines that pass raise suspicion
			p.do(p.fr.WritePing(true, [8]byte(ping.data)))
			synctest.Wait()
			s.count(t, 10*i+10)
		}
		s.post(100, 101, pattern(10))
		p.do(p.fr.WriteSettings(setting(http2.SettingInitialWindowSize, 10)))
		id, _, body := p.request()
		if !bytes.Equal(body, pattern(10)) {
			t.Errorf("body %v", body)
		}
		p.answer(id, 200, "")
		synctest.Wait()
		s.want(t, h2.FaultNone, 100)
		s.stop(t)
	})
}

// TestEarlyAnswer: the server answers before it read the body.
func TestEarlyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t, setting(http2.SettingInitialWindowSize, 10))
		<-s.rooms
		s.post(0, 1, pattern(100))
		p.gather()
		p.answer(1, 413, "too large")
		if f := p.next(http2.FrameRSTStream); f.StreamID != 1 {
			t.Errorf("RST %v", f)
		}
		synctest.Wait() // the answer comes after the RST was queued
		s.want(t, h2.FaultNone, 0)
		p.do(p.fr.WriteWindowUpdate(1, 90)) // crossed our RST: nothing more may come
		p.do(p.fr.WriteRSTStream(1, http2.ErrCodeNo))
		if b := p.gather()[1]; len(b) != 10 {
			t.Errorf("%d bytes sent", len(b))
		}
		s.stop(t)
	})
}

// TestCredit: the server gets its credit back, on the connection and on each
// stream, for padding and for streams that are over as well.
func TestCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, func(cfg *h2.Config) { cfg.MaxBody = 1 << 20 })
		p := s.net.open(t)
		conn := 65535 + int(p.next(http2.FrameWindowUpdate).value)
		<-s.rooms
		const streams, each = 4, 900 << 10
		s.post(0, streams, nil)
		ids := p.requests(streams)
		win := map[uint32]int{}
		for _, id := range ids {
			win[id] = 65535
			p.headers(id, false, ":status", "200")
		}
		credit := func() {
			for {
				select {
				case f := <-p.frames:
					if f.Type == http2.FrameWindowUpdate && f.StreamID == 0 {
						conn += int(f.value)
					} else if f.Type == http2.FrameWindowUpdate {
						win[f.StreamID] += int(f.value)
					}
					continue
				default:
				}
				return
			}
		}
		body := pattern(each)
		for _, id := range ids {
			for sent := 0; sent < each; {
				synctest.Wait()
				credit()
				n := min(16000, each-sent)
				if conn < n+100 || win[id] < n+100 {
					t.Fatalf("stream %d starves at %d: windows %d and %d", id, sent, conn, win[id])
				}
				pad := make([]byte, 99)
				p.do(p.fr.WriteDataPadded(id, sent+n == each, body[sent:sent+n], pad))
				conn -= n + 100
				win[id] -= n + 100
				sent += n
			}
		}
		for range 1000 { // late DATA on a stream that is over
			synctest.Wait()
			credit()
			if conn < 16000 {
				t.Fatal("no credit for late DATA")
			}
			p.do(p.fr.WriteData(ids[0], false, body[:16000]))
			conn -= 16000
		}
		for range 5000 { // padding counts as well
			synctest.Wait()
			credit()
			if conn < 256 {
				t.Fatal("no credit for padding")
			}
			p.do(p.fr.WriteDataPadded(ids[0], false, nil, make([]byte, 255)))
			conn -= 256
		}
		synctest.Wait()
		for i, r := range s.want(t, h2.FaultNone, 0, 1, 2, 3) {
			if !bytes.Equal(r.Body, body) {
				t.Errorf("body %d: %d bytes", i, len(r.Body))
			}
		}
		s.stop(t)
	})
}

// TestTableSize: the server's header table shrinks to nothing and grows again.
func TestTableSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t)
		<-s.rooms
		n := 0
		for _, size := range []uint32{4096, 0, 100, 100_000, 4096, 0, 4096} {
			p.do(p.fr.WriteSettings(setting(http2.SettingHeaderTableSize, size)))
			synctest.Wait()
			for range 3 {
				fields := []h2.Field{{Name: "topic", Value: "t"}, {Name: "id", Value: fmt.Sprint(n), Mode: h2.NoIndex}, {Name: "n", Value: fmt.Sprint(n / 2)}}
				s.Send([]h2.Request{{Ref: n, Path: fmt.Sprint("/", n), Fields: fields}})
				id, got, _ := p.request()
				if len(got) != 8 || got[3].Value != fmt.Sprint("/", n) || got[5].Value != "t" || got[7].Value != fmt.Sprint(n/2) {
					t.Fatalf("request %d: %v", n, got)
				}
				p.answer(id, 200, "")
				n++
			}
		}
		s.stop(t)
	})
}
