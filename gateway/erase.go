package gateway

import (
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// erase is DELETE /api/v1/me and /api/v1/users/{id}: everything that is kept of a
// user in one app is forgotten. It is durable when this answers, and done within
// a minute; the answer says when the journal's own copies are gone.
func (g *Gateway) erase(r *httpapi.Request) error {
	a, err := g.acting(r, auth.RoleReadAll)
	if err != nil {
		return err
	}
	now := r.Now()
	rec := journal.Record{Kind: journal.KindErase, At: now}
	pos, err := g.record(r, a.user, &rec)
	if err != nil {
		return err
	}
	g.metrics.erased.Inc()
	token := httpapi.EncodePosition(pos)
	r.SetHeader(tokenHeader, token)
	dst := append(r.Scratch(), `{"position":`...)
	dst = httpapi.AppendString(dst, token)
	dst = append(dst, `,"journalGoneBy":`...)
	if gone := g.deps.JournalGone; gone == nil {
		dst = append(dst, "null"...)
	} else {
		dst = httpapi.AppendTimeOrNull(dst, gone(now))
	}
	r.JSON(202, append(dst, '}'))
	return nil
}
