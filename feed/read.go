package feed

import (
	"context"

	"github.com/valyala/fasthttp"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

// reader are the needs of reading one notification: whoever may send it may
// follow its Location.
func reader() need {
	return need{roles: []string{auth.RoleReadAll, auth.RoleSend}, users: true}
}

// one answers GET …/notifications/{nid}, or 304 to who has it already. What is
// scheduled is in no list, but whoever has its id may look at it.
func (f *Feed) one(r *httpapi.Request) error {
	u, err := f.caller(r, reader())
	if err != nil {
		return err
	}
	q, err := parseQuery(r, options{sel: true})
	if err != nil {
		return err
	}
	sub, err := f.endpoint(r, u)
	if err != nil {
		return err
	}
	item, id, err := f.item(r, u)
	if err != nil {
		return err
	}
	if item.State.Deleted {
		return absent(id)
	}
	e := entry{feed: f, user: u, item: item}
	etag := e.etag()
	if httpapi.NoneMatch(r.Header("If-None-Match"), etag) {
		if !fetched(item, &sub) {
			f.deps.Served.GotOne(&sub, id)
		}
		r.SetHeader("ETag", etag)
		r.Status(fasthttp.StatusNotModified)
		return nil
	}
	body, err := e.append(r.Scratch(), r.AppendContext(nil, u.ID, true), &q.sel)
	if err != nil {
		return err
	}
	if !fetched(item, &sub) {
		f.deps.Served.One(&sub, r.Call(), id)
	}
	r.SetHeader("ETag", etag)
	r.JSON(fasthttp.StatusOK, body)
	return nil
}

// fetched tells whether it is known that the endpoint has the item.
func fetched(item *carillon.Item, sub *auth.Subscription) bool {
	return item.FetchedAt(&carillon.Endpoint{ID: sub.Installation, Incarnation: sub.Incarnation}) != 0
}

// item reads the row that the path names.
func (f *Feed) item(r *httpapi.Request, u carillon.User) (*carillon.Item, carillon.ID, error) {
	id, err := r.NotificationID("nid", f.deps.IDs, u)
	if err != nil {
		return nil, id, err
	}
	item, err := f.lookup(r.Context(), u, id)
	return item, id, err
}

// lookup reads a row by id, or is an itemNotFound error. The position in an
// unkeyed id tells how far the rows must be written for it to be there, so a
// caller that follows the Location of his own POST waits a moment instead of
// being told that nothing is there.
func (f *Feed) lookup(ctx context.Context, u carillon.User, id carillon.ID) (*carillon.Item, error) {
	item, pos, err := f.find(u, id)
	if err == nil && item == nil && pos.Seq != 0 {
		if err = f.deps.Applied.Wait(ctx, pos); err != nil {
			return nil, err
		}
		item, _, err = f.find(u, id)
	}
	if err == nil && item == nil {
		err = absent(id)
	}
	return item, err
}

// find reads a row by id. The position is set for ids that hold one.
func (f *Feed) find(u carillon.User, id carillon.ID) (*carillon.Item, carillon.Position, error) {
	pos, positional := f.deps.IDs.Position(u.Hash(), id)
	if positional {
		item, err := f.deps.Store.Item(u, pos.Seq)
		return item, pos, err
	}
	created, ok, err := f.deps.Store.Find(u, id)
	if err != nil || !ok {
		return nil, carillon.Position{}, err
	}
	item, err := f.deps.Store.Item(u, created)
	return item, carillon.Position{}, err
}

func absent(id carillon.ID) error {
	return carillon.Errorf(carillon.CodeNotFound, "id", "no notification %s of this user: it never was, has expired or was deleted", id)
}
