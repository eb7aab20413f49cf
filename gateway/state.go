package gateway

import (
	"crypto/rand"
	"slices"
	"strings"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

const (
	maxStateBody = 64 << 10
	// maxStateIDs is how many notifications one call may name.
	maxStateIDs   = 1000
	ifMatchHeader = "If-Match"
)

// actor is whose notifications a call changes, and on which of his endpoints it
// happened.
type actor struct {
	user carillon.User
	// sub names the acting endpoint; empty when the call does not say.
	sub auth.Subscription
}

// acting finds out whose notifications a call is about and whether the caller
// may change them: the user himself, or an app token with one of the roles.
// X-UNS-ID names the acting endpoint, which hears nothing of its own changes. A
// caller who brings the position of his own write waits until it is applied.
func (g *Gateway) acting(r *httpapi.Request, roles ...string) (actor, error) {
	p, err := g.caller(r)
	if err != nil {
		return actor{}, err
	}
	var a actor
	named := r.Param("id") // "" on /me
	if named != "" {
		if err := carillon.ValidateUserID(named); err != nil {
			return actor{}, err
		}
	}
	switch {
	case p.UserID != "":
		a.user.ID, err = self(p)
		if err == nil && named != "" && named != p.UserID {
			err = carillon.Errorf(carillon.CodeAccessDenied, "userId", "a user token acts for its own user only")
		}
	case !slices.ContainsFunc(roles, p.HasRole):
		err = carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "the app token needs the role %s", strings.Join(roles, " or "))
	case named == "" && r.Header(subscriptionHeader) == "":
		err = carillon.Errorf(carillon.CodeInvalidRequest, subscriptionHeader, "an app token needs %s to tell whom it means, or the path /users/{id}", subscriptionHeader)
	default:
		a.user.ID = named
	}
	if err != nil {
		return actor{}, err
	}
	if err := g.endpointOf(r, p, &a); err != nil {
		return actor{}, err
	}
	if token := r.Header(tokenHeader); token != "" {
		pos, err := httpapi.DecodePosition(token)
		if err != nil {
			return actor{}, err
		}
		return a, g.deps.Applied.Wait(r.Context(), pos)
	}
	return a, nil
}

// endpointOf fills in the host, and the endpoint that the call names.
func (g *Gateway) endpointOf(r *httpapi.Request, p *auth.Principal, a *actor) error {
	id := r.Header(subscriptionHeader)
	if id == "" {
		app, err := g.hostOf(p, hostQuery(r))
		if err == nil {
			a.user.Host = app.Host
		}
		return err
	}
	sub, err := g.deps.Subscriptions.Open(id, r.Now())
	if err != nil {
		return err
	}
	host := strings.ToLower(hostQuery(r))
	if host == "" {
		host = sub.User.Host
	}
	if _, err := g.owned(p, host, "host"); err != nil {
		return err
	}
	if a.sub, err = g.subscribed(id, host, r.Now()); err != nil {
		return err
	}
	if a.user.ID != "" && a.user.ID != sub.User.ID {
		return carillon.Errorf(carillon.CodeAccessDenied, subscriptionHeader, "malformed: this subscription id is not one of this user")
	}
	a.user = a.sub.User
	g.deps.Served.Came(&a.sub, r.Call())
	return nil
}

// patch is PATCH …/notifications/{nid}: readState and userActionState.
func (g *Gateway) patch(r *httpapi.Request) error {
	a, err := g.acting(r, auth.RoleReadAll)
	if err != nil {
		return err
	}
	body, err := jsonBody(r, maxStateBody)
	if err != nil {
		return err
	}
	var b stateBody
	if err := b.decode(body, false); err != nil {
		return err
	}
	return g.one(r, a, func(rec *journal.Record, id carillon.ID) {
		rec.Kind = journal.KindChange
		rec.Change = journal.Change{ID: id, Change: b.change, Installation: a.sub.Installation}
	})
}

// remove is DELETE …/notifications/{nid}: a user's deletion or a sender's
// recall.
func (g *Gateway) remove(r *httpapi.Request) error {
	a, err := g.acting(r, auth.RoleSend, auth.RoleReadAll)
	if err != nil {
		return err
	}
	return g.one(r, a, func(rec *journal.Record, id carillon.ID) {
		rec.Kind = journal.KindDelete
		rec.Delete = journal.Delete{ID: id, Installation: a.sub.Installation}
	})
}

