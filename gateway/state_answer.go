package gateway

import (
	"errors"

	"carillon"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// change is one change of one notification, when its record is applied.
type change struct {
	user carillon.User
	id   carillon.ID
	rec  *journal.Record
	// at is where its record stands, created what the door found under the id
	// before that.
	at, created carillon.Seq
}

// answerChange tells what became of a change: what others did meanwhile, who may
// have been applied with it in one batch, is not mistaken for its own fate.
func (g *Gateway) answerChange(r *httpapi.Request, c *change) error {
	took, err := g.verdict(c)
	if err != nil {
		return err
	}
	it, err := g.deps.Lookup.Written(c.user, c.id)
	if err != nil {
		return unreadable(err)
	}
	later := it != nil && it.Created > c.at // another one has the id by now
	if later {
		if it, err = g.deps.Store.Item(c.user, c.created); err != nil {
			return unreadable(err)
		}
	}
	switch status := became(c.rec.Kind, c.at, it, later, took); status {
	case 200:
		return g.changed(r, c.user, c.id, it)
	case 404:
		return noItem(c.id)
	default:
		r.Status(status)
		return nil
	}
}

// verdict reads what became of a conditional change: that it took effect, the
// error when it was refused, or neither when nothing is written of it.
func (g *Gateway) verdict(c *change) (took bool, err error) {
	if !c.rec.HasRID {
		return false, nil
	}
	idem, ok, err := g.deps.Store.Idem(c.user, c.rec.RID)
	switch {
	case err != nil:
		return false, unreadable(err)
	case !ok || idem.Refused == 0:
		return ok, nil
	case idem.Refused == carillon.CodeNotFound:
		return false, noItem(c.id)
	}
	return false, carillon.Errorf(idem.Refused, ifMatchHeader, "the notification changed since this ETag; read it again")
}

// became is the status that answers the change at seq, from the item as it is by
// now: nil when it is gone. It was there when the call began, and nothing moves a
// deleted one: so what a later record deleted had this change before, and what an
// earlier one deleted never had it. Later tells that the id is another's by now
// and the item the one before; took, that the change is known to have been done.
//
//   - 200: a change was done.
//   - 204: a deletion was; or a change, and by now the item is deleted or expired.
//   - 404: somebody else had deleted it.
//   - 202: neither can be told.
func became(kind journal.Kind, at carillon.Seq, it *carillon.Item, later, took bool) int {
	deleted := carillon.Seq(0)
	if it != nil {
		deleted = it.State.DeletedSeq
	}
	switch {
	case kind == journal.KindDelete && (took || deleted == at):
		return 204
	case deleted != 0 && deleted < at && !later && !took:
		return 404
	case kind == journal.KindDelete:
		return 202
	case it == nil || deleted >= at || took && deleted != 0:
		return 204
	case deleted != 0:
		return 202
	}
	return 200
}

// changed answers with a notification as it is after the change.
func (g *Gateway) changed(r *httpapi.Request, u carillon.User, id carillon.ID, it *carillon.Item) error {
	var n carillon.Notification
	if err := journal.DecodeNotification(it.Body, &n); err != nil {
		return unreadable(err)
	}
	n.Expires = it.Expires
	v := httpapi.View{
		Context: r.AppendContext(nil, u.ID, true), ETag: httpapi.ETag(it.Content, &it.State), ID: id, Host: u.Host,
		Notification: &n, State: it.State, Created: it.Accepted, Modified: it.State.Changed,
	}
	if it.Replaced(&n) {
		v.Modified = max(v.Modified, n.Accepted)
	}
	r.SetHeader("ETag", v.ETag)
	r.JSON(200, httpapi.AppendNotification(r.Scratch(), &v))
	return nil
}

// item reads a notification by id; nil when there is none. One that may not be
// written yet is waited for.
func (g *Gateway) item(r *httpapi.Request, u carillon.User, id carillon.ID) (*carillon.Item, error) {
	it, err := g.deps.Lookup.Item(r.Context(), u, id)
	if _, told := errors.AsType[*carillon.Error](err); err != nil && !told {
		err = unreadable(err)
	}
	return it, err
}

func noItem(id carillon.ID) error {
	return carillon.Errorf(carillon.CodeNotFound, "id", "no notification %s of this user: it never was, has expired or was deleted", id)
}
