package conformance

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"carillon"
)

const hour = int64(time.Hour / time.Millisecond)

// rig is one store with helpers that fail the test.
type rig struct {
	testing.TB
	b     Backend
	s     Store
	clock *carillon.Clock
	// start is when the rig was made: expiries are half hours from it, and the
	// clock moves by whole ones, so that no test stands on an edge.
	start int64
}

func newRig(t testing.TB, b Backend) *rig {
	t.Helper()
	clock := &carillon.Clock{}
	return &rig{TB: t, b: b, s: b.Open(t, clock), clock: clock, start: clock.UnixMilli()}
}

// in is an expiry n hours and a half from the start.
func (r *rig) in(n int64) int64 { return r.start + n*hour + hour/2 }

// pass moves the clock by n hours and lets the store drop what expired.
func (r *rig) pass(n int64) {
	r.clock.Move(time.Duration(n) * time.Hour)
	if r.b.Expire != nil {
		r.b.Expire(r.TB, r.s)
	}
}

func (r *rig) write(rows *carillon.Rows) {
	r.Helper()
	if err := r.s.Write(rows, false); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) endpoints(u carillon.User) []carillon.Endpoint {
	r.Helper()
	eps, err := r.s.Endpoints(nil, u)
	if err != nil {
		r.Fatal(err)
	}
	slices.SortFunc(eps, func(a, b carillon.Endpoint) int { return cmp.Compare(a.ID, b.ID) })
	return eps
}

func (r *rig) item(u carillon.User, created carillon.Seq) *carillon.Item {
	r.Helper()
	it, err := r.s.Item(u, created)
	if err != nil {
		r.Fatal(err)
	}
	return it
}

func (r *rig) items(u carillon.User, before carillon.Seq, n int) []carillon.Seq {
	r.Helper()
	items, err := r.s.Items(u, before, n)
	if err != nil {
		r.Fatal(err)
	}
	seqs := make([]carillon.Seq, 0, len(items))
	for _, it := range items {
		seqs = append(seqs, it.Created)
	}
	return seqs
}

func (r *rig) feed(u carillon.User, after carillon.Seq, n int) []carillon.FeedEntry {
	r.Helper()
	entries, err := r.s.Feed(nil, u, after, n)
	if err != nil {
		r.Fatal(err)
	}
	return entries
}

func (r *rig) same(want, got any) {
	r.Helper()
	if d := gocmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		r.Errorf("(-want +got)\n%s", d)
	}
}

func alice() carillon.User { return carillon.User{Host: "app.example.com", ID: "dev.alice"} }

func seq(n int64) carillon.Seq { return carillon.MakeSeq(1, n) }

// endpoint is one whose rows differ by version.
func endpoint(id string, version, expires int64) carillon.Endpoint {
	return carillon.Endpoint{
		ID: id, Platform: carillon.IOS, Address: "c0ffee", AppID: "com.example", Locale: "en", Push: carillon.TapOnly,
		Expires: expires, Incarnation: seq(1), Addressed: seq(2), Version: seq(version), Registered: 12345,
	}
}

func upsert(u carillon.User, e carillon.Endpoint, moved int64) *carillon.Rows {
	return &carillon.Rows{Endpoints: []carillon.EndpointRow{{User: u, Endpoint: e, Moved: moved}}}
}

func leave(u carillon.User, e carillon.Endpoint, moved int64) *carillon.Rows {
	return &carillon.Rows{Endpoints: []carillon.EndpointRow{{User: u, Endpoint: e, Left: true, Moved: moved}}}
}

// item is one with an open delivery to "phone" and an ended one to "desk".
func item(created, content, expires int64) *carillon.Item {
	return &carillon.Item{
		Created: seq(created), Content: seq(content), Partition: 3, Accepted: 1000, Journalled: 1002, Planned: 1005, Expires: expires,
		Body: []byte("body"), Feed: seq(max(created, content)),
		Deliveries: []carillon.Delivery{
			{Endpoint: "phone", Incarnation: seq(1), Addressed: seq(1), Platform: carillon.IOS, Kind: carillon.KindAlert},
			{
				Endpoint: "desk", Incarnation: seq(1), Addressed: seq(2), Platform: carillon.Windows, Kind: carillon.KindAlert, Attempts: 1,
				Handed: 1010, Answered: 1020, Outcome: carillon.Outcome{Class: carillon.Rejected, Reason: "PayloadTooLarge", Status: 413},
			},
		},
	}
}

func put(u carillon.User, it *carillon.Item, moved int64) *carillon.Rows {
	return putOver(u, it, moved, 0)
}

// putOver writes an item over one that stood elsewhere in the feed.
func putOver(u carillon.User, it *carillon.Item, moved int64, was carillon.Seq) *carillon.Rows {
	return &carillon.Rows{Items: []carillon.ItemRow{{User: u, Item: it, Moved: moved, Was: was}}}
}

func outcome(u carillon.User, it *carillon.Item, d carillon.Delivery) *carillon.Rows {
	return &carillon.Rows{Outcomes: []carillon.OutcomeRow{{User: u, Created: it.Created, Content: it.Content, Expires: it.Expires, Delivery: d}}}
}
