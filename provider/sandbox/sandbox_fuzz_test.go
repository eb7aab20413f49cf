package sandbox

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"
)

// The decoders take what anybody sends: they must neither panic nor fail, and
// what they make of it must be fit to be served as JSON.

func FuzzAPNsPayload(f *testing.F) {
	f.Add([]byte(`{"aps":{"alert":{"title":"T","body":"B","loc-key":"k"},"thread-id":3},"carillon":{"id":"1","seq":2,"v":"3","k":"clear","ids":["a",1,null]}}`), "alert", "1")
	f.Add([]byte(`{"aps":{"alert":"text"},"carillon":[]}`), "background", "x")
	f.Fuzz(func(t *testing.T, b []byte, kind, expiration string) {
		m := message{kind: kind}
		r := &request{body: b, bodyLen: len(b), fields: []field{{"apns-expiration", expiration}, {"apns-push-type", kind}}}
		m.read(r, time.Unix(1, 0))
		payloadFault(r)
		auditKey(nil, "", b)
		exercise(t, r, &m)
	})
}

func FuzzFCMMessage(f *testing.F) {
	f.Add([]byte(`{"validate_only":true,"message":{"token":"t","data":{"carillon_id":"1","carillon_kind":"clear","carillon_ids":"[1]"},"android":{"ttl":"1.5s","notification":{"title":"T","tag":"x","channel_id":"c"}}}}`))
	f.Add([]byte(`{"message":{"topic":"t","data":{"carillon":"{\"id\":1}"},"notification":[],"android":[]}}`))
	f.Add([]byte(`{"message":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, p := readFCM(b, time.Unix(1, 0))
		r := &request{body: b, bodyLen: len(b)}
		if rep, bad := p.refusal(r); bad && !json.Valid(rep.body) {
			t.Errorf("%s", rep.body)
		}
		exercise(t, r, &m)
	})
}

func FuzzWNS(f *testing.F) {
	f.Add("/?token=a%2fb", "wns/raw", "60", []byte(`{"carillon":{"k":"clear","ids":["1"]}}`))
	f.Add("/?token=%", "wns/toast", "-1", []byte(`<toast/>`))
	for _, toast := range []string{
		`<toast launch="carillon?id=1&amp;seq=2&amp;ids=a,b" tag="t" group="g"><visual><binding><text>a</text><text>b</text></binding></visual></toast>`,
		`<toast><text>a<text>b</text></toast>`,
		`<?xml version="1.0" encoding="latin1"?><toast/>`,
	} {
		f.Add("/?token=a", "wns/toast", "60", []byte(toast))
	}
	f.Fuzz(func(t *testing.T, path, kind, ttl string, b []byte) {
		w := &wns{tokens: &accessTokens{}}
		r := &request{
			vendor: WNS, method: "POST", path: path, body: b, bodyLen: len(b), sticky: &sticky{},
			fields: []field{{"x-wns-type", kind}, {"x-wns-ttl", ttl}, {"content-type", "text/xml"}},
		}
		m, rep := w.judge(r, time.Unix(1, 0))
		if rep.status < 400 {
			t.Errorf("%d without a token", rep.status)
		}
		exercise(t, r, &m)
		toast, err := readToast(b)
		if err == nil && toast.title == "" && toast.body != "" && !utf8.ValidString(toast.body) {
			t.Error("invalid text")
		}
		markOfLaunch(toast.launch)
		marshal(t, asJSON(b))
	})
}

// exercise lets a device have the message.
func exercise(t *testing.T, r *request, m *message) {
	t.Helper()
	s := &Server{cfg: Config{Now: func() time.Time { return time.Unix(2, 0) }}, devices: newDevices(2)}
	m.address = "a"
	for range 3 {
		s.devices.record(r, m, &reply{status: 200}, time.Unix(1, 0))
	}
	marshal(t, s.Tray("a"))
	marshal(t, s.Inbox("a"))
}

func marshal(t *testing.T, v any) {
	t.Helper()
	if b, err := json.Marshal(v); err != nil || !json.Valid(b) {
		t.Errorf("%v: %s", err, b)
	}
}

func TestInboxesAreBounded(t *testing.T) {
	d := newDevices(100)
	r := &request{vendor: WNS, body: make([]byte, 5000)}
	for i := range 30_000 { // 150 MB to 300 devices
		m := message{address: string(rune('a' + i%300)), key: "k", shows: true}
		d.record(r, &m, &reply{status: 200}, time.Unix(int64(i), 0))
	}
	if d.bytes > maxInboxBytes || d.bytes < maxInboxBytes-10_000 || d.all.Len() != d.bytes/5400 {
		t.Errorf("%d bytes in %d entries", d.bytes, d.all.Len())
	}
	for i := range 3 * maxInboxBytes / 5400 { // one each: devices go with their last entry
		m := message{address: newUUID(), key: "k", shows: true}
		d.record(r, &m, &reply{status: 200}, time.Unix(int64(i), 0))
	}
	if len(d.byKey) != d.all.Len() {
		t.Errorf("%d devices, %d entries", len(d.byKey), d.all.Len())
	}
}

func TestHashSetIsBounded(t *testing.T) {
	h := newHashSet(1000)
	for i := range uint64(2000) {
		want := added
		if i >= 1000 {
			want = unknown
		}
		if got := h.add(i * 0x9e3779b97f4a7c15); got != want {
			t.Fatalf("%d: %v", i, got)
		}
	}
	if h.add(0) != seen || h.len() != 1000 || !h.full() {
		t.Error(h.len(), h.full())
	}
}

func TestAuditKeyIsTheSameForARetry(t *testing.T) {
	for _, c := range []struct{ a, b string }{
		{`{"aps":{},"carillon":{"id":"1","pos":"2","v":"3","k":"alert","ttl":60}}`, `{"aps":{},"carillon":{"id":"1","pos":"2","v":"3","k":"alert","ttl":59}}`},
		{`{"message":{"data":{"carillon_id":"1","carillon_seq":"2"},"android":{"ttl":"60s"}}}`, `{"message":{"data":{"carillon_id":"1","carillon_seq":"2"},"android":{"ttl":"59s"}}}`},
		{`<toast launch="carillon?id=1&amp;seq=2"><text>a</text>`, `<toast launch="carillon?id=1&amp;seq=2"><text>b</text>`},
	} {
		a, b := auditKey(nil, "id", []byte(c.a)), auditKey(nil, "other", []byte(c.b))
		if string(a) != string(b) || len(a) == 0 || len(a) > 60 {
			t.Errorf("%s %s", a, b)
		}
	}
	if a := auditKey(nil, "id", []byte("x")); string(a) != "id" {
		t.Error(a)
	}
	a := auditKey(nil, "", []byte(`{"carillon":{"id":"1","v":"3"}}`))
	b := auditKey(nil, "", []byte(`{"carillon":{"id":"1","v":"4"}}`))
	if string(a) == string(b) {
		t.Error("versions are not told apart")
	}
}
