package httpapi

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"carillon"
)

// Handler answers one request. An error it returns becomes the answer, in
// Graph's form; see [carillon.Error]. It runs on the connection's worker
// goroutine and must not keep anything that [Request] marks as borrowed.
type Handler func(r *Request) error

const (
	maxParams = 4
	maxSegs   = 12
)

// The prefixes under which calls live. Graph-shaped ones live under both beta
// and v1, Carillon's own under api.
const (
	prefixBeta = "/beta"
	prefixV1   = "/v1.0"
	prefixAPI  = "/api/v1"
)

// Router finds the handler for a method and path. Patterns are paths whose
// segments may be {names}: "/beta/users/{id}/notifications/{nid}". A pattern
// under /beta is served under /v1.0 too. A fixed segment beats a parameter. All
// routes are registered before the server runs; finding one allocates nothing.
type Router struct {
	root node
}

type node struct {
	fixed map[string]*node
	param *node
	leaf  *leaf
}

// leaf is a path that somebody registered a method for.
type leaf struct {
	routes []*route
	allow  string
}

type route struct {
	method, pattern string
	names           []string
	handle          Handler
	stub            bool // declared by NotYet
	most            int  // bytes of a body as sent; 0 is Config.MaxRequestBytes
	stream          bool // the handler reads the body as it comes
	metrics         routeMetrics
}

// NewRouter makes an empty router.
func NewRouter() *Router { return &Router{} }

// Handle registers a handler. Like net/http's ServeMux it panics on a pattern
// that is malformed or taken: both are mistakes of the program.
func (rt *Router) Handle(method, pattern string, h Handler) {
	rt.both(method, pattern, h, false)
}

// Bound lets bodies of a registered route be larger than
// [Config.MaxRequestBytes]: bulk requests, which nothing else pays for. A peer
// who sends one slower than 256 KiB a second for longer than
// [Config.ReadTimeout] is cut off.
func (rt *Router) Bound(method, pattern string, bytes int) {
	rt.registered(method, pattern).most = bytes
}

// Stream lets the handler of a registered route read bodies of any size as they
// come, with [Request.Stream]. A peer who sends one slower than 16 KiB a second
// for longer than [Config.ReadTimeout] is cut off.
func (rt *Router) Stream(method, pattern string) { rt.registered(method, pattern).stream = true }

func (rt *Router) registered(method, pattern string) *route {
	var vals params
	if l := rt.match([]byte(pattern), &vals); l != nil {
		if rte := l.method([]byte(method)); rte != nil && rte.pattern == pattern {
			return rte
		}
	}
	panic(fmt.Sprintf("httpapi: there is no route %s %q", method, pattern))
}

// NotYet declares a call of the contract that is not built yet: it answers 501
// with the feature's name ("delta queries"). It yields to a handler of the same
// pattern, whichever is registered first.
func (rt *Router) NotYet(method, pattern, feature string) {
	rt.both(method, pattern, func(*Request) error {
		return carillon.Errorf(carillon.CodeNotImplemented, "", "%s: not built yet", feature)
	}, true)
}

func (rt *Router) both(method, pattern string, h Handler, stub bool) {
	rt.add(method, pattern, h, stub)
	if rest, ok := strings.CutPrefix(pattern, prefixBeta+"/"); ok {
		rt.add(method, prefixV1+"/"+rest, h, stub)
	}
}

func (rt *Router) add(method, pattern string, h Handler, stub bool) {
	if !strings.HasPrefix(pattern, "/") || method == "" || h == nil {
		panic(fmt.Sprintf("httpapi: route %s %q: a pattern starts with a slash and has a method and a handler", method, pattern))
	}
	rte := &route{method: method, pattern: pattern, handle: h, stub: stub}
	n, segs := &rt.root, strings.Split(strings.Trim(pattern, "/"), "/")
	for _, seg := range segs {
		if name, ok := strings.CutPrefix(seg, "{"); ok {
			rte.names = append(rte.names, strings.TrimSuffix(name, "}"))
			if n.param == nil {
				n.param = &node{}
			}
			n = n.param
			continue
		}
		if n.fixed == nil {
			n.fixed = make(map[string]*node)
		}
		if n.fixed[seg] == nil {
			n.fixed[seg] = &node{}
		}
		n = n.fixed[seg]
	}
	if len(rte.names) > maxParams || len(segs) > maxSegs {
		panic(fmt.Sprintf("httpapi: route %s %q: too many segments or parameters", method, pattern))
	}
	n.take(rte)
}

