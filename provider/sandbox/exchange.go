package sandbox

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"time"
)

// field is one header, its name in lower case.
type field struct{ name, value string }

// request is one push as it came, whatever HTTP it came by. Body and fields are
// valid only during the call that gets it.
type request struct {
	vendor    Vendor
	method    string
	path      string // with its query, as sent
	authority string
	fields    []field
	body      []byte
	bodyLen   int  // of the whole body, of which at most maxBody bytes are kept
	chunked   bool // HTTP/1.1 with Transfer-Encoding: chunked
	sticky    *sticky
}

// maxBody is what is kept of a body: every vendor's limit is far below.
const maxBody = 16 << 10

// sticky is what a vendor remembers of one connection.
type sticky struct {
	bearer   string // the last authorization value that passed
	app      string // whose it is
	until    time.Time
	gen      int64 // of the access tokens
	requests int

	// Of APNs: the key of the first push, the provider token in use and since when.
	key     *apnsKey
	token   string
	since   time.Time
	tooMany bool // tokens: the connection stays spoilt
	expired bool // APNs: an expired token was seen, the connection stays wedged

	certificate *x509.Certificate // the client's, if it showed one
}

// get is the first header of that name, "" when there is none.
func (r *request) get(name string) string {
	for i := range r.fields {
		if r.fields[i].name == name {
			return r.fields[i].value
		}
	}
	return ""
}

// repeated tells whether a header comes more than once.
func (r *request) repeated(names ...string) bool {
	for _, name := range names {
		n := 0
		for i := range r.fields {
			if r.fields[i].name == name {
				n++
			}
		}
		if n > 1 {
			return true
		}
	}
	return false
}

// reply is a vendor's answer and what becomes of the connection.
type reply struct {
	status int
	reason string // the vendor's word, for counts; "" when accepted
	fields []field
	body   []byte

	delay   time.Duration
	hold    bool // no answer until the script is cleared
	drop    bool // cut the connection instead of answering
	goAway  bool // last stream of this connection; debug is its reason
	refused bool // not processed: with goAway this stream is not either
	reset   bool // RST_STREAM REFUSED_STREAM; refused is set too
	debug   string
	release <-chan struct{} // of hold, on HTTP/1.1
}

// message is what a vendor understood of a request.
type message struct {
	address string // as a device is looked up: see [deviceKey]
	display string // as a person writes it
	kind    string // APNs push type; FCM alert or data; WNS toast, tile, badge, raw
	mark    mark
	key     string // of the tray entry
	title   string
	body    string
	group   string
	shows   bool
	expires time.Time // zero: never
	owner   string    // APNs' bundle, WNS' app
	slot    string    // what of it is kept only once while a device is offline; FCM's collapse key
	once    bool      // one try: it is not kept
	problem string    // why a device would show nothing although the vendor accepted
}

// vendor is one server's rules.
type vendor interface {
	// judge reads a request. The reply's status is 200 when it is accepted.
	judge(r *request, now time.Time) (message, reply)
	// scripted is the answer that a fault asks for.
	scripted(r *request, f *Fault, now time.Time) reply
}

// serve is one exchange in full: judge, script, record.
func (s *Server) serve(d *door, r *request) reply {
	now := s.cfg.Now()
	m, rep := d.rules.judge(r, now)
	if rep.status < 300 {
		f, ok := s.take(r.vendor, m.address, now)
		if !ok {
			f, ok = s.throttle(d, m.address, now)
		}
		if ok {
			rep = f.apply(d.rules, r, rep, now)
		}
	}
	s.finish(d, r, &rep, now)
	if rep.refused {
		return rep
	}
	s.counts.add(r.vendor, rep.status, rep.reason)
	if rep.status >= 300 {
		s.log.Info("sandbox refused a push", "vendor", r.vendor, "status", rep.status, "reason", rep.reason)
	}
	if m.address == "" {
		return rep
	}
	device := s.counts.hash(m.address)
	s.counts.device(r.vendor, device)
	if rep.status < 300 {
		s.counts.audit(r.vendor, device, r.get("apns-id"), r.body)
	}
	s.devices.record(r, &m, &rep, now)
	return rep
}

// throttle is a device's own limit: see [Conduct.DevicePerMinute].
func (s *Server) throttle(d *door, key string, now time.Time) (Fault, bool) {
	n := d.conduct.Load().DevicePerMinute
	if n == 0 || key == "" || s.devices.within(d.vendor, key, n, now) {
		return Fault{}, false
	}
	switch d.vendor {
	case FCM:
		return Fault{Status: 429, Reason: "QUOTA_EXCEEDED"}, true
	case WNS:
		return Fault{Status: 200, Reason: "channelthrottled"}, true
	default:
		return Fault{Status: 429, Reason: "TooManyRequests"}, true
	}
}

// finish is what becomes of an answer whatever it says: its latency, and the end of
// a connection that had its share of requests.
func (s *Server) finish(d *door, r *request, rep *reply, now time.Time) {
	how := d.conduct.Load()
	s.slow(&how.Latency, rep, now)
	r.sticky.requests++
	if n := how.RequestsPerConnection; n > 0 && r.sticky.requests >= n {
		rep.goAway = true
	}
	if rep.hold {
		rep.release = s.script.held()
	}
}

// newUUID is a random version 4 UUID in canonical form.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:], b[10:])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}
