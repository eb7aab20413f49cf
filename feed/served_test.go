package feed_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon"
	"carillon/internal/auth"
)

// seen notes what feed tells of endpoints that read.
type seen struct {
	mu  sync.Mutex
	got []string
}

func (s *seen) note(sub *auth.Subscription, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.Installation != "" {
		s.got = append(s.got, sub.Installation+" "+fmt.Sprintf(format, args...))
	}
}

func (s *seen) Came(sub *auth.Subscription, call string) { s.note(sub, "came %.20s", call) }

func (s *seen) All(sub *auth.Subscription, _ string, to, newest carillon.Seq) {
	s.note(sub, "all %s %s", to, newest)
}

func (s *seen) One(sub *auth.Subscription, _ string, _ carillon.ID) { s.note(sub, "one") }
func (s *seen) Got(sub *auth.Subscription, to carillon.Seq)         { s.note(sub, "got %s", to) }
func (s *seen) GotOne(sub *auth.Subscription, _ carillon.ID)        { s.note(sub, "gotOne") }
func (s *seen) Live(sub *auth.Subscription, after carillon.Seq)     { s.note(sub, "live %s", after) }

// take gives what was noted since the last time.
func (s *seen) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// phone is a subscription of alice's only endpoint in these tests.
func (r *rig) phone() string {
	return r.subs.Seal(auth.Subscription{User: alice, Installation: "phone", Incarnation: 5, Expires: time.Now().Add(time.Hour).UnixMilli()})
}

// TestServed: what a read with X-UNS-ID serves is told, with what shows that it
// arrived: and nothing of reads that leave gaps, or of others.
func TestServed(t *testing.T) {
	s := newStore(t)
	history(t, s, 30)
	r := newRigOn(t, s)
	mine, uns := auth.DevClaims{User: "alice", Client: "one"}, r.phone()
	look := func(path string, want []string, headers ...string) (body string, h http.Header) {
		t.Helper()
		status, body, h := r.get(path, mine, append(headers, "X-UNS-ID", uns)...)
		if status != 200 && status != 304 {
			t.Fatal(path, status, body)
		}
		if got := r.served.take(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		return body, h
	}
	const came = "phone came GET /beta/me/notific"
	link := func(body string) string {
		t.Helper()
		_, after, ok := strings.Cut(body, `Link":"`)
		if !ok {
			t.Fatal(body)
		}
		after, _, _ = strings.Cut(after, `"`)
		u, err := url.Parse(strings.ReplaceAll(after, `\u0026`, "&"))
		if err != nil {
			t.Fatal(err)
		}
		return u.RequestURI()
	}
	look("/beta/me/notifications", []string{came, "phone all 1/30 1/30"})
	look("/beta/me/notifications?$top=5", []string{came})
	look("/beta/me/notifications?$filter=readState%20eq%20true", []string{came})
	body, _ := look("/beta/me/notifications/delta?$top=20", []string{came})
	body, _ = look(link(body), []string{came, "phone got 1/20"}) // the whole rest
	body, _ = look(link(body), []string{came, "phone got 1/30"})
	look(link(body), []string{came}) // nothing came since
	body, _ = look("/beta/me/notifications/delta?$deltatoken=latest", []string{came})
	look(link(body), []string{came})
	body, _ = look("/beta/me/notifications/delta?$filter=readState%20eq%20true", []string{came})
	look(link(body), []string{came})

	id := r.ids.Positional(alice.Hash(), carillon.Position{Partition: 3, Seq: carillon.MakeSeq(1, 7)})
	_, h := look("/beta/me/notifications/"+id.String(), []string{came, "phone one"})
	look("/beta/me/notifications/"+id.String(), []string{came, "phone gotOne"}, "If-None-Match", h.Get("ETag"))

	if status, body, _ := r.get("/beta/me/notifications", mine, "X-UNS-ID", "x"); status != 403 {
		t.Error(status, body)
	}
	bob := auth.DevClaims{User: "bob", Client: "one"}
	if status, body, _ := r.get("/beta/me/notifications", bob, "X-UNS-ID", uns); status != 403 || !strings.Contains(body, "malformed") {
		t.Error(status, body)
	}
	r.store.endpoints[alice] = nil
	if status, body, _ := r.get("/beta/me/notifications", mine, "X-UNS-ID", uns); status != 403 || !strings.Contains(body, "revoked") {
		t.Error(status, body)
	}
	if got := r.served.take(); len(got) != 0 {
		t.Error(got)
	}
}
