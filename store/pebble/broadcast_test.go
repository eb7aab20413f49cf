package pebble

import (
	"log/slog"
	"slices"
	"testing"

	"carillon"
)

// Counts of a broadcast are absolute, by shard, and summed over partitions; another
// app's and another broadcast's are apart.
func TestBroadcastCounts(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir()}, &carillon.Clock{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	row := func(partition int32, host, id string, shard uint8, planned int64) carillon.BroadcastRow {
		return carillon.BroadcastRow{Partition: partition, Host: host, ID: id, Shard: shard, Expires: 1 << 50, Counts: carillon.BroadcastCounts{
			Notifications: 1, Planned: planned, Terminal: [carillon.Classes]int64{carillon.Gone: planned},
		}}
	}
	for _, n := range []int64{1, 5} { // the later row stands
		if err := s.Write(&carillon.Rows{Broadcasts: []carillon.BroadcastRow{
			row(0, "a.example", "x", 0, n), row(0, "a.example", "x", 200, 10), row(3, "a.example", "x", 0, 100),
			row(0, "a.example", "xy", 0, 1000), row(0, "a.examplex", "", 0, 1000), row(4, "a.example", "x", 0, 1000),
		}}, false); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := s.BroadcastCounts(4, "a.example", "x")
	if err != nil || sum.Planned != 115 || sum.Terminal[carillon.Gone] != 115 || sum.Ended() != 115 || sum.Notifications != 3 {
		t.Errorf("%+v, %v", sum, err)
	}
	one, err := s.ShardCounts(0, "a.example", "x", 200)
	none, err2 := s.ShardCounts(1, "a.example", "x", 200)
	if err != nil || err2 != nil || one.Planned != 10 || none != (carillon.BroadcastCounts{}) {
		t.Errorf("%+v, %+v, %v, %v", one, none, err, err2)
	}
}

// Members come by partition and broadcast in the order of the journal, page by
// page; one that is erased is gone.
func TestBroadcastMembers(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir()}, &carillon.Clock{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	row := func(partition int32, id string, created carillon.Seq, user string) carillon.MemberRow {
		return carillon.MemberRow{Partition: partition, Host: "a.example", ID: id, Created: created, UserID: user, Expires: 1 << 50}
	}
	want := []carillon.MemberRow{row(1, "x", 5, "dev.b"), row(1, "x", 6, "dev.a"), row(1, "x", 7, "dev.c")}
	gone := row(1, "x", 8, "dev.gone")
	rows := carillon.Rows{Members: append([]carillon.MemberRow{row(2, "x", 1, "dev.o"), row(1, "xy", 1, "dev.o"), gone}, want...)}
	rows.Broadcasts = []carillon.BroadcastRow{{Partition: 1, Host: "a.example", ID: "x", Expires: 1 << 50}}
	gone.Done = true
	for _, rows := range []carillon.Rows{rows, {Members: []carillon.MemberRow{gone}}} {
		if err := s.Write(&rows, false); err != nil {
			t.Fatal(err)
		}
	}
	var got []carillon.MemberRow
	for after := carillon.Seq(0); ; after = got[len(got)-1].Created {
		had := len(got)
		if got, err = s.Members(got, 1, "a.example", "x", after, 2); err != nil {
			t.Fatal(err)
		}
		if len(got) == had {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if c, err := s.BroadcastCounts(2, "a.example", "x"); err != nil || c.Planned != 0 {
		t.Errorf("members count: %+v, %v", c, err)
	}
}
