package h2_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"carillon/provider/h2"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// BenchmarkRead and BenchmarkWrite compare what this package does with x/net's
// http2.Framer, on the same bytes: 1000 answers as APNs gives them, and 1000
// requests. The numbers are a frame's (docs/adr/0004).
func BenchmarkRead(b *testing.B) {
	var buf, hb bytes.Buffer
	fr, he := http2.NewFramer(&buf, nil), hpack.NewEncoder(&hb)
	_ = fr.WriteSettings()
	_ = he.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	first := buf.Len()
	for i := range answers {
		hb.Reset()
		_ = he.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		_ = he.WriteField(hpack.HeaderField{Name: "apns-id", Value: fmt.Sprintf("%08x-0000-4000-8000-000000000000", i), Sensitive: true})
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: hb.Bytes(), EndHeaders: true, EndStream: true})
	}
	all := buf.Bytes()
	b.Run("ours", func(b *testing.B) {
		p := h2.NewParser()
		_, _ = p.Feed(all[:first])
		b.ReportAllocs()
		for b.Loop() {
			if n, err := p.Feed(all[first:]); n != answers || err != nil {
				b.Fatal(n, err)
			}
		}
		perFrame(b)
	})
	b.Run("framer", func(b *testing.B) {
		rd := bytes.NewReader(all[first:])
		fr := http2.NewFramer(io.Discard, rd)
		fr.SetReuseFrames()
		fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		b.ReportAllocs()
		for b.Loop() {
			rd.Reset(all[first:])
			for range answers {
				if _, err := fr.ReadFrame(); err != nil {
					b.Fatal(err)
				}
			}
		}
		perFrame(b)
	})
}

const answers = 1000

func perFrame(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/answers, "ns/frame")
}

func BenchmarkWrite(b *testing.B) {
	body := make([]byte, 230)
	fields := []h2.Field{
		{Name: "authorization", Value: "bearer " + fmt.Sprintf("%0180d", 7)},
		{Name: "apns-topic", Value: "com.example.app"},
		{Name: "apns-priority", Value: "10"},
		{Name: "apns-id", Value: "00000000-0000-4000-8000-000000000000", Mode: h2.NoIndex},
		{Name: "apns-expiration", Value: "1790000000", Mode: h2.NoIndex},
	}
	paths := make([]string, answers)
	for i := range paths {
		paths[i] = fmt.Sprintf("/3/device/%064x", i)
	}
	b.Run("ours", func(b *testing.B) {
		e := h2.NewEncoder(static())
		var out []byte
		b.ReportAllocs()
		for b.Loop() {
			out = out[:0]
			for i, path := range paths {
				out = e.Request(out, uint32(2*i+1), path, fields, body)
			}
		}
		perFrame(b)
	})
	b.Run("framer", func(b *testing.B) {
		var out, hb bytes.Buffer
		fr, he := http2.NewFramer(&out, nil), hpack.NewEncoder(&hb)
		b.ReportAllocs()
		for b.Loop() {
			out.Reset()
			for i, path := range paths {
				hb.Reset()
				for _, f := range static() {
					_ = he.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value})
				}
				_ = he.WriteField(hpack.HeaderField{Name: ":path", Value: path, Sensitive: true})
				for _, f := range fields {
					_ = he.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value, Sensitive: f.Mode != h2.Indexed})
				}
				_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: hb.Bytes(), EndHeaders: true})
				_ = fr.WriteData(uint32(2*i+1), true, body)
			}
		}
		perFrame(b)
	})
}
