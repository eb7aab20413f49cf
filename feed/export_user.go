package feed

import (
	"io"

	"carillon"
	"carillon/internal/httpapi"
)

// exportItems is how many items are read from the store at once.
const exportItems = 100

// exportUser answers GET /api/v1/me/export and /api/v1/users/{id}/export:
// everything that is kept of a user in one app, a JSON object a line: his
// endpoints, and each notification with its state and what became of it, the
// newest first. An answer that ends without its last chunk is not whole.
func (f *Feed) exportUser(r *httpapi.Request) error {
	u, err := f.caller(r, lister())
	if err != nil {
		return err
	}
	u = carillon.User{Host: string([]byte(u.Host)), ID: string([]byte(u.ID))} // it outlives the request
	eps, err := f.deps.Directory.Endpoints(nil, u)
	if err != nil {
		return err
	}
	sync, err := f.deps.Directory.Sync(u)
	if err != nil {
		return err
	}
	x := &userExport{feed: f, user: u, endpoints: eps, sync: sync, now: r.Now()}
	for i := range eps {
		x.page = append(x.page, `{"endpoint":`...)
		x.page = appendExported(x.page, u, &eps[i])
		x.page[len(x.page)-1] = '}' // in place of the line's end
		x.page = append(x.page, '\n')
	}
	r.Send("application/x-ndjson", x)
	return nil
}

// userExport is the body of the answer, page by page.
type userExport struct {
	feed      *Feed
	user      carillon.User
	sync      carillon.Sync
	now       int64
	endpoints []carillon.Endpoint
	next      carillon.Seq // items created before it are still to come; 0: all
	over      bool
	page      []byte
	at        int
}

// Read gives the next lines.
func (x *userExport) Read(b []byte) (int, error) {
	for x.at == len(x.page) {
		if x.over {
			return 0, io.EOF
		}
		if err := x.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, x.page[x.at:])
	x.at += n
	return n, nil
}

// Close lets go of the page.
func (x *userExport) Close() error {
	x.over, x.page, x.at = true, nil, 0
	return nil
}

func (x *userExport) fill() error {
	x.page, x.at = x.page[:0], 0
	var found []carillon.Seq
	_, err := x.feed.deps.Store.History(x.user, 0, x.next, true, func(it *carillon.Item) bool {
		found = append(found, it.Created)
		return len(found) < exportItems
	})
	if err != nil {
		return err
	}
	x.over = len(found) < exportItems
	for _, created := range found {
		x.next = created
		it, err := x.feed.deps.Store.Item(x.user, created)
		if err != nil {
			return err
		}
		if it == nil || it.State.Deleted {
			continue
		}
		e := entry{feed: x.feed, user: x.user, item: it}
		x.page = append(x.page, `{"notification":`...)
		if x.page, err = e.append(x.page, nil, &selection{}); err != nil {
			return err
		}
		x.page = append(x.page, `,"outcomes":`...)
		fates, err := fatesOf(x.user, it, x.endpoints, &x.sync, x.now)
		if err != nil {
			return err
		}
		x.page = x.feed.appendDeliveries(x.page, x.user, e.id(), it, fates)
		x.page = append(x.page, "}\n"...)
	}
	return nil
}
