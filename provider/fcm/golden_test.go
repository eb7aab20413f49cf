package fcm_test

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
	"carillon/provider/fcm"
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
	dressed.HasRaw, dressed.Raw, dressed.TTL, dressed.Options = true, `{"table":4}`, 900, []byte(`{"fcm":{"channelId":"dinner","sound":"bell","color":"#4a90d9"},"data":{"pot":7},"link":"https://example.com/dinner"}`)
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
	tooLarge := pushes["data"]
	most := *tooLarge.Notification
	most.Raw = strings.Repeat("x", carillon.MaxRaw)
	tooLarge.Ref, tooLarge.Notification = "too-large", &most
	pushes["too-large"] = tooLarge
	byFID := pushes["both"]
	byFID.Ref, byFID.Endpoint = "fid", &carillon.Endpoint{ID: "phone-1", Address: "dQw4w9WgXcQ_-AbCdEfGh1", AppID: "com.example.app"}
	pushes["fid"] = byFID
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

// TestGolden holds path, headers and body of each push to the byte.
func TestGolden(t *testing.T) {
	pushes := golden()
	for _, name := range slices.Sorted(maps.Keys(pushes)) {
		t.Run(name, func(t *testing.T) {
			p := pushes[name]
			path, fields, body, kind := fcm.Encode(&p, start())
			var b bytes.Buffer
			b.WriteString("kind " + kind.String() + "\n")
			for _, f := range append(fcm.Head(path), fields...) {
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
	address = "cabcdefghijklmnopqrstu:APA91b_token-x"
	// options holds all there are, some with names and values that the door lets
	// nobody send: they must not spoil the message.
	options = `{"fcm":{"channelId":"tea","image":"https://example.com/t.png","color":"#112233","sound":"bell","clickAction":"OPEN","icon":7,"titleLocKey":"x","titleLocArgs":["a","b"],` +
		`"ticker":"Tea","notificationPriority":"PRIORITY_HIGH","visibility":"PRIVATE","proxy":"ALLOW","eventTime":"2026-11-24T12:00:00Z","sticky":true,"localOnly":false,"defaultSound":1,` +
		`"defaultVibrateTimings":false,"vibrateTimings":["0.5s","1s"],"lightSettings":{"color":{"red":1,"green":0.5},"lightOnDuration":"1s","lightOffDuration":"2s"},"defaultLightSettings":false,` +
		`"notificationCount":4,"directBootOk":true,"bandwidthConstrainedOk":true,"restrictedSatelliteOk":false,"analyticsLabel":"tea-2026","ttl":90,"tag":"x","collapseKey":"x"},` +
		`"data":{"a":1,"from":"x","google.x":"x","carillon_id":"x","raw":"mine","ü":["x\u0001",null,true]},"link":"app://tea?a=b"}`
)
