package feed_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon"
	"carillon/feed"
	"carillon/internal/auth"
)

// line is one line of the stream of outcomes.
type line struct {
	Position string
	ID       string
	Host     string `json:"targetHostName"`
	User     string `json:"userId"`
	Endpoint string
	Outcome  string
	Reason   string
	Ended    string `json:"endedDateTime"`
}

// lines reads a whole answer, and the position that it ends with.
func (r *rig) lines(path string, who auth.DevClaims, headers ...string) (all []line, position string) {
	r.t.Helper()
	status, body, _ := r.get(path, who, headers...)
	if status != 200 {
		r.t.Fatal(path, status, body)
	}
	for text := range strings.Lines(body) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Position == "" && l.Ended == "" {
			r.t.Fatalf("%s: %v in %q", path, err, text)
		}
		if position = l.Position; position == "" {
			all = append(all, l)
		}
	}
	if position == "" {
		r.t.Fatalf("%s ends without a position: %s", path, body)
	}
	return all, position
}

// end writes that a delivery to alice's phone, or another user's, ended.
func end(t testing.TB, s *counting, u carillon.User, partition int32, n int64, o carillon.Outcome) {
	t.Helper()
	it := &carillon.Item{Created: carillon.MakeSeq(1, n), Content: carillon.MakeSeq(1, n), Partition: partition, Accepted: 1_795_000_000_000}
	d := &carillon.Delivery{Endpoint: "phone", Platform: carillon.IOS, Kind: carillon.KindAlert, Attempts: 1, Outcome: o}
	if err := s.Write(&carillon.Rows{Ended: []carillon.EndedRow{{User: u, Item: it, Delivery: d}}}, false); err != nil {
		t.Fatal(err)
	}
}

func names(all []line) string {
	var b strings.Builder
	for _, l := range all {
		fmt.Fprintf(&b, "%s %s %s %s; ", l.User, l.Endpoint, l.Outcome, l.Reason)
	}
	return b.String()
}

func TestOutcomes(t *testing.T) {
	s := newStore(t)
	r := newRigOn(t, s)
	sender := auth.DevClaims{Client: "one"}
	both := auth.DevClaims{Client: "both"}
	bob := carillon.User{Host: "two.example.com", ID: "dev.bob"}
	gone := carillon.Outcome{Class: carillon.Gone, Reason: "Unregistered", Status: 410}
	accepted := carillon.Outcome{Class: carillon.Accepted, Status: 200}

	none, start := r.lines("/api/v1/outcomes", sender)
	if len(none) != 0 {
		t.Fatal(none)
	}
	end(t, s, alice, 1, 10, accepted)
	end(t, s, alice, 1, 11, gone)
	end(t, s, bob, 0, 12, accepted)
	end(t, s, alice, 3, 13, carillon.Outcome{Class: carillon.Suppressed, Reason: "read"})
	look := func(path string, who auth.DevClaims, want string, headers ...string) (position string) {
		t.Helper()
		all, position := r.lines(path, who, headers...)
		if got := names(all); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		return position
	}
	const first, second, third = "dev.alice phone accepted ; ", "dev.alice phone gone Unregistered; ", "dev.alice phone suppressed read; "
	now := look("/api/v1/outcomes", sender, first+second+third)
	look("/api/v1/outcomes", both, "dev.bob phone accepted ; "+first+second+third)
	look("/api/v1/outcomes?host=two.example.com", both, "dev.bob phone accepted ; ")
	look("/api/v1/outcomes?after="+start, sender, first+second+third)
	look("/api/v1/outcomes?class=Gone", sender, second)
	look("/api/v1/outcomes?class=gone,Suppressed", sender, second+third)
	look("/api/v1/outcomes?after="+now, sender, "")
	latest := look("/api/v1/outcomes?after=latest", sender, "")
	at := look("/api/v1/outcomes?limit=1", sender, first)
	at = look("/api/v1/outcomes?after="+at, sender, second, "Prefer", "odata.maxpagesize=1")
	look("/api/v1/outcomes?after="+at, sender, third)
	end(t, s, alice, 1, 14, gone)
	look("/api/v1/outcomes?after="+now, sender, second)
	look("/api/v1/outcomes?after="+latest, sender, second)

	for _, c := range []struct {
		path   string
		who    auth.DevClaims
		status int
		want   string
	}{
		{"?after=x", sender, 400, "after"},
		{"?after=" + now + "AAAA", sender, 400, "after"},
		{"?class=open", sender, 400, "accepted, suppressed"},
		{"?limit=0", sender, 400, "limit"},
		{"?limit=4984931466", sender, 400, "limit"},
		{"?class=", sender, 400, "class"},
		{"?wait=31", sender, 400, "0 to 30"},
		{"?top=1", sender, 400, "top"},
		{"?host=two.example.com", sender, 403, "may not act for"},
		{"", auth.DevClaims{User: "alice", Client: "one"}, 403, "not a user's"},
	} {
		if status, body, _ := r.get("/api/v1/outcomes"+c.path, c.who); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d and %q", c.path, status, body, c.status, c.want)
		}
	}
}

