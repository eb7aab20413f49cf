package pebble_test

import (
	"testing"
	"time"

	"carillon"
	"carillon/store/pebble"
)

// TestForget: after an erasure neither a row nor a file tells of the user, what
// others have stays, and it is known that he was erased.
func TestForget(t *testing.T) {
	dir := t.TempDir()
	clock := &carillon.Clock{}
	s := open(t, pebble.Config{Dir: dir, Generation: time.Hour}, clock)
	alice, bob := carillon.User{Host: "app.example.com", ID: "dev.alice"}, carillon.User{Host: "app.example.com", ID: "dev.alicia"}
	const planted, kept = "planted-of-alice-Vb3", "kept-of-alicia-Mk9"
	now := clock.UnixMilli()
	rows := func(u carillon.User, at carillon.Seq, text string) *carillon.Rows {
		it := &carillon.Item{Created: at, Content: at, Feed: at, Partition: 1, Accepted: now, Expires: now + time.Hour.Milliseconds(), Body: []byte(text)}
		d := &carillon.Delivery{Endpoint: text, Platform: carillon.IOS, Kind: carillon.KindAlert, Outcome: carillon.Outcome{Class: carillon.Accepted}}
		return &carillon.Rows{
			Items:     []carillon.ItemRow{{User: u, Item: it}},
			Endpoints: []carillon.EndpointRow{{User: u, Endpoint: carillon.Endpoint{ID: text, Platform: carillon.IOS, Address: text, Version: at, Incarnation: at, Expires: it.Expires}}},
			Ended:     []carillon.EndedRow{{User: u, Item: it, Delivery: d}},
			Dues: []carillon.DueRow{{Partition: 1, At: now, Expires: it.Expires, Ref: carillon.Ref{
				User: u, Created: at, Content: at, Endpoint: text, Kind: carillon.KindAlert,
			}}},
		}
	}
	for i := range 3 {
		for _, r := range []*carillon.Rows{rows(alice, carillon.Seq(1+2*i), planted), rows(bob, carillon.Seq(2+2*i), kept)} {
			if err := s.Write(r, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	erase := rows(alice, 1, planted)
	erase = &carillon.Rows{
		Dues:   erase.Dues,
		Erased: []carillon.ErasedRow{{User: alice, Partition: 1, Seq: 9, Expires: now + carillon.MaxLife.Milliseconds()}},
	}
	for i := range 3 {
		due := rows(alice, carillon.Seq(1+2*i), planted).Dues[0]
		due.Done = true
		erase.Dues = append(erase.Dues, due)
	}
	erase.Dues = erase.Dues[1:]
	if err := s.Write(erase, true); err != nil {
		t.Fatal(err)
	}
	if it, err := s.Item(alice, 1); it != nil || err != nil {
		t.Errorf("an erased user's item: %+v, %v", it, err)
	}
	if at, err := s.Erased(alice); at != 9 || err != nil {
		t.Errorf("erased at %s, %v", at, err)
	}
	if at, err := s.Erased(bob); at != 0 || err != nil {
		t.Errorf("another is erased at %s, %v", at, err)
	}
	pending, err := s.Erasing(1)
	if err != nil || len(pending) != 1 || pending[0].User != alice || pending[0].Seq != 9 {
		t.Fatalf("%+v, %v", pending, err)
	}
	if err := s.Forget(t.Context(), &pending[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.Forgotten(t.Context(), &pending[0]); err != nil {
		t.Fatal(err)
	}
	if pending, err = s.Erasing(1); err != nil || len(pending) != 0 {
		t.Errorf("%+v, %v", pending, err)
	}
	gone(t, dir, planted)
	if it, err := s.Item(bob, 2); it == nil || err != nil || string(it.Body) != kept {
		t.Errorf("%+v, %v", it, err)
	}
	_, end, err := s.EndedKept(1)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	if _, err := s.Ended(1, carillon.LogPlace{}, end, func(e *carillon.Ended) bool {
		if lines++; e.User != bob {
			t.Errorf("the log of outcomes tells of %s", e.User)
		}
		return true
	}); err != nil || lines != 3 {
		t.Errorf("%d lines, %v", lines, err)
	}
}
