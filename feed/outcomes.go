package feed

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

// Outcomes is what feed reads of the log of outcomes, which each partition of
// the journal has.
type Outcomes interface {
	// EndedKept tells from where on a partition's log is kept, and where it ends
	// now. What is at the end and beyond comes later.
	EndedKept(partition int32) (from, end uint64, err error)
	// Ended calls fn for what stands in a partition's log from a place on and
	// below the row to, in order, until it returns false. The entry is fn's until
	// then. Next is where to go on.
	Ended(partition int32, from carillon.LogPlace, to uint64, fn func(e *carillon.Ended) bool) (next carillon.LogPlace, err error)
}

const (
	// outcomesPage is about how many bytes of lines go out between two positions,
	// outcomesRead how many entries are read for them at most.
	outcomesPage = 256 << 10
	outcomesRead = 20_000
	// outcomesWait is the longest that a caller may wait for the next outcome,
	// outcomesPoll how often it is looked for.
	outcomesWait = 30 * time.Second
	outcomesPoll = 100 * time.Millisecond
)

// errTrimmed ends a stream that the log's end caught up with.
var errTrimmed = errors.New("the log of outcomes is not kept any more where the reader is")

// outcomes answers GET /api/v1/outcomes: every terminal outcome of every
// delivery of the caller's apps, a line each, as it was written, from a position
// to the present end. Lines {"position"} stand between and at the end: who
// brings the last one he has seen as after= gets what follows. One user's
// outcomes are in order; nothing stands there twice.
func (f *Feed) outcomes(r *httpapi.Request) error {
	hosts, err := f.hosts(r, auth.RoleSend, auth.RoleReadAll)
	if err != nil {
		return err
	}
	if f.deps.Outcomes == nil {
		return carillon.Errorf(carillon.CodeNotImplemented, "", "this gateway keeps no log of outcomes: store.outcomes.off is set in its configuration")
	}
	s := &outcomeStream{feed: f, hosts: hosts}
	wait, err := s.parse(r)
	if err != nil {
		return err
	}
	if err := s.begin(r.Query("after")); err != nil {
		if carillon.AsError(err).Code == carillon.CodeGone {
			r.SetHeader("Location", string(s.again(r)))
		}
		return err
	}
	if wait > 0 {
		if err := s.await(r.Context(), wait); err != nil {
			return err
		}
	}
	r.SetHeader("Cache-Control", "no-store")
	r.Send("application/x-ndjson", s)
	return nil
}

// hosts is which apps' endpoints or outcomes the token's app may have all of:
// those that it owns, or the one of them that it names.
func (f *Feed) hosts(r *httpapi.Request, roles ...string) ([]string, error) {
	token, err := r.Bearer()
	if err != nil {
		return nil, err
	}
	p, err := f.deps.Tokens.Verify(token)
	if err != nil {
		return nil, err
	}
	r.Principal = p
	if !f.deps.Apps().AllowsClientOrigin(p.Client, r.Origin()) {
		return nil, foreignOrigin(r.Origin())
	}
	named := strings.Join(roles, " or ")
	switch {
	case p.UserID != "":
		return nil, carillon.Errorf(carillon.CodeAccessDenied, "", "this call takes an app token with the role %s, not a user's", named)
	case !slices.ContainsFunc(roles, p.HasRole):
		return nil, carillon.Errorf(carillon.CodeAccessDenied, "roles", "an app token needs the role %s for this call", named)
	}
	var owned []string
	if p.Client != "" {
		owned = f.deps.Apps().Owned(p.Client)
	}
	if len(owned) > 1 && r.Query("host") == "" && r.Query("targetHostName") == "" {
		owned = slices.Clone(owned)
		slices.Sort(owned)
		return owned, nil
	}
	host, err := f.host(r, p)
	return []string{host}, err
}

