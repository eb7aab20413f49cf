package httpapi

import (
	_ "embed" // for the description
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"

	"github.com/goccy/go-yaml"
	"github.com/valyala/fasthttp"

	"carillon"
)

const descriptionPath = "/openapi.json"

//go:embed openapi.yaml
var openapi []byte

// Description is openapi.yaml as it is served: the API as an OpenAPI 3.1
// document in JSON.
func Description() ([]byte, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(openapi, &doc); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	fillOptions(doc)
	delete(doc, "x-sets") // they only hold what is merged in elsewhere
	return json.Marshal(doc)
}

// Describe registers GET /openapi.json, which takes no token: what it tells
// stands in the sources.
func (s *Server) Describe() {
	load := sync.OnceValues(func() (served described, err error) {
		if served.body, err = Description(); err != nil {
			return served, err
		}
		sum := fnv.New64a()
		_, _ = sum.Write(served.body)
		served.etag = `"` + strconv.FormatUint(sum.Sum64(), 36) + `"`
		return served, nil
	})
	s.router.Handle("GET", descriptionPath, func(r *Request) error {
		doc, err := load()
		if err != nil {
			return &carillon.Error{Code: carillon.CodeInternal, Message: "the description cannot be read", Cause: err}
		}
		r.SetHeader("ETag", doc.etag)
		if NoneMatch(r.Header("If-None-Match"), doc.etag) {
			r.Status(fasthttp.StatusNotModified)
			return nil
		}
		r.JSON(fasthttp.StatusOK, doc.body)
		return nil
	})
}

// described is the description and its entity tag.
type described struct {
	body []byte
	etag string
}
