package pebble_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"carillon"
	"carillon/store/pebble"
)

const eachHost = "a.example"

// each lists what EachEndpoint gives, in pages of so many users.
func each(t interface{ Fatal(...any) }, s *pebble.Store, host string, page int) (lines []string) {
	for after := ""; ; {
		n := 0
		err := s.EachEndpoint(host, after, func(u carillon.User, eps []carillon.Endpoint) bool {
			for _, e := range eps {
				lines = append(lines, fmt.Sprintf("%s %s %d %d", u, e.ID, e.Version, e.Expires))
			}
			after = u.ID
			n++
			return n < page
		})
		if err != nil {
			t.Fatal(err)
		}
		if n < page {
			return lines
		}
	}
}

// TestEachEndpoint: the walk over a host shows exactly what a look at each of
// its users shows, in order, however it is cut into pages, with other hosts'
// and other kinds of rows between.
func TestEachEndpoint(t *testing.T) {
	clock := &carillon.Clock{}
	s := open(t, pebble.Config{Generation: time.Hour}, clock)
	now := clock.UnixMilli()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++ // one store for all: each has a host of its own, between two others
		host := fmt.Sprintf("%06d.%s", run, eachHost)
		users := []string{"dev.alice", "dev.al", "dev.bob", "dev.carol", "x", "dev.alice0", "dev.alice.b"}
		seq := carillon.Seq(0)
		for range rapid.IntRange(0, 40).Draw(t, "writes") {
			seq++
			u := carillon.User{Host: rapid.SampledFrom([]string{host, host, host, host + "a", host[1:]}).Draw(t, "host"), ID: rapid.SampledFrom(users).Draw(t, "user")}
			expires := now + rapid.Int64Range(-3, 12).Draw(t, "expires")*1_800_000
			rows := &carillon.Rows{}
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				rows.Items = []carillon.ItemRow{{User: u, Item: &carillon.Item{Created: seq, Content: seq, Expires: max(expires, now+1), Body: []byte("x")}}}
			} else {
				rows.Endpoints = []carillon.EndpointRow{{User: u, Left: rapid.IntRange(0, 4).Draw(t, "left") == 0, Endpoint: carillon.Endpoint{
					ID: rapid.SampledFrom([]string{"phone", "desk", "a"}).Draw(t, "id"), Platform: carillon.Polling, Version: seq, Expires: expires,
				}}}
			}
			if err := s.Write(rows, false); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for _, id := range []string{"dev.al", "dev.alice", "dev.alice.b", "dev.alice0", "dev.bob", "dev.carol", "x"} {
			u := carillon.User{Host: host, ID: id}
			eps, err := s.Endpoints(nil, u)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"a", "desk", "phone"} {
				for _, e := range eps {
					if e.ID == name {
						want = append(want, fmt.Sprintf("%s %s %d %d", u, e.ID, e.Version, e.Expires))
					}
				}
			}
		}
		page := rapid.IntRange(1, 9).Draw(t, "page")
		if d := cmp.Diff(want, each(t, s, host, page)); d != "" {
			t.Fatalf("in pages of %d (-want +got):\n%s", page, d)
		}
	})
}

// TestEachEndpointSeesOneMoment writes while the walk is under way.
func TestEachEndpointSeesOneMoment(t *testing.T) {
	clock := &carillon.Clock{}
	s := open(t, pebble.Config{}, clock)
	put := func(id string, version carillon.Seq, left bool) {
		t.Helper()
		err := s.Write(&carillon.Rows{Endpoints: []carillon.EndpointRow{{User: carillon.User{Host: eachHost, ID: id}, Left: left, Endpoint: carillon.Endpoint{
			ID: "phone", Platform: carillon.Polling, Version: version, Expires: clock.UnixMilli() + 1e9,
		}}}}, false)
		if err != nil {
			t.Fatal(err)
		}
	}
	put("a", 1, false)
	put("b", 2, false)
	put("c", 3, false)
	var saw []string
	err := s.EachEndpoint(eachHost, "", func(u carillon.User, eps []carillon.Endpoint) bool {
		if u.ID == "a" {
			put("b", 10, true)
			put("c", 11, false)
			put("d", 12, false)
		}
		saw = append(saw, fmt.Sprint(u.ID, eps[0].Version))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(saw, " "); got != "a0/1 b0/2 c0/3" {
		t.Error(got)
	}
}
