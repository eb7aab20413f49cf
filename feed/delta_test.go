package feed_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon"
	"carillon/internal/auth"
	"carillon/journal"
)

// desk is alice's feed in an embedded store, written as a shard would.
type desk struct {
	*rig

	store *counting
	clock *carillon.Clock
	seq   int64
	items map[int64]*carillon.Item
	floor carillon.Floor
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{clock: &carillon.Clock{}, items: map[int64]*carillon.Item{}}
	d.store = newStoreAt(t, d.clock)
	d.rig = newRigAt(t, d.store, d.clock)
	return d
}

func alicePartition() int32 { return journal.Partition(alice.AppendKey(nil), 4) }

// apply writes rows with the next seq and moves the position behind it.
func (d *desk) apply(rows *carillon.Rows) {
	d.t.Helper()
	rows.Positions = []carillon.Progress{{Partition: alicePartition(), Applied: carillon.MakeSeq(1, d.seq+1)}}
	if err := d.store.Write(rows, false); err != nil {
		d.t.Fatal(err)
	}
}

// send adds a notification; its number.
func (d *desk) send(group string) int64 {
	d.t.Helper()
	d.seq++
	now := d.clock.UnixMilli()
	n := carillon.Notification{Accepted: now, Expires: now + 86_400_000*(1+d.seq%25), TTL: -1, Badge: -1, HasVisual: true, Title: fmt.Sprint("n", d.seq), Group: group}
	seq := carillon.MakeSeq(1, d.seq)
	it := &carillon.Item{Created: seq, Content: seq, Feed: seq, Partition: alicePartition(), Accepted: now, Expires: n.Expires, Body: journal.AppendNotification(nil, &n)}
	d.items[d.seq] = it
	d.apply(&carillon.Rows{Items: []carillon.ItemRow{{User: alice, Item: it}}})
	return d.seq
}

// change changes an item's state.
func (d *desk) change(n int64, change func(s *carillon.State, at carillon.Seq)) {
	d.t.Helper()
	d.seq++
	it := *d.items[n]
	was := it.Feed
	if was == it.Created {
		was = 0
	}
	it.Feed = carillon.MakeSeq(1, d.seq)
	change(&it.State, it.Feed)
	if it.State.Deleted {
		it.Body = nil
	}
	d.items[n] = &it
	d.apply(&carillon.Rows{Items: []carillon.ItemRow{{User: alice, Item: &it, Moved: it.Expires, Was: was}}})
}

func (d *desk) read(n int64) {
	d.change(n, func(s *carillon.State, at carillon.Seq) {
		s.Apply(carillon.Change{Read: carillon.Set}, at, d.clock.UnixMilli())
	})
}

func (d *desk) remove(n int64) {
	d.change(n, func(s *carillon.State, at carillon.Seq) { s.Delete(at, d.clock.UnixMilli()) })
}

// readAll marks everything so far.
func (d *desk) readAll() {
	d.t.Helper()
	before := carillon.MakeSeq(1, d.seq+1)
	d.seq++
	d.floor = d.floor.Add(carillon.FloorMark{Change: carillon.Change{Read: carillon.Set}, Before: before, At: carillon.MakeSeq(1, d.seq), When: d.clock.UnixMilli()})
	d.apply(&carillon.Rows{Floors: []carillon.FloorRow{{User: alice, Floor: d.floor, Expires: d.clock.UnixMilli() + 86_400_000*30}}})
}

// erase takes alice away.
func (d *desk) erase() {
	d.t.Helper()
	d.seq++
	d.floor, d.items = carillon.Floor{}, map[int64]*carillon.Item{}
	d.apply(&carillon.Rows{Erased: []carillon.ErasedRow{{
		User: alice, Partition: alicePartition(), Seq: carillon.MakeSeq(1, d.seq), Expires: d.clock.UnixMilli() + carillon.MaxLife.Milliseconds(),
	}}})
}

// round is an answer of a delta.
type round struct {
	listing

	Delta string `json:"@odata.deltaLink"`
}

