package sandbox_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"carillon/provider/sandbox"

	"golang.org/x/net/http2"
)

// FuzzServer throws bytes at each server, after a TLS handshake with either
// protocol. Whatever comes, the server neither panics nor hangs: when the client
// has closed its side the connection ends, and none is left behind.
func FuzzServer(f *testing.F) {
	s, err := sandbox.New(sandbox.Config{})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
	a := s.Addrs()
	doors := []string{a.APNs, a.FCM, a.WNS, a.Token}
	preface := http2.ClientPreface
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for door := range byte(8) {
		f.Add(door, []byte(preface+settings+"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"))
		f.Add(door, []byte(preface+settings+"\x00\x00\x03\x01\x04\x00\x00\x00\x01\x83\x84\x87\x00\x00\x02\x00\x01\x00\x00\x00\x01{}"))
		f.Add(door, []byte("POST /?token=x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-WNS-Type: wns/raw\r\n\r\n{}"))
		f.Add(door, []byte("POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ngrant\r\n0\r\n\r\n"))
	}
	f.Add(byte(0), []byte(preface+settings+"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff"))
	f.Add(byte(0), []byte(preface+"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, door byte, b []byte) {
		protos := []string{"h2"}
		if door&4 != 0 {
			protos = []string{"http/1.1"}
		}
		nc, err := tls.Dial("tcp", doors[door&3], &tls.Config{InsecureSkipVerify: true, NextProtos: protos})
		if err != nil {
			return // APNs has no HTTP/1.1
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
		go func() { // the server may stop reading to say what is wrong
			_, _ = nc.Write(b)
			_ = nc.CloseWrite()
			if tcp, ok := nc.NetConn().(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
		}()
		if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
			buf := make([]byte, 1<<20)
			t.Fatalf("it hangs\n%s", buf[:runtime.Stack(buf, true)])
		}
		_ = nc.Close()
		eventually(t, "no connection is left", func() bool {
			open := int64(0)
			for _, v := range s.Counts().Vendors {
				open += v.Open
			}
			return open == 0
		})
	})
}
