package sandbox

import (
	"hash/maphash"
	"net/http"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// answer judges a request in the server's mode.
func (s *Server) answer(d *door, r *request) reply {
	if s.cfg.Mode == Strict {
		return s.serve(d, r)
	}
	address := fastAddress(r.vendor, r.path, r.body)
	rep := reply{status: 200}
	if r.vendor == WNS {
		rep.fields = []field{{"x-wns-status", "received"}}
	}
	now := s.cfg.Now()
	if f, ok := s.take(r.vendor, deviceKey(address), now); ok {
		rep = f.apply(d.rules, r, rep, now)
	}
	s.finish(d, r, &rep, now)
	if rep.refused {
		return rep
	}
	if rep.status < 300 {
		s.fastCount(r.vendor, r.path, r.get("apns-id"), r.body)
	}
	s.counts.add(r.vendor, rep.status, rep.reason)
	return rep
}

// fastCount counts device and delivery, without reading the request.
func (s *Server) fastCount(v Vendor, path, apnsID string, body []byte) {
	if s.cfg.Watch != nil {
		s.cfg.Watch(v, fastAddress(v, path, body))
	}
	var h uint64
	if v == FCM {
		h = maphash.Bytes(s.counts.seed, fastToken(body))
	} else {
		h = s.counts.hash(path)
	}
	s.counts.device(v, h)
	if s.cfg.Audit {
		s.counts.audit(v, h, apnsID, body)
	}
}

func fastToken(body []byte) []byte {
	if t := scanValue(body, `"token":`); t != nil {
		return t
	}
	return scanValue(body, `"fid":`)
}

// fastAddress is the device address as far as it can be had without parsing.
func fastAddress(v Vendor, path string, body []byte) string {
	switch v {
	case APNs:
		return strings.TrimPrefix(path, "/3/device/")
	case FCM:
		return string(fastToken(body))
	default:
		return path
	}
}

// fastHTTP1 is the answer of Fast mode over HTTP/1.1.
func (s *Server) fastHTTP1(w http.ResponseWriter, hr *http.Request, r *request) {
	s.fastCount(r.vendor, r.path, hr.Header.Get("Apns-Id"), r.body)
	s.counts.add(r.vendor, 200, "")
	if r.vendor == WNS {
		w.Header()["X-Wns-Status"] = []string{"received"}
	}
	w.Header()["Content-Length"] = []string{"0"}
}

// fastFrame is the whole answer of Fast mode: one HEADERS frame with END_STREAM,
// its stream id at offset 5. It touches no dynamic table.
func fastFrame(v Vendor) []byte {
	block := []byte{0x88} // :status 200 is entry 8 of the static table
	if v == WNS {
		block = append(block, 0x00) // literal without indexing, new name
		for _, s := range []string{"x-wns-status", "received"} {
			block = append(block, 0x80|byte(hpack.HuffmanEncodeLength(s))) //nolint:gosec // short constants
			block = hpack.AppendHuffmanString(block, s)
		}
	}
	return appendFrame(nil, http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, 0, block)
}
