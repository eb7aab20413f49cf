package sandbox_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/provider/sandbox"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is a client that speaks frames by hand and logs what it gets.
type frames struct {
	*http2.Framer
	t   *testing.T
	nc  *tls.Conn
	enc *hpack.Encoder
	buf bytes.Buffer
	out bytes.Buffer // leaves with send, in one write
	dec *hpack.Decoder

	keep bool // open after its server's test
}

func (r *rig) frames(addr string, settings ...http2.Setting) *frames {
	r.t.Helper()
	cfg := r.tlsConfig("h2")
	cfg.ServerName = "localhost"
	nc, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	f := &frames{t: r.t, nc: nc}
	r.t.Cleanup(func() {
		if !f.keep {
			_ = nc.Close()
		}
	})
	f.Framer = http2.NewFramer(&f.out, nc)
	f.enc = hpack.NewEncoder(&f.buf)
	f.dec = hpack.NewDecoder(4096, nil)
	f.AllowIllegalWrites = true
	f.out.WriteString(http2.ClientPreface)
	_ = f.WriteSettings(settings...)
	return f
}

func (f *frames) send() {
	f.t.Helper()
	if _, err := f.nc.Write(f.out.Bytes()); err != nil { // the server may have had enough
		f.t.Log(err)
	}
	f.out.Reset()
}

func (f *frames) head(id uint32, end bool, kv ...string) {
	f.buf.Reset()
	for i := 0; i < len(kv); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.buf.Bytes(), EndHeaders: true, EndStream: end})
}

// push is one whole APNs push.
func (f *frames) push(r *rig, id uint32, body string) {
	f.pushHead(r, id)
	_ = f.WriteData(id, true, []byte(body))
}

func (f *frames) pushHead(r *rig, id uint32) {
	f.head(id, false, ":method", "POST", ":scheme", "https", ":authority", "api.push.apple.com",
		":path", "/3/device/"+sandbox.NewAddress(sandbox.APNs, strconv.FormatUint(uint64(id), 10)),
		"authorization", r.token(), "apns-topic", "com.example.app", "apns-push-type", "alert")
}

// until reads frames and logs them until one of the given kind came n times, or
// the connection ended.
func (f *frames) until(kind string, n int) string {
	f.t.Helper()
	var log strings.Builder
	for n > 0 {
		fr, err := f.ReadFrame()
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "reset") {
				log.WriteString("end\n")
				return log.String()
			}
			f.t.Fatalf("%v after\n%s", err, &log)
		}
		line := f.line(fr)
		if line == "" {
			continue
		}
		log.WriteString(line + "\n")
		if strings.HasPrefix(line, kind) {
			n--
		}
	}
	return log.String()
}

func (f *frames) line(fr http2.Frame) string {
	switch fr := fr.(type) {
	case *http2.SettingsFrame:
		if fr.IsAck() {
			return "ack"
		}
		s := "settings"
		_ = fr.ForeachSetting(func(v http2.Setting) error {
			s += fmt.Sprintf(" %s=%d", v.ID, v.Val)
			return nil
		})
		return s
	case *http2.HeadersFrame:
		fields, err := f.dec.DecodeFull(fr.HeaderBlockFragment())
		if err != nil {
			f.t.Fatal(err)
		}
		return fmt.Sprintf("headers %d %s end=%v", fr.StreamID, fields[0].Value, fr.StreamEnded())
	case *http2.DataFrame:
		return fmt.Sprintf("data %d %s end=%v", fr.StreamID, fr.Data(), fr.StreamEnded())
	case *http2.GoAwayFrame:
		return fmt.Sprintf("goaway last=%d %s %q", fr.LastStreamID, fr.ErrCode, fr.DebugData())
	case *http2.RSTStreamFrame:
		return fmt.Sprintf("rst %d %s", fr.StreamID, fr.ErrCode)
	case *http2.PingFrame:
		return fmt.Sprintf("ping %v %s", fr.IsAck(), fr.Data[:])
	case *http2.WindowUpdateFrame:
		return ""
	default:
		return fmt.Sprint(fr)
	}
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

const apnsSettings = "settings HEADER_TABLE_SIZE=4096 MAX_CONCURRENT_STREAMS=1 INITIAL_WINDOW_SIZE=65535 MAX_FRAME_SIZE=16384 MAX_HEADER_LIST_SIZE=8000\nack\n"

func TestAPNsOpensItsStreamsAfterAGoodToken(t *testing.T) {
	r := start(t, sandbox.Config{})
	f := r.frames(r.Addrs().APNs)
	f.push(r, 1, alert)
	f.send()
	same(t, f.until("headers", 1), apnsSettings+"settings MAX_CONCURRENT_STREAMS=1000\nheaders 1 200 end=true")
	for id := uint32(3); id < 100; id += 2 {
		f.push(r, id, alert)
	}
	f.send()
	if log := f.until("headers", 49); strings.Contains(log, "goaway") || strings.Count(log, " 200 end=true") != 49 {
		t.Error(log)
	}
}

func TestFCMOpensItsConnectionWindow(t *testing.T) {
	r := start(t, sandbox.Config{})
	f := r.frames(r.Addrs().FCM)
	f.send()
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if w, ok := fr.(*http2.WindowUpdateFrame); ok {
			if w.StreamID != 0 || w.Increment != 983041 {
				t.Errorf("%v", w)
			}
			return
		}
	}
}

