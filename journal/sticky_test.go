package journal_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"pgregory.net/rapid"

	"carillon/journal"
)

const topic = "carillon.journal.1"

func member(id string, generation int32, held ...int) kafka.GroupMember {
	data, _ := journal.Sticky(topic, generation, held...).UserData()
	return kafka.GroupMember{ID: id, Topics: []string{topic}, UserData: data}
}

func deal(partitions int, members ...kafka.GroupMember) map[string][]int {
	ps := []kafka.Partition{{Topic: "another", ID: 0}}
	for i := range partitions {
		ps = append(ps, kafka.Partition{Topic: topic, ID: partitions - 1 - i})
	}
	got := make(map[string][]int)
	for id, topics := range journal.Sticky(topic, 0).AssignGroups(members, ps) {
		got[id] = append([]int(nil), topics[topic]...)
	}
	return got
}

func TestStickyKeepsWhatItCan(t *testing.T) {
	f := func(name string, want, got map[string][]int) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	f("first", map[string][]int{"a": {0, 1, 2, 3}}, deal(4, member("a", 0)))
	f("a second joins", map[string][]int{"a": {0, 1}, "b": {2, 3}}, deal(4, member("a", 1, 0, 1, 2, 3), member("b", 0)))
	f("nothing changes", map[string][]int{"a": {1, 3}, "b": {0, 2}}, deal(4, member("a", 2, 1, 3), member("b", 2, 0, 2)))
	f("one leaves", map[string][]int{"a": {0, 1, 3}, "c": {2, 4}}, deal(5, member("a", 3, 1, 3), member("c", 3, 4)))
	f("a stale claim", map[string][]int{"a": {2, 3}, "z": {0, 1}}, deal(4, member("a", 1, 0, 1), member("z", 2, 0, 1)))
	f("spoilt user data", map[string][]int{"a": {0, 1}}, deal(2, kafka.GroupMember{ID: "a", UserData: []byte{1, 2, 3, 4, 0xff}}))
}

func TestStickyDealsEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 70).Draw(t, "partitions")
		var members []kafka.GroupMember
		for i := range rapid.IntRange(1, 9).Draw(t, "members") {
			held := rapid.SliceOfN(rapid.IntRange(0, 80), 0, 20).Draw(t, "held")
			members = append(members, member(fmt.Sprint("m", i), rapid.Int32Range(0, 3).Draw(t, "generation"), held...))
		}
		got := deal(partitions, members...)
		var all []int
		for _, m := range members {
			n := len(got[m.ID])
			if n < partitions/len(members) || n > (partitions+len(members)-1)/len(members) {
				t.Fatalf("%s gets %d of %d partitions among %d", m.ID, n, partitions, len(members))
			}
			all = append(all, got[m.ID]...)
		}
		slices.Sort(all)
		if len(all) != partitions || len(slices.Compact(all)) != partitions {
			t.Fatalf("dealt %v", all)
		}
		// Dealt again after that, nothing moves.
		again := make([]kafka.GroupMember, len(members))
		for i, m := range members {
			again[i] = member(m.ID, 9, got[m.ID]...)
		}
		if diff := cmp.Diff(got, deal(partitions, again...)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzUserData: whatever members say that they held, each partition is dealt once
// and the shares are even.
func FuzzUserData(f *testing.F) {
	a, b := member("a", 3, 0, 1, 2), member("b", 4, 2, 3)
	f.Add(a.UserData, b.UserData)
	f.Add([]byte{0, 0, 0}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		const partitions = 5
		got := deal(partitions, kafka.GroupMember{ID: "a", Topics: []string{topic}, UserData: a}, kafka.GroupMember{ID: "b", Topics: []string{topic}, UserData: b})
		all := slices.Sorted(slices.Values(append(slices.Clone(got["a"]), got["b"]...)))
		if !slices.Equal(all, []int{0, 1, 2, 3, 4}) || max(len(got["a"]), len(got["b"])) > partitions/2+1 {
			t.Errorf("%x and %x are dealt %v", a, b, got)
		}
	})
}
