package h2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"carillon/provider/h2"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer is a server that a test plays frame by frame, on x/net's Framer. A pump
// reads all frames as they come, so the client's writes never wait for the script.
type peer struct {
	t      *testing.T
	nc     net.Conn
	fr     *http2.Framer
	frames chan frame
	hb     bytes.Buffer
	he     *hpack.Encoder
	bodies map[uint32][]byte
}

// frame is one frame from the client; err ends them.
type frame struct {
	http2.FrameHeader
	fields []hpack.HeaderField
	data   []byte
	code   http2.ErrCode
	value  uint32
	err    error
}

// network hands the server ends of the client's dials to the test.
type network chan net.Conn

func (n network) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case n <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// accept takes the client's next connection and reads its preface.
func (n network) accept(t *testing.T) *peer {
	t.Helper()
	p := &peer{t: t, nc: <-n, frames: make(chan frame, 100_000), bodies: map[uint32][]byte{}}
	p.fr = http2.NewFramer(p.nc, p.nc)
	p.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.fr.MaxHeaderListSize = 1 << 20
	p.he = hpack.NewEncoder(&p.hb)
	t.Cleanup(func() { p.nc.Close() })
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(p.nc, preface); err != nil || string(preface) != http2.ClientPreface {
		t.Fatalf("preface %q, %v", preface, err)
	}
	go p.pump()
	return p
}

// open is accept, with SETTINGS exchanged.
func (n network) open(t *testing.T, settings ...http2.Setting) *peer {
	t.Helper()
	p := n.accept(t)
	p.do(p.fr.WriteSettings(settings...))
	return p
}

func (p *peer) pump() {
	defer close(p.frames)
	for {
		f, err := p.fr.ReadFrame()
		if err != nil {
			p.frames <- frame{err: err}
			return
		}
		out := frame{FrameHeader: f.Header()}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			out.fields = f.Fields
		case *http2.DataFrame:
			out.data = bytes.Clone(f.Data())
		case *http2.RSTStreamFrame:
			out.code = f.ErrCode
		case *http2.GoAwayFrame:
			out.code = f.ErrCode
		case *http2.WindowUpdateFrame:
			out.value = f.Increment
		case *http2.PingFrame:
			out.data = f.Data[:]
		}
		p.frames <- out
	}
}

func (p *peer) do(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// next returns the next frame of that type, skipping others.
func (p *peer) next(kind http2.FrameType) frame {
	p.t.Helper()
	for f := range p.frames {
		if f.err != nil {
			p.t.Fatalf("waiting for %v: %v", kind, f.err)
		}
		if f.Type == kind && (kind != http2.FrameSettings || f.Flags == 0) {
			return f
		}
	}
	p.t.Fatalf("no more frames, waiting for %v", kind)
	return frame{}
}

// request reads one whole request that is not interleaved with others.
func (p *peer) request() (id uint32, fields []hpack.HeaderField, body []byte) {
	p.t.Helper()
	f := p.next(http2.FrameHeaders)
	id, fields = f.StreamID, f.fields
	for !f.Flags.Has(http2.FlagDataEndStream) {
		f = p.next(http2.FrameData)
		body = append(body, f.data...)
	}
	return id, fields, body
}

// requests reads n of them and returns their ids.
func (p *peer) requests(n int) []uint32 {
	p.t.Helper()
	var ids []uint32
	for range n {
		id, _, _ := p.request()
		ids = append(ids, id)
	}
	return ids
}

// goAway reads on to the client's GOAWAY and the end of the connection.
func (p *peer) goAway() http2.ErrCode {
	p.t.Helper()
	code := p.next(http2.FrameGoAway).code
	p.ended()
	return code
}

// ended reads on to the end of the connection.
func (p *peer) ended() {
	p.t.Helper()
	for f := range p.frames {
		if f.err != nil {
			if !errors.Is(f.err, io.EOF) && !errors.Is(f.err, io.ErrUnexpectedEOF) && !errors.Is(f.err, io.ErrClosedPipe) {
				p.t.Fatal(f.err)
			}
			return
		}
	}
}

// block encodes name, value pairs.
func (p *peer) block(kv ...string) []byte {
	p.hb.Reset()
	for i := 0; i < len(kv); i += 2 {
		p.do(p.he.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]}))
	}
	return bytes.Clone(p.hb.Bytes())
}

func (p *peer) headers(id uint32, end bool, kv ...string) {
	p.t.Helper()
	p.do(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block(kv...), EndHeaders: true, EndStream: end}))
}

// answer answers a stream, with a body unless it is empty.
func (p *peer) answer(id uint32, status int, body string) {
	p.t.Helper()
	p.headers(id, body == "", ":status", fmt.Sprint(status), "x-stream", fmt.Sprint(id))
	if body != "" {
		p.do(p.fr.WriteData(id, true, []byte(body)))
	}
}

// scripted is a client whose connections the test plays.
type scripted struct {
	*h2.Client
	net    network
	got    *collector
	rooms  chan int // Room at each OnRoom
	cancel context.CancelFunc
	done   chan error
}

// script starts a client; change may alter its configuration first.
func script(t *testing.T, change func(*h2.Config)) *scripted {
	t.Helper()
	s := &scripted{net: make(network), got: newCollector(), rooms: make(chan int, 1000), done: make(chan error, 1)}
	cfg := h2.Config{Static: static(), Dial: s.net.dial, OnResults: s.got.add}
	cfg.OnRoom = func() { s.rooms <- s.Room() }
	if change != nil {
		change(&cfg)
	}
	s.Client = h2.New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	s.cancel = cancel
	go func() { s.done <- s.Run(ctx) }()
	return s
}

// stop ends Run and checks that it ended well.
func (s *scripted) stop(t *testing.T) {
	t.Helper()
	s.cancel()
	if err := <-s.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if st := s.Stats(); st.InFlight != 0 || s.Room() != 0 {
		t.Errorf("after Run: room %d, %+v", s.Room(), st)
	}
}

// post sends requests with refs from..to-1 and that body.
func (s *scripted) post(from, to int, body []byte) {
	var reqs []h2.Request
	for i := from; i < to; i++ {
		reqs = append(reqs, h2.Request{Ref: i, Path: fmt.Sprintf("/r/%d", i), Body: body})
	}
	s.Send(reqs)
}
