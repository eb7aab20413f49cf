package dispatch

import "carillon"

// The toast of a fallback is a delivery of its own, planned with the push that it
// may follow: it rests in a due row until its time, and then goes to an endpoint
// that has not fetched by then.

// toasts counts the fallback toasts that belong to a plan.
func (s *shard) toasts(p *pending, targets []carillon.Target) (n int) {
	for i := range targets {
		if _, ok := carillon.PlanToast(&p.note, &targets[i], s.rec.At); ok {
			n++
		}
	}
	return n
}

// planToasts adds them to the plan, behind the pushes.
func (s *shard) planToasts(p *pending, targets []carillon.Target) {
	for i := range targets {
		due, ok := carillon.PlanToast(&p.note, &targets[i], s.rec.At)
		if !ok {
			continue
		}
		e := targets[i].Endpoint
		p.item.Deliveries = append(p.item.Deliveries, carillon.Delivery{
			Endpoint: e.ID, Incarnation: e.Incarnation, Addressed: e.Addressed,
			Platform: e.Platform, Kind: carillon.KindFallback, Hint: carillon.HintDue, Due: due,
		})
		p.add(len(p.item.Deliveries)-1, e)
		p.open-- // it is left to its due row
	}
}

// freshToast looks at the endpoint of a fallback's toast whose time has come;
// false when that ended it.
func (s *shard) freshToast(d *delivery) bool {
	why := ""
	switch e := d.endpoint; {
	case d.p.r.entry.sync().Fetched(e, d.p.item.Content), d.p.item.FetchedAt(e) != 0:
		why = carillon.WhyFetched
	case e.Push != carillon.WithPayload: // by now
		why = whyUnwanted
	}
	if why != "" {
		s.end(d, carillon.Outcome{Class: carillon.Suppressed, Reason: why})
	}
	return why == ""
}
