package apitest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"carillon/internal/apitest"
)

const described = `{
  "paths": {
    "/beta/me/things/{id}": {"parameters": [{"name": "$top", "in": "query"}], "get": {"responses": {
      "200": {"headers": {"ETag": {"required": true}}, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
      "204": {"description": "nothing"},
      "404": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}}},
      "put": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}, "responses": {"204": {}}}},
    "/beta/me/things/fixed": {"get": {"responses": {"200": {"content": {"application/x-ndjson": {"x-itemSchema": {"$ref": "#/components/schemas/Thing"}}}}}}},
    "/v1.0/me/things/{id}": {"$ref": "#/paths/~1beta~1me~1things~1%7Bid%7D"}
  },
  "components": {"schemas": {
    "Thing": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "format": "uuid"}, "kind": {"enum": ["Big"], "x-anyCase": true}}},
    "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "object", "required": ["code"], "properties": {"code": {"type": "string"}}}}}
  }}}`

func TestCheck(t *testing.T) {
	doc, err := apitest.Parse([]byte(described))
	if err != nil {
		t.Fatal(err)
	}
	const (
		thing = `{"id":"0e3b1f6a-0000-4000-8000-000000000000"}`
		fault = `{"error":{"code":"itemNotFound"}}`
	)
	head := http.Header{"Content-Type": {"application/json;charset=utf-8"}, "Etag": {`"1"`}}
	lines := http.Header{"Content-Type": {"application/x-ndjson"}}
	for name, c := range map[string]struct {
		method, path, sent string
		status             int
		header             http.Header
		answer, want       string
	}{
		"good":                    {"GET", "/beta/me/things/5", "", 200, head, thing, ""},
		"its twin":                {"GET", "/v1.0/me/things('5')", "", 200, head, thing, ""},
		"HEAD":                    {"HEAD", "/beta/me/things/5", "", 200, head, "", ""},
		"nothing":                 {"GET", "/beta/me/things/5", "", 204, nil, "", ""},
		"a fault":                 {"GET", "/beta/me/things/5/", "", 404, head, fault, ""},
		"lines":                   {"GET", "/beta/me/things/fixed", "", 200, lines, thing + "\n" + thing + "\n", ""},
		"a path of nobody":        {"GET", "/beta/me", "", 404, head, fault, ""},
		"what is not described":   {"GET", "/beta/me", "", 200, head, thing, "add it to internal/httpapi/openapi.yaml"},
		"a method that is not":    {"POST", "/beta/me/things/5", "", 200, head, thing, "has no post: add it"},
		"a status that is not":    {"GET", "/beta/me/things/5", "", 201, head, thing, "the description has [200 204 404]"},
		"a body where none is":    {"GET", "/beta/me/things/5", "", 204, head, thing, "it has a body"},
		"another media type":      {"GET", "/beta/me/things/5", "", 200, http.Header{"Content-Type": {"text/plain"}, "Etag": {"1"}}, thing, `it is "text/plain"`},
		"no header":               {"GET", "/beta/me/things/5", "", 200, http.Header{"Content-Type": {"application/json"}}, thing, "it has no ETag"},
		"a member too many":       {"GET", "/beta/me/things/5", "", 200, head, thing[:len(thing)-1] + `,"x":1}`, "additional properties 'x' not allowed"},
		"a member too few":        {"GET", "/beta/me/things/5", "", 200, head, `{}`, "missing property 'id'"},
		"no uuid":                 {"GET", "/beta/me/things/5", "", 200, head, `{"id":"5"}`, "is not valid uuid"},
		"no JSON":                 {"GET", "/beta/me/things/5", "", 200, head, `{`, "EOF"},
		"another error form":      {"GET", "/beta/me/things/5", "", 404, head, `{"message":"no"}`, "the error"},
		"a bad line":              {"GET", "/beta/me/things/fixed", "", 200, lines, thing + "\n{}\n", "the line {}"},
		"an option":               {"GET", "/beta/me/things/5?$top=1", "", 200, head, thing, ""},
		"an option not described": {"GET", "/beta/me/things/5?$skip=1", "", 200, head, thing, "$skip"},
		"a request":               {"PUT", "/beta/me/things/5", `{"id":"0e3b1f6a-0000-4000-8000-000000000000","more":1}`, 204, nil, "", ""},
		"a word in another case":  {"PUT", "/beta/me/things/5", `{"id":"0e3b1f6a-0000-4000-8000-000000000000","kind":"bIG"}`, 204, nil, "", ""},
		"another word":            {"PUT", "/beta/me/things/5", `{"id":"0e3b1f6a-0000-4000-8000-000000000000","kind":"bigger"}`, 204, nil, "", "kind"},
		"a request not described": {"PUT", "/beta/me/things/5", `{}`, 204, nil, "", "it took the body"},
	} {
		u, err := url.Parse(c.path)
		if err != nil {
			t.Fatal(err)
		}
		x := apitest.Exchange{Method: c.method, URL: u, Sent: http.Header{}, Body: []byte(c.sent), Status: c.status, Header: c.header, Answer: []byte(c.answer)}
		switch err := doc.Check(&x); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