func TestTooManyStreamsEndTheConnection(t *testing.T) {
	r := start(t, sandbox.Config{})
	f := r.frames(r.Addrs().APNs)
	f.push(r, 1, alert)
	f.push(r, 3, alert) // sent before SETTINGS could allow it
	f.send()
	same(t, f.until("end", 1), apnsSettings+`settings MAX_CONCURRENT_STREAMS=1000
headers 1 200 end=true
goaway last=1 REFUSED_STREAM "Maximum active streams violated for this endpoint."
end`)

	g := r.frames(r.Addrs().FCM)
	for i := range uint32(101) {
		g.head(2*i+1, false, ":method", "POST", ":scheme", "https", ":path", "/x")
	}
	g.send()
	same(t, g.until("end", 1), `settings MAX_CONCURRENT_STREAMS=100 INITIAL_WINDOW_SIZE=1048576 MAX_HEADER_LIST_SIZE=16384
ack
goaway last=199 PROTOCOL_ERROR "exceeded_max_concurrent_streams"
end`)
	eventually(t, "counted", func() bool {
		c := r.Counts()
		return c.Vendors[sandbox.APNs].GoAways == 1 && c.Vendors[sandbox.FCM].GoAways == 1 && c.Vendors[sandbox.FCM].Open == 0
	})
}

func TestFramesOfEveryShape(t *testing.T) {
	r := start(t, sandbox.Config{})
	f := r.frames(r.Addrs().APNs)
	_ = f.WritePing(false, [8]byte([]byte("12345678")))
	f.pushHead(r, 1)
	block := append([]byte(nil), f.buf.Bytes()...)
	f.out.Truncate(f.out.Len() - 9 - len(block)) // again, in three frames, with priority and padding
	_ = f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: block[:10], PadLength: 7,
		Priority: http2.PriorityParam{Weight: 9, StreamDep: 0, Exclusive: true},
	})
	_ = f.WriteContinuation(1, false, block[10:20])
	_ = f.WriteContinuation(1, true, block[20:])
	_ = f.WriteData(1, false, []byte(alert[:5]))
	_ = f.WriteDataPadded(1, false, []byte(alert[5:10]), make([]byte, 30))
	_ = f.WriteRawFrame(0x99, 0xff, 1, []byte("unknown type"))
	_ = f.WriteData(1, false, []byte(alert[10:]))
	f.head(1, true, "x-trailer", "1")
	f.send()
	same(t, f.until("headers", 1), strings.Replace(apnsSettings, "ack\n", "ack\nping true 12345678\n", 1)+
		"settings MAX_CONCURRENT_STREAMS=1000\nheaders 1 200 end=true")
	if in := r.Inbox(sandbox.NewAddress(sandbox.APNs, "1")); len(in) != 1 || string(in[0].Body) != alert {
		t.Errorf("%+v", in)
	}
	f.head(3, true, ":method", "POST", "Upper", "x", ":path", "/")
	f.send()
	same(t, f.until("rst", 1), "rst 3 PROTOCOL_ERROR")
	f.head(5, true, ":method", "POST", ":path", "/", "x", strings.Repeat("a", 8000))
	f.send()
	same(t, f.until("headers", 1), "headers 5 431 end=true")
	f.pushHead(r, 7)
	_ = f.WriteRSTStream(7, http2.ErrCodeCancel)
	_ = f.WriteData(7, true, []byte("late"))
	f.push(r, 9, alert)
	f.send()
	same(t, f.until("headers", 1), "headers 9 200 end=true")
}

