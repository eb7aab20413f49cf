package provider_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write docs/wire/*.http anew")

// documented are the golden pushes of the rooms that docs/wire shows, and what
// stands above each.
func documented() map[string][][2]string {
	return map[string][][2]string{
		"apns": {
			{"plain", "visual content: iOS shows it; the collapse id lets a newer version replace it"},
			{"dressed", "visual and raw content with platformOptions, data and a link"},
			{"data", "raw content: a background push, of which iOS grants two or three an hour"},
			{"fetch", "a tap: no content, the app comes and fetches (push: tapOnly)"},
			{"large", "raw content that is too large for Apple: a tap in its place"},
			{"fallback", "the toast of a fallbackPolicy, 60 to 600 s after raw content that nobody fetched"},
			{"handled", "a clear: handled on another device, off this one's screen"},
			{"behind", "a clear of more than can be named: a tap without an id"},
			{"voip", "a push of type voip, to a token of its own"},
			{"activity", "an update of a Live Activity, to a token of its own"},
		},
		"fcm": {
			{"plain", "visual content: Android shows it; the tag lets a newer version replace it"},
			{"dressed", "visual and raw content with platformOptions, data and a link"},
			{"data", "raw content with priority High: wakes a sleeping device"},
			{"quiet", "raw content with priority Low: waits until the device is awake"},
			{"fetch", "a tap: no content, the app comes and fetches (push: tapOnly)"},
			{"too-large", "raw content that is too large for Google: a tap in its place"},
			{"handled", "a clear: handled on another device, off this one's screen"},
			{"behind", "a clear of more than can be named: a tap without an id"},
			{"fid", "an address that is a Firebase installation id"},
		},
		"wns": {
			{"plain", "visual content, a toast: Windows shows it"},
			{"dressed", "visual and raw content with platformOptions, data and a link"},
			{"data", "raw content with priority High"},
			{"quiet", "raw content with priority Low"},
			{"now-or-never", "raw content with platformOptions.wns.ttl 0: not kept for a device that is off"},
			{"fetch", "a tap: no content, the app comes and fetches (push: tapOnly)"},
			{"large", "raw content that is too large for Microsoft: a tap in its place"},
			{"handled", "a clear: handled on another device, off this one's screen"},
			{"behind", "a clear of more than can be named: a tap without an id"},
		},
	}
}

// TestDocumented holds docs/wire to what the encoders write: the rooms' golden
// pushes, which their own tests hold to the byte.
func TestDocumented(t *testing.T) {
	docs := filepath.Join("..", "docs", "wire")
	readme, err := os.ReadFile(filepath.Join(docs, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for room, list := range documented() {
		for _, c := range list {
			file := room + "-" + c[0] + ".http"
			names = append(names, file)
			t.Run(file, func(t *testing.T) {
				golden, err := os.ReadFile(filepath.Join(room, "testdata", c[0]+".golden"))
				if err != nil {
					t.Fatal(err)
				}
				got := "# " + c[1] + "\n" + document(t, string(golden))
				if *update {
					if err := os.WriteFile(filepath.Join(docs, file), []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(filepath.Join(docs, file))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("write it anew with -update:\n%s", diff)
				}
				if line := "| [" + file + "](" + file + ") | " + c[1] + " |"; !strings.Contains(string(readme), line) {
					t.Errorf("docs/wire/README.md lacks the line\n%s", line)
				}
			})
		}
	}
	t.Run("schema", func(t *testing.T) { checkMarks(t, docs, names) })
	there, err := filepath.Glob(filepath.Join(docs, "*.http"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range there {
		if !slices.Contains(names, filepath.Base(file)) {
			t.Errorf("%s is no documented push any more", file)
		}
	}
}

// document is a golden push with its pseudo fields as a request line, and its
// body once more, indented.
func document(t *testing.T, golden string) string {
	t.Helper()
	head, body, ok := strings.Cut(golden, "\n\n")
	kind, head, found := strings.Cut(head, "\n")
	if !ok || !found {
		t.Fatalf("no golden push: %q", golden)
	}
	field := func(name string) (value string) {
		line := regexp.MustCompile(`(?m)^` + name + `: (.*)\n`)
		value = line.FindStringSubmatch(head)[1]
		head = line.ReplaceAllString(head, "")
		return value
	}
	url := field(":scheme") + "://" + field(":authority") + field(":path")
	method := field(":method")
	text := "# " + strings.Replace(kind, " ", ": ", 1) + "\n\n" + method + " " + url + " HTTP/2\n" + head + "\n\n" + body
	if body[0] != '{' {
		return text + "\n# the same, indented\n\n" + indentXML(body) + "\n"
	}
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(body), "", "  "); err != nil {
		t.Fatal(err)
	}
	return text + "\n# the same, indented\n\n" + b.String()
}

// indentXML puts each element on a line of its own; what a text holds stays.
func indentXML(s string) string {
	var b strings.Builder
	depth := 0
	for tag := range strings.SplitSeq(strings.TrimSpace(s), "<") {
		if tag == "" {
			continue
		}
		if tag[0] == '/' {
			depth--
			if strings.HasPrefix(tag, "/text") {
				b.WriteString("<" + tag)
				continue
			}
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		b.WriteString(strings.Repeat("  ", depth) + "<" + tag)
		if tag[0] != '/' && !strings.HasSuffix(tag, "/>") {
			depth++
		}
	}
	return b.String()
}

// checkMarks holds what the documented pushes carry for the app to
// carillon.schema.json.
func checkMarks(t *testing.T, docs string, names []string) {
	compile := func(part string) *jsonschema.Schema {
		s, err := jsonschema.NewCompiler().Compile(filepath.Join(docs, "carillon.schema.json") + "#/$defs/" + part)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	object, data, launch := compile("object"), compile("data"), compile("launch")
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(docs, name))
		if err != nil {
			t.Fatal(err)
		}
		body := strings.TrimSpace(strings.Split(string(b), "\n\n")[2])
		var push struct {
			Carillon any
			Message  struct{ Data any }
		}
		err = json.Unmarshal([]byte(body), &push)
		switch {
		case body[0] == '<':
			var toast struct {
				Launch string `xml:"launch,attr"`
			}
			if err = xml.Unmarshal([]byte(body), &toast); err == nil {
				err = launch.Validate(arguments(t, toast.Launch))
			}
		case err == nil && push.Carillon != nil:
			err = object.Validate(push.Carillon)
		case err == nil:
			err = data.Validate(push.Message.Data)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// arguments are a launch argument's names and values.
func arguments(t *testing.T, launch string) map[string]any {
	t.Helper()
	query, ok := strings.CutPrefix(launch, "carillon?")
	values, err := url.ParseQuery(query)
	if !ok || err != nil {
		t.Fatalf("%q: %v", launch, err)
	}
	m := map[string]any{}
	for name, v := range values {
		m[name] = v[0]
	}
	return m
}
