package apns_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/provider/apns"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// start is the time of the golden pushes.
func start() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

// golden is one push a kind, and the contents that are hard to write.
func golden() map[string]carillon.Push {
	visual := carillon.Notification{
		Expires: start().Add(time.Hour).UnixMilli(), TTL: -1, Badge: -1,
		HasVisual: true, Title: "Tea \"for\" two", Body: "<now> & ever ☕\n\\o/",
	}
	both := visual
	both.HasRaw, both.Raw, both.Group, both.TTL, both.Badge = true, "{\"a\":\"b&c=d\"}", "tea", 60, 3
	both.Expires = start().Add(30 * 24 * time.Hour).UnixMilli()
	styled := visual
	styled.Group = "tea"
	styled.Options = []byte(options)
	hard := visual
	hard.Title, hard.Body = "bad \xff\xfe bytes", "\x00\x1b\u2028\ufffe ]]> end"
	raw := carillon.Notification{Expires: visual.Expires, TTL: -1, Badge: -1, HasRaw: true, Raw: "42", Priority: carillon.PriorityHigh}
	low := raw
	low.Priority, low.Options, low.TTL = carillon.PriorityLow, []byte(options), 0
	large := raw
	large.Raw = strings.Repeat("\"", 3000)
	fallback := raw
	fallback.Fallback = carillon.Fallback{Delay: 60, Title: "You missed something", Body: "Open the app"}
	plain := carillon.Notification{
		Expires: visual.Expires, TTL: -1, Badge: -1, Group: "family",
		HasVisual: true, Title: "Dinner is ready", Body: "Come down while it is hot.",
	}
	dressed := plain
	dressed.HasRaw, dressed.Raw, dressed.TTL, dressed.Options = true, `{"table":4}`, 900, []byte(`{"apns":{"sound":"bell.caf","category":"DINNER","interruption-level":"time-sensitive"},"data":{"pot":7},"link":"https://example.com/dinner"}`)
	quiet := raw
	quiet.Priority = carillon.PriorityLow
	tapped := both
	tapped.Options = []byte(options)
	ids := make([]carillon.ID, 200)
	for i := range ids {
		ids[i] = carillon.ID{byte(i + 1), 2, 3, 4, 5, 6, 0x87, 8, 0x99}
	}
	pushes := map[string]carillon.Push{}
	for name, c := range map[string]struct {
		kind carillon.Kind
		n    carillon.Notification
	}{
		"alert": {carillon.KindAlert, visual}, "both": {carillon.KindAlert, both}, "styled": {carillon.KindAlert, styled},
		"hard": {carillon.KindAlert, hard}, "data": {carillon.KindData, raw}, "low": {carillon.KindData, low},
		"large": {carillon.KindData, large}, "fallback": {carillon.KindFallback, fallback},
		"tap": {carillon.KindTap, tapped}, "clear": {carillon.KindClear, tapped},
		"plain": {carillon.KindAlert, plain}, "dressed": {carillon.KindAlert, dressed}, "quiet": {carillon.KindData, quiet},
		"fetch": {carillon.KindTap, plain},
	} {
		pushes[name] = carillon.Push{
			Ref: name, Kind: c.kind, Attempt: 1, Notification: &c.n,
			Endpoint: &carillon.Endpoint{ID: "phone-1", Address: address, AppID: "com.example.app"},
			ID:       carillon.ID{1, 2, 3, 4, 5, 6, 0x87, 8, 0x99, 10, 11, 12, 13, 14, 15, 16},
			Created:  carillon.MakeSeq(1, 41), Seq: carillon.MakeSeq(7, 1<<44-1),
		}
	}
	for name, push := range typed(visual, raw) {
		push.ID, push.Created, push.Seq, push.Ref = pushes["alert"].ID, pushes["alert"].Created, pushes["alert"].Seq, name
		pushes[name] = push
	}
	for name, cleared := range map[string][]carillon.ID{"handled": ids[:3], "behind": nil} { // as the dispatcher makes them
		p := carillon.Push{
			Ref: name, Kind: carillon.KindTap, Attempt: 1, Endpoint: pushes["alert"].Endpoint, Cleared: cleared,
			Notification: &carillon.Notification{Expires: start().Add(carillon.DefaultLife).UnixMilli(), TTL: -1, Badge: -1},
			Created:      carillon.MakeSeq(1, 57), Seq: carillon.MakeSeq(1, 57),
		}
		if len(cleared) > 0 {
			p.Kind, p.ID = carillon.KindClear, cleared[len(cleared)-1]
		}
		pushes[name] = p
	}
	for name, n := range map[string]int{"clears": 3, "too-many-clears": len(ids)} {
		p := pushes["clear"]
		p.Ref, p.Cleared = name, ids[:n]
		pushes[name] = p
	}
	return pushes
}

