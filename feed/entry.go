package feed

import (
	"fmt"

	"carillon"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// entry is an item on its way to a caller. Its content is decoded when somebody
// asks for it.
type entry struct {
	feed    *Feed
	user    carillon.User
	item    *carillon.Item
	note    carillon.Notification
	decoded bool
}

// of sets the entry to another item, which may be borrowed: nothing of it is
// kept beyond.
func (e *entry) of(it *carillon.Item) {
	e.item, e.decoded = it, false
}

// content is the item's notification.
func (e *entry) content() (*carillon.Notification, error) {
	if e.decoded {
		return &e.note, nil
	}
	e.note = carillon.Notification{}
	if err := journal.DecodeNotification(e.item.Body, &e.note); err != nil {
		return nil, fmt.Errorf("the row of %s at %s cannot be read: %w", e.user, e.item.Created, err)
	}
	e.note.Expires = e.item.Expires
	e.decoded = true
	return &e.note, nil
}

// modified is when the item last changed, milliseconds since 1970; 0 when
// nothing happened to it.
func (e *entry) modified() (int64, error) {
	at := e.item.State.Changed
	if e.item.State.Deleted { // its content is gone
		return at, nil
	}
	if e.item.Content != e.item.Created {
		n, err := e.content()
		if err != nil {
			return 0, err
		}
		if e.item.Replaced(n) { // the item is old, its content is not
			at = max(at, n.Accepted)
		}
	}
	return at, nil
}

// fact answers a filter.
func (e *entry) fact(p property) (constant, error) {
	switch p {
	case propReadState:
		return flag(e.item.State.Read), nil
	case propUserActionState:
		return constant{num: int64(e.item.State.Action)}, nil
	case propCreated:
		return constant{num: e.item.Accepted}, nil
	case propExpires:
		return constant{num: e.item.Expires}, nil
	case propGroupName:
		n, err := e.content()
		if err != nil {
			return constant{}, err
		}
		return constant{text: n.Group, null: n.Group == ""}, nil
	case propModified, propStatus:
	}
	at, err := e.modified()
	if err != nil || p == propModified {
		return constant{num: at, null: at == 0}, err
	}
	if at != 0 {
		return constant{num: 1}, nil // statusUpdated
	}
	return constant{}, nil
}

// id is an item's id: its own, or the one that its place gives it.
func (e *entry) id() carillon.ID {
	if !e.item.ID.IsZero() {
		return e.item.ID
	}
	return e.feed.deps.IDs.Positional(e.user.Hash(), carillon.Position{Partition: e.item.Partition, Seq: e.item.Created})
}

// etag is the item's entity tag.
func (e *entry) etag() string { return httpapi.ETag(e.item.Content, &e.item.State) }

// append appends the item as JSON, as far as it was selected.
func (e *entry) append(dst, odata []byte, sel *selection) ([]byte, error) {
	n, err := e.content()
	if err != nil {
		return dst, err
	}
	modified, err := e.modified()
	if err != nil {
		return dst, err
	}
	v := httpapi.View{
		Context: odata, ETag: e.etag(), ID: e.id(), Host: e.user.Host,
		Notification: n, State: e.item.State, Created: e.item.Accepted, Modified: modified,
	}
	from := len(dst)
	return sel.cut(httpapi.AppendNotification(dst, &v), from), nil
}
