package feed

import (
	"net/url"

	"github.com/valyala/fasthttp"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// lister are the needs of reading all of a user's notifications.
func lister() need { return need{roles: []string{auth.RoleReadAll}, users: true} }

// list answers GET …/notifications: what was not deleted, the newest first
// unless $orderby says otherwise.
func (f *Feed) list(r *httpapi.Request) error {
	u, err := f.caller(r, lister())
	if err != nil {
		return err
	}
	sub, err := f.endpoint(r, u)
	if err != nil {
		return err
	}
	c, err := f.listed(r, u)
	if err != nil {
		return err
	}
	first := !r.HasQuery("$skiptoken")
	p := page{entry: entry{feed: f, user: u}, most: c.top, sel: &c.sel, dst: append(r.Scratch(), `{"@odata.context":`...)}
	p.dst = httpapi.AppendString(p.dst, r.AppendContext(nil, u.ID, false))
	now, err := f.deps.Store.Progress(f.partition(u))
	if err != nil {
		return err
	}
	p.dst = append(p.dst, `,"@carillon.position":"`...)
	p.dst = append(append(p.dst, httpapi.EncodePosition(carillon.Position{Partition: f.partition(u), Seq: last(now)})...), '"')
	if c.count && first {
		n, err := f.count(u, &c.filter)
		if err != nil {
			return err
		}
		p.dst = httpapi.AppendInt(append(p.dst, `,"@odata.count":`...), n)
	}
	p.dst = append(p.dst, `,"value":[`...)
	next, err := f.fill(&p, u, &c)
	if err != nil {
		return err
	}
	p.dst = append(p.dst, ']')
	dst := p.dst
	if next != 0 {
		c.at, c.issued = next, r.Now()
		dst = append(dst, `,"@odata.nextLink":`...)
		dst = httpapi.AppendString(dst, f.link(r, &c.query, "$skiptoken", f.deps.Key.seal(tokenList, u, &c)))
	}
	if first && next == 0 && c.top > 0 && c.filter.text == "" { // all of it
		f.deps.Served.All(&sub, r.Call(), last(now), p.newest)
	}
	c.honour(r)
	r.JSON(fasthttp.StatusOK, append(dst, '}'))
	return nil
}

// listed is what a list asks for and where it goes on.
func (f *Feed) listed(r *httpapi.Request, u carillon.User) (c cursor, err error) {
	c.query, err = parseQuery(r, options{filter: true, sel: true, top: true, order: true, count: true, tokens: []string{"$skiptoken"}})
	if err != nil || !r.HasQuery("$skiptoken") {
		return c, err
	}
	host := c.host
	c, err = f.deps.Key.open(tokenList, u, r.Query("$skiptoken"), "$skiptoken")
	c.host = host
	return c, err
}

// page is the value of a list or a delta as it fills up.
type page struct {
	entry

	dst    []byte
	sel    *selection
	most   int          // entries
	n      int          // entries so far
	looked int          // items so far
	base   int          // where value begins in dst
	newest carillon.Seq // the last change of the items so far
}

// full tells whether the page takes no more.
func (p *page) full() bool {
	return p.n >= p.most || p.looked >= pageRows || len(p.dst)-p.base >= pageBytes
}

// comma separates entries.
func (p *page) comma() {
	if p.n > 0 {
		p.dst = append(p.dst, ',')
	}
	p.n++
}

// fill reads one page. Next is where the following one begins; 0 when this was
// the last.
func (f *Feed) fill(p *page, u carillon.User, c *cursor) (next carillon.Seq, err error) {
	if c.top == 0 {
		return 0, nil
	}
	p.base = len(p.dst)
	from, to := carillon.Seq(0), c.at
	if c.oldestFirst {
		from, to = c.at, 0
	}
	var failed error
	_, err = f.deps.Store.History(u, from, to, !c.oldestFirst, func(it *carillon.Item) bool {
		if p.full() {
			if next = it.Created; !c.oldestFirst {
				next++ // the bound is exclusive
			}
			return false
		}
		p.looked++
		p.newest = max(p.newest, it.Feed)
		if it.State.Deleted || it.Scheduled {
			return true
		}
		p.of(it)
		var ok bool
		if ok, failed = c.filter.match(&p.entry); ok && failed == nil {
			p.comma()
			p.dst, failed = p.append(p.dst, nil, p.sel)
		}
		return failed == nil
	})
	if failed != nil {
		err = failed
	}
	return next, err
}

// counted answers GET …/notifications/$count: a bare number, as OData has it
// (protocol 11.2.10).
func (f *Feed) counted(r *httpapi.Request) error {
	u, err := f.caller(r, lister())
	if err != nil {
		return err
	}
	q, err := parseQuery(r, options{filter: true})
	if err != nil {
		return err
	}
	n, err := f.count(u, &q.filter)
	if err != nil {
		return err
	}
	r.Text(fasthttp.StatusOK, httpapi.AppendInt(r.Scratch(), n))
	return nil
}

// count reads all of a user's history, which the store bounds at about 10,000
// items.
func (f *Feed) count(u carillon.User, by *filter) (n int, err error) {
	e := entry{feed: f, user: u}
	var failed error
	_, err = f.deps.Store.History(u, 0, 0, true, func(it *carillon.Item) bool {
		if it.State.Deleted || it.Scheduled {
			return true
		}
		e.of(it)
		var ok bool
		if ok, failed = by.match(&e); ok {
			n++
		}
		return failed == nil
	})
	if failed != nil {
		err = failed
	}
	return n, err
}

// link is the URL of the call that was made, with a token instead of its
// options.
func (f *Feed) link(r *httpapi.Request, q *query, option, token string) []byte {
	dst := append(r.AppendBase(nil), r.Path()...)
	dst = append(append(append(append(dst, '?'), option...), '='), token...)
	if q.host != "" {
		dst = append(append(dst, "&host="...), url.QueryEscape(q.host)...)
	}
	return dst
}

// partition is where a user's records stand in the journal.
func (f *Feed) partition(u carillon.User) int32 {
	return journal.Partition(u.AppendKey(nil), f.deps.Partitions)
}

// last is the last seq that was applied.
func last(p carillon.Progress) carillon.Seq {
	if p.Applied == 0 {
		return 0
	}
	return p.Applied - 1
}
