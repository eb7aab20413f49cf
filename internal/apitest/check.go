package apitest

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Exchange is a request and its answer.
type Exchange struct {
	Method string
	URL    *url.URL
	Sent   http.Header
	// Body was sent; nil when it is not known.
	Body   []byte
	Status int
	Header http.Header
	// Answer is the answer's body. Cut tells that it was not read to its end, and
	// is not looked at.
	Answer []byte
	Cut    bool
}

// place is where an operation stands in the document, and what it says.
type place struct {
	at []string
	op map[string]any
}

// Check tells what of an exchange is not as it is described.
func (d *Document) Check(x *Exchange) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s %s: %d: %w", x.Method, x.URL.EscapedPath(), x.Status, fmt.Errorf(format, args...))
	}
	if x.Method == http.MethodOptions {
		return nil
	}
	if x.Status >= http.StatusBadRequest && !x.Cut && x.Method != http.MethodHead {
		if err := d.valid(pointer("components", "schemas", "Error"), x.Answer); err != nil {
			return fail("the error %.300s: %w", x.Answer, err)
		}
	}
	p, err := d.operation(x)
	if err != nil {
		return fail("%w", err)
	}
	if p == nil {
		return nil // a fault that has no operation
	}
	if x.Status == http.StatusMethodNotAllowed {
		return nil // a rig of one room does not serve all of a path's methods
	}
	responses := object(p.op["responses"])
	known, ok := responses[strconv.Itoa(x.Status)]
	response := object(d.resolve(known))
	if !ok {
		return fail("the description has %v", names(responses))
	}
	for name, h := range object(response["headers"]) {
		if required, _ := object(d.resolve(h))["required"].(bool); required && x.Header.Get(name) == "" {
			return fail("it has no %s", name)
		}
	}
	if err := d.content(x, response); err != nil {
		return fail("%w", err)
	}
	if x.Status < http.StatusMultipleChoices {
		if err := d.sent(x, p); err != nil {
			return fail("%w", err)
		}
	}
	return nil
}

// operation finds what describes a request. It is nil for a request that nobody
// serves, when that is what it was told.
func (d *Document) operation(x *Exchange) (*place, error) {
	item, pattern := d.find(x.URL.EscapedPath())
	if item == nil {
		if x.Status >= http.StatusBadRequest {
			return nil, nil
		}
		return nil, errors.New("the path is not described: add it to internal/httpapi/openapi.yaml")
	}
	method := strings.ToLower(x.Method)
	if method == "head" {
		method = "get"
	}
	op := object(item[method])
	if len(op) == 0 {
		if x.Status >= http.StatusBadRequest {
			return nil, nil
		}
		return nil, fmt.Errorf("%s has no %s: add it to internal/httpapi/openapi.yaml", pattern, method)
	}
	return &place{at: []string{"paths", pattern, method}, op: op}, nil
}

// content holds an answer's body to its description.
func (d *Document) content(x *Exchange, response map[string]any) error {
	content := object(response["content"])
	if x.Method == http.MethodHead {
		return nil
	}
	if len(content) == 0 {
		if len(x.Answer) > 0 {
			return fmt.Errorf("it has a body: %.100s", x.Answer)
		}
		return nil
	}
	kind, _, _ := mime.ParseMediaType(x.Header.Get("Content-Type"))
	media := object(content[kind])
	if len(media) == 0 {
		return fmt.Errorf("it is %q, described are %v", kind, names(content))
	}
	switch {
	case x.Cut:
		return nil
	case kind == "application/json":
		return d.fits(media["schema"], x.Answer, true)
	case media["x-itemSchema"] != nil:
		return d.lines(media["x-itemSchema"], x.Answer)
	}
	return nil
}

// sent holds a request that was served to its description.
func (d *Document) sent(x *Exchange, p *place) error {
	takes := map[string]bool{}
	for _, owner := range []any{p.op, d.at(pointer(p.at[:2]...))} {
		list, _ := object(d.resolve(owner))["parameters"].([]any)
		for _, v := range list {
			param := object(d.resolve(v))
			if param["in"] == "query" {
				takes[fmt.Sprint(param["name"])] = true
			}
		}
	}
	for name := range x.URL.Query() {
		if strings.HasPrefix(name, "$") && !takes[name] {
			return fmt.Errorf("it took the parameter %s, which is not described", name)
		}
	}
	body := object(d.resolve(p.op["requestBody"]))
	if strings.Contains(x.Sent.Get("Content-Type"), "ndjson") || x.Body == nil || x.Sent.Get("Content-Encoding") != "" || len(bytes.TrimSpace(x.Body)) == 0 {
		return nil
	}
	media := object(object(body["content"])["application/json"])
	if len(media) == 0 {
		return nil
	}
	if err := d.fits(media["schema"], x.Body, false); err != nil {
		return fmt.Errorf("it took the body %.300s: %w", x.Body, err)
	}
	return nil
}

// lines holds each line to a schema.
func (d *Document) lines(schema any, text []byte) error {
	for line := range bytes.Lines(text) {
		if err := d.fits(schema, line, true); err != nil {
			return fmt.Errorf("the line %.200s: %w", line, err)
		}
	}
	return nil
}

// fits holds JSON to a schema of the document, which is a reference or simple
// enough to take any JSON.
func (d *Document) fits(schema any, text []byte, closed bool) error {
	ref, ok := object(schema)["$ref"].(string)
	if !ok {
		_, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		return err
	}
	if !closed {
		return d.validates(ref, text, false)
	}
	return d.valid(ref, text)
}

func (d *Document) valid(ref string, text []byte) error { return d.validates(ref, text, true) }

func (d *Document) validates(ref string, text []byte, closed bool) error {
	s, err := d.schema(ref, closed)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}
