package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"carillon"
)

// Bounds of a JSON batch.
const (
	maxBatched    = 20      // contract §5
	maxBatchBytes = 1 << 20 // of the request
	// maxBatchAnswer is where no further request of a batch is begun.
	maxBatchAnswer = 4 << 20
	batchPath      = "/$batch"
)

// Batch registers POST /beta/$batch: up to 20 Graph-shaped calls in one (contract
// §5). They run in their order, each as if its caller had made it alone, so each
// is authorized, bounded and answered by itself. One that depends on another
// runs after it, sees what it wrote, and is 424 when it failed. Known tells
// whether a token is anybody's: without one nothing of a batch is read.
func (s *Server) Batch(known func(token []byte) error) {
	s.router.Handle("POST", prefixBeta+batchPath, func(r *Request) error {
		token, err := r.Bearer()
		if err == nil {
			err = known(token)
		}
		if err != nil {
			return err
		}
		return s.batch(r)
	})
	for _, p := range []string{prefixBeta, prefixV1} {
		s.router.Bound("POST", p+batchPath, maxBatchBytes)
	}
}

// batched is one request of a batch.
type batched struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`

	done     bool
	status   int
	position string // where what it wrote stands
}

func (s *Server) batch(r *Request) error {
	body, err := r.Body(maxBatchBytes)
	if err != nil {
		return err
	}
	all, err := readBatch(body)
	if err != nil {
		return err
	}
	dst := append(make([]byte, 0, scratchBytes), `{"responses":[`...)
	for n := range all {
		b := nextBatched(all)
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = s.answerBatched(r, all, b, dst)
		b.done = true
	}
	r.JSON(fasthttp.StatusOK, append(dst, "]}"...))
	return nil
}

// readBatch decodes and checks a batch: what is wrong with it as a whole fails
// all of it, before anything is done.
func readBatch(body []byte) ([]*batched, error) {
	var in struct {
		Requests []*batched `json:"requests"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "requests", `{"requests":[{"id","method","url","headers","body","dependsOn"}]} is wanted: %.200s`, err)
	}
	bad := func(format string, args ...any) error {
		return carillon.Errorf(carillon.CodeInvalidRequest, "requests", format, args...)
	}
	if n := len(in.Requests); n == 0 || n > maxBatched {
		return nil, bad("a batch has 1 to %d requests, this one has %d", maxBatched, n)
	}
	for i, b := range in.Requests {
		switch {
		case b == nil || b.ID == "" || len(b.ID) > 128:
			return nil, bad("request %d has no id of 1 to 128 bytes", i+1)
		case slices.ContainsFunc(in.Requests[:i], func(o *batched) bool { return o.ID == b.ID }):
			return nil, bad("the id %.40q stands twice", b.ID)
		}
	}
	for _, b := range in.Requests {
		for _, id := range b.DependsOn {
			if id == b.ID || findBatched(in.Requests, id) == nil {
				return nil, bad("%.40q depends on %.40q, which is no other request of this batch", b.ID, id)
			}
		}
	}
	return in.Requests, ordered(in.Requests)
}

// ordered refuses a circle.
func ordered(all []*batched) error {
	defer func() {
		for _, b := range all {
			b.done = false
		}
	}()
	for range all {
		b := nextBatched(all)
		if b == nil {
			return carillon.Errorf(carillon.CodeInvalidRequest, "dependsOn", "requests depend on one another in a circle")
		}
		b.done = true
	}
	return nil
}

func findBatched(all []*batched, id string) *batched {
	if i := slices.IndexFunc(all, func(b *batched) bool { return b.ID == id }); i >= 0 {
		return all[i]
	}
	return nil
}

// nextBatched is the first one that waits for none.
func nextBatched(all []*batched) *batched {
	for _, b := range all {
		if !b.done && !slices.ContainsFunc(b.DependsOn, func(id string) bool { return !findBatched(all, id).done }) {
			return b
		}
	}
	return nil
}

// answerBatched runs one request and appends its response.
func (s *Server) answerBatched(r *Request, all []*batched, b *batched, dst []byte) []byte {
	var c fasthttp.RequestCtx
	fault := b.prepare(r, all, &c, len(dst))
	sub := s.acquire(r.base, &c)
	defer s.release(sub)
	sub.outer, sub.origin = r, r.origin
	if sub.client == "" {
		sub.client = r.client
	}
	if fault == nil {
		fault = s.dispatch(sub)
	}
	if fault != nil {
		s.writeError(sub, fault)
	}
	s.stamp(sub)
	b.status = c.Response.StatusCode()
	sub.route.count(b.status, s.clock.Now().Sub(sub.started))
	b.position = string(c.Response.Header.Peek(positionHeader))
	return appendBatched(dst, b, &c.Response)
}

// positionHeader carries the position of a write, and of what a read must see.
const positionHeader = "ReadWriteConsistencyToken"