// TestOutcomesWait: who waits has the next outcome when it is there, and his
// position when none came.
func TestOutcomesWait(t *testing.T) {
	s := newStore(t)
	r := newRigOn(t, s)
	sender := auth.DevClaims{Client: "one"}
	none, at := r.lines("/api/v1/outcomes?wait=1", sender)
	if len(none) != 0 {
		t.Fatal(none)
	}
	type answer struct {
		all []line
		at  string
	}
	came := make(chan answer, 1)
	go func() {
		all, at := r.lines("/api/v1/outcomes?wait=30&class=gone&after="+at, sender)
		came <- answer{all, at}
	}()
	end(t, s, alice, 2, 5, carillon.Outcome{Class: carillon.Accepted})
	end(t, s, alice, 2, 6, carillon.Outcome{Class: carillon.Gone})
	if got := <-came; names(got.all) != "dev.alice phone gone ; " || got.at == at {
		t.Errorf("%+v", got)
	}
}

// TestOutcomesTooOld: a position that is not kept any more is told as such, with
// where to begin again.
func TestOutcomesTooOld(t *testing.T) {
	clock := &carillon.Clock{}
	s := newStoreAt(t, clock)
	r := newRigAt(t, s, clock)
	sender := auth.DevClaims{Client: "one"}
	end(t, s, alice, 2, 5, carillon.Outcome{Class: carillon.Accepted})
	end(t, s, alice, 2, 6, carillon.Outcome{Class: carillon.Gone})
	_, middle := r.lines("/api/v1/outcomes?limit=1", sender)
	_, whole := r.lines("/api/v1/outcomes", sender)
	clock.Move(8 * 24 * time.Hour)
	if err := s.Expire(clock.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	status, body, h := r.get("/api/v1/outcomes?class=gone&after="+middle, sender)
	if where := h.Get("Location"); status != 410 || !strings.HasSuffix(where, "/api/v1/outcomes?class=gone") || !strings.Contains(body, "resyncRequired") {
		t.Errorf("%d %q %s", status, where, body)
	}
	if all, _ := r.lines("/api/v1/outcomes?after="+whole, sender); len(all) != 0 {
		t.Errorf("who had read all of it gets %+v", all)
	}
	end(t, s, alice, 2, 7, carillon.Outcome{Class: carillon.Expired})
	for _, path := range []string{"/api/v1/outcomes", "/api/v1/outcomes?after=" + whole} {
		if all, _ := r.lines(path, sender); names(all) != "dev.alice phone expired ; " {
			t.Errorf("%s: %+v", path, all)
		}
	}
}

// FuzzOutcomePlaces: what is no position is refused, and what is one reads back.
func FuzzOutcomePlaces(f *testing.F) {
	f.Add("AQAAAAAAAAAA")
	f.Add(feed.OutcomePlaces([]carillon.LogPlace{{Row: 5}, {Row: 1 << 57, Skip: 7}, {}, {Row: 9}}))
	f.Fuzz(func(t *testing.T, text string) {
		ps, err := feed.ParseOutcomePlaces(text, 4)
		if err != nil {
			return
		}
		again, err := feed.ParseOutcomePlaces(feed.OutcomePlaces(ps), 4)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(ps) {
			t.Errorf("%q is %v, then %v, %v", text, ps, again, err)
		}
	})
}