func (n *node) take(rte *route) {
	if n.leaf == nil {
		n.leaf = &leaf{}
	}
	for i, have := range n.leaf.routes {
		switch {
		case have.method != rte.method:
		case rte.stub:
			return
		case have.stub:
			n.leaf.routes[i] = rte
			return
		default:
			panic(fmt.Sprintf("httpapi: route %s %q is taken by %q", rte.method, rte.pattern, have.pattern))
		}
	}
	n.leaf.routes = append(n.leaf.routes, rte)
	var methods []string
	for _, have := range n.leaf.routes {
		methods = append(methods, have.method)
		if have.method == "GET" {
			methods = append(methods, "HEAD")
		}
	}
	slices.Sort(methods)
	n.leaf.allow = strings.Join(methods, ", ")
}

// method finds the leaf's route; HEAD is answered by GET.
func (l *leaf) method(m []byte) *route {
	for _, rte := range l.routes {
		if rte.method == string(m) || rte.method == "GET" && string(m) == "HEAD" {
			return rte
		}
	}
	return nil
}

// params are the raw (still percent-encoded) values in the order of the
// pattern's names; they alias the path.
type params [maxParams][]byte

// match finds the leaf of a raw path. One trailing slash is tolerated.
func (rt *Router) match(path []byte, vals *params) *leaf {
	if len(path) == 0 || path[0] != '/' {
		return nil
	}
	if n := len(path); n > 1 && path[n-1] == '/' {
		path = path[:n-1]
	}
	if bytes.Count(path, []byte{'/'}) > maxSegs {
		return nil
	}
	return rt.root.find(path[1:], vals, 0)
}

func (n *node) find(rest []byte, vals *params, k int) *leaf {
	seg, tail, more := bytes.Cut(rest, []byte{'/'})
	if next := n.fixed[string(seg)]; next != nil {
		if l := next.step(tail, more, vals, k); l != nil {
			return l
		}
	}
	if name, key, ok := splitKey(seg); ok {
		if l := n.fixed[string(name)].keyed(key, tail, more, vals, k); l != nil {
			return l
		}
	}
	if n.param == nil || len(seg) == 0 || k == maxParams {
		return nil
	}
	vals[k] = seg
	return n.param.step(tail, more, vals, k+1)
}

// keyed goes on below "name(key)", which is "name" and then the key.
func (n *node) keyed(key, tail []byte, more bool, vals *params, k int) *leaf {
	switch {
	case n == nil:
		return nil
	case emptyKey(key):
		return n.step(tail, more, vals, k)
	case n.param == nil || k == maxParams:
		return nil
	}
	vals[k] = key
	return n.param.step(tail, more, vals, k+1)
}

func (n *node) step(tail []byte, more bool, vals *params, k int) *leaf {
	if !more {
		return n.leaf
	}
	return n.find(tail, vals, k)
}

// missing is the error for a path that nobody registered. Whoever used the
// wrong prefix is told the right one.
func (rt *Router) missing(path []byte) error {
	bare := path
	for _, p := range []string{prefixBeta, prefixV1, prefixAPI} {
		if rest, ok := bytes.CutPrefix(path, []byte(p)); ok && len(rest) > 0 && rest[0] == '/' {
			bare = rest
			break
		}
	}
	var vals params
	for _, p := range []string{prefixBeta, prefixAPI} {
		right := append([]byte(p), bare...)
		if rt.match(right, &vals) != nil {
			return carillon.Errorf(carillon.CodeNotFound, "", "nothing lives at this path; this call lives under %s: %.200s", p, right)
		}
	}
	return carillon.Errorf(carillon.CodeNotFound, "", "nothing lives at this path; Graph-shaped calls live under %s, Carillon's own under %s", prefixBeta, prefixAPI)
}