// one changes one notification. It answers when the change is applied; when that
// takes too long 202 with its position.
func (g *Gateway) one(r *httpapi.Request, a actor, fill func(rec *journal.Record, id carillon.ID)) error {
	id, err := r.NotificationID("nid", g.deps.IDs, a.user)
	if err != nil {
		return err
	}
	seen, err := g.item(r, a.user, id)
	if err != nil {
		return err
	}
	if seen == nil || seen.State.Deleted {
		return noItem(id)
	}
	rec := journal.Record{At: r.Now()}
	if rec.IfSeq, err = ifMatch(r); err != nil {
		return err
	}
	if rec.IfSeq != 0 {
		rec.HasRID = true
		_, _ = rand.Read(rec.RID[:])
	}
	fill(&rec, id)
	pos, err := g.record(r, a.user, &rec)
	if err != nil {
		return err
	}
	g.metrics.changes.Inc()
	r.SetHeader(tokenHeader, httpapi.EncodePosition(pos))
	if late := g.deps.Applied.Wait(r.Context(), pos); late != nil {
		r.Status(202)
		return nil //nolint:nilerr // it is durable, only its outcome is not known yet
	}
	return g.answerChange(r, &change{user: a.user, id: id, rec: &rec, at: pos.Seq, created: seen.Created})
}

// ifMatch is the version that If-Match asks for; 0 for none, and for "*".
func ifMatch(r *httpapi.Request) (carillon.Seq, error) {
	switch v := strings.TrimSpace(r.Header(ifMatchHeader)); v {
	case "", "*":
		return 0, nil
	default:
		seq, ok := httpapi.ParseETag(v)
		if !ok {
			return 0, carillon.Errorf(carillon.CodePrecondition, ifMatchHeader, "%.60q is not an ETag of a notification: one, as GET gave it", v)
		}
		return seq, nil
	}
}

// postState is POST …/notifications/state: the state of many at once, by their
// ids or of everything up to a position.
func (g *Gateway) postState(r *httpapi.Request) error {
	a, err := g.acting(r, auth.RoleReadAll)
	if err != nil {
		return err
	}
	body, err := jsonBody(r, maxStateBody)
	if err != nil {
		return err
	}
	var b stateBody
	if err := b.decode(body, true); err != nil {
		return err
	}
	key := a.user.AppendKey(nil)
	rec := journal.Record{Kind: journal.KindChange, At: r.Now(), Change: journal.Change{Change: b.change, Installation: a.sub.Installation}}
	var entries []journal.Entry
	if b.before != "" {
		pos, err := g.positionOf(b.before, "before", key)
		if err != nil {
			return err
		}
		rec.Change.Floor = pos.Seq + 1 // who has this position saw what stands at it
		entries = append(entries, journal.Entry{Key: key, Value: rec.Append(nil)})
	}
	for i, id := range b.ids {
		rec.Change.ID, rec.Change.More = id, i < len(b.ids)-1
		entries = append(entries, journal.Entry{Key: key, Value: rec.Append(nil)})
	}
	if err := g.append(r.Context(), entries); err != nil {
		g.metrics.failed.Inc()
		return err
	}
	g.metrics.changes.Add(len(entries))
	g.taken(r, entries[len(entries)-1].Position)
	return nil
}

// positionOf reads a position of the user whose journal key this is.
func (g *Gateway) positionOf(token, target string, key []byte) (carillon.Position, error) {
	pos, err := httpapi.DecodePosition(token)
	if err == nil && pos.Partition == journal.Partition(key, g.deps.Partitions) {
		return pos, nil
	}
	return pos, carillon.Errorf(carillon.CodeInvalidRequest, target, "%.40q is not a position of this user's feed", token)
}

// taken answers 202 with the position of what is durable and not applied yet.
func (g *Gateway) taken(r *httpapi.Request, pos carillon.Position) {
	token := httpapi.EncodePosition(pos)
	r.SetHeader(tokenHeader, token)
	dst := append(r.Scratch(), `{"position":`...)
	dst = httpapi.AppendString(dst, token)
	r.JSON(202, append(dst, '}'))
}

// postAck is POST …/feed/ack: how far an endpoint saw the feed, and what was
// opened there. One call is one record.
func (g *Gateway) postAck(r *httpapi.Request) error {
	a, err := g.acting(r, auth.RoleReadAll)
	if err != nil {
		return err
	}
	if a.sub.Installation == "" {
		return carillon.Errorf(carillon.CodeInvalidRequest, subscriptionHeader, "an acknowledgement needs %s: it tells which endpoint saw the feed", subscriptionHeader)
	}
	body, err := jsonBody(r, maxStateBody)
	if err != nil {
		return err
	}
	var b ackBody
	if err := b.decode(body); err != nil {
		return err
	}
	rec := journal.Record{Kind: journal.KindAck, At: r.Now(), Ack: journal.Ack{
		Installation: a.sub.Installation, Incarnation: a.sub.Incarnation, Opened: b.ids,
	}}
	if b.position != "" {
		pos, err := g.positionOf(b.position, "position", a.user.AppendKey(nil))
		if err != nil {
			return err
		}
		rec.Ack.Position = pos.Seq
	}
	pos, err := g.record(r, a.user, &rec)
	if err != nil {
		return err
	}
	g.metrics.acks.Inc()
	g.taken(r, pos)
	return nil
}
