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

// lookup reads a row by id, or is an itemNotFound error. One that may not be
// written yet is waited for.
func (f *Feed) lookup(ctx context.Context, u carillon.User, id carillon.ID) (*carillon.Item, error) {
	item, err := f.deps.Lookup.Item(ctx, u, id)
	if err == nil && item == nil {
		err = absent(id)
	}
	return item, err
}

func absent(id carillon.ID) error {
	return carillon.Errorf(carillon.CodeNotFound, "id", "no notification %s of this user: it never was, has expired or was deleted", id)
}
