package gateway

import (
	"carillon"
	"carillon/internal/httpapi"
)

// validateOnly answers what a send would do: how many endpoints of each
// platform would ring and how, why some would get a tap instead of the content,
// and why the others would not ring. Nothing is journalled.
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
	taps := make(map[reason]int)
	for _, t := range targets {
		ringing[t.Endpoint] = true
		if repeat {
			continue
		}
		kind := g.fit(s, t)
		rings[t.Endpoint.Platform][kind]++
		if _, ok := carillon.PlanToast(&s.n, &t, r.Now()); ok {
			rings[t.Endpoint.Platform][carillon.KindFallback]++
		}
		switch {
		case kind != carillon.KindTap:
		case t.Kind == carillon.KindTap:
			taps[reason{t.Endpoint.Platform, "tapOnly"}]++
		default:
			taps[reason{t.Endpoint.Platform, "tooLarge"}]++
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
	r.JSON(200, appendPlan(r.Scratch(), &rings, taps, silent))
	return nil
}

// fit is what would really be sent: each vendor has a limit of its own. What is
// not known before it is journalled takes as many bytes as it can.
func (g *Gateway) fit(s *send, t carillon.Target) carillon.Kind {
	if g.deps.Fit == nil {
		return t.Kind
	}
	const latest = carillon.Seq(1<<56 - 1)
	return g.deps.Fit(&carillon.Push{
		Kind: t.Kind, Attempt: 1, User: s.user, Endpoint: t.Endpoint, Notification: &s.n, ID: s.n.ID, Created: latest, Seq: latest,
	})
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
// "taps":[{platform,reason,count}],"suppressed":[{platform,reason,count}]}.
func appendPlan(dst []byte, rings *[carillon.Platforms][int(carillon.KindClear) + 1]int, taps, silent map[reason]int) []byte {
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
	dst = append(dst, `},"taps":[`...)
	dst = appendReasons(dst, taps, "tapOnly", "tooLarge")
	dst = append(dst, `],"suppressed":[`...)
	dst = appendReasons(dst, silent, "duplicate", "platformNotTargeted", "noPush", "noPushChannel")
	return append(dst, "]}"...)
}

// appendReasons writes the counts that are not 0, always in the same order.
func appendReasons(dst []byte, counts map[reason]int, reasons ...string) []byte {
	first := true
	for p := range carillon.Platform(carillon.Platforms) {
		for _, why := range reasons {
			count := counts[reason{p, why}]
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
	return dst
}

func comma(dst []byte, first *bool) []byte {
	if *first {
		*first = false
		return dst
	}
	return append(dst, ',')
}
