package pebble_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"carillon"
	"carillon/store/pebble"
)

// users is how many users the benchmarks have.
const users = 200_000

func benchUser(n int) carillon.User {
	return carillon.User{Host: "app.example.com", ID: fmt.Sprintf("dev.user-%07d", n)}
}

// bodies are of about 330 bytes, half words and half noise, as a title and a
// text with a few ids are.
func bodies(rnd *rand.Rand) [][]byte {
	words := []string{"the", "quick", "order", "shipped", "your", "parcel", "arrives", "today", "message", "from", "alice", "meeting", "starts", "soon", "update"}
	all := make([][]byte, 20_000)
	for i := range all {
		b := []byte(`{"title":"`)
		for len(b) < 150 {
			b = append(b, words[rnd.IntN(len(words))]...)
			b = append(b, ' ')
		}
		noise := make([]byte, 90)
		for j := range noise {
			noise[j] = byte(rnd.Uint32())
		}
		all[i] = hex.AppendEncode(b, noise)[:330]
	}
	return all
}

// batches makes rows of one delivery each for users at random.
type batches struct {
	rnd    *rand.Rand
	bodies [][]byte
	names  []carillon.User
	items  []carillon.Item
	rows   carillon.Rows
	now    int64
	seq    int64
}

func newBatches(size int, now int64) *batches {
	rnd := rand.New(rand.NewPCG(1, 2))
	g := &batches{rnd: rnd, bodies: bodies(rnd), items: make([]carillon.Item, size), now: now}
	for i := range users {
		g.names = append(g.names, benchUser(i))
	}
	g.rows.Items, g.rows.Ended = make([]carillon.ItemRow, size), make([]carillon.EndedRow, size)
	for i := range g.items {
		g.items[i].Deliveries = []carillon.Delivery{{
			Endpoint: "install-0001", Incarnation: carillon.MakeSeq(1, 17), Addressed: carillon.MakeSeq(1, 17), Platform: carillon.IOS,
			Kind: carillon.KindAlert, Attempts: 1, Handed: now + 6, Answered: now + 9, Outcome: carillon.Outcome{Class: carillon.Accepted, Status: 200},
		}}
	}
	return g
}

func (g *batches) next() *carillon.Rows {
	for i := range g.items {
		g.seq++
		it := &g.items[i]
		it.Created, it.Content, it.Partition = carillon.MakeSeq(1, g.seq), carillon.MakeSeq(1, g.seq), 3
		it.Accepted, it.Journalled, it.Planned = g.now, g.now+2, g.now+5
		it.Expires = g.now + carillon.DefaultLife.Milliseconds()
		it.Body = g.bodies[g.rnd.IntN(len(g.bodies))]
		g.rows.Items[i] = carillon.ItemRow{User: g.names[g.rnd.IntN(users)], Item: it}
		g.rows.Ended[i] = carillon.EndedRow{User: g.rows.Items[i].User, Item: it, Delivery: &it.Deliveries[0]}
	}
	return &g.rows
}

// used is the processor time that this process took so far.
func used() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkWrite writes batches of 500 items, every hundredth with a sync, and
// waits for compaction at the end. ns/op is a row's time in Write alone;
// cpu-µs/row counts all threads, compaction included. With the log of outcomes,
// and without.
func BenchmarkWrite(b *testing.B) {
	for _, off := range []bool{false, true} {
		b.Run(fmt.Sprint("log=", !off), func(b *testing.B) { benchmarkWrite(b, pebble.EndedConfig{Off: off}) })
	}
}

func benchmarkWrite(b *testing.B, log pebble.EndedConfig) {
	b.Helper()
	const size = 500
	clock := &carillon.Clock{}
	s := open(b, pebble.Config{Dir: b.TempDir(), Outcomes: log}, clock)
	g := newBatches(size, clock.UnixMilli())
	began, making, rows := used(), time.Duration(0), 0
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if rows%size == 0 {
			b.StopTimer()
			at := used()
			batch := g.next()
			making += used() - at
			b.StartTimer()
			if err := s.Write(batch, rows%(100*size) == 0); err != nil {
				b.Fatal(err)
			}
		}
		rows++
	}
	b.StopTimer()
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	for s.Busy() {
		if err := clock.Sleep(b.Context(), 10*time.Millisecond); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((used()-began-making).Nanoseconds())/1000/float64(rows), "cpu-µs/row")
	b.ReportMetric(float64(s.Stats().DiskBytes)/float64(rows), "disk-B/row")
}

