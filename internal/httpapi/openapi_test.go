package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/internal/apitest"
	"carillon/internal/httpapi"
)

func TestDescription(t *testing.T) {
	s, _ := start(t, httpapi.Config{}, quiet(), nil)
	c := &http.Client{Transport: apitest.Transport(t, nil)}
	get := func(tag string) (status int, etag string, body []byte) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/openapi.json", nil)
		req.Header.Set("If-None-Match", tag)
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header.Get("ETag"), b
	}
	status, etag, b := get("")
	var doc struct {
		OpenAPI string
		Sets    any `json:"x-sets"`
	}
	if err := json.Unmarshal(b, &doc); err != nil || status != 200 || doc.OpenAPI != "3.1.1" || doc.Sets != nil {
		t.Errorf("%d %v %+v", status, err, doc)
	}
	if status, _, b := get(etag); status != 304 || len(b) != 0 {
		t.Errorf("%d with %d bytes to one who has it", status, len(b))
	}
}

// TestDescribedErrors holds the codes and statuses of the description to those
// that there are.
func TestDescribedErrors(t *testing.T) {
	text, err := httpapi.Description()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct {
			Schemas struct {
				ErrorCode struct{ Enum []string }
			}
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	codes, statuses := map[string]bool{}, map[string]bool{"408": true, "431": true} // the protocol's own
	for c := carillon.CodeInternal; c <= carillon.CodeFailedDependency; c++ {
		codes[c.String()] = true
		statuses[fmt.Sprint(httpapi.StatusOf(c))] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(codes)), slices.Sorted(slices.Values(doc.Components.Schemas.ErrorCode.Enum))); diff != "" {
		t.Errorf("codes (-there are +described):\n%s", diff)
	}
	for path, item := range doc.Paths {
		for method, text := range item {
			var op struct{ Responses map[string]any }
			if method == "parameters" || json.Unmarshal(text, &op) != nil {
				continue
			}
			for status := range op.Responses {
				if status >= "400" && !statuses[status] {
					t.Errorf("%s %s describes %s, which no error has", method, path, status)
				}
			}
		}
	}
}