// outcomeStream is the body of the answer. It reads page by page, so that a slow
// reader holds nothing in the store.
type outcomeStream struct {
	feed    *Feed
	hosts   []string
	classes [carillon.Classes]bool
	all     bool // of the classes
	left    int  // lines; below 0 without a bound
	at      outcomePlaces
	to      []uint64 // by partition
	now     int      // the partition at hand
	lines   int
	budget  int // entries that the page may read
	page    []byte
	read    int // of page
	last    bool
}

// parse reads what the caller wants.
func (s *outcomeStream) parse(r *httpapi.Request) (wait time.Duration, err error) {
	for _, name := range r.QueryNames() {
		if !slices.Contains([]string{"after", "class", "limit", "wait", "host", "targetHostName"}, name) {
			return 0, carillon.Errorf(carillon.CodeInvalidRequest, name, "no such query option; after, class, host, limit and wait are")
		}
	}
	if s.all = !r.HasQuery("class"); !s.all {
		for name := range strings.SplitSeq(r.Query("class"), ",") {
			c, ok := terminalClass(strings.TrimSpace(name))
			if !ok {
				return 0, carillon.Errorf(carillon.CodeInvalidRequest, "class", "%.40q is no terminal outcome: %s are, several with commas between", name, terminalClasses())
			}
			s.classes[c] = true
		}
	}
	s.left = -1
	if n := maxPageSize(r.Header("Prefer")); n > 0 {
		s.left = n
		r.SetHeader("Preference-Applied", "odata.maxpagesize="+itoa(n))
	}
	if r.HasQuery("limit") {
		if s.left, err = strconv.Atoi(r.Query("limit")); err != nil || s.left < 1 || s.left > math.MaxInt32 {
			return 0, carillon.Errorf(carillon.CodeInvalidRequest, "limit", "how many outcomes are wanted at most: a number from 1 to %d", math.MaxInt32)
		}
	}
	if r.HasQuery("wait") {
		seconds, err := strconv.Atoi(r.Query("wait"))
		if wait = time.Duration(seconds) * time.Second; err != nil || wait < 0 || wait > outcomesWait {
			return 0, carillon.Errorf(carillon.CodeInvalidRequest, "wait", "how many seconds to wait for an outcome when there is none yet: a number from 0 to %d", int(outcomesWait.Seconds()))
		}
	}
	return wait, nil
}

// terminalClass finds a class by its name, in any case.
func terminalClass(name string) (carillon.Class, bool) {
	for c := carillon.Accepted; int(c) < carillon.Classes; c++ {
		if strings.EqualFold(c.String(), name) {
			return c, true
		}
	}
	return 0, false
}

func terminalClasses() string {
	var names []string
	for c := carillon.Accepted; int(c) < carillon.Classes; c++ {
		names = append(names, c.String())
	}
	return strings.Join(names, ", ")
}

// begin finds where to go on: with "" at the oldest that is kept, with latest at
// the end.
func (s *outcomeStream) begin(after string) (err error) {
	n := s.feed.deps.Partitions
	switch after {
	case "", latest:
		s.at = make(outcomePlaces, n)
	default:
		if s.at, err = parseOutcomePlaces(after, n); err != nil {
			return err
		}
	}
	s.to = make([]uint64, n)
	for p := range s.to {
		from, end, err := s.feed.deps.Outcomes.EndedKept(int32(p))
		switch {
		case err != nil:
			return err
		case after == latest:
			s.at[p].Row = end
		case after == "":
			s.at[p].Row = from
		case s.at[p].Row < from:
			return carillon.Errorf(carillon.CodeGone, "after", "the outcomes that follow this position are not all kept any more: begin again at the Location; what became of single notifications, their deliveries tell")
		}
		s.to[p] = end
	}
	return nil
}

