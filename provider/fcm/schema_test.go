package fcm_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/provider/fcm"
)

// schema is the part of a discovery document's JSON schema that FCM's uses.
type schema struct {
	Ref        string            `json:"$ref"`
	Type       string            `json:"type"`
	Format     string            `json:"format"`
	Enum       []string          `json:"enum"`
	Items      *schema           `json:"items"`
	Properties map[string]schema `json:"properties"`
	Additional *schema           `json:"additionalProperties"`
}

// discovery is testdata/fcm-v1-discovery.json: Google's own description of FCM
// v1, revision 20261023, as google-api-python-client 2.202.0 carries it, without
// the descriptions.
type discovery struct {
	Revision string            `json:"revision"`
	Schemas  map[string]schema `json:"schemas"`
}

func readDiscovery(t testing.TB) *discovery {
	t.Helper()
	b, err := os.ReadFile("testdata/fcm-v1-discovery.json")
	if err != nil {
		t.Fatal(err)
	}
	d := &discovery{}
	if err := json.Unmarshal(b, d); err != nil || len(d.Schemas["SendMessageRequest"].Properties) == 0 {
		t.Fatalf("the discovery document: %v", err)
	}
	return d
}

// request lists what is wrong with a messages:send body.
func (d *discovery) request(body []byte) []string {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return []string{err.Error()}
	}
	wrong := d.check("", schema{Ref: "SendMessageRequest"}, v)
	m, _ := v.(map[string]any)
	msg, _ := m["message"].(map[string]any)
	targets := 0
	for _, name := range []string{"fid", "token", "topic", "condition"} {
		if msg[name] != nil {
			targets++
		}
	}
	if targets != 1 { // a union, which the document only describes in words
		wrong = append(wrong, fmt.Sprintf(".message: %d targets", targets))
	}
	return wrong
}

func (d *discovery) check(at string, s schema, v any) []string {
	if s.Ref != "" {
		of, ok := d.Schemas[s.Ref]
		if !ok {
			return []string{at + ": no schema " + s.Ref}
		}
		s = of
	}
	switch v := v.(type) {
	case map[string]any:
		return d.object(at, s, v)
	case []any:
		if s.Type != "array" {
			return []string{at + ": an array, want " + s.Type}
		}
		var wrong []string
		for i, e := range v {
			wrong = append(wrong, d.check(fmt.Sprintf("%s[%d]", at, i), *s.Items, e)...)
		}
		return wrong
	case string:
		return scalar(at, s, "string", text(s, v))
	case float64:
		kind := "number"
		if s.Type == "integer" {
			kind = "integer"
		}
		return scalar(at, s, kind, s.Type != "integer" || v == math.Trunc(v) && math.Abs(v) <= math.MaxInt32)
	case bool:
		return scalar(at, s, "boolean", true)
	}
	return []string{at + ": null"}
}

func (d *discovery) object(at string, s schema, o map[string]any) []string {
	if s.Type != "object" {
		return []string{at + ": an object, want " + s.Type}
	}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if p, ok := s.Properties[name]; ok {
			wrong = append(wrong, d.check(at+"."+name, p, o[name])...)
		} else if s.Additional != nil {
			wrong = append(wrong, d.check(at+"."+name, *s.Additional, o[name])...)
		} else {
			wrong = append(wrong, at+"."+name+": unknown")
		}
	}
	return wrong
}

func scalar(at string, s schema, kind string, ok bool) []string {
	if s.Type != kind {
		return []string{at + ": a " + kind + ", want " + s.Type}
	}
	if !ok {
		return []string{at + ": not one of its enum, or not of format " + s.Format}
	}
	return nil
}

// text checks a string's enum and format.
func text(s schema, v string) bool {
	switch s.Format {
	case "google-duration":
		return regexp.MustCompile(`^\d{1,12}(\.\d{1,9})?s$`).MatchString(v)
	case "google-datetime":
		_, err := time.Parse(time.RFC3339, v)
		return err == nil
	}
	return len(s.Enum) == 0 || slices.Contains(s.Enum, v)
}

// TestSchema holds every golden body to Google's own description of a request.
func TestSchema(t *testing.T) {
	d := readDiscovery(t)
	if d.Revision != "20261023" {
		t.Errorf("revision %s: correct what the comments say of it", d.Revision)
	}
	bodies := 0
	for name, p := range golden() {
		_, _, body, _ := fcm.Encode(&p, start())
		for _, b := range [][]byte{body, fcm.DryBody(&p, start())} {
			bodies++
			for _, wrong := range d.request(b) {
				t.Errorf("%s: %s in %s", name, wrong, b)
			}
		}
		if dry := string(fcm.DryBody(&p, start())); dry != `{"validateOnly":true,`+string(body[1:]) {
			t.Errorf("%s: a dry body is %s", name, dry)
		}
	}
	t.Logf("%d bodies", bodies)
}

// TestSchemaFinds: the check itself can fail.
func TestSchemaFinds(t *testing.T) {
	d := readDiscovery(t)
	f := func(message, says string) {
		t.Helper()
		wrong := d.request([]byte(`{"message":{"token":"t",` + message + `}}`))
		if len(wrong) != 1 || !strings.Contains(wrong[0], says) {
			t.Errorf("%s: %q, want one that says %q", message, wrong, says)
		}
	}
	f(`"tokn":"x"`, ".message.tokn: unknown")
	f(`"fid":"x"`, "2 targets")
	f(`"data":{"a":1}`, ".message.data.a: a number, want string")
	f(`"android":{"priority":"high"}`, "enum")
	f(`"android":{"ttl":"1m"}`, "google-duration")
	f(`"android":{"ttl":60}`, "a number, want string")
	f(`"android":{"notification":{"sticky":"yes"}}`, "a string, want boolean")
	f(`"android":{"notification":{"notificationCount":1.5}}`, "format int32")
	f(`"android":{"notification":{"titleLocArgs":[1]}}`, "titleLocArgs[0]")
	f(`"android":{"notification":{"eventTime":"noon"}}`, "google-datetime")
	f(`"android":{"notification":{"lightSettings":{"color":{"red":"1"}}}}`, "color.red: a string, want number")
	f(`"android":[]`, "an array, want object")
	f(`"android":null`, "null")
}
