package h2_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"carillon/provider/h2"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
)

// TestAnswers: the forms an answer may take; several reads, continuations,
// informational answers, trailers, padding, too long bodies.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, func(cfg *h2.Config) { cfg.MaxBody = 10 })
		p := s.net.open(t)
		<-s.rooms
		s.post(0, 7, nil)
		id := p.requests(7)

		p.headers(id[0], false, ":status", "103", "link", "</a>")
		p.headers(id[0], false, ":status", "200", "a", "b")
		p.do(p.fr.WriteData(id[0], false, []byte("two ")))
		p.do(p.fr.WriteData(id[0], false, []byte("parts")))
		p.headers(id[0], true, "trailer", "x")

		block := p.block(":status", "404", "early", "field")
		early := len(block)
		block = append(block, p.block("reason", strings.Repeat("r", 40))...)
		p.do(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id[1], BlockFragment: block[:early+3], EndStream: true, PadLength: 7, Priority: http2.PriorityParam{Weight: 3}}))
		p.do(p.fr.WriteContinuation(id[1], false, nil))
		p.do(p.fr.WriteContinuation(id[1], true, block[early+3:]))

		p.headers(id[2], false, ":status", "200")
		p.do(p.fr.WriteDataPadded(id[2], true, []byte("padded"), make([]byte, 99)))

		p.headers(id[3], false, ":status", "200")
		p.do(p.fr.WriteData(id[3], false, []byte("more than ten bytes")))
		p.do(p.fr.WriteData(id[3], false, []byte("and more")))

		p.headers(id[4], false, ":status", "200")
		p.do(p.fr.WriteData(id[4], true, []byte("more than ten bytes")))

		p.headers(id[5], false, ":status", "204")
		p.do(p.fr.WriteData(id[5], true, nil))

		p.do(p.fr.WriteRawFrame(http2.FrameType(0x77), 0xff, id[6], []byte("unknown type")))
		p.do(p.fr.WritePriority(id[6], http2.PriorityParam{Weight: 1}))
		p.headers(id[6], true, ":status", "500")
		synctest.Wait()

		var got []string
		for _, r := range s.want(t, h2.FaultNone, 0, 1, 2, 3, 4, 5, 6) {
			got = append(got, fmt.Sprintf("%d %v %q", r.Status, r.Fields, r.Body))
		}
		want := []string{
			`200 [{a b 0}] "two parts"`,
			`404 [{early field 0} {reason ` + strings.Repeat("r", 40) + ` 0}] ""`,
			`200 [] "padded"`,
			`200 [] "more than "`,
			`200 [] "more than "`,
			`204 [] ""`,
			`500 [] ""`,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if f := p.next(http2.FrameRSTStream); f.StreamID != id[3] || f.code != http2.ErrCodeCancel {
			t.Errorf("RST %v", f)
		}
		s.stop(t)
	})
}

// TestMalformed: what breaks one stream leaves the others alone.
func TestMalformed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t)
		<-s.rooms
		bad := []func(id uint32){
			func(id uint32) { p.headers(id, true, "a", "b") },
			func(id uint32) { p.headers(id, true, ":status", "20") },
			func(id uint32) { p.headers(id, true, ":status", "2x0") },
			func(id uint32) { p.headers(id, true, ":status", "200", ":status", "200") },
			func(id uint32) { p.headers(id, true, "a", "b", ":status", "200") },
			func(id uint32) { p.headers(id, true, ":status", "200", ":path", "/") },
			func(id uint32) { p.headers(id, true, ":status", "100") },
			func(id uint32) { p.do(p.fr.WriteData(id, true, []byte("x"))) },
			func(id uint32) {
				p.headers(id, false, ":status", "200")
				p.headers(id, false, ":status", "200")
			},
			func(id uint32) {
				p.headers(id, false, ":status", "200")
				p.headers(id, true, ":status", "200")
			},
			func(id uint32) {
				var kv []string
				for i := range 1000 {
					kv = append(kv, fmt.Sprint("name-", i), "v")
				}
				block := p.block(append([]string{":status", "200"}, kv...)...)
				p.do(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true}))
			},
		}
		codes := map[int]http2.ErrCode{len(bad): http2.ErrCodeFlowControl}
		bad = append(bad,
			func(id uint32) { p.do(p.fr.WriteWindowUpdate(id, 1<<31-1)) },
			func(id uint32) { p.do(p.fr.WriteRawFrame(http2.FrameWindowUpdate, 0, id, make([]byte, 4))) },
		)
		n := len(bad)
		s.post(0, n+1, nil)
		ids := p.requests(n + 1)
		for i, f := range bad {
			f(ids[i])
			synctest.Wait()
			s.want(t, h2.FaultProtocol, i)
			want := http2.ErrCodeProtocol
			if code, ok := codes[i]; ok {
				want = code
			}
			if r := p.next(http2.FrameRSTStream); r.StreamID != ids[i] || r.code != want {
				t.Errorf("RST %v, want %v", r, want)
			}
		}
		p.answer(ids[n], 200, "fine")
		synctest.Wait()
		s.want(t, h2.FaultNone, n)
		s.stop(t)
	})
}

