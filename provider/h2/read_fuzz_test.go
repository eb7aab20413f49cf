package h2_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"carillon/provider/h2"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// replay is a conn whose other end says data, in reads of the given length, and
// hears everything.
type replay struct {
	net.Conn
	data  *bytes.Reader
	chunk int
	asked chan struct{}
}

func (r *replay) Write(b []byte) (int, error) { return len(b), nil }

func (r *replay) Close() error { return nil }

func (r *replay) SetWriteDeadline(time.Time) error { return nil }

// Read gives SETTINGS first, then waits for the requests to be sent.
func (r *replay) Read(b []byte) (int, error) {
	if r.data.Size()-int64(r.data.Len()) >= 9 {
		<-r.asked
		return r.data.Read(b[:min(len(b), r.chunk)])
	}
	return io.ReadFull(r.data, b[:9])
}

// FuzzRead: whatever a server says, every request is answered exactly once and
// nothing panics or hangs.
func FuzzRead(f *testing.F) {
	var buf, hb bytes.Buffer
	fr, he := http2.NewFramer(&buf, nil), hpack.NewEncoder(&hb)
	seed := func(do func()) {
		do()
		f.Add(bytes.Clone(buf.Bytes()), 7)
		f.Add(bytes.Clone(buf.Bytes()), 1<<16)
		buf.Reset()
	}
	block := func(kv ...string) []byte {
		hb.Reset()
		for i := 0; i < len(kv); i += 2 {
			_ = he.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
		}
		return bytes.Clone(hb.Bytes())
	}
	seed(func() {
		_ = fr.WriteSettings(setting(http2.SettingMaxConcurrentStreams, 1), setting(http2.SettingInitialWindowSize, 1))
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":status", "200", "a", "b"), EndHeaders: true})
		_ = fr.WriteDataPadded(1, true, []byte("body"), []byte{0, 0})
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block(":status", "103"), EndHeaders: true})
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block(":status", "400"), PadLength: 3})
		_ = fr.WriteContinuation(3, true, block("c", "d"))
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block("t", "u"), EndHeaders: true, EndStream: true})
	})
	seed(func() {
		_ = fr.WriteWindowUpdate(0, 100)
		_ = fr.WriteWindowUpdate(1, 100)
		_ = fr.WriteRSTStream(1, http2.ErrCodeRefusedStream)
		_ = fr.WritePing(false, [8]byte{})
		_ = fr.WriteGoAway(3, http2.ErrCodeNo, []byte("bye"))
		_ = fr.WriteRSTStream(3, http2.ErrCodeCancel)
	})
	f.Fuzz(func(t *testing.T, data []byte, chunk int) {
		if chunk < 1 {
			chunk = 1
		}
		const n = 4
		settings := []byte{0, 0, 0, byte(http2.FrameSettings), 0, 0, 0, 0, 0}
		rp := &replay{data: bytes.NewReader(append(settings, data...)), chunk: chunk, asked: make(chan struct{})}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		answers := map[any]int{}
		dials := 0
		var c *h2.Client
		c = h2.New(h2.Config{
			Static: static(), MaxBody: 32,
			Dial: func(ctx context.Context) (net.Conn, error) {
				if dials++; dials == 1 {
					return rp, nil
				}
				cancel()
				return nil, ctx.Err()
			},
			OnRoom: func() {
				select {
				case <-rp.asked:
				default:
					for i := range n {
						c.Send([]h2.Request{{Ref: i, Path: "/", Body: make([]byte, 10*i)}})
					}
					close(rp.asked)
				}
			},
			OnResults: func(rs []h2.Result) {
				for _, r := range rs {
					answers[r.Ref]++
					if (r.Fault == h2.FaultNone) != (r.Status >= 200 && r.Status < 600) || len(r.Body) > 32 {
						t.Errorf("%+v", r)
					}
				}
			},
		})
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if answers[i] != 1 {
				t.Errorf("request %d is answered %d times", i, answers[i])
			}
		}
	})
}
