package gateway

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"

	"carillon"
)

// optionSample is what testdata/options.json of the module says of an option.
type optionSample struct {
	With map[string]json.RawMessage `json:"with"` // options that must stand beside it
	Good []json.RawMessage          `json:"good"`
	Bad  []json.RawMessage          `json:"bad"`
}

// body is a notification with one option, and those that it needs.
func (s *optionSample) body(t *testing.T, platform, name string, value json.RawMessage) string {
	t.Helper()
	all := map[string]json.RawMessage{name: value}
	maps.Copy(all, s.With)
	b, err := json.Marshal(map[string]any{
		"targetHostName": "app.example.com", "payload": map[string]any{"visualContent": map[string]string{"title": "t"}},
		"platformOptions": map[string]any{platform: all},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestOptions holds every option to its samples, and has samples of every one.
func TestOptions(t *testing.T) {
	raw, err := os.ReadFile("../testdata/options.json")
	if err != nil {
		t.Fatal(err)
	}
	var samples map[string]map[string]*optionSample
	if err := json.Unmarshal(raw, &samples); err != nil {
		t.Fatal(err)
	}
	for platform, options := range map[string][]carillon.Option{"apns": carillon.APNsOptions(), "fcm": carillon.FCMOptions(), "wns": carillon.WNSOptions()} {
		if len(options) > 64 {
			t.Errorf("%s: more options than the door can count", platform)
		}
		if len(samples[platform]) != len(options) {
			t.Errorf("%s: samples of %d options, there are %d", platform, len(samples[platform]), len(options))
		}
		for _, o := range options {
			s := samples[platform][o.Name]
			if s == nil || len(s.Good) == 0 || len(s.Bad) == 0 {
				t.Errorf("%s.%s: no samples", platform, o.Name)
				continue
			}
			for _, v := range s.Good {
				body := s.body(t, platform, o.Name, v)
				d, err := decodeText(body, false)
				if err != nil {
					t.Errorf("%s: %v", body, err)
				} else if len(d.n.Options) == 0 {
					t.Errorf("%s: not kept", body)
				}
			}
			target := "platformOptions." + platform + "." + o.Name
			for _, v := range s.Bad {
				body := s.body(t, platform, o.Name, v)
				if _, err := decodeText(body, false); err == nil || !strings.HasPrefix(err.Target, target) || err.Message == "" {
					t.Errorf("%s: %v, want a fault of %s", body, err, target)
				}
			}
		}
	}
}
