package journal

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/segmentio/kafka-go"
)

// sticky is a group balancer that leaves partitions where they were: a
// partition that stays keeps its caches warm and its answers on time. Members
// tell what they held, and in which generation, in the user data of their join.
type sticky struct {
	topic string

	mu         sync.Mutex
	generation int32
	held       []int
}

// ProtocolName is the same for all members of a group.
func (s *sticky) ProtocolName() string { return "carillon-sticky-1" }

// hold remembers what this member has, for its next join.
func (s *sticky) hold(generation int32, partitions []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation, s.held = generation, slices.Clone(partitions)
}

// UserData is the generation (32 bits, big endian) and a varint per partition.
func (s *sticky) UserData() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := binary.BigEndian.AppendUint32(nil, uint32(s.generation)) //nolint:gosec // read back as it is written
	for _, p := range s.held {
		b = binary.AppendUvarint(b, uint64(p)) //nolint:gosec // never negative
	}
	return b, nil
}

// holder is a member in the making of an assignment.
type holder struct {
	id         string
	generation int32
	held       []int // valid claims to what it had, ascending
	quota      int
	gets       []int
}

func newHolder(m kafka.GroupMember) *holder {
	h := &holder{id: m.ID, generation: -1}
	b := m.UserData
	if len(b) < 4 {
		return h
	}
	h.generation = int32(binary.BigEndian.Uint32(b)) //nolint:gosec // see UserData
	for b = b[4:]; len(b) > 0; {
		p, n := binary.Uvarint(b)
		if n <= 0 || p >= maxPartitions {
			break
		}
		h.held = append(h.held, int(p))
		b = b[n:]
	}
	return h
}

// AssignGroups gives every member the same number of partitions, give or take
// one, and moves as few as that takes. Of two members that both say they held a
// partition, the one of the later generation is right.
func (s *sticky) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	var all []int
	for _, p := range partitions {
		if p.Topic == s.topic {
			all = append(all, p.ID)
		}
	}
	slices.Sort(all)
	holders := make([]*holder, len(members))
	for i, m := range members {
		holders[i] = newHolder(m)
	}
	assign(holders, all)
	assignments := make(kafka.GroupMemberAssignments, len(members))
	for _, h := range holders {
		assignments[h.id] = map[string][]int{s.topic: h.gets}
	}
	return assignments
}

// assign fills the holders' gets with all, which is ascending.
func assign(holders []*holder, all []int) {
	if len(holders) == 0 {
		return
	}
	owner := make(map[int]*holder, len(all))
	slices.SortFunc(holders, func(a, b *holder) int {
		return cmp.Or(cmp.Compare(b.generation, a.generation), cmp.Compare(a.id, b.id))
	})
	for _, h := range holders { // later generations first
		slices.Sort(h.held)
		h.held = slices.DeleteFunc(slices.Compact(h.held), func(p int) bool {
			_, known := slices.BinarySearch(all, p)
			return !known || owner[p] != nil
		})
		for _, p := range h.held {
			owner[p] = h
		}
	}
	// Who holds most gets the extra ones.
	slices.SortStableFunc(holders, func(a, b *holder) int {
		return cmp.Or(cmp.Compare(len(b.held), len(a.held)), cmp.Compare(a.id, b.id))
	})
	for i, h := range holders {
		h.quota = len(all) / len(holders)
		if i < len(all)%len(holders) {
			h.quota++
		}
		for _, p := range h.held[min(h.quota, len(h.held)):] {
			delete(owner, p)
		}
		h.gets = slices.Clone(h.held[:min(h.quota, len(h.held))])
	}
	next := 0
	for _, p := range all {
		if owner[p] != nil {
			continue
		}
		for len(holders[next].gets) >= holders[next].quota {
			next++
		}
		holders[next].gets = append(holders[next].gets, p)
	}
	for _, h := range holders {
		slices.Sort(h.gets)
	}
}
