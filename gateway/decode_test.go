package gateway

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carillon"
)

const testNow = 1_790_000_000_000 // milliseconds since 1970

func decodeText(body string, bulk bool) (*decoder, *carillon.Error) {
	d := &decoder{}
	err := d.decode([]byte(body), bulk, testNow)
	return d, err
}

func TestDecode(t *testing.T) {
	week := int64(testNow) + carillon.DefaultLife.Milliseconds()
	f := func(body string, want carillon.Notification) {
		t.Helper()
		d, err := decodeText(body, false)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			return
		}
		want.Accepted = testNow
		if want.Expires == 0 {
			want.Expires = week
		}
		if diff := cmp.Diff(want, d.n); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
		if d.host != "app.example.com" {
			t.Errorf("%s: host %q", body, d.host)
		}
	}
	raw := func(n carillon.Notification) carillon.Notification {
		n.HasRaw, n.Badge = true, -1
		if n.Raw == "" {
			n.Raw = "r"
		}
		if n.TTL == 0 {
			n.TTL = -1
		}
		return n
	}
	head := `{"targetHostName":"app.example.com","payload":{"rawContent":"r"}`
	f(head+`}`, raw(carillon.Notification{}))
	f(" \r\n\t"+head+" } \n", raw(carillon.Notification{}))
	f(`{"targetHostName":"App.Example.COM","payload":{"rawContent":"r"}}`, raw(carillon.Notification{}))
	f(`{"payload":{"visualContent":{"body":"b\"\u00e4\ud83d\ude00\n","title":"t"}},"targetHostName":"app.example.com"}`,
		carillon.Notification{HasVisual: true, Title: "t", Body: "b\"ä😀\n", TTL: -1, Badge: -1})
	f(`{"payload":{"visualContent":{"title":"t","body":null},"rawContent":""},"targetHostName":"app.example.com"}`,
		carillon.Notification{HasVisual: true, Title: "t", HasRaw: true, TTL: -1, Badge: -1})
	f(head+`,"appNotificationId":"n-1","groupName":"G"}`, raw(carillon.Notification{AppNotificationID: "n-1", Group: "G"}))
	f(head+`,"displayTimeToLive":60}`, raw(carillon.Notification{TTL: 60}))
	f(head+`,"displayTimeToLive":"60"}`, raw(carillon.Notification{TTL: 60}))
	f(head+`,"displayTimeToLive":null,"priority":null,"groupName":null,"expirationDateTime":null,"platformOptions":null,"fallbackPolicy":null,"targetPolicy":null,"deliverAt":null}`, raw(carillon.Notification{}))
	for word, p := range map[string]carillon.Priority{
		`"High"`: carillon.PriorityHigh, `"high"`: carillon.PriorityHigh, `1`: carillon.PriorityHigh, `"1"`: carillon.PriorityHigh,
		`"Low"`: carillon.PriorityLow, `2`: carillon.PriorityLow, `"None"`: carillon.PriorityNone, `0`: carillon.PriorityNone,
	} {
		f(head+`,"priority":`+word+`}`, raw(carillon.Notification{Priority: p}))
	}
	set := carillon.PlatformSet(0)
	f(head+`,"targetPolicy":{"platformTypes":["windows","iOS","ANDROID","WebPush"]}}`,
		raw(carillon.Notification{Targets: set.With(carillon.Windows).With(carillon.IOS).With(carillon.Android).With(carillon.Web)}))
	f(head+`,"expirationDateTime":"`+time.UnixMilli(testNow+1500).UTC().Format(time.RFC3339Nano)+`"}`, raw(carillon.Notification{Expires: testNow + 1500}))
	f(head+`,"expirationDateTime":"`+time.UnixMilli(testNow+2000).In(time.FixedZone("", 7200)).Format(time.RFC3339)+`"}`, raw(carillon.Notification{Expires: testNow + 2000}))
	f(head+`,"fallbackPolicy":{"endpointFallback":{"platformTypes":["iOS"],"fallbackDelayInSeconds":60,"visualContent":{"title":"f","body":"g"}}}}`,
		raw(carillon.Notification{Fallback: carillon.Fallback{Delay: 60, Title: "f", Body: "g"}}))
	f(head+`,"platformOptions": {"apns": {"sound":"bell.caf"},"data":{"a":"b"}, "link":"https://app.example.com/5"} }`,
		raw(carillon.Notification{Options: []byte(`{"apns": {"sound":"bell.caf"},"data":{"a":"b"}, "link":"https://app.example.com/5"}`)}))
	f(head+`,"stateSync":"all"}`, raw(carillon.Notification{}))
	f(head+`,"stateSync":"none"}`, raw(carillon.Notification{LocalState: true}))
	f(head+`,"colour":{"a":[1, null]},"\u0073ize":"\u00e4"}`, raw(carillon.Notification{Extra: []byte(`{"colour":{"a":[1, null]},"\u0073ize":"\u00e4"}`)}))
	f(head+`,"@odata.type":"microsoft.graph.notification","priority@odata.type":"#x","id":null,"status":"Active"}`, raw(carillon.Notification{}))
	f(head+`,"userId":"u"}`, raw(carillon.Notification{Extra: []byte(`{"userId":"u"}`)}))
}