// BenchmarkChange changes items of before one after the other, in batches of 500
// as many users' reads come in, and waits for compaction at the end; the columns
// are those of BenchmarkWrite.
func BenchmarkChange(b *testing.B) {
	const size, all = 500, 100_000
	clock := &carillon.Clock{}
	s := open(b, pebble.Config{Dir: b.TempDir()}, clock)
	g := newBatches(size, clock.UnixMilli())
	items, owners := make([]carillon.Item, 0, all), make([]carillon.User, 0, all)
	for len(items) < all {
		rows := g.next()
		if err := s.Write(rows, false); err != nil {
			b.Fatal(err)
		}
		for i := range rows.Items {
			items, owners = append(items, *rows.Items[i].Item), append(owners, rows.Items[i].User)
		}
	}
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	before := s.Stats().DiskBytes
	began, n, rows := used(), 0, carillon.Rows{Items: make([]carillon.ItemRow, size)}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		g.seq++
		it := &items[n%all]
		row := carillon.ItemRow{User: owners[n%all], Item: it, Moved: it.Expires, Was: it.Feed}
		it.Feed = carillon.MakeSeq(1, g.seq)
		it.State.Apply(carillon.Change{Read: carillon.Unset + carillon.Mark(n/all+1)%2}, it.Feed, g.now+9)
		rows.Items[n%size] = row
		if n++; n%size == 0 {
			if err := s.Write(&rows, n%(100*size) == 0); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	for s.Busy() {
		if err := clock.Sleep(b.Context(), 10*time.Millisecond); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((used()-began).Nanoseconds())/1000/float64(n), "cpu-µs/row")
	b.ReportMetric(float64(s.Stats().DiskBytes-before)/float64(min(n, all)), "disk-B/item")
}

// filled is a store with a few items and an endpoint for each of the users.
func filled(b *testing.B) (*pebble.Store, *batches) {
	b.Helper()
	clock := &carillon.Clock{}
	s := open(b, pebble.Config{Dir: b.TempDir()}, clock)
	g := newBatches(1000, clock.UnixMilli())
	for range 800 {
		if err := s.Write(g.next(), false); err != nil {
			b.Fatal(err)
		}
	}
	rows := &carillon.Rows{}
	for i, u := range g.names {
		rows.Endpoints = append(rows.Endpoints, carillon.EndpointRow{User: u, Endpoint: carillon.Endpoint{
			ID: "install-0001", Platform: carillon.IOS, Address: "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0", AppID: "com.example.app",
			Expires: clock.UnixMilli() + int64(1+i%30)*86_400_000, Version: 5, Incarnation: 5, Addressed: 5,
		}})
		if len(rows.Endpoints) == 1000 {
			if err := s.Write(rows, false); err != nil {
				b.Fatal(err)
			}
			rows.Endpoints = rows.Endpoints[:0]
		}
	}
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	return s, g
}

// BenchmarkRead reads of 200,000 users with four items each, and endpoints in
// all five generations.
func BenchmarkRead(b *testing.B) {
	s, g := filled(b)
	strangers := make([]carillon.User, 1000)
	for i := range strangers {
		strangers[i] = benchUser(users + i)
	}
	b.Run("endpoints hit", func(b *testing.B) {
		var eps []carillon.Endpoint
		var err error
		b.ReportAllocs()
		for b.Loop() {
			if eps, err = s.Endpoints(eps[:0], g.names[g.rnd.IntN(users)]); err != nil || len(eps) != 1 {
				b.Fatal(len(eps), err)
			}
		}
	})
	b.Run("endpoints miss", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if eps, err := s.Endpoints(nil, strangers[g.rnd.IntN(len(strangers))]); err != nil || len(eps) != 0 {
				b.Fatal(len(eps), err)
			}
		}
	})
	b.Run("item", func(b *testing.B) {
		last := g.rows.Items
		b.ReportAllocs()
		for b.Loop() {
			row := &last[g.rnd.IntN(len(last))]
			if it, err := s.Item(row.User, row.Item.Created); err != nil || it == nil {
				b.Fatal(it, err)
			}
		}
	})
	b.Run("item miss", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if it, err := s.Item(strangers[g.rnd.IntN(len(strangers))], 5); err != nil || it != nil {
				b.Fatal(it, err)
			}
		}
	})
	b.Run("items 50", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Items(g.names[g.rnd.IntN(users)], 0, 50); err != nil {
				b.Fatal(err)
			}
		}
	})
}