// TestBroken: what breaks the connection; the client says so and redials.
func TestBroken(t *testing.T) {
	for _, tc := range []struct {
		name string
		code http2.ErrCode
		do   func(p *peer, id uint32)
	}{
		{"push", http2.ErrCodeProtocol, func(p *peer, id uint32) {
			p.do(p.fr.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: []byte{0x88}, EndHeaders: true}))
		}},
		{"stream 0", http2.ErrCodeProtocol, func(p *peer, _ uint32) { p.do(p.fr.WriteRawFrame(http2.FrameData, 0, 0, nil)) }},
		{"even stream", http2.ErrCodeProtocol, func(p *peer, _ uint32) { p.headers(2, true, ":status", "200") }},
		{"idle stream", http2.ErrCodeProtocol, func(p *peer, id uint32) { p.headers(id+2, true, ":status", "200") }},
		{"interrupted block", http2.ErrCodeProtocol, func(p *peer, id uint32) {
			p.do(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}}))
			p.do(p.fr.WritePing(false, [8]byte{}))
		}},
		{"lone continuation", http2.ErrCodeProtocol, func(p *peer, id uint32) {
			p.do(p.fr.WriteRawFrame(http2.FrameContinuation, 4, id, []byte{0x88}))
		}},
		{"bad index", http2.ErrCodeCompression, func(p *peer, id uint32) {
			p.do(p.fr.WriteRawFrame(http2.FrameHeaders, 5, id, []byte{0xff, 0xff, 0x7f}))
		}},
		{"cut block", http2.ErrCodeCompression, func(p *peer, id uint32) {
			p.do(p.fr.WriteRawFrame(http2.FrameHeaders, 5, id, []byte{0x40, 5, 'a'}))
		}},
		{"endless block", http2.ErrCodeEnhanceYourCalm, func(p *peer, id uint32) {
			p.do(p.fr.WriteRawFrame(http2.FrameHeaders, 0, id, []byte{0x88}))
			for range 30_000 {
				if p.fr.WriteRawFrame(http2.FrameContinuation, 0, id, nil) != nil {
					return
				}
			}
		}},
		{"long frame", http2.ErrCodeFrameSize, func(p *peer, id uint32) { _ = p.fr.WriteRawFrame(http2.FrameData, 0, id, make([]byte, 16385)) }},
		{"padding", http2.ErrCodeProtocol, func(p *peer, id uint32) { p.do(p.fr.WriteRawFrame(http2.FrameData, 8, id, []byte{9, 1})) }},
		{"short RST", http2.ErrCodeFrameSize, func(p *peer, id uint32) { p.do(p.fr.WriteRawFrame(http2.FrameRSTStream, 0, id, []byte{9, 1})) }},
		{"short PING", http2.ErrCodeFrameSize, func(p *peer, _ uint32) { p.do(p.fr.WriteRawFrame(http2.FramePing, 0, 0, []byte{9, 1})) }},
		{"odd SETTINGS", http2.ErrCodeFrameSize, func(p *peer, _ uint32) { p.do(p.fr.WriteRawFrame(http2.FrameSettings, 0, 0, []byte{9, 1})) }},
		{"push setting", http2.ErrCodeProtocol, func(p *peer, _ uint32) { p.do(p.fr.WriteSettings(setting(http2.SettingEnablePush, 1))) }},
		{"frame size setting", http2.ErrCodeProtocol, func(p *peer, _ uint32) { p.do(p.fr.WriteSettings(setting(http2.SettingMaxFrameSize, 1))) }},
		{"window setting", http2.ErrCodeFlowControl, func(p *peer, _ uint32) {
			p.do(p.fr.WriteSettings(setting(http2.SettingInitialWindowSize, 1<<31)))
		}},
		{"window of 0", http2.ErrCodeProtocol, func(p *peer, _ uint32) {
			p.do(p.fr.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, make([]byte, 4)))
		}},
		{"window overflow", http2.ErrCodeFlowControl, func(p *peer, _ uint32) { p.do(p.fr.WriteWindowUpdate(0, 1<<31-1)) }},
		{"moved window overflow", http2.ErrCodeFlowControl, func(p *peer, id uint32) {
			p.do(p.fr.WriteWindowUpdate(id, 1<<30))
			p.do(p.fr.WriteSettings(setting(http2.SettingInitialWindowSize, 1<<31-1)))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := script(t, nil)
				p := s.net.open(t)
				<-s.rooms
				s.post(0, 1, nil)
				id, _, _ := p.request()
				tc.do(p, id)
				synctest.Wait()
				if code := p.next(http2.FrameGoAway).code; code != tc.code {
					t.Errorf("GOAWAY %v, want %v", code, tc.code)
				}
				s.want(t, h2.FaultLost, 0)
				s.net.open(t)
				<-s.rooms
				s.stop(t)
			})
		})
	}
}

func TestFirstFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.accept(t)
		p.do(p.fr.WritePing(false, [8]byte{}))
		if code := p.goAway(); code != http2.ErrCodeProtocol {
			t.Errorf("GOAWAY %v", code)
		}
		s.stop(t)
	})
}

