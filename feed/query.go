package feed

import (
	"slices"
	"strconv"
	"strings"

	"carillon"
	"carillon/internal/httpapi"
)

const (
	defaultTop = 100
	maxTop     = 1000
	// pageRows bounds the rows that are read for one page, pageBytes what is
	// written into it: a page may be shorter than was asked for, or empty, and
	// still lead to the next.
	pageRows  = 1990 // and a row ahead in each generation: below 2,000
	pageBytes = 1 << 20
)

// query is what a caller wants of a collection. What a page's link leads to has
// the same.
type query struct {
	top         int
	filter      filter
	sel         selection
	oldestFirst bool
	count       bool
	preferred   bool // the size of a page came from Prefer
	host        string
}

// options are the query options that a call takes.
type options struct {
	filter, sel, top, order, count bool
	tokens                         []string // $skiptoken, $deltatoken
}

// parseQuery reads the options of a call and refuses the others by name. With a
// token, which holds the options of the first page, it takes no others.
func parseQuery(r *httpapi.Request, o options) (q query, err error) {
	q = query{top: defaultTop, host: r.Query("host")}
	if q.host == "" {
		q.host = r.Query("targetHostName")
	}
	if err := o.known(r); err != nil {
		return q, err
	}
	if r.HasQuery("$filter") {
		if q.filter, err = parseFilter(r.Query("$filter")); err != nil {
			return q, err
		}
	}
	if r.HasQuery("$select") {
		if q.sel, err = parseSelect(r.Query("$select")); err != nil {
			return q, err
		}
	}
	if r.HasQuery("$orderby") {
		if q.oldestFirst, err = parseOrder(r.Query("$orderby")); err != nil {
			return q, err
		}
	}
	switch count := r.Query("$count"); {
	case !r.HasQuery("$count"), count == "false":
	case count == "true":
		q.count = true
	default:
		return q, carillon.Errorf(carillon.CodeInvalidRequest, "$count", "true or false")
	}
	if r.HasQuery("$top") {
		if q.top, err = strconv.Atoi(r.Query("$top")); err != nil || q.top < 0 || q.top > maxTop {
			return q, carillon.Errorf(carillon.CodeInvalidRequest, "$top", "a number from 0 to %d", maxTop)
		}
	}
	if n := maxPageSize(r.Header("Prefer")); n > 0 && (n < q.top || !r.HasQuery("$top")) {
		q.top, q.preferred = min(n, maxTop), true
	}
	return q, nil
}

// known refuses what the call does not take.
func (o *options) known(r *httpapi.Request) error {
	names := r.QueryNames()
	takes := map[string]bool{"$filter": o.filter, "$select": o.sel, "$top": o.top, "$orderby": o.order, "$count": o.count}
	var token string
	for _, name := range names {
		switch {
		case !strings.HasPrefix(name, "$"), takes[name]:
		case slices.Contains(o.tokens, name):
			token = name
		case slices.Contains([]string{"$filter", "$select", "$top", "$orderby", "$count", "$skip", "$expand", "$search", "$apply", "$compute", "$format", "$levels", "$skiptoken", "$deltatoken"}, name):
			return carillon.Errorf(carillon.CodeNotImplemented, name, "this query option is not supported here; %s are", strings.Join(o.list(), ", "))
		default:
			return carillon.Errorf(carillon.CodeInvalidRequest, name, "no such query option; %s are", strings.Join(o.list(), ", "))
		}
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return carillon.Errorf(carillon.CodeInvalidRequest, name, "stands twice")
		}
		if token != "" && takes[name] && r.Query(token) != "" && r.Query(token) != latest {
			return carillon.Errorf(carillon.CodeInvalidRequest, name, "the link's %s holds the options of the first page: follow it as it is", token)
		}
	}
	return nil
}

// list names the options that the call takes.
func (o *options) list() []string {
	var names []string
	for _, n := range []struct {
		name string
		has  bool
	}{{"$filter", o.filter}, {"$select", o.sel}, {"$top", o.top}, {"$orderby", o.order}, {"$count", o.count}} {
		if n.has {
			names = append(names, n.name)
		}
	}
	if len(names) == 0 && len(o.tokens) == 0 {
		names = append(names, "none")
	}
	return append(names, o.tokens...)
}

// parseOrder reads $orderby. History has one order, of creation, in both
// directions: every other would read all of it for one page.
func parseOrder(text string) (oldestFirst bool, err error) {
	switch words := strings.Fields(text); {
	case len(words) == 0, len(words) > 2 || strings.Contains(text, ","):
		return false, carillon.Errorf(carillon.CodeNotImplemented, "$orderby", "one property is supported: creationDateTime asc or desc")
	case words[0] != propCreated.String():
		return false, carillon.Errorf(carillon.CodeNotImplemented, "$orderby", "%.60s is not supported; creationDateTime asc or desc is", words[0])
	case len(words) == 1, words[1] == "asc":
		return true, nil
	case words[1] == "desc":
		return false, nil
	default:
		return false, carillon.Errorf(carillon.CodeInvalidRequest, "$orderby", "asc or desc is wanted, not %.20s", words[1])
	}
}

// maxPageSize reads odata.maxpagesize from a Prefer header (RFC 7240 §2, OData
// protocol 8.2.8.6; 4.01 drops the prefix); 0 when it is not there. What else a
// caller prefers is none of ours.
func maxPageSize(prefer string) int {
	for p := range strings.SplitSeq(prefer, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "odata.maxpagesize" && name != "maxpagesize" {
			continue
		}
		value, _, _ = strings.Cut(value, ";")
		n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
		if err != nil || n < 1 {
			return 0 // a preference that cannot be honoured is ignored
		}
		return n
	}
	return 0
}

// honour tells the caller that the size of a page is as he preferred.
func (q *query) honour(r *httpapi.Request) {
	if q.preferred {
		r.SetHeader("Preference-Applied", "odata.maxpagesize="+itoa(q.top))
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