// again is where a reader begins anew who came too late.
func (s *outcomeStream) again(r *httpapi.Request) []byte {
	dst := append(r.AppendBase(nil), r.Path()...)
	sep := byte('?')
	for _, name := range []string{"class", "host", "limit"} {
		if v := r.Query(name); v != "" {
			dst = append(append(append(append(dst, sep), name...), '='), v...)
			sep = '&'
		}
	}
	return dst
}

// await looks for a first line until there is one or the time is over.
func (s *outcomeStream) await(ctx context.Context, wait time.Duration) error {
	clock := s.feed.deps.Clock
	for until := clock.Now().Add(wait); ; {
		if err := s.next(); err != nil || s.lines > 0 || !s.last {
			return err
		}
		if !clock.Now().Before(until) || clock.Sleep(ctx, outcomesPoll) != nil {
			return nil //nolint:nilerr // the gateway stops: the caller has his position
		}
		s.last, s.now = false, 0
		for p := range s.to {
			_, end, err := s.feed.deps.Outcomes.EndedKept(int32(p))
			if err != nil {
				return err
			}
			s.to[p] = end
		}
	}
}

// Read gives the next lines.
func (s *outcomeStream) Read(b []byte) (int, error) {
	for s.read == len(s.page) {
		if s.last {
			return 0, io.EOF
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, s.page[s.read:])
	s.read += n
	return n, nil
}

// Close lets go of the page.
func (s *outcomeStream) Close() error {
	s.page, s.read, s.last = nil, 0, true
	return nil
}

// next reads a page, and ends it with the position behind it.
func (s *outcomeStream) next() error {
	s.page, s.read = s.page[:0], 0
	for s.budget = outcomesRead; s.now < len(s.to) && !s.full(); {
		whole, err := s.some(int32(s.now)) //nolint:gosec // partitions are few
		if err != nil {
			return err
		}
		if whole {
			s.now++
		}
	}
	s.last = s.now == len(s.to) || s.left == 0
	s.page = append(s.page, `{"position":"`...)
	s.page = append(s.at.appendTo(s.page), "\"}\n"...)
	return nil
}

// full tells whether the page takes no more.
func (s *outcomeStream) full() bool {
	return s.budget <= 0 || s.left == 0 || len(s.page) >= outcomesPage
}

// some reads on in a partition's log; whole when that was all of it.
func (s *outcomeStream) some(p int32) (whole bool, err error) {
	from, _, err := s.feed.deps.Outcomes.EndedKept(p)
	if err == nil && s.at[p].Row < from {
		err = errTrimmed
	}
	if err != nil {
		return false, err
	}
	whole = true
	s.at[p], err = s.feed.deps.Outcomes.Ended(p, s.at[p], s.to[p], func(e *carillon.Ended) bool {
		if whole = !s.full(); !whole {
			return false
		}
		s.budget--
		if (s.all || s.classes[min(int(e.Delivery.Outcome.Class), carillon.Classes-1)]) && slices.Contains(s.hosts, e.User.Host) {
			s.page = s.feed.appendEnded(s.page, e)
			s.lines++
			s.left--
		}
		return true
	})
	return whole, err
}

// appendEnded writes an entry as a line; names are those of deliveries.
func (f *Feed) appendEnded(dst []byte, e *carillon.Ended) []byte {
	id := e.ID
	if id.IsZero() {
		id = f.deps.IDs.Positional(e.User.Hash(), carillon.Position{Partition: e.Partition, Seq: e.Created})
	}
	dst = append(dst, `{"id":"`...)
	dst = id.Append(dst)
	dst = append(dst, `","targetHostName":`...)
	dst = httpapi.AppendString(dst, e.User.Host)
	dst = append(dst, `,"userId":`...)
	dst = httpapi.AppendString(dst, e.User.ID)
	dst = append(dst, ',')
	dst = appendOutcome(dst, &e.Delivery)
	dst = append(dst, `,"acceptedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, e.Accepted)
	dst = append(dst, `,"endedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, e.Written)
	return append(dst, "}\n"...)
}
