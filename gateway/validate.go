package gateway

import (
	"carillon"
	"carillon/internal/httpapi"
)

// validateOnly answers what a send would do: how many endpoints of each
// platform would ring and how, and why the others would not. Nothing is
// journalled.
func (g *Gateway) validateOnly(r *httpapi.Request, s *send) error {
	eps, err := g.deps.Store.Endpoints(nil, s.user)
	if err != nil {
		return unreadable(err)
	}
	repeat := false
	if s.hasKey {
		if _, repeat, err = g.remembered(s, r.Now()); err != nil {
			return err
		}
	}
	targets := carillon.Plan(nil, &s.n, eps, r.Now())
	var rings [carillon.Platforms][int(carillon.KindClear) + 1]int
	ringing := make(map[*carillon.Endpoint]bool, len(targets))
	for _, t := range targets {
		ringing[t.Endpoint] = true
		if !repeat {
			rings[t.Endpoint.Platform][t.Kind]++
		}
	}
	silent := make(map[reason]int)
	for i := range eps {
		e := &eps[i]
		switch {
		case !e.Alive(r.Now()):
		case !ringing[e]:
			silent[reason{e.Platform, whySilent(&s.n, e)}]++
		case repeat:
			silent[reason{e.Platform, "duplicate"}]++
		}
	}
	r.JSON(200, appendPlan(r.Scratch(), &rings, silent))
	return nil
}

type reason struct {
	platform carillon.Platform
	why      string
}

// whySilent says why [carillon.Plan] left an endpoint out.
func whySilent(n *carillon.Notification, e *carillon.Endpoint) string {
	switch {
	case !n.Targets.Has(e.Platform):
		return "platformNotTargeted"
	case e.Push == carillon.NoPush:
		return "noPush"
	}
	return "noPushChannel" // polling, and web until web push is spoken
}

// appendPlan writes {"valid":true,"endpoints":{platform:{kind:count}},
// "suppressed":[{platform,reason,count}]}.
func appendPlan(dst []byte, rings *[carillon.Platforms][int(carillon.KindClear) + 1]int, silent map[reason]int) []byte {
	dst = append(dst, `{"valid":true,"endpoints":{`...)
	first := true
	for p := range rings {
		open := false
		for k, count := range rings[p] {
			if count == 0 {
				continue
			}
			if !open {
				dst = comma(dst, &first)
				dst = httpapi.AppendString(dst, carillon.Platform(p).String())
				dst = append(dst, ":{"...)
			} else {
				dst = append(dst, ',')
			}
			open = true
			dst = httpapi.AppendString(dst, carillon.Kind(k).String())
			dst = append(dst, ':')
			dst = httpapi.AppendInt(dst, count)
		}
		if open {
			dst = append(dst, '}')
		}
	}
	dst = append(dst, `},"suppressed":[`...)
	first = true
	for p := range carillon.Platform(carillon.Platforms) {
		for _, why := range []string{"duplicate", "platformNotTargeted", "noPush", "noPushChannel"} {
			count := silent[reason{p, why}]
			if count == 0 {
				continue
			}
			dst = comma(dst, &first)
			dst = append(dst, `{"platform":"`...)
			dst = append(dst, p.String()...)
			dst = append(dst, `","reason":"`...)
			dst = append(dst, why...)
			dst = append(dst, `","count":`...)
			dst = httpapi.AppendInt(dst, count)
			dst = append(dst, '}')
		}
	}
	return append(dst, "]}"...)
}

func comma(dst []byte, first *bool) []byte {
	if *first {
		*first = false
		return dst
	}
	return append(dst, ',')
}