// TestFlood: answers to frames that the server sends without reading ours are
// not hoarded.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		nc := <-s.net
		fr := http2.NewFramer(nc, nc)
		_, _ = nc.Read(make([]byte, 4096))
		_ = fr.WriteSettings()
		<-s.rooms
		s.post(0, 1, nil)
		n := 0
		for ; n < 30_000; n++ {
			if fr.WritePing(false, [8]byte{}) != nil {
				break
			}
		}
		if n < 10_000 || n > 20_002 { // one batch may be on its way already
			t.Errorf("hung up after %d PINGs", n)
		}
		synctest.Wait()
		s.count(t, 1)
		s.stop(t)
	})
}

// TestNoise: a server that says nothing of use for long is hung up on; what it
// owes is answered.
func TestNoise(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(p *peer, id uint32) error
	}{
		{"SETTINGS", func(p *peer, _ uint32) error { return p.fr.WriteSettings() }},
		{"acknowledgements", func(p *peer, _ uint32) error { return p.fr.WriteSettingsAck() }},
		{"PING", func(p *peer, _ uint32) error { return p.fr.WritePing(false, [8]byte{}) }},
		{"empty DATA", func(p *peer, id uint32) error { return p.fr.WriteData(id, false, nil) }},
		{"window updates", func(p *peer, id uint32) error { return p.fr.WriteWindowUpdate(id, 1) }},
		{"RST of a stream that is over", func(p *peer, id uint32) error { return p.fr.WriteRSTStream(id-2, http2.ErrCodeNo) }},
		{"DATA of a stream that is over", func(p *peer, id uint32) error { return p.fr.WriteData(id-2, false, []byte("x")) }},
		{"PRIORITY", func(p *peer, id uint32) error { return p.fr.WritePriority(id, http2.PriorityParam{StreamDep: id + 2}) }},
		{"unknown frames", func(p *peer, _ uint32) error { return p.fr.WriteRawFrame(0x77, 0, 0, nil) }},
		{"informational answers", func(p *peer, id uint32) error {
			early := []byte{0x08, 3, '1', '0', '3'} // :status by its name's index
			return p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: early, EndHeaders: true})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := script(t, nil)
				p := s.net.open(t)
				<-s.rooms
				s.post(0, 2, nil)
				ids := p.requests(2)
				p.answer(ids[0], 200, "")
				if tc.name != "informational answers" {
					p.headers(ids[1], false, ":status", "200")
				}
				n := 0
				for ; n < 30_000; n++ {
					if tc.do(p, ids[1]) != nil {
						break
					}
				}
				if n == 30_000 {
					t.Error("the server may go on for ever")
				}
				synctest.Wait()
				s.count(t, 2)
				s.net.open(t)
				<-s.rooms
				s.stop(t)
			})
		})
	}
}

// TestInvalid: requests that would hurt their neighbours are not sent.
func TestInvalid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t, setting(http2.SettingMaxHeaderListSize, 8000))
		<-s.rooms
		one := func(name, value string) []h2.Field { return []h2.Field{{Name: name, Value: value}} }
		reqs := []h2.Request{
			{Path: ""},
			{Path: "x"},
			{Path: "/a b"},
			{Path: "/a\r\nb"},
			{Path: "/ä"},
			{Path: "/", Fields: one("", "x")},
			{Path: "/", Fields: one("Upper", "x")},
			{Path: "/", Fields: one(":path", "/")},
			{Path: "/", Fields: one("a", "x\ny")},
			{Path: "/", Fields: one("a", "x\x00")},
			{Path: "/", Fields: one("a", strings.Repeat("x", 9000))},
			{Path: "/fine"},
		}
		for i := range reqs {
			reqs[i].Ref = i
		}
		s.Send(reqs)
		id, fields, _ := p.request()
		for _, f := range fields {
			if f.Name == ":path" && f.Value != "/fine" {
				t.Errorf("sent %v", fields)
			}
		}
		p.answer(id, 200, "")
		synctest.Wait()
		for i := range len(reqs) - 1 {
			s.want(t, h2.FaultInvalid, i)
		}
		s.want(t, h2.FaultNone, len(reqs)-1)
		s.stop(t)
	})
}

// TestLongFields: a header block of several frames.
func TestLongFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, nil)
		p := s.net.open(t)
		<-s.rooms
		long := strings.Repeat("~", 40_000) // longer in the Huffman code
		s.Send([]h2.Request{{Ref: 0, Path: "/", Fields: []h2.Field{{Name: "long", Value: long, Mode: h2.NoIndex}}, Body: []byte("b")}})
		id, fields, body := p.request()
		if f := fields[len(fields)-1]; f.Name != "long" || f.Value != long || !bytes.Equal(body, []byte("b")) {
			t.Errorf("%s: %d bytes; body %q", f.Name, len(f.Value), body)
		}
		p.answer(id, 200, "")
		synctest.Wait()
		s.want(t, h2.FaultNone, 0)
		s.stop(t)
	})
}