// names are what an answer's entries are: title, and * when it was read, or -
// and the reason of one that was removed.
func (l *round) names() []string {
	names := []string{}
	for _, v := range l.Value {
		title, _ := v["payload"].(map[string]any)
		if why, ok := v["@removed"].(map[string]any); ok {
			names = append(names, fmt.Sprint("-", why["reason"]))
			continue
		}
		visual, _ := title["visualContent"].(map[string]any)
		name, _ := visual["title"].(string)
		if v["readState"] == true {
			name += "*"
		}
		names = append(names, name)
	}
	return names
}

// follow reads a round to its delta link.
func (d *desk) follow(path string) (names []string, link string, pages int) {
	d.t.Helper()
	for {
		status, body, _ := d.get(strings.TrimPrefix(path, d.url), user)
		var l round
		if status != 200 || json.Unmarshal([]byte(body), &l) != nil {
			d.t.Fatalf("%s: %d %s", path, status, body)
		}
		if pages++; (l.Next == "") == (l.Delta == "") || pages > 100 {
			d.t.Fatalf("both links, or none: %s", body)
		}
		names = append(names, l.names()...)
		if path = l.Next; path == "" {
			return names, l.Delta, pages
		}
	}
}

func (d *desk) followed(path string, want ...string) (link string) {
	d.t.Helper()
	got, link, _ := d.follow(path)
	if !slices.Equal(got, want) {
		d.t.Errorf("%v, want %v", got, want)
	}
	return link
}

const deltaPath = "/beta/me/notifications/delta"

func TestDelta(t *testing.T) {
	d := newDesk(t)
	empty := d.followed(deltaPath)
	d.followed(empty)
	for range 3 {
		d.send("")
	}
	d.remove(2)
	link := d.followed(deltaPath, "n1", "n3") // a first round says nothing of what was gone before
	d.followed(empty, "n1", "n3", "-deleted")
	d.followed(link)
	latest := d.followed(deltaPath + "?$deltatoken=latest")
	d.followed(deltaPath+"?$deltatoken=", "n1", "n3")

	d.read(1)
	d.store.rows = 0
	next := d.followed(link, "n1*")
	if d.store.rows != 1 {
		t.Errorf("a delta after one change read %d rows, want its entry, which holds the item", d.store.rows)
	}
	d.followed(latest, "n1*")
	d.followed(link, "n1*") // a replay
	d.followed(next)
	d.send("")
	d.remove(3)
	d.read(1)
	d.followed(next, "n6", "-deleted", "n1*")
	last := d.followed(link, "n6", "-deleted", "n1*")

	d.readAll()
	d.send("")
	d.followed(last, "n6*", "n10")
	d.followed(deltaPath, "n6*", "n1*", "n10")
}

func TestDeltaPages(t *testing.T) {
	d := newDesk(t)
	var want []string
	for i := range int64(25) {
		d.send([]string{"odd", "even"}[i%2])
		want = append(want, fmt.Sprint("n", i+1))
	}
	got, _, pages := d.follow(deltaPath + "?$top=4")
	if !slices.Equal(got, want) || pages != 7 {
		t.Errorf("%v in %d pages", got, pages)
	}
	// A link keeps what was asked for: options, and, in a first round, where it
	// began.
	status, body, _ := d.get(deltaPath+"?$select=readState&$filter="+url.QueryEscape("groupName eq 'odd' and readState eq false"), user, "Prefer", "odata.maxpagesize=5")
	var first round
	if err := json.Unmarshal([]byte(body), &first); err != nil || status != 200 || len(first.Value) != 5 || len(first.Value[0]) != 3 {
		t.Fatal(status, err, body)
	}
	d.read(1)   // on the first page
	d.remove(3) // likewise
	d.read(21)  // not yet read
	d.read(2)   // passes no filter
	names, link, _ := d.follow(first.Next)
	removed := 0
	for _, n := range names {
		if strings.HasPrefix(n, "-") {
			removed++
		}
	}
	// Seven are left of the thirteen odd ones but 21, then four changed.
	if removed != 4 || len(names) != 7+4 {
		t.Errorf("%v", names)
	}
	d.followed(link)
	d.send("odd")
	d.send("even")
	if got, _, _ := d.follow(link); len(got) != 2 || got[1] != "-changed" {
		t.Errorf("%v", got)
	}

	// Everything read at once comes page by page.
	link = d.followed(deltaPath + "?$deltatoken=latest&$top=3")
	d.readAll()
	got, _, pages = d.follow(link)
	if len(got) != 26-3 || pages < 8 { // 27, of which one is gone and three were read
		t.Errorf("%d of the unread in %d pages: %v", len(got), pages, got)
	}
}

