package httpapi

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// routeMetrics counts the answers of one route by status class.
type routeMetrics struct {
	answers [6]*metrics.Counter
	seconds *metrics.Histogram
}

// instrument gives every route its counters. Router.add cannot: a router knows
// no server.
func (s *Server) instrument() {
	s.router.each(func(rte *route) {
		label := fmt.Sprintf("route=%q", rte.method+" "+rte.pattern)
		for class := 2; class <= 5; class++ {
			rte.metrics.answers[class] = s.metrics.GetOrCreateCounter(fmt.Sprintf(`carillon_http_requests_total{%s,code="%dxx"}`, label, class))
		}
		rte.metrics.seconds = s.metrics.GetOrCreateHistogram(fmt.Sprintf("carillon_http_request_seconds{%s}", label))
	})
}

func (rt *Router) each(f func(*route)) { rt.root.each(f) }

func (n *node) each(f func(*route)) {
	if n.leaf != nil {
		for _, rte := range n.leaf.routes {
			f(rte)
		}
	}
	for _, next := range n.fixed {
		next.each(f)
	}
	if n.param != nil {
		n.param.each(f)
	}
}

// count is nil-safe: what no route took is counted by nobody.
func (rte *route) count(status int, took time.Duration) {
	if rte == nil {
		return
	}
	if class := status / 100; class < len(rte.metrics.answers) && rte.metrics.answers[class] != nil {
		rte.metrics.answers[class].Inc()
	}
	if rte.metrics.seconds != nil {
		rte.metrics.seconds.Update(took.Seconds())
	}
}

// Routes lists the routes that are built, as "METHOD /pattern", in order: what
// every test of all of them goes by. Those under /v1.0 are the ones under /beta.
func (rt *Router) Routes() []string {
	var all []string
	rt.each(func(rte *route) {
		if !rte.stub && !strings.HasPrefix(rte.pattern, prefixV1+"/") {
			all = append(all, rte.method+" "+rte.pattern)
		}
	})
	slices.Sort(all)
	return all
}
