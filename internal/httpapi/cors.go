package httpapi

import (
	"strings"

	"github.com/valyala/fasthttp"

	"carillon"
)

// What a page of another origin may send and see (Fetch standard §3.2).
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, Content-Encoding, X-UNS-ID, If-Match, If-None-Match, Prefer, Idempotency-Key, " +
		"ReadWriteConsistencyToken, Last-Event-ID, client-request-id, SdkVersion, Cache-Control"
	corsExposed = "ETag, Location, Preference-Applied, Content-Range, Retry-After, request-id, client-request-id, ReadWriteConsistencyToken"
	corsMaxAge  = "600"
)

// Origins tells the server which web origins an app has registered: pages of
// these may call, pages of others get 403. Which app an origin belongs to, the
// rooms see to with [Request.Origin]. Before Run; without it no page of another
// origin may call.
func (s *Server) Origins(registered func(origin string) bool) { s.origins = registered }

// Origin is the web origin of the page that calls; "" for callers that are no
// page, and for pages of this server.
func (r *Request) Origin() string { return r.origin }

// cors looks at the origin of a request. It answers preflights itself.
func (s *Server) cors(r *Request) (done bool, err error) {
	if r.outer != nil {
		return false, nil
	}
	origin := r.Header("Origin")
	if origin == "" || s.origins == nil {
		return false, nil
	}
	preflight := r.ctx.IsOptions() && len(r.HeaderBytes("Access-Control-Request-Method")) > 0
	if _, host, ok := strings.Cut(origin, "://"); ok && host == string(r.ctx.Host()) {
		return false, nil // a page of this very server
	}
	if !s.origins(origin) {
		return false, carillon.Errorf(carillon.CodeAccessDenied, "Origin", "pages of %.200q may not call: no app has registered this web origin", origin)
	}
	r.origin = origin
	if !preflight {
		return false, nil
	}
	h := &r.ctx.Response.Header
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	r.Status(fasthttp.StatusNoContent)
	return true, nil
}

// allowOrigin lets the page see the answer, an error too.
func (r *Request) allowOrigin() {
	h := &r.ctx.Response.Header
	if r.srv.origins != nil {
		h.Set("Vary", "Origin")
	}
	if r.origin != "" {
		h.Set("Access-Control-Allow-Origin", r.origin)
		h.Set("Access-Control-Expose-Headers", corsExposed)
	}
}
