package journal_test

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/journal"
)

var update = flag.Bool("update", false, "write the golden files anew")

// samples has one full record of each kind, and a bare one.
func samples() map[string]journal.Record {
	id := carillon.ID{1, 2, 3, 4, 5, 6, 0x87, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}
	seq := carillon.MakeSeq(7, 42)
	full := carillon.Notification{
		ID: id, AppNotificationID: "order-17", Accepted: 1_790_000_000_123, Expires: 1_790_604_800_123,
		Priority: carillon.PriorityHigh, Targets: carillon.PlatformSet(0).With(carillon.IOS).With(carillon.Android), TTL: 0, Group: "orders",
		HasVisual: true, Title: "Your order", Body: "is on its way – 到了", HasRaw: true, Raw: `{"order":17}`,
		Fallback: carillon.Fallback{Delay: 60, Title: "Order", Body: "open the app"},
		Options:  []byte(`{"apns":{}}`), Extra: []byte(`{"x":1}`), LocalState: true, DeliverAt: 1_790_000_100_000,
		Broadcast: "spring", Locale: "de-AT", Badge: 0,
	}
	bare := carillon.Notification{TTL: -1, Badge: -1, Expires: 1, HasRaw: true}
	head := journal.Record{
		Version: 1, At: 1_790_000_000_123, RID: carillon.RequestID{0xff, 1}, HasRID: true, BodyHash: [16]byte{15: 9},
		IfSeq: seq, Trace: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
	}
	with := func(f func(r *journal.Record)) journal.Record { r := head; f(&r); return r }
	return map[string]journal.Record{
		"notification": with(func(r *journal.Record) { r.Kind, r.Notification = journal.KindNotification, full }),
		"bare":         {Version: 1, Kind: journal.KindNotification, Notification: bare},
		"endpoint": with(func(r *journal.Record) {
			r.Kind = journal.KindEndpoint
			r.Endpoint = carillon.Endpoint{
				ID: "phone", Platform: carillon.IOS, Address: "abcdef0123456789", AppID: "com.example.app", Environment: "sandbox",
				Locale: "fr", Push: carillon.TapOnly, Expires: 1_792_592_000_000, Incarnation: seq, Addressed: seq + 1, Version: seq + 2, Registered: 5,
			}
		}),
		"leave": with(func(r *journal.Record) {
			r.Kind, r.Leave = journal.KindLeave, journal.Leave{Installation: "phone", Incarnation: seq, Addressed: seq + 1, Reason: "gone"}
		}),
		"change": with(func(r *journal.Record) {
			r.Kind = journal.KindChange
			r.Change = journal.Change{
				ID: id, Created: seq, Change: carillon.Change{Read: carillon.Set, HasAction: true, Action: carillon.NoInteraction},
				Floor: seq - 1, Installation: "phone", More: true,
			}
		}),
		"delete": with(func(r *journal.Record) {
			r.Kind, r.Delete = journal.KindDelete, journal.Delete{ID: id, Created: seq, Installation: "phone"}
		}),
		"claim": with(func(r *journal.Record) {
			r.Kind = journal.KindClaim
			r.Claim = journal.Claimed{Address: []byte{0, 1, 2, 0xff}, User: "app.example/dev.alice", Installation: "phone", Seq: seq}
		}),
		"evict": with(func(r *journal.Record) {
			r.Kind, r.Evict = journal.KindEvict, journal.Evict{Installation: "phone", Version: seq}
		}),
		"release": with(func(r *journal.Record) {
			r.Kind, r.Release = journal.KindRelease, journal.Release{ID: id, Created: seq, Content: seq + 1}
		}),
		"ack": with(func(r *journal.Record) {
			r.Kind, r.Ack = journal.KindAck, journal.Ack{Installation: "phone", Incarnation: seq, Position: seq + 9, Opened: []carillon.ID{id, {1}}, Fetched: []carillon.ID{{2}}}
		}),
		"erase": with(func(r *journal.Record) { r.Kind, r.Erase = journal.KindErase, journal.Erase{By: "client-1"} }),
	}
}

// same compares records; Body follows from Notification.
func same(t interface {
	Helper()
	Errorf(format string, args ...any)
}, name string, want, got journal.Record,
) {
	t.Helper()
	want.Body, got.Body = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestGoldenBytes(t *testing.T) {
	for name, r := range samples() {
		path := filepath.Join("testdata", name+".hex")
		b := r.Append(nil)
		if *update {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(b)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b); got != strings.TrimSpace(string(golden)) {
			t.Errorf("%s: field numbers are pinned, but the bytes changed\n got %s\nwant %s", name, got, golden)
		}
		old, err := hex.DecodeString(strings.TrimSpace(string(golden)))
		if err != nil {
			t.Fatal(err)
		}
		var got journal.Record
		if err := got.Decode(old); err != nil {
			t.Fatal(err)
		}
		if !got.Known() {
			t.Errorf("%s is not known", name)
		}
		same(t, name, r, got)
	}
}

func TestBodyIsTheNotificationsOwnBytes(t *testing.T) {
	r := samples()["notification"]
	var got journal.Record
	if err := got.Decode(r.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if want := journal.AppendNotification(nil, &r.Notification); string(got.Body) != string(want) {
		t.Errorf("body is %x, want %x", got.Body, want)
	}
	var n carillon.Notification
	if err := journal.DecodeNotification(got.Body, &n); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Notification, n); diff != "" {
		t.Error(diff)
	}
	// A body with a field of the future is passed on as it is.
	future := append(append([]byte{}, got.Body...), 0xa2, 0x06, 1, 'x') // field 100
	got.Body = future
	var again journal.Record
	if err := again.Decode(got.Append(nil)); err != nil || string(again.Body) != string(future) {
		t.Errorf("%v: body is %x, want %x", err, again.Body, future)
	}
}

func TestForeignRecordsSurvive(t *testing.T) {
	f := func(name, raw string, kind journal.Kind, version uint32) {
		t.Helper()
		b, err := hex.DecodeString(raw)
		if err != nil {
			t.Fatal(err)
		}
		var r journal.Record
		if err := r.Decode(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.Kind != kind || r.Version != version || r.Known() {
			t.Errorf("%s: kind %d, version %d, known %t", name, r.Kind, r.Version, r.Known())
		}
	}
	f("unknown kind", "08011011", 17, 1)
	f("kind beyond a byte", "080110ac02", journal.KindForeign, 1)
	f("newer version, known kind", "08021001", journal.KindNotification, 2)
	f("unknown fields of every type", "080110118a0603616263900601990601020304050607089d0601020304a306a406", 17, 1)
	f("known number, other type", "08011011120161", 17, 1)
	f("nothing", "", journal.KindNone, 0)
}

func TestMalformedRecordsAreErrors(t *testing.T) {
	for name, raw := range map[string]string{
		"cut varint":      "08ff",
		"cut length":      "0801100122ff",
		"short rid":       "08012203616263",
		"part twice":      "08011001420042 00",
		"cut sub-message": "080110014202120f",
		"stray end group": "0c",
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(raw, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		var r journal.Record
		if err := r.Decode(b); err == nil {
			t.Errorf("%s: decodes to %+v", name, r)
		}
	}
}

func TestCodecAllocatesNothing(t *testing.T) {
	r := samples()["notification"]
	dst := r.Append(nil)
	src := append([]byte{}, dst...)
	var got journal.Record
	if n := testing.AllocsPerRun(100, func() {
		dst = r.Append(dst[:0])
		if err := got.Decode(src); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%.0f allocations for an encode and a decode", n)
	}
}