// typed is a push for each of Apple's push types that has tokens of its own.
func typed(visual, raw carillon.Notification) map[string]carillon.Push {
	pushes := map[string]carillon.Push{}
	for name, c := range map[string]struct {
		kind                   carillon.Kind
		n                      carillon.Notification
		suffix, asked, options string
	}{
		"voip":          {carillon.KindAlert, visual, ".voip", "voip", `,"ttl":30},"data":{"call":"7"}`},
		"voip-large":    {carillon.KindData, large(raw, 4900), ".voip", "voip", "}"}, // more than others may have
		"voip-tap":      {carillon.KindData, large(raw, 5100), ".voip", "voip", "}"},
		"pushtotalk":    {carillon.KindData, raw, ".voip-ptt", "pushtotalk", `},"data":{"activeSpeaker":"Ann"}`},
		"complication":  {carillon.KindData, raw, ".complication", "complication", `,"priority":5}`},
		"location":      {carillon.KindTap, raw, ".location-query", "location", "}"},
		"fileprovider":  {carillon.KindData, raw, ".pushkit.fileprovider", "fileprovider", `},"data":{"container-identifier":"x","domain":"y"}`},
		"widgets":       {carillon.KindAlert, visual, ".push-type.widgets", "widgets", "}"},
		"controls":      {carillon.KindTap, visual, ".push-type.controls", "controls", "}"},
		"activity":      {carillon.KindData, raw, ".push-type.liveactivity", "liveactivity", `,"event":"update","content-state":{"score":"1:0"},"stale-date":1798113600,"relevance-score":75,"priority":5}`},
		"activity-ends": {carillon.KindAlert, visual, ".push-type.liveactivity", "liveactivity", `,"event":"end","content-state":{"score":"2:0"},"dismissal-date":1798113600,"sound":"whistle.caf"}`},
		"activity-starts": {
			carillon.KindAlert, visual, ".push-type.liveactivity", "liveactivity",
			`,"event":"start","content-state":{"score":"0:0"},"attributes-type":"Match","attributes":{"home":"A"},"input-push-token":1}`,
		},
	} {
		c.n.Accepted = start().UnixMilli()
		c.n.Options = []byte(`{"apns":{"push-type":"` + c.asked + `"` + c.options + `}`)
		pushes[name] = carillon.Push{
			Kind: c.kind, Attempt: 1, Notification: &c.n,
			Endpoint: &carillon.Endpoint{ID: "phone-1", Address: address, AppID: bundle + c.suffix},
		}
	}
	return pushes
}

func large(n carillon.Notification, size int) carillon.Notification {
	n.Raw = strings.Repeat("x", size)
	return n
}

// TestPushTypes: a token of one push type gets nothing of another.
func TestPushTypes(t *testing.T) {
	visual := carillon.Notification{Expires: start().Add(time.Hour).UnixMilli(), TTL: -1, Badge: -1, HasVisual: true, Title: "t", Fallback: carillon.Fallback{Title: "f"}}
	for _, c := range []struct {
		appID, asked string
		kind         carillon.Kind
		takes        bool
	}{
		{bundle, "", carillon.KindAlert, true},
		{bundle, "alert", carillon.KindAlert, true},
		{bundle, "voip", carillon.KindAlert, false},
		{bundle, "voip", carillon.KindTap, false},
		{bundle, "voip", carillon.KindFallback, true}, // it follows to plain tokens
		{bundle, "voip", carillon.KindClear, true},
		{bundle + ".voip", "", carillon.KindAlert, false},
		{bundle + ".voip", "", carillon.KindTap, false},
		{bundle + ".voip", "", carillon.KindClear, false},
		{bundle + ".voip", "voip", carillon.KindClear, false},
		{bundle + ".voip", "voip", carillon.KindFallback, false},
		{bundle + ".voip", "voip", carillon.KindAlert, true},
		{bundle + ".voip", "pushtotalk", carillon.KindAlert, false},
		{bundle + ".push-type.liveactivity", "liveactivity", carillon.KindData, true},
		{bundle + ".push-type.liveactivity", "liveactivity", carillon.KindTap, false},
		{"com.acme.voip", "", carillon.KindAlert, true}, // no app's suffix, as com.acme is no bundle id
	} {
		n := visual
		if c.asked != "" {
			n.Options = []byte(`{"apns":{"push-type":"` + c.asked + `"}}`)
		}
		p := carillon.Push{Kind: c.kind, Notification: &n, Endpoint: &carillon.Endpoint{ID: "p", Address: address, AppID: c.appID}}
		if _, _, body, _ := apns.Encode(&p, start(), bundle); (body != nil) != c.takes {
			t.Errorf("%s to %s asking for %q: takes it: %v", c.kind, c.appID, c.asked, body != nil)
		}
	}
	n := large(visual, 5000)
	n.HasRaw, n.Options = true, []byte(`{"apns":{"push-type":"liveactivity","event":"end"}}`)
	p := carillon.Push{Kind: carillon.KindAlert, Notification: &n, Endpoint: &carillon.Endpoint{ID: "p", Address: address, AppID: bundle + ".push-type.liveactivity"}}
	if _, _, body, _ := apns.Encode(&p, start(), bundle); body != nil {
		t.Errorf("a Live Activity of %d bytes went out", len(body))
	}
}

// TestGolden holds path, headers and body of each push to the byte.
func TestGolden(t *testing.T) {
	pushes := golden()
	for _, name := range slices.Sorted(maps.Keys(pushes)) {
		t.Run(name, func(t *testing.T) {
			p := pushes[name]
			path, fields, body, kind := apns.Encode(&p, start(), bundle)
			var b bytes.Buffer
			b.WriteString("kind " + kind.String() + "\n")
			for _, f := range append(apns.Head(path), fields...) {
				b.WriteString(f.Name + ": " + f.Value + "\n")
			}
			b.WriteString("\n")
			b.Write(body)
			b.WriteString("\n")
			if body[0] == '{' && !json.Valid(body) {
				t.Errorf("no JSON: %s", body)
			}
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const (
	bundle  = "com.example.app"
	address = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
	options = `{"apns":{"sound":{"critical":1,"name":"\u0001x\"","volume":0.5},"badge":7,"category":"TEA","thread-id":"t","subtitle":"s",` +
		`"interruption-level":"time-sensitive","relevance-score":nan,"mutable-content":1,"content-available":1},` +
		`"data":{"a":1,"aps":{},"carillon":1,"ü":["x",null,true]},"link":"app://tea?a=b"}`
)
