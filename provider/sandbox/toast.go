package sandbox

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// toast is what a device shows of a toast's XML.
type toast struct {
	launch, tag, group string
	title, body        string
}

// readToast takes the first <text> as title and the others, a line each, as body.
// What was read before a fault is returned with it.
func readToast(b []byte) (toast, error) {
	var (
		t     toast
		lines []string
		text  *strings.Builder
		root  bool
	)
	dec := xml.NewDecoder(bytes.NewReader(b))
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.fill(lines)
			return t, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			switch tok.Name.Local {
			case "toast":
				root = true
				t.attributes(tok.Attr)
			case "text":
				text = &strings.Builder{}
			}
		case xml.CharData:
			if text != nil {
				text.Write(tok)
			}
		case xml.EndElement:
			if tok.Name.Local == "text" && text != nil {
				lines = append(lines, strings.TrimSpace(text.String()))
				text = nil
			}
		}
	}
	t.fill(lines)
	if !root {
		return t, errors.New("no toast element")
	}
	return t, nil
}

func (t *toast) attributes(attrs []xml.Attr) {
	for _, a := range attrs {
		switch a.Name.Local {
		case "launch":
			t.launch = a.Value
		case "tag":
			t.tag = a.Value
		case "group":
			t.group = a.Value
		}
	}
}

func (t *toast) fill(lines []string) {
	if len(lines) > 0 {
		t.title, t.body = lines[0], strings.Join(lines[1:], "\n")
	}
}
