package feed

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

const (
	defaultTop = 100
	maxTop     = 1000
	page       = 100 // rows read from the store at a time
)

// reader are the needs of reading one notification: whoever may send it may
// follow its Location.
func reader() need {
	return need{roles: []string{auth.RoleReadAll, auth.RoleSend}, users: true}
}

// one answers GET …/notifications/{nid}.
func (f *Feed) one(r *httpapi.Request) error {
	u, err := f.caller(r, reader())
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
	etag := httpapi.ETag(item.Content, &item.State)
	body, err := f.appendItem(r.Scratch(), u, item, r.AppendContext(nil, u.ID, true), etag)
	if err != nil {
		return err
	}
	r.SetHeader("ETag", etag)
	r.JSON(fasthttp.StatusOK, body)
	return nil
}

// list answers GET …/notifications: the newest first.
func (f *Feed) list(r *httpapi.Request) error {
	u, err := f.caller(r, need{roles: []string{auth.RoleReadAll}, users: true})
	if err != nil {
		return err
	}
	top, err := topOf(r)
	if err != nil {
		return err
	}
	dst := append(r.Scratch(), `{"@odata.context":`...)
	dst = httpapi.AppendString(dst, r.AppendContext(nil, u.ID, false))
	dst = append(dst, `,"value":[`...)
	before := carillon.MakeSeq(carillon.MaxEpoch, carillon.MaxOffset)
	for left := top; left > 0; {
		items, err := f.deps.Store.Items(u, before, min(left, page))
		if err != nil {
			return err
		}
		for _, item := range items {
			before = item.Created
			if item.State.Deleted {
				continue
			}
			if left < top {
				dst = append(dst, ',')
			}
			if dst, err = f.appendItem(dst, u, item, nil, httpapi.ETag(item.Content, &item.State)); err != nil {
				return err
			}
			left--
		}
		if len(items) == 0 {
			break
		}
	}
	r.JSON(fasthttp.StatusOK, append(dst, "]}"...))
	return nil
}

// topOf reads $top and refuses the options that are not built or not known.
func topOf(r *httpapi.Request) (int, error) {
	for _, name := range r.QueryNames() {
		switch name {
		case "$top":
		case "$filter", "$orderby", "$skiptoken", "$select", "$count", "$skip", "$expand", "$search":
			return 0, carillon.Errorf(carillon.CodeNotImplemented, name, "this query option is not built yet; $top is")
		default:
			if strings.HasPrefix(name, "$") {
				return 0, carillon.Errorf(carillon.CodeInvalidRequest, name, "no such query option")
			}
		}
	}
	if !r.HasQuery("$top") {
		return defaultTop, nil
	}
	top, err := strconv.Atoi(r.Query("$top"))
	if err != nil || top < 0 || top > maxTop {
		return 0, carillon.Errorf(carillon.CodeInvalidRequest, "$top", "a number from 0 to %d", maxTop)
	}
	return top, nil
}

// item reads the row that the path names.
func (f *Feed) item(r *httpapi.Request, u carillon.User) (*carillon.Item, carillon.ID, error) {
	id, err := carillon.ParseID(r.Param("nid"))
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

// idOf is an item's id: its own, or the one that its place gives it.
func (f *Feed) idOf(u carillon.User, item *carillon.Item) carillon.ID {
	if !item.ID.IsZero() {
		return item.ID
	}
	return f.deps.IDs.Positional(u.Hash(), carillon.Position{Partition: item.Partition, Seq: item.Created})
}

func (f *Feed) appendItem(dst []byte, u carillon.User, item *carillon.Item, odata []byte, etag string) ([]byte, error) {
	var n carillon.Notification
	if err := journal.DecodeNotification(item.Body, &n); err != nil {
		return dst, fmt.Errorf("the row of %s at %s cannot be read: %w", u, item.Created, err)
	}
	n.Expires = item.Expires
	v := httpapi.View{
		Context: odata, ETag: etag, ID: f.idOf(u, item), Host: u.Host,
		Notification: &n, State: item.State, Created: item.Accepted,
	}
	if item.Content != item.Created { // replaced: the item is old, its content is not
		v.Modified = n.Accepted
	}
	return httpapi.AppendNotification(dst, &v), nil
}
