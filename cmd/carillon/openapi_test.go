package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"carillon/internal/apitest"
)

// TestRouterIsDescribed holds /openapi.json to the routes that there are.
func TestRouterIsDescribed(t *testing.T) {
	serving(t, func(_ context.Context, t *testing.T, s *system) {
		t.Helper()
		doc, err := apitest.Load()
		if err != nil {
			t.Fatal(err)
		}
		described, routes := doc.Operations(), s.doors.Router().Routes()
		for _, route := range routes {
			if !slices.Contains(described, route) {
				t.Errorf("%s has no entry in internal/httpapi/openapi.yaml: add it there, beside its like", route)
				continue
			}
			if twin := strings.Replace(route, " /beta/", " /v1.0/", 1); !slices.Contains(described, twin) {
				t.Errorf("%s has no entry in internal/httpapi/openapi.yaml: add a $ref to the one under /beta", twin)
			}
		}
		named := strings.NewReplacer(" /v1.0/", " /beta/", "(appNotificationId='{key}')", "/{nid}")
		for _, op := range described {
			if !slices.Contains(routes, named.Replace(op)) {
				t.Errorf("%s stands in internal/httpapi/openapi.yaml and is no route", op)
			}
		}
	})
}
