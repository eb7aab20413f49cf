package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"carillon/provider/sandbox"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const helperEnv = "CARILLON_SANDBOX_BENCH" // "vendor addr n", for the child process

// BenchmarkFast measures the server's CPU alone: the client is another process
// (this test binary again) that keeps 1,000 requests in flight on one connection.
func BenchmarkFast(b *testing.B) {
	for _, v := range []sandbox.Vendor{sandbox.APNs, sandbox.FCM, sandbox.WNS} {
		b.Run(string(v), func(b *testing.B) { benchServer(b, v, sandbox.Config{Mode: sandbox.Fast}) })
		b.Run(string(v)+"/audit", func(b *testing.B) { benchServer(b, v, sandbox.Config{Mode: sandbox.Fast, Audit: true}) })
	}
}

func benchServer(b *testing.B, v sandbox.Vendor, cfg sandbox.Config) {
	b.Helper()
	s, err := sandbox.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	addr := map[sandbox.Vendor]string{sandbox.APNs: s.Addrs().APNs, sandbox.FCM: s.Addrs().FCM, sandbox.WNS: s.Addrs().WNS}[v]
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+fmt.Sprint(v, " ", addr, " ", b.N))
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	out, err := cmd.CombinedOutput()
	used := cpu() - before
	b.StopTimer()
	cancel()
	if err != nil || <-done != nil {
		b.Fatalf("%v %s", err, out)
	}
	if c := s.Counts(); c.Accepted != int64(b.N) || cfg.Audit && c.Duplicates != 0 {
		b.Fatalf("%d sent, %+v", b.N, c)
	}
	b.ReportMetric(float64(used.Nanoseconds())/1000/float64(b.N), "server-µs/req")
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// helper is the client process.
func helper() bool {
	var v, addr string
	var n int
	if _, err := fmt.Sscan(os.Getenv(helperEnv), &v, &addr, &n); err != nil {
		return false
	}
	if err := flood(sandbox.Vendor(v), addr, n); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return true
}

// flood sends n distinct pushes over one connection.
func flood(v sandbox.Vendor, addr string, n int) error {
	nc, err := tls.Dial("tcp", addr, &tls.Config{
		InsecureSkipVerify: true, NextProtos: []string{"h2"}, DynamicRecordSizingDisabled: true,
	})
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err := nc.Write([]byte(http2.ClientPreface)); err != nil {
		return err
	}
	var out bytes.Buffer
	fr := http2.NewFramer(&out, bufio.NewReaderSize(nc, 64<<10))
	if err := fr.WriteSettings(); err != nil {
		return err
	}
	slots := make(chan int, 1000)
	fail := make(chan error, 1)
	go func() { fail <- drain(fr, n, slots) }()
	free := 1000
	p := newPushes(v)
	for i := 0; i < n; {
		for free == 0 {
			select {
			case k := <-slots:
				free += k
			case err := <-fail:
				return err
			}
		}
		for k := min(free, 50, n-i); k > 0; k-- {
			block, body := p.next(i)
			id := uint32(2*i + 1)
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true})
			_ = fr.WriteData(id, true, body)
			free--
			i++
		}
		if _, err := nc.Write(out.Bytes()); err != nil {
			return err
		}
		out.Reset()
	}
	for {
		select {
		case <-slots:
		case err := <-fail:
			return err
		}
	}
}

func drain(fr *http2.Framer, n int, slots chan<- int) error {
	fr.SetReuseFrames()
	got := 0
	for n > 0 {
		f, err := fr.ReadFrame()
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			n--
			if got++; got == 20 || n == 0 {
				slots <- got
				got = 0
			}
		case *http2.GoAwayFrame:
			return fmt.Errorf("GOAWAY %v %s", f.ErrCode, f.DebugData())
		}
	}
	return nil
}

// pushes encodes requests of about 230 bytes of body with distinct paths and ids.
type pushes struct {
	v    sandbox.Vendor
	enc  *hpack.Encoder
	buf  bytes.Buffer
	addr []byte
	pad  string
}

func newPushes(v sandbox.Vendor) *pushes {
	p := &pushes{v: v, addr: []byte(sandbox.NewAddress(v, "x")), pad: string(bytes.Repeat([]byte("lorem ip"), 16))}
	p.enc = hpack.NewEncoder(&p.buf)
	return p
}

func (p *pushes) next(i int) (block, body []byte) {
	p.buf.Reset()
	put := func(k, v string, never bool) {
		_ = p.enc.WriteField(hpack.HeaderField{Name: k, Value: v, Sensitive: never})
	}
	put(":method", "POST", false)
	put(":scheme", "https", false)
	id := fmt.Sprintf("%08x-1111-4222-8333-%012x", i, i)
	switch p.v {
	case sandbox.APNs:
		var dev [8]byte
		binary.BigEndian.PutUint64(dev[:], uint64(i))
		put(":authority", "api.push.apple.com", false)
		put(":path", "/3/device/"+string(p.addr[:48])+fmt.Sprintf("%016x", i), true)
		put("apns-id", id, true)
		put("apns-topic", "com.example.app", false)
		put("apns-push-type", "alert", false)
		put("authorization", "bearer "+p.pad, false)
		body = []byte(`{"aps":{"alert":{"title":"Hello","body":"` + p.pad + `"}},"carillon":{"id":"` + id + `","seq":"` + strconv.Itoa(i) + `"}}`)
	case sandbox.FCM:
		put(":authority", "fcm.googleapis.com", false)
		put(":path", "/v1/projects/p/messages:send", false)
		put("authorization", "Bearer "+p.pad, false)
		body = []byte(`{"message":{"token":"` + string(p.addr[:140]) + strconv.Itoa(i) + `","data":{"carillon_id":"` + id + `","carillon_seq":"` + strconv.Itoa(i) + `"}}}`)
	default:
		put(":authority", "wns2-sbx.notify.windows.com", false)
		put(":path", string(p.addr[len("https://wns2-sbx.notify.windows.com"):])+strconv.Itoa(i), true)
		put("x-wns-type", "wns/raw", false)
		put("authorization", "Bearer "+p.pad, false)
		body = []byte(`{"carillon":{"id":"` + id + `","seq":"` + strconv.Itoa(i) + `"},"d":"` + p.pad + `"}`)
	}
	return p.buf.Bytes(), body
}
