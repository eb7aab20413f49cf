package feed

import "carillon"

// Filters, as tests outside of the package see them.

// ParseFilter reads a $filter; Matches tells whether an item passes.
func ParseFilter(text string) (matches func(*carillon.Item, *carillon.Notification) (bool, error), clauses int, err error) {
	f, err := parseFilter(text)
	return func(it *carillon.Item, n *carillon.Notification) (bool, error) {
		e := entry{item: it, note: *n, decoded: true}
		return f.match(&e)
	}, len(f.nodes), err
}

// Select cuts an object to what a $select names.
func Select(text string, object []byte) ([]byte, error) {
	s, err := parseSelect(text)
	if err != nil {
		return nil, err
	}
	return s.cut(append([]byte("x"), object...), 1)[1:], nil
}

// SealList makes the token of a list.
func SealList(k *Key, u carillon.User, filter, sel string, top int, at carillon.Seq) string {
	c := cursor{query: query{top: top, filter: filterOf(filter), sel: selection{text: sel}}, at: at, issued: 5}
	return k.seal(tokenList, u, &c)
}

func filterOf(text string) filter { return filter{text: text} }

// OpenList reads one.
func OpenList(k *Key, u carillon.User, token string) (filter, sel string, top int, at carillon.Seq, err error) {
	c, err := k.open(tokenList, u, token, "$skiptoken")
	return c.filter.text, c.sel.text, c.top, c.at, err
}

// MaxPageSize reads a Prefer header.
func MaxPageSize(prefer string) int { return maxPageSize(prefer) }

// Streams is how many live feeds there are.
func (f *Feed) Streams() int {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	return f.hub.n
}

// SealTicket makes a ticket.
func SealTicket(k *Key, u carillon.User, expires int64) string {
	t := ticket{user: u, expires: expires}
	return t.seal(k)
}

// OpenTicket reads one.
func OpenTicket(k *Key, text string) (u carillon.User, expires int64, ok bool) {
	t, ok := openTicket(k, text)
	return t.user, t.expires, ok
}

// OutcomePlaces makes a position of the stream of outcomes.
func OutcomePlaces(ps []carillon.LogPlace) string { return string(outcomePlaces(ps).appendTo(nil)) }

// ParseOutcomePlaces reads one.
func ParseOutcomePlaces(text string, partitions int) ([]carillon.LogPlace, error) {
	return parseOutcomePlaces(text, partitions)
}