// TestDeltaOf10000 bounds the rows of one page whatever it finds.
func TestDeltaOf10000(t *testing.T) {
	store := newStore(t)
	history(t, store, 10_000)
	r := newRigOn(t, store)
	n := 0
	for path, pages := deltaPath+"?$filter=groupName%20eq%20%27tenth%27&$top=1000", 0; path != ""; pages++ {
		store.most = 0
		status, body, _ := r.get(strings.TrimPrefix(path, r.url), user)
		var l round
		if status != 200 || json.Unmarshal([]byte(body), &l) != nil || store.most > 2000 || pages > 10 {
			t.Fatalf("%d, %d rows, page %d", status, store.most, pages)
		}
		n, path = n+len(l.Value), l.Next
	}
	if n != 1000 {
		t.Errorf("%d entries", n)
	}
}

// TestDeltaOfOneChange: what has not changed is not read.
func TestDeltaOfOneChange(t *testing.T) {
	store := newStore(t)
	history(t, store, 10_000)
	r := newRigOn(t, store)
	read := func(path string) (l round) {
		t.Helper()
		status, body, _ := r.get(strings.TrimPrefix(path, r.url), user)
		if status != 200 || json.Unmarshal([]byte(body), &l) != nil {
			t.Fatal(status, body)
		}
		return l
	}
	link := read(deltaPath + "?$deltatoken=latest").Delta
	store.rows = 0
	if l := read(link); len(l.Value) != 0 || store.rows != 0 {
		t.Errorf("without a change %d entries and %d rows are read", len(l.Value), store.rows)
	}
	it, err := store.Item(alice, carillon.MakeSeq(1, 5000))
	if err != nil || it == nil {
		t.Fatal(err)
	}
	at, was := carillon.MakeSeq(1, 10_001), it.Feed
	it.State, it.Feed = carillon.State{Read: true, ReadSeq: at}, at
	if err := store.Write(&carillon.Rows{
		Items:     []carillon.ItemRow{{User: alice, Item: it, Moved: it.Expires, Was: was}},
		Positions: []carillon.Progress{{Partition: journal.Partition(alice.AppendKey(nil), 4), Applied: at + 1}},
	}, false); err != nil {
		t.Fatal(err)
	}
	store.rows = 0
	if l := read(link); len(l.Value) != 1 || store.rows != 1 {
		t.Errorf("after one change %d entries and %d rows are read, want one each", len(l.Value), store.rows)
	}
	link = read(link).Delta
	it.Created, it.Content, it.State, it.Feed = at+1, at+1, carillon.State{}, at+1
	if err := store.Write(&carillon.Rows{
		Items:     []carillon.ItemRow{{User: alice, Item: it}},
		Positions: []carillon.Progress{{Partition: journal.Partition(alice.AppendKey(nil), 4), Applied: at + 2}},
	}, false); err != nil {
		t.Fatal(err)
	}
	store.rows = 0
	if l := read(link); len(l.Value) != 1 || store.rows != 1 {
		t.Errorf("after one new notification %d entries and %d rows are read, want one each", len(l.Value), store.rows)
	}
}

