package pebble_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"carillon"
	"carillon/store/pebble"
)

// ended reads the whole log of a partition: the created offsets.
func ended(t testing.TB, s *pebble.Store, partition int32) (offsets []int64) {
	t.Helper()
	from, end, err := s.EndedKept(partition)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Ended(partition, carillon.LogPlace{Row: from}, end, func(e *carillon.Ended) bool {
		offsets = append(offsets, e.Created.Offset())
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return offsets
}

func ends(t testing.TB, s *pebble.Store, partition int32, n int64) {
	t.Helper()
	it := &carillon.Item{Created: carillon.MakeSeq(1, n), Content: carillon.MakeSeq(1, n), Partition: partition}
	row := carillon.EndedRow{User: benchUser(int(n)), Item: it, Delivery: &carillon.Delivery{Endpoint: fmt.Sprint("installation-", n)}}
	if err := s.Write(&carillon.Rows{Ended: []carillon.EndedRow{row}}, false); err != nil {
		t.Fatal(err)
	}
}

// TestEndedGoes: what is older than it is kept goes, a little late, and a log
// that is empty goes on where it was.
func TestEndedGoes(t *testing.T) {
	clock := &carillon.Clock{}
	cfg := pebble.Config{Dir: t.TempDir(), Outcomes: pebble.EndedConfig{Keep: 32 * time.Hour}}
	s := open(t, cfg, clock)
	look := func(want ...int64) {
		t.Helper()
		if err := s.Expire(clock.UnixMilli()); err != nil {
			t.Fatal(err)
		}
		if got := ended(t, s, 1); !slices.Equal(got, want) {
			t.Errorf("the log holds %v, want %v", got, want)
		}
	}
	ends(t, s, 1, 1)
	ends(t, s, 2, 1)
	clock.Move(20 * time.Hour)
	ends(t, s, 1, 2)
	clock.Move(12*time.Hour + 30*time.Minute)
	look(1, 2)
	clock.Move(time.Hour)
	look(2)
	clock.Move(20 * time.Hour)
	look()
	from, end, err := s.EndedKept(1)
	if err != nil || from != end {
		t.Errorf("of an empty log it is kept from %d, and it ends at %d, %v", from, end, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, cfg, clock)
	if again, at, err := s.EndedKept(1); err != nil || again != from || at != end {
		t.Errorf("opened again it is kept from %d, and ends at %d, %v; was %d and %d", again, at, err, from, end)
	}
	ends(t, s, 1, 3)
	look(3)
}

// TestEndedIsBounded: beyond its bytes the log loses its oldest entries.
func TestEndedIsBounded(t *testing.T) {
	clock := &carillon.Clock{}
	s := open(t, pebble.Config{Outcomes: pebble.EndedConfig{MaxBytes: 1}}, clock) // the least there is
	const rows, wide = 400, 20 << 10
	name := make([]byte, wide)
	for n := range int64(rows) {
		for i := range name {
			name[i] = byte(n*31 + int64(i)*int64(i)>>3) // does not pack well
		}
		it := &carillon.Item{Created: carillon.MakeSeq(1, n), Content: carillon.MakeSeq(1, n), Partition: int32(n % 3)}
		row := carillon.EndedRow{User: benchUser(1), Item: it, Delivery: &carillon.Delivery{Endpoint: string(name)}}
		if err := s.Write(&carillon.Rows{Ended: []carillon.EndedRow{row}}, false); err != nil {
			t.Fatal(err)
		}
		clock.Move(time.Second)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Expire(clock.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	left := 0
	for p := range int32(3) {
		got := ended(t, s, p)
		left += len(got)
		if len(got) == 0 || got[len(got)-1] < rows-3 {
			t.Errorf("partition %d ends with %v", p, got)
		}
	}
	if left < 10 || left > rows/2 {
		t.Errorf("%d of %d rows are left", left, rows)
	}
}

// TestEndedOff: without a log nothing is written.
func TestEndedOff(t *testing.T) {
	s := open(t, pebble.Config{Outcomes: pebble.EndedConfig{Off: true}}, &carillon.Clock{})
	ends(t, s, 1, 1)
	if got := ended(t, s, 1); len(got) != 0 {
		t.Error(got)
	}
}

// TestForgetEnded: who is forgotten is in no entry and, compacted, in no file;
// what is told of others, and every position, stays.
func TestForgetEnded(t *testing.T) {
	s := open(t, pebble.Config{}, &carillon.Clock{})
	who := carillon.User{Host: "app.example.com", ID: "dev.to-be-forgotten"}
	batch := func(users ...carillon.User) {
		t.Helper()
		var rows []carillon.EndedRow
		for i, u := range users {
			it := &carillon.Item{Created: carillon.MakeSeq(1, int64(i)), Content: carillon.MakeSeq(1, int64(i)), Partition: 1}
			rows = append(rows, carillon.EndedRow{User: u, Item: it, Delivery: &carillon.Delivery{Endpoint: "e-" + u.ID, Outcome: carillon.Outcome{Class: carillon.Gone}}})
		}
		if err := s.Write(&carillon.Rows{Ended: rows}, false); err != nil {
			t.Fatal(err)
		}
	}
	batch(benchUser(1), who, benchUser(2), who)
	batch(benchUser(3), benchUser(4))
	batch(who, carillon.User{Host: "two.example.com", ID: who.ID}, benchUser(5))
	from, end, _ := s.EndedKept(1)
	read := func(at carillon.LogPlace, most int) (all []carillon.Ended, next carillon.LogPlace) {
		t.Helper()
		next, err := s.Ended(1, at, end, func(e *carillon.Ended) bool {
			if len(all) < most {
				all = append(all, *e)
				return true
			}
			return false
		})
		if err != nil {
			t.Fatal(err)
		}
		return all, next
	}
	whole, _ := read(carillon.LogPlace{Row: from}, 99)
	_, after3 := read(carillon.LogPlace{Row: from}, 3)
	if n, err := s.ForgetEnded(who, 1, 0); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	want := slices.DeleteFunc(slices.Clone(whole), func(e carillon.Ended) bool { return e.User == who })
	if got, _ := read(carillon.LogPlace{Row: from}, 99); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, _ := read(after3, 99); !slices.Equal(got, want[2:]) {
		t.Errorf("from the fourth on %+v, want %+v", got, want[2:])
	}
	if n, err := s.ForgetEnded(who, 1, 0); err != nil || n != 0 {
		t.Error(n, err)
	}
}