func TestDecodeRefuses(t *testing.T) {
	f := func(body, target, says string) {
		t.Helper()
		_, err := decodeText(body, false)
		if err == nil {
			t.Errorf("%.200s: taken", body)
			return
		}
		if err.Code != carillon.CodeInvalidRequest || err.Target != target || !strings.Contains(err.Message, says) {
			t.Errorf("%.200s: %v %q %q, want target %q and %q", body, err.Code, err.Target, err.Message, target, says)
		}
	}
	f(``, "", "empty")
	f(`  `, "", "empty")
	f(`[]`, "", "array")
	f(`[{"targetHostName":"a"}]`, "", "array")
	f(`"x"`, "", "must be a JSON object")
	f(`null`, "", "must be a JSON object")
	f("\xff{}", "", "UTF-8")
	f("{\"a\":\"\xc3\x28\"}", "", "UTF-8")
	f(`{`, "", "not valid JSON")
	f(`{"a"}`, "", "colon")
	f(`{"a":}`, "", "not valid JSON")
	f(`{"a":1,}`, "", "comma before the end")
	f(`{"a":1 "b":2}`, "", "comma or '}'")
	f(`{"a":01}`, "", "number")
	f(`{"a":NaN}`, "", "number")
	f(`{"a":-}`, "", "number")
	f(`{"a":1.}`, "", "number")
	f(`{"a":+1}`, "", "number")
	f(`{"a":tru}`, "", "unknown word")
	f("{\"a\":\"\x01\"}", "", "control character")
	f(`{"a":"\x"}`, "", "escape")
	f(`{"a":"\ud800"}`, "", "surrogate")
	f(`{"a":"\ud800\u0041"}`, "", "surrogate")
	f(`{"a":"\udc00\ud800"}`, "", "surrogate")
	f(`{"a":"\u12g4"}`, "", "hexadecimal")
	f(`{"a":"`, "", "does not end")
	f(`{"a":"\`, "", "does not end")
	f(`{"a":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`, "", "nests deeper")
	f(`{"a":`+strings.Repeat("[", 60000), "", "nests deeper")
	f(`{}{}`, "", "behind the value")
	f(`{}`, "targetHostName", "required")
	f(`{"payload":{"rawContent":"r"}}`, "targetHostName", "required")
	f(`{"targetHostName":"a.example"}`, "payload", "rawContent or visualContent")
	f(`{"targetHostName":"a.example","payload":null}`, "payload", "rawContent or visualContent")
	f(`{"targetHostName":"a.example","payload":{}}`, "payload", "rawContent or visualContent")
	f(`{"targetHostName":"a.example","payload":"x"}`, "payload", "must be an object")
	f(`{"targetHostName":"a b"}`, "targetHostName", "DNS name")
	f(`{"targetHostName":5}`, "targetHostName", "must be a string")
	f(`{"TargetHostName":"a.example","payload":{"rawContent":"r"}}`, "targetHostName", "required")

	head := `{"targetHostName":"app.example.com","payload":{"rawContent":"r"}`
	g := func(rest, target, says string) {
		t.Helper()
		f(head+","+rest+"}", target, says)
	}
	g(`"targetHostName":"b.example"`, "targetHostName", "twice")
	g(`"x":1,"\u0078":2`, "x", "twice")
	g(`"payload":null`, "payload", "twice")
	many := make([]string, maxUnknown+1)
	for i := range many {
		many[i] = strconv.Quote("u"+strconv.Itoa(i)) + ":1"
	}
	g(strings.Join(many, ","), "", "members that are not known")
	g(`"x":"`+strings.Repeat("x", carillon.MaxExtra)+`"`, "", "unknown members take")
	g(`"appNotificationId":""`, "appNotificationId", "1 to 256")
	g(`"appNotificationId":"`+strings.Repeat("k", 257)+`"`, "appNotificationId", "1 to 256")
	g(`"appNotificationId":7`, "appNotificationId", "string")
	g(`"groupName":"`+strings.Repeat("g", 257)+`"`, "groupName", "256")
	g(`"expirationDateTime":"tomorrow"`, "expirationDateTime", "RFC 3339")
	g(`"expirationDateTime":"2026-12-01T23:59:00"`, "expirationDateTime", "RFC 3339")
	g(`"expirationDateTime":1790000000`, "expirationDateTime", "string")
	g(`"expirationDateTime":"2001-01-01T00:00:00Z"`, "expirationDateTime", "past")
	g(`"expirationDateTime":"2099-01-01T00:00:00Z"`, "expirationDateTime", "30 days")
	for _, bad := range []string{`-1`, `"-1"`, `1.5`, `"x"`, `""`, `1e3`, `2147483648`, `99999999999999999999`, `true`, `{}`} {
		g(`"displayTimeToLive":`+bad, "displayTimeToLive", "seconds")
	}
	for _, bad := range []string{`3`, `-1`, `"Urgent"`, `""`, `true`} {
		g(`"priority":`+bad, "priority", "None, High, Low")
	}
	g(`"targetPolicy":[]`, "targetPolicy", "object")
	g(`"targetPolicy":{"platformTypes":"ios"}`, "targetPolicy.platformTypes", "array")
	g(`"targetPolicy":{"platformTypes":[1]}`, "targetPolicy.platformTypes", "array")
	g(`"targetPolicy":{"platformTypes":[]}`, "targetPolicy.platformTypes", "empty")
	g(`"targetPolicy":{"platformTypes":["ios","tv"]}`, "targetPolicy.platformTypes", "Windows, iOS, Android, WebPush")
	g(`"targetPolicy":{"platformTypes":["polling"]}`, "targetPolicy.platformTypes", "Windows, iOS, Android, WebPush")
	g(`"targetPolicy":{"platforms":["ios"]}`, "targetPolicy.platforms", "not known")
	g(`"stateSync":"some"`, "stateSync", "all, none")
	g(`"stateSync":true`, "stateSync", "string")
	refusesFallback(g)
	refusesOptions(g)

	visual := func(v, target, says string) {
		t.Helper()
		f(`{"targetHostName":"app.example.com","payload":{"visualContent":`+v+`}}`, target, says)
	}
	visual(`{}`, "payload.visualContent.title", "required")
	visual(`{"body":"b"}`, "payload.visualContent.title", "required")
	visual(`{"title":""}`, "payload.visualContent.title", "required")
	visual(`{"title":1}`, "payload.visualContent.title", "string")
	visual(`{"title":"t","body":[]}`, "payload.visualContent.body", "string")
	visual(`{"title":"t","subtitle":"s"}`, "payload.visualContent.subtitle", "not known")
	visual(`{"title":"`+strings.Repeat("t", 257)+`"}`, "payload.visualContent.title", "256")
	visual(`{"title":"t","body":"`+strings.Repeat("b", 2049)+`"}`, "payload.visualContent.body", "2048")
	f(`{"targetHostName":"a.example","payload":{"rawContent":"`+strings.Repeat("r", 4097)+`"}}`, "payload.rawContent", "4096")
	f(`{"targetHostName":"a.example","payload":{"rawContent":{}}}`, "payload.rawContent", "string")

	f(head+`,"deliverAt":"tomorrow"}`, "deliverAt", "RFC 3339")
	f(head+`,"deliverAt":5}`, "deliverAt", "string")
	f(head+`,"deliverAt":"2999-12-01T00:00:00Z"}`, "deliverAt", "after expirationDateTime")
}

func refusesFallback(g func(rest, target, says string)) {
	const at = "fallbackPolicy.endpointFallback"
	f := func(inner, target, says string) { g(`"fallbackPolicy":{"endpointFallback":`+inner+`}`, target, says) }
	g(`"fallbackPolicy":{"other":1}`, "fallbackPolicy.other", "not known")
	f(`[]`, at, "object")
	f(`{}`, at+".platformTypes", "required")
	f(`{"platformTypes":["iOS"]}`, at+".fallbackDelayInSeconds", "required")
	f(`{"platformTypes":["iOS"],"fallbackDelayInSeconds":60}`, at+".visualContent", "required")
	f(`{"platformTypes":["Windows"]}`, at+".platformTypes", "only iOS")
	f(`{"platformTypes":["iOS","Android"]}`, at+".platformTypes", "only iOS")
	for _, bad := range []string{"59", "601", "0", "-60", "null", "60.5"} {
		f(`{"platformTypes":["iOS"],"fallbackDelayInSeconds":`+bad+`}`, at+".fallbackDelayInSeconds", "60 … 600")
	}
	f(`{"platformTypes":["iOS"],"fallbackDelayInSeconds":60,"visualContent":{"body":"b"}}`, at+".visualContent.title", "required")
	g(`"targetPolicy":{"platformTypes":["Windows"]},"fallbackPolicy":{"endpointFallback":{"platformTypes":["iOS"],"fallbackDelayInSeconds":60,"visualContent":{"title":"t"}}}`, at, "must include iOS")
	g(`"payload2":1,"fallbackPolicy":{"endpointFallback":{"platformTypes":["iOS"],"fallbackDelayInSeconds":60,"visualContent":{"title":"t","x":1}}}`, at+".visualContent.x", "not known")
}

func refusesOptions(g func(rest, target, says string)) {
	f := func(inner, target, says string) { g(`"platformOptions":`+inner, target, says) }
	f(`[]`, "platformOptions", "object")
	f(`"x"`, "platformOptions", "object")
	f(`{"ios":{}}`, "platformOptions.ios", "apns, fcm, wns, data, link")
	f(`{"apns":[]}`, "platformOptions.apns", "object")
	f(`{"fcm":"x"}`, "platformOptions.fcm", "object")
	f(`{"wns":1}`, "platformOptions.wns", "object")
	f(`{"data":true}`, "platformOptions.data", "object")
	f(`{"data":{},"data":{}}`, "platformOptions.data", "twice")
	f(`{"link":{}}`, "platformOptions.link", "string")
	f(`{"link":"/relative"}`, "platformOptions.link", "absolute URI")
	f(`{"link":"JavaScript:alert(1)"}`, "platformOptions.link", "absolute URI")
	f(`{"link":":x"}`, "platformOptions.link", "absolute URI")
	f(`{"apns":{"aps":{}}}`, "platformOptions.apns.aps", "reserved")
	f(`{"data":{"carillon":1}}`, "platformOptions.data.carillon", "reserved")
	f(`{"data":{"\u0063arillon_id":1}}`, "platformOptions.data.carillon_id", "reserved")
	f(`{"data":{"from":"x"}}`, "platformOptions.data.from", "reserved")
	f(`{"fcm":{"message_type":"x"}}`, "platformOptions.fcm.message_type", "reserved")
	f(`{"data":{"google.x":"x"}}`, "platformOptions.data.google.x", "reserved")
	f(`{"data":{"gcm.n.e":"x"}}`, "platformOptions.data.gcm.n.e", "reserved")
	f(`{"data":{"a":{"b":[{"aps":1}]}}}`, "platformOptions.data.a.b[].aps", "reserved")
	f(`{"apns":{"collapse-id":"x"}}`, "platformOptions.apns.collapse-id", "no option")
	f(`{"fcm":{"channel_id":"x"}}`, "platformOptions.fcm.channel_id", "no option")
	f(`{"wns":{"tag":"x"}}`, "platformOptions.wns.tag", "no option")
	f(`{"wns":{"priority":1,"priority":2}}`, "platformOptions.wns.priority", "twice")
	f(`{"wns":{"actions":[{"content":"a","arguments":"b"},{"content":"a","contnt":"b"}]}}`, "platformOptions.wns.actions[1].contnt", "no option")
	f(`{"wns":{"header":{"id":"1","title":"t"}}}`, "platformOptions.wns.header.arguments", "required")
	f(`{"apns":{"sound":{"name":"x","volume":2}}}`, "platformOptions.apns.sound.volume", "within 0 … 1")
	f(`{"apns":{"push-type":"liveactivity"}}`, "platformOptions.apns.event", "required")
	f(`{"apns":{"push-type":"liveactivity","event":"update"}}`, "platformOptions.apns.content-state", "required")
	f(`{"apns":{"push-type":"liveactivity","event":"start","content-state":{}}}`, "platformOptions.apns.attributes", "attributes-type")
	f(`{"apns":{"event":"end"}}`, "platformOptions.apns.push-type", "liveactivity")
	f(`{"apns":{"attributes":{"a":{"b":[{"aps":1}]}}}}`, "platformOptions.apns.push-type", "liveactivity")
	f(`{"apns":{"push-type":"liveactivity","event":"start","content-state":{},"attributes-type":"A","attributes":{}}}`, "platformOptions.apns.event", "visualContent")
	f(`{"data":{"x":"`+strings.Repeat("x", carillon.MaxOptions)+`"}}`, "platformOptions", "4096")
}

func TestDecodeBulkMembers(t *testing.T) {
	d, err := decodeText(`{"userId":"dev.alice","idempotencyKey":"k","subscriptionId":"s","targetHostName":"app.example.com","payload":{"rawContent":"r"}}`, true)
	if err != nil {
		t.Fatal(err)
	}
	if d.user != "dev.alice" || d.key != "k" || d.subscription != "s" || len(d.n.Extra) != 0 {
		t.Errorf("user %q key %q subscription %q extra %q", d.user, d.key, d.subscription, d.n.Extra)
	}
	if _, err := decodeText(`{"idempotencyKey":""}`, true); err == nil || err.Target != "idempotencyKey" {
		t.Errorf("an empty key: %v", err)
	}
}

func TestDecodeMakesNoGarbage(t *testing.T) {
	d := &decoder{}
	body := []byte(benchBody)
	if err := d.decode(body, true, testNow); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = d.decode(body, true, testNow) }); n != 0 {
		t.Errorf("%v allocations a body", n)
	}
}

const benchBody = `{"userId":"dev.user-000001234","targetHostName":"app.example.com","payload":{"visualContent":{"title":"Your order has shipped","body":"Parcel 1234 leaves the depot today and arrives tomorrow before noon, said the courier."}},"priority":"High"}`

func BenchmarkDecode(b *testing.B) {
	d := &decoder{}
	body := []byte(benchBody)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.decode(body, true, testNow); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzDecode compares the cursor with encoding/json: what one takes for JSON
// the other does too, and what is kept is valid JSON again.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		benchBody, `{}`, `{"a":[1,-0.5e+3,"\ud83d\ude00",{"b":null}],"c":true}`, `{"targetHostName":"a.example","payload":{"rawContent":"\u0000"},"x":"y"}`,
		`{"targetHostName":"a.example","payload":{"rawContent":"r"},"platformOptions":{"apns":{"sound":{"name":"b","critical":1}},"wns":{"actions":[{"content":"a","arguments":"b"}],"ttl":0},"fcm":{"vibrateTimings":["1.5s"]},"data":{"a":[{}]},"link":"x:y"}}`,
		`{"targetHostName":"a.example","payload":{"visualContent":{"title":"t"},"rawContent":"r"},"fallbackPolicy":{"endpointFallback":{"platformTypes":["iOS"],"fallbackDelayInSeconds":"60","visualContent":{"title":"t"}}}}`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	d := &decoder{}
	f.Fuzz(func(t *testing.T, body []byte, bulk bool) {
		err := d.decode(body, bulk, testNow)
		if err != nil {
			if err.Message == "" || err.Code != carillon.CodeInvalidRequest && err.Code != carillon.CodeNotImplemented {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		var std map[string]any
		if e := json.Unmarshal(body, &std); e != nil {
			t.Fatalf("%q was taken, but is no JSON: %v", body, e)
		}
		if !strings.EqualFold(std["targetHostName"].(string), d.host) {
			t.Fatalf("%q: host %q", body, d.host)
		}
		payload := std["payload"].(map[string]any)
		if raw, ok := payload["rawContent"].(string); ok != d.n.HasRaw || raw != d.n.Raw {
			t.Fatalf("%q: raw %q, want %q", body, d.n.Raw, raw)
		}
		if v, ok := payload["visualContent"].(map[string]any); ok != d.n.HasVisual || ok && v["title"] != d.n.Title {
			t.Fatalf("%q: title %q", body, d.n.Title)
		}
		for _, kept := range [][]byte{d.n.Extra, d.n.Options} {
			if len(kept) > 0 && !json.Valid(kept) {
				t.Fatalf("%q: keeps %q, which is no JSON", body, kept)
			}
		}
		if e := d.n.Validate(testNow); e != nil {
			t.Fatalf("%q: taken although %v", body, e)
		}
	})
}

// FuzzCursor holds the grammar to encoding/json's, whole values at a time.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{`[1,2,{"a":"b"}]`, `"\u00e4"`, ` -1.5E-7 `, `{"a":{"a":[]}}`, `tru`, `"\ud800"`, "\"\x7f\""} {
		f.Add([]byte(seed))
	}
	c := &cursor{}
	f.Fuzz(func(t *testing.T, b []byte) {
		c.reset(b)
		c.peek()
		c.skip()
		c.end()
		switch {
		case c.err == nil && !json.Valid(b):
			t.Fatalf("%q was taken, but is no JSON", b)
		case c.err != nil && json.Valid(b) && !strings.Contains(c.err.Message, "surrogate") && !strings.Contains(c.err.Message, "nests"):
			t.Fatalf("%q was refused: %v", b, c.err)
		}
	})
}

func TestPlain(t *testing.T) {
	for c := range 256 {
		for n := range 24 {
			b := []byte(strings.Repeat("ä\x7f\xff!#]", 6))
			b[n] = byte(c)
			want := len(b)
			for i, ch := range b {
				if ch < ' ' || ch == '"' || ch == '\\' {
					want = i
					break
				}
			}
			if got := plain(b, 0); got != want {
				t.Fatalf("%q: %d, want %d", b, got, want)
			}
		}
	}
}

// TestLongNames: what a sender makes up is not sent back in full.
func TestLongNames(t *testing.T) {
	name := strings.Repeat("n", 5000)
	for _, body := range []string{
		`{"targetHostName":"a","payload":{"` + name + `":1}}`, `{"` + name + `":1,"` + name + `":2}`,
		`{"platformOptions":{"` + name + `":1}}`, `{"targetPolicy":{"` + name + `":1}}`, `{"platformOptions":{"data":{"aps` + `":{"` + name + `":1}}}}`,
	} {
		var d decoder
		if err := d.decode([]byte(body), false, testNow); err == nil || len(err.Target) > 300 || len(err.Message) > 600 {
			t.Errorf("%.60s: %.900v", body, err)
		}
	}
}