// prepare makes the request that a caller would have made by himself.
func (b *batched) prepare(r *Request, all []*batched, c *fasthttp.RequestCtx, answered int) error {
	var req fasthttp.Request
	c.Init(&req, r.ctx.RemoteAddr(), nil)
	h := &c.Request.Header
	h.SetMethod(strings.ToUpper(b.Method))
	h.SetHostBytes(r.ctx.Host())
	c.Request.SetRequestURI(prefixBeta + "/")
	target, err := b.target(r)
	if err != nil {
		return err
	}
	c.Request.SetRequestURI(target)
	for name, value := range b.Headers {
		if err := batchedHeader(name, value); err != nil {
			return err
		}
		h.Set(name, value)
	}
	h.SetBytesV("Authorization", r.HeaderBytes("Authorization"))
	if len(h.Peek("X-UNS-ID")) == 0 {
		if uns := r.HeaderBytes("X-UNS-ID"); len(uns) > 0 {
			h.SetBytesV("X-UNS-ID", uns)
		}
	}
	for _, id := range b.DependsOn {
		on := findBatched(all, id)
		if on.status >= fasthttp.StatusBadRequest {
			return carillon.Errorf(carillon.CodeFailedDependency, "dependsOn", "not done: %.40q, which it depends on, failed with %d", id, on.status)
		}
		if on.position != "" && len(h.Peek(positionHeader)) == 0 {
			h.Set(positionHeader, on.position)
		}
	}
	if answered > maxBatchAnswer {
		return carillon.Errorf(carillon.CodeTooLarge, "", "not done: the answers before take %d bytes, at most %d may in one batch; ask for less, or by itself", answered, maxBatchAnswer)
	}
	return b.setBody(&c.Request)
}

// target is the URL of a request: relative to the version that the batch was
// sent to.
func (b *batched) target(r *Request) (string, error) {
	bad := func(format string, args ...any) (string, error) {
		return "", carillon.Errorf(carillon.CodeInvalidRequest, "url", format, args...)
	}
	u, err := url.Parse(b.URL)
	path, _, _ := strings.Cut(b.URL, "?")
	switch {
	case err != nil || b.URL == "" || u.IsAbs() || u.Host != "" || strings.ContainsAny(b.URL, " \t\r\n#"):
		return bad("%.100q is no URL relative to %s, such as /me/notifications", b.URL, r.Prefix())
	case strings.Contains(strings.ToLower(path), "$batch") || strings.Contains(strings.ToLower(path), "%24batch"):
		return bad("a batch may not stand in a batch")
	case !slices.Contains([]string{"GET", "POST", "PATCH", "PUT", "DELETE"}, strings.ToUpper(b.Method)):
		return "", carillon.Errorf(carillon.CodeInvalidRequest, "method", "%.20q is no method of a batch: GET, POST, PATCH, PUT or DELETE", b.Method)
	}
	return r.Prefix() + "/" + strings.TrimPrefix(b.URL, "/"), nil
}

// batchedHeader refuses what is the outer request's to say.
func batchedHeader(name, value string) error {
	bad := func(why string) error {
		return carillon.Errorf(carillon.CodeInvalidRequest, "headers", "%.60q %s", name, why)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return bad("is no header's name")
		}
	}
	switch lower := strings.ToLower(name); {
	case name == "" || len(value) > 8<<10 || strings.ContainsAny(value, "\r\n\x00"):
		return bad("is no header, or its value is not one line of at most 8 KiB")
	case slices.Contains([]string{
		"authorization", "host", "origin", "content-length", "content-encoding", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade", strings.ToLower(markHeader),
	}, lower):
		return bad("may not stand in a batch: it is the outer request's")
	}
	return nil
}

// setBody gives the request its body: JSON as it stands, anything else in
// base64.
func (b *batched) setBody(req *fasthttp.Request) error {
	if len(b.Body) == 0 || string(b.Body) == "null" {
		return nil
	}
	body := []byte(b.Body)
	switch kind := req.Header.ContentType(); {
	case len(kind) == 0:
		return carillon.Errorf(carillon.CodeInvalidRequest, "headers", "a body needs a Content-Type")
	case !bytes.HasPrefix(bytes.ToLower(kind), []byte("application/json")):
		var text string
		err := json.Unmarshal(b.Body, &text)
		if err == nil {
			body, err = base64.StdEncoding.DecodeString(text)
		}
		if err != nil {
			return carillon.Errorf(carillon.CodeInvalidRequest, "body", "a body of type %.60s is a string in base64", kind)
		}
	}
	req.SetBodyStream(bytes.NewReader(body), len(body))
	return nil
}

// appendBatched appends a response.
func appendBatched(dst []byte, b *batched, res *fasthttp.Response) []byte {
	dst = AppendString(append(dst, `{"id":`...), b.ID)
	dst = AppendInt(append(dst, `,"status":`...), res.StatusCode())
	dst = append(dst, `,"headers":{`...)
	first := true
	for name, value := range res.Header.All() {
		switch string(name) {
		case fasthttp.HeaderContentLength, fasthttp.HeaderConnection, fasthttp.HeaderServer, fasthttp.HeaderDate:
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(AppendString(dst, name), ':')
		dst = AppendString(dst, value)
	}
	dst = append(dst, '}')
	body := res.Body()
	switch {
	case len(body) == 0:
	case bytes.HasPrefix(res.Header.ContentType(), []byte("application/json")):
		dst = append(append(dst, `,"body":`...), body...)
	default:
		dst = AppendString(append(dst, `,"body":`...), base64.StdEncoding.EncodeToString(body))
	}
	return append(dst, '}')
}
