package h2_test

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/net/http2"
)

// echo is the least server that can be measured against: it answers each
// request with 200 and a fresh id of 36 bytes as a literal field, looks at no
// header and allocates nothing.
func echo(nc net.Conn, limit uint32) {
	defer nc.Close()
	if _, err := io.ReadFull(nc, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	out := []byte{
		0, 0, 12, byte(http2.FrameSettings), 0, 0, 0, 0, 0,
		0, byte(http2.SettingMaxConcurrentStreams), 0, 0, 0, 0,
		0, byte(http2.SettingInitialWindowSize), 0, 1, 0, 0,
	}
	binary.BigEndian.PutUint32(out[11:], limit)
	const id36 = "00000000-0000-4000-8000-000000000000"
	first := append([]byte{0x88, 0x40, 7}, "apns-id"...) // indexed once, for its name
	first = append(append(first, 36), id36...)
	later := append([]byte{0x88, 0x0f, 47, 36}, id36...) // the name is entry 62
	block := first
	buf, have, got := make([]byte, 256<<10), 0, uint32(0)
	for {
		if len(out) > 0 {
			if _, err := nc.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
		n, err := nc.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		used := 0
		for have-used >= 9 {
			h := buf[used:]
			n := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
			if have-used < 9+n {
				break
			}
			used += 9 + n
			kind, flags, id := http2.FrameType(h[3]), http2.Flags(h[4]), h[5:9]
			switch kind {
			case http2.FrameSettings:
				if flags == 0 {
					out = append(out, 0, 0, 0, byte(http2.FrameSettings), 1, 0, 0, 0, 0)
				}
				continue
			case http2.FrameData:
				got += uint32(n)
			case http2.FrameHeaders:
			default:
				continue
			}
			if flags.Has(http2.FlagDataEndStream) {
				out = append(out, 0, 0, byte(len(block)), byte(http2.FrameHeaders), 5)
				out = append(append(out, id...), block...)
				binary.BigEndian.PutUint32(out[len(out)-4:], binary.BigEndian.Uint32(id))
				block = later
			}
		}
		have = copy(buf, buf[used:have])
		if got > 16<<10 {
			out = append(out, 0, 0, 4, byte(http2.FrameWindowUpdate), 0, 0, 0, 0, 0)
			out = binary.BigEndian.AppendUint32(out, got)
			got = 0
		}
	}
}

// listen serves connections with handle until the test ends.
func listen(t testing.TB, useTLS bool, handle func(net.Conn)) (addr string, client *tls.Config) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	addr = ln.Addr().String()
	if useTLS {
		srv := httptest.NewUnstartedServer(nil)
		srv.StartTLS()
		cert := srv.TLS.Certificates[0]
		client = &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"}
		srv.Close()
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}, DynamicRecordSizingDisabled: true})
	}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go handle(nc)
		}
	}()
	return addr, client
}