func TestBrokenFramesEndTheConnection(t *testing.T) {
	r := start(t, sandbox.Config{})
	f := func(want string, write func(f *frames)) {
		t.Helper()
		c := r.frames(r.Addrs().FCM)
		write(c)
		c.send()
		log := c.until("end", 1)
		if !strings.Contains(log, "goaway") || !strings.Contains(log, want) {
			t.Errorf("want %s, got %s", want, log)
		}
	}
	f("last=0 PROTOCOL_ERROR", func(f *frames) { f.head(2, true, ":method", "GET", ":path", "/") })
	f("last=1 STREAM_CLOSED", func(f *frames) {
		f.head(1, true, ":method", "GET", ":path", "/")
		f.head(1, true, ":method", "GET", ":path", "/")
	})
	f("PROTOCOL_ERROR", func(f *frames) { _ = f.WriteData(1, true, []byte("x")) })
	f("PROTOCOL_ERROR", func(f *frames) { _ = f.WriteRSTStream(1, 0) })
	f("PROTOCOL_ERROR", func(f *frames) { _ = f.WriteContinuation(1, true, nil) })
	f("PROTOCOL_ERROR", func(f *frames) { _ = f.WriteWindowUpdate(0, 0) })
	f("FLOW_CONTROL_ERROR", func(f *frames) { _ = f.WriteWindowUpdate(0, 1<<31-1) })
	f("FRAME_SIZE_ERROR", func(f *frames) { _ = f.WriteRawFrame(http2.FrameSettings, 0, 0, []byte("123")) })
	f("FRAME_SIZE_ERROR", func(f *frames) { _ = f.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 16385)) })
	f("COMPRESSION_ERROR", func(f *frames) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff}, EndHeaders: true})
	})
	f("interrupted", func(f *frames) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}})
		_ = f.WritePing(false, [8]byte{})
	})
}

func TestAnswersWaitForTheClientsWindow(t *testing.T) {
	r := start(t, sandbox.Config{})
	f := r.frames(r.Addrs().APNs, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	f.push(r, 1, "")
	_ = f.WritePing(false, [8]byte([]byte("12345678")))
	f.send()
	same(t, f.until("ping", 1), apnsSettings+"headers 1 400 end=false\nping true 12345678")
	_ = f.WriteWindowUpdate(1, 10)
	_ = f.WritePing(false, [8]byte([]byte("12345678")))
	f.send()
	same(t, f.until("ping", 1), "ping true 12345678")
	_ = f.WriteWindowUpdate(1, 1000)
	f.send()
	same(t, f.until("data", 1), `data 1 {"reason":"PayloadEmpty"} end=true`)
}

func TestALPN(t *testing.T) {
	r := start(t, sandbox.Config{WNSHTTP1Only: true})
	f := func(addr, host, want string, offer ...string) {
		t.Helper()
		cfg := r.tlsConfig(offer...)
		cfg.ServerName = host
		nc, err := tls.Dial("tcp", addr, cfg)
		got := "refused"
		if err == nil {
			got = nc.ConnectionState().NegotiatedProtocol
			_ = nc.Close()
		}
		if got != want {
			t.Errorf("%s %v: %q, want %q (%v)", host, offer, got, want, err)
		}
	}
	a := r.Addrs()
	f(a.APNs, "api.push.apple.com", "h2", "h2", "http/1.1")
	f(a.APNs, "api.sandbox.push.apple.com", "", "http/1.1") // crypto/tls agrees on nothing, we close
	f(a.FCM, "fcm.googleapis.com", "http/1.1", "http/1.1")
	f(a.WNS, "wns2-by3p.notify.windows.com", "http/1.1", "h2", "http/1.1")
	f(a.Token, "login.microsoftonline.com", "h2", "h2")
	f(a.Token, "example.com", "refused", "h2")
	old := r.tlsConfig("h2")
	old.ServerName, old.MaxVersion = "api.push.apple.com", tls.VersionTLS11
	if _, err := tls.Dial("tcp", a.APNs, old); err == nil {
		t.Error("TLS 1.1 is taken")
	}
	if a, err := r.try(r.http1, "https://api.push.apple.com/3/device/aa", []byte("x")); err == nil {
		t.Errorf("APNs speaks HTTP/1.1: %+v", a)
	}
}

func TestAGoAwayIsNotLostInABurst(t *testing.T) {
	r := start(t, sandbox.Config{})
	for range 20 {
		f := r.frames(r.Addrs().FCM)
		f.head(2, true, ":method", "GET", ":path", "/") // an even id
		for range 60 {
			_ = f.WriteRawFrame(0x99, 0, 0, make([]byte, 16000))
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			f.send()
		}()
		if log := f.until("goaway", 1); !strings.Contains(log, "PROTOCOL_ERROR") {
			t.Fatal(log)
		}
		<-sent
	}
}
