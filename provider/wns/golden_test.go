package wns_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/provider/wns"
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
	dressed.HasRaw, dressed.Raw, dressed.TTL, dressed.Options = true, `{"table":4}`, 900, []byte(`{"wns":{"scenario":"reminder","actions":[{"content":"Coming","arguments":"coming"}]},"data":{"pot":7},"link":"https://example.com/dinner"}`)
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
	for name, options := range map[string]string{"now-or-never": `{"wns":{"ttl":0,"priority":2}}`, "not-kept": `{"wns":{"cachePolicy":"no-cache","priority":4}}`} {
		p := pushes["data"]
		n := *p.Notification
		n.Options = []byte(options)
		p.Ref, p.Notification = name, &n
		pushes[name] = p
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

// TestGolden holds path, headers and body of each push to the byte.
func TestGolden(t *testing.T) {
	pushes := golden()
	for _, name := range slices.Sorted(maps.Keys(pushes)) {
		t.Run(name, func(t *testing.T) {
			p := pushes[name]
			path, fields, body, kind := wns.Encode(&p, start())
			var b bytes.Buffer
			b.WriteString("kind " + kind.String() + "\n")
			for _, f := range append(wns.Head(address, path), fields...) {
				b.WriteString(f.Name + ": " + f.Value + "\n")
			}
			b.WriteString("\n")
			b.Write(body)
			b.WriteString("\n")
			if body[0] == '<' {
				dec := xml.NewDecoder(bytes.NewReader(body))
				for err := error(nil); err == nil; {
					if _, err = dec.Token(); err != nil && !errors.Is(err, io.EOF) {
						t.Errorf("no XML: %v in %s", err, body)
					}
				}
			}
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
	address = "https://wns2-by3p.notify.windows.com/?token=AwYAAAD%2f%2bx%3d"
	// options holds all there are, some with names and values that the door lets
	// nobody send: they must not spoil the toast.
	options = `{"wns":{"scenario":"reminder","duration":"forever","sound":"ms-winsoundevent:Notification.Mail","soundLoop":true,"image":"https://example.com/t.png?a=b&c=d","imageCrop":"circle",` +
		`"hero":"h","inlineImage":"i","attribution":"via <tea>","displayTimestamp":"2026-11-24T12:00:00Z","useButtonStyle":true,"launch":"page=1&x=\"y\"","collectionId":"teas","ttl":90,` +
		`"header":{"id":"1","title":"Teas & more","arguments":"a","colour":"x"},"inputs":[{"id":"reply","type":"text","placeHolderContent":"Say <hm>"},` +
		`{"id":"when","type":"selection","defaultInput":"5","selections":[{"id":"5","content":"5 min"},{"id":"60","content":"1 h"}]},7],` +
		`"actions":[{"content":"Drink","arguments":"drink","activationType":"background","inputId":"reply","buttonStyle":"Success","toolTip":"t","imageUri":"u"},{"content":"Later","arguments":"snooze","placement":"contextMenu"},null]},` +
		`"data":{"a":1,"carillon":1,"ü":["x",null,true]},"link":"app://tea?a=b&c"}`
)