func TestDeltaTokens(t *testing.T) {
	d := newDesk(t)
	for range 3 {
		d.send("")
	}
	link := d.followed(deltaPath+"?$top=2&$select=id&$filter="+url.QueryEscape("readState eq false"), "", "", "")
	token := link[strings.Index(link, "=")+1:]
	_, body, _ := d.get(deltaPath+"?$top=2", user)
	var first round
	_ = json.Unmarshal([]byte(body), &first)
	skip := first.Next[strings.Index(first.Next, "=")+1:]
	for query, want := range map[string]string{
		"?$deltatoken=" + token:                         "200 ",
		"?$skiptoken=" + skip:                           "200 ",
		"?$deltatoken=" + skip:                          "400 $deltatoken",
		"?$skiptoken=" + token:                          "400 $skiptoken",
		"?$deltatoken=x":                                "400 $deltatoken",
		"?$deltatoken=" + token + "&$top=1":             "400 $top",
		"?$deltatoken=" + token + "&$skiptoken=" + skip: "400 $skiptoken",
		"?$deltatoken=latest&$select=id":                "200 ",
		"?$orderby=creationDateTime":                    "501 $orderby",
		"?$count=true":                                  "501 $count",
		"?$expand=x":                                    "501 $expand",
	} {
		status, body, _ := d.get(deltaPath+query, user)
		var e struct{ Error struct{ Target string } }
		_ = json.Unmarshal([]byte(body), &e)
		if got := fmt.Sprintf("%d %s", status, e.Error.Target); got != want {
			t.Errorf("%s: %s, want %s: %s", query, got, want, body)
		}
	}
	if status, body, _ := d.get(deltaPath+"?$deltatoken="+token, auth.DevClaims{User: "bob", Client: "one"}); status != 400 {
		t.Errorf("another's token: %d %s", status, body)
	}

	resync := func(what string) {
		t.Helper()
		status, body, h := d.get(strings.TrimPrefix(link, d.url), user)
		if status != 410 || !strings.Contains(body, `"resyncRequired"`) {
			t.Fatalf("%s: %d %s", what, status, body)
		}
		again := h.Get("Location")
		if !strings.HasPrefix(again, d.url+deltaPath+"?$deltatoken=&") || !strings.Contains(again, "$filter=readState+eq+false") ||
			!strings.Contains(again, "$select=id") || !strings.Contains(again, "$top=2") {
			t.Errorf("%s: %s", what, again)
		}
		if status, body, _ := d.get(strings.TrimPrefix(again, d.url), user); status != 200 {
			t.Errorf("%s: %s: %d %s", what, again, status, body)
		}
	}
	if err := d.store.Write(&carillon.Rows{Positions: []carillon.Progress{{Partition: alicePartition(), Applied: carillon.MakeSeq(2, 1)}}}, false); err != nil {
		t.Fatal(err)
	}
	resync("another journal")
	link = d.followed(deltaPath + "?$deltatoken=latest&$top=2&$select=id&$filter=" + url.QueryEscape("readState eq false"))
	d.followed(link)
	d.clock.Move(31 * 24 * time.Hour)
	resync("31 days later")
}

// TestDeltaOfErased: no link from before an erasure, also not one in the middle of a
// first sync, goes on behind it: its reader keeps what is gone. One from after it does.
func TestDeltaOfErased(t *testing.T) {
	d := newDesk(t)
	for range 3 {
		d.send("")
	}
	page := func(path string) (next, delta string) {
		t.Helper()
		status, body, _ := d.get(strings.TrimPrefix(path, d.url), user)
		var l round
		if status != 200 || json.Unmarshal([]byte(body), &l) != nil {
			t.Fatalf("%s: %d %s", path, status, body)
		}
		return l.Next, l.Delta
	}
	_, whole := page(deltaPath)
	_, latest := page(deltaPath + "?$deltatoken=latest")
	half, _ := page(deltaPath + "?$top=2")
	d.send("")
	d.send("")
	partly, _ := page(deltaPath + "?$deltatoken=latest&$top=1")
	if partly == "" {
		_, partly = page(deltaPath + "?$deltatoken=latest&$top=1")
	}
	d.erase()
	d.send("")
	var again string
	for what, link := range map[string]string{"whole": whole, "latest": latest, "a first sync": half, "a page": partly} {
		status, body, h := d.get(strings.TrimPrefix(link, d.url), user)
		if again = h.Get("Location"); status != 410 || !strings.Contains(body, `"resyncRequired"`) || again == "" {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	link := d.followed(strings.TrimPrefix(again, d.url), fmt.Sprint("n", d.seq))
	d.send("")
	d.followed(link, fmt.Sprint("n", d.seq))
}

// TestOwnWriteInDelta: a delta that brings the position of a write has it.
func TestOwnWriteInDelta(t *testing.T) {
	d := newDesk(t)
	waited := make(chan carillon.Position, 1)
	d.rig.store.waits = func(pos carillon.Position) {
		d.send("") // is applied while the reader waits
		waited <- pos
	}
	_, body, _ := d.get(deltaPath, user, "ReadWriteConsistencyToken", "AQADAAAQAAAAAAo")
	if !strings.Contains(body, "n1") || (<-waited).Seq != carillon.MakeSeq(1, 10) {
		t.Error(body)
	}
}
