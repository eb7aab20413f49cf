package httpapi

import (
	"context"
	"net"

	"github.com/valyala/fasthttp"
)

// Match finds a route as the server does, for tests of what that costs.
func (rt *Router) Match(method, path []byte) bool {
	var vals params
	l := rt.match(path, &vals)
	return l != nil && l.method(method) != nil
}

// Answer serves one request without a network, for tests of what that costs.
func (s *Server) Answer(method, path, header string) func() int {
	s.gate = newGate(nil, 1)
	s.instrument()
	var req fasthttp.Request
	req.Header.SetMethod(method)
	req.SetRequestURI(path)
	req.Header.Set("Authorization", header)
	var c fasthttp.RequestCtx
	c.Init(&req, &net.TCPAddr{}, nil)
	ctx := context.Background()
	return func() int {
		c.Response.Reset()
		s.serve(ctx, &c)
		return c.Response.StatusCode()
	}
}

// ReadBatch decodes a batch as the server does, and gives how many requests it
// has.
func ReadBatch(body []byte) (int, error) {
	all, err := readBatch(body)
	return len(all), err
}
