package feed

import (
	"net/url"

	"github.com/valyala/fasthttp"

	"carillon"
	"carillon/internal/httpapi"
)

// delta answers GET …/notifications/delta: what is there (at first), and what
// became of it since (with the $deltatoken of the link before). Entries come in
// the order of their last change, each item at most once a round, but for items
// that change while the round is read; a reader that takes a page twice sees the
// same items again. What was deleted, or does not pass the filter any more, is
// @removed.
func (f *Feed) delta(r *httpapi.Request) error {
	u, err := f.caller(r, lister())
	if err != nil {
		return err
	}
	sub, err := f.endpoint(r, u)
	if err != nil {
		return err
	}
	c, err := f.wanted(r, u)
	if err != nil {
		return err
	}
	if c.served && !c.partial && c.at > 0 && c.filter.text == "" { // its token was in an answer that arrived
		f.deps.Served.Got(&sub, c.at-1)
	}
	// Only what is applied counts: a row beyond may stand before one that is not
	// written yet.
	now, err := f.deps.Store.Progress(f.partition(u))
	if err != nil {
		return err
	}
	if err := f.fresh(r, u, &c, now); err != nil {
		return err
	}
	p := page{entry: entry{feed: f, user: u}, most: max(c.top, 1), sel: &c.sel, dst: append(r.Scratch(), `{"@odata.context":`...)}
	p.dst = httpapi.AppendString(p.dst, append(r.AppendContext(nil, u.ID, false), "/$delta"...))
	p.dst = append(p.dst, `,"@carillon.position":"`...)
	p.dst = append(p.dst, httpapi.EncodePosition(carillon.Position{Partition: f.partition(u), Seq: last(now)})...)
	p.dst = append(p.dst, `","value":[`...)
	next, err := f.changes(&p, &c, now.Applied)
	if err != nil {
		return err
	}
	p.dst = append(p.dst, ']')
	option, kind := "$deltatoken", tokenSync
	c.served = p.looked > 0
	c.at, c.inner, c.issued = next.At, next.Created, r.Now()
	if next == (carillon.Place{}) {
		c.at, c.start = max(now.Applied, c.at), 0
		p.dst = append(p.dst, `,"@odata.deltaLink":`...)
	} else {
		option, kind = "$skiptoken", tokenDelta
		p.dst = append(p.dst, `,"@odata.nextLink":`...)
	}
	p.dst = httpapi.AppendString(p.dst, f.link(r, &c.query, option, f.deps.Key.seal(kind, u, &c)))
	c.honour(r)
	r.JSON(fasthttp.StatusOK, append(p.dst, '}'))
	return nil
}

// wanted is what a delta asks for and where it goes on.
func (f *Feed) wanted(r *httpapi.Request, u carillon.User) (c cursor, err error) {
	c.query, err = parseQuery(r, options{filter: true, sel: true, top: true, tokens: []string{"$skiptoken", "$deltatoken"}})
	if err != nil {
		return c, err
	}
	host := c.host
	switch skip, token := r.HasQuery("$skiptoken"), r.Query("$deltatoken"); {
	case skip && r.HasQuery("$deltatoken"):
		return c, carillon.Errorf(carillon.CodeInvalidRequest, "$skiptoken", "stands beside a $deltatoken: follow one link or the other")
	case skip:
		c, err = f.deps.Key.open(tokenDelta, u, r.Query("$skiptoken"), "$skiptoken")
	case token == latest:
		c.at, c.partial = beyond, true
	case token == "": // a first sync; an empty token is how a 410 says so
		c.start = beyond
	default:
		c, err = f.deps.Key.open(tokenSync, u, token, "$deltatoken")
	}
	c.host = host
	return c, err
}

// beyond stands for how far the feed is now.
const beyond = ^carillon.Seq(0)

// fresh settles where a first sync begins, and refuses a token that leads to
// what is not there any more: one that is older than anything is kept, that is
// from before its user was erased, or that belongs to a journal before the present
// one, whose end the store may have lost.
func (f *Feed) fresh(r *httpapi.Request, u carillon.User, c *cursor, now carillon.Progress) error {
	begins := c.at == beyond || c.start == beyond
	if c.at == beyond {
		c.at = now.Applied
	}
	if c.start == beyond {
		c.start, c.issued = now.Applied, r.Now()
	}
	old := c.issued != 0 && r.Now()-c.issued > carillon.MaxLife.Milliseconds()
	if !begins && !old {
		erased, err := f.deps.Store.Erased(u)
		if err != nil {
			return err
		}
		old = erased != 0 && max(c.at, c.start) <= erased // of a first sync it is where it began that counts
	}
	if !old && (c.at == 0 || c.at <= now.Applied && (c.start != 0 || c.at.Epoch() == now.Applied.Epoch())) {
		return nil
	}
	r.SetHeader("Location", string(f.again(r, &c.query)))
	return carillon.Errorf(carillon.CodeGone, "$deltatoken", "this token is of a feed that is not kept any more: begin again at the Location, and take what is not in the new round for removed")
}

// again is the link of a first sync with the same options.
func (f *Feed) again(r *httpapi.Request, q *query) []byte {
	dst := f.link(r, q, "$deltatoken", "")
	for _, o := range []struct{ name, value string }{{"&$filter=", q.filter.text}, {"&$select=", q.sel.text}} {
		if o.value != "" {
			dst = append(append(dst, o.name...), url.QueryEscape(o.value)...)
		}
	}
	if q.top != defaultTop {
		dst = httpapi.AppendInt(append(dst, "&$top="...), q.top)
	}
	return dst
}

// changes fills a page with what stands in the feed from the cursor on. Next is
// where the following page begins; zero when this was the last.
func (f *Feed) changes(p *page, c *cursor, to carillon.Seq) (next carillon.Place, err error) {
	p.base = len(p.dst)
	var failed error
	next, _, err = f.deps.Store.Changes(p.user, carillon.FeedRange{
		From: carillon.Place{At: c.at, Created: c.inner}, To: to, Marks: c.start, Rows: pageRows,
	}, func(at carillon.Place, it *carillon.Item) bool {
		if p.full() {
			return false
		}
		p.looked++
		p.of(it)
		failed = f.change(p, c, at)
		return failed == nil
	})
	if failed != nil {
		err = failed
	}
	return next, err
}

// change appends one entry of the feed: the item, or that it is gone from what
// the reader has. A first sync says nothing of what was gone before it.
func (f *Feed) change(p *page, c *cursor, at carillon.Place) error {
	if p.item.Scheduled { // nobody has seen it
		return nil
	}
	reason := "deleted"
	if !p.item.State.Deleted {
		ok, err := c.filter.match(&p.entry)
		if err != nil {
			return err
		}
		if ok {
			p.comma()
			p.dst, err = p.append(p.dst, nil, p.sel)
			return err
		}
		reason = "changed"
	}
	if at.At >= c.start {
		p.comma()
		p.dst = appendRemoved(p.dst, p.id(), reason)
	}
	return nil
}

// appendRemoved appends what a delta says of an item that is gone.
func appendRemoved(dst []byte, id carillon.ID, reason string) []byte {
	dst = append(dst, `{"id":"`...)
	dst = id.Append(dst)
	dst = append(dst, `","@removed":{"reason":"`...)
	dst = append(dst, reason...)
	return append(dst, `"}}`...)
}
